"""One thread at a time: the state of a sink or ring. `guard.pxd` says what protects each class."""


cdef class Guarded:
    """What every sink and ring is: initialised once, open, in use by one call at a time, closed. Not made by hand."""

    cdef int enter_slow(self, int found) except -1 nogil:
        return self.raise_for_state(found)

    cdef int raise_for_state(self, int found) except -1 nogil:
        sr_ensure_thread_state()
        return raise_state(self, found)

    cdef int mark_closed(self) except -1:
        """Close. Closing again does nothing; a call that is under way is an error."""
        cdef int found = sr_state_cas(&self.state, SR_OPEN, SR_CLOSED)
        if found != SR_OPEN and found != SR_CLOSED:
            self.enter_slow(found)
            sr_state_store(&self.state, SR_CLOSED)
        return 0

    @property
    def closed(self):
        """True once :meth:`close` has been through."""
        return sr_state_load(&self.state) == SR_CLOSED

    def __enter__(self):
        self.enter()
        self.leave()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        raise TypeError(f"cannot pickle a live {type(self).__name__}; pickle the items it holds instead")


cdef int raise_state(Guarded guarded, int found) except -1 with gil:
    name = type(guarded).__name__
    if found == SR_CLOSED:
        raise ValueError(f"{name} is closed")
    if found <= SR_MAKING:
        raise RuntimeError(f"{name} was never initialised: call super().__init__ first")
    if found == SR_RESERVED:
        raise RuntimeError(f"{name} has an open reserve(): leave its 'with' block first")
    raise RuntimeError(f"{name} is in use: by another thread, or by the sink that it is sending to")
