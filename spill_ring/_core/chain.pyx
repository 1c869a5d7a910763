"""Chains: which sinks send to which, how deep a chain is, and who closes a sink that several use."""
from spill_ring._core.guard cimport (
    SR_CLOSED, SR_MAKING, SR_NEW, sr_add_fetch, sr_state_cas, sr_state_is_atomic, sr_state_load,
    sr_state_make_atomic, sr_state_store,
)
from spill_ring._core.sink cimport Sink

import warnings


cdef extern from *:
    """
    #ifdef _MSC_VER
    static __declspec(thread) int sr_depth;
    #else
    static __thread int sr_depth; /* the sinks that `enter_chain` has counted in this thread */
    #endif
    """
    int sr_depth


cdef int MAX_DEPTH = 256


cdef int begin_init(Sink sink, Sink target) except -1:
    if sr_state_cas(&sink.state, SR_NEW, SR_MAKING) != SR_NEW:
        raise RuntimeError(f"{type(sink).__name__} is initialised already")
    if target is not None:
        try:
            add_user(sink, target)
        except BaseException:
            sr_state_store(&sink.state, SR_NEW)
            raise
    return 0


cdef int add_user(Sink user, Sink sink) except -1:
    cdef int state
    sr_add_fetch(&sink.n_users, 1)  # first, so that nobody closes the sink as its last user meanwhile
    try:
        state = sr_state_load(&sink.state)
        if state <= SR_MAKING or state == SR_CLOSED:
            sink.raise_for_state(state)
        check_depth(sink.depth)
    except BaseException:
        sr_add_fetch(&sink.n_users, -1)
        raise
    user.depth = max(user.depth, sink.depth + 1)
    if sr_state_is_atomic(&user.state):
        make_atomic(sink)
    return 0


cdef int make_atomic(Sink sink) except -1 with gil:
    if not sr_state_is_atomic(&sink.state):
        # A thread that finds `sink` atomic goes on without the GIL, so what lies behind comes first.
        make_targets_atomic(sink)
        sr_state_make_atomic(&sink.state)
        make_targets_atomic(sink)  # again, for those that were attached meanwhile
    return 0


cdef int make_targets_atomic(Sink sink) except -1:
    cdef Sink target
    for target in sink.targets():
        make_atomic(target)
    return 0


cdef int drop_user(Sink sink) except -1:
    if sr_add_fetch(&sink.n_users, -1) <= 0 and sr_state_load(&sink.state) != SR_CLOSED:
        try:
            sink.close()
        except BaseException as error:
            if sink.has_said_loss and sr_state_load(&sink.state) == SR_CLOSED:
                # An earlier error said so, so that another one would only keep the user from being closed.
                warnings.warn(f"{sink!r} was closed with a loss: {error}", RuntimeWarning, stacklevel=1)
                return 0
            sr_add_fetch(&sink.n_users, 1)  # the user may try again
            raise
    return 0


cdef bint may_close_unflushed(Sink sink) except -1:
    cdef bint is_again = sink.has_failed_to_close
    mark_failed_close(sink)
    return is_again and is_loss_said(sink)


cdef int mark_failed_close(Sink sink) except -1:
    sink.has_failed_to_close = True
    for target in sink.targets():
        mark_failed_close(target)
    return 0


cdef bint is_loss_said(Sink sink) except -1:
    if sink.has_said_loss:
        return True
    for target in sink.targets():
        if is_loss_said(target):
            return True
    return False


cdef int enter_chain(Sink sink) except -1:
    global sr_depth
    cdef int steps = sink.depth + 1
    check_depth(sr_depth + sink.depth)
    sr_depth += steps
    return steps


cdef void leave_chain(int steps) noexcept:
    global sr_depth
    sr_depth -= steps


cdef int check_depth(int depth) except -1:
    if depth >= MAX_DEPTH:
        raise RecursionError(f"a chain of more than {MAX_DEPTH} sinks")  # each of them takes C stack
    return 0
