"""A queue as a sink, for a consumer in another thread."""
from spill_ring._core.delivery cimport refuse_async
from spill_ring.sinks.function cimport FnSink


cdef class ChannelSink(FnSink):
    """ChannelSink(queue)\n--\n
    Puts what it is sent on a queue, for a consumer in another thread.

    Parameters
    ----------
    queue : queue.Queue, queue.SimpleQueue or the like
        Gets ndarray blocks from a typed ring, single objects from an object ring, by ``put``. A
        bounded queue that is full holds up the producer, as its ``put`` does.

    Raises
    ------
    TypeError
        `queue` has no ``put``, or one that has to be awaited, as that of an `asyncio.Queue`: give
        ``lambda items: loop.call_soon_threadsafe(queue.put_nowait, items)`` as a sink instead.

    Notes
    -----
    **Thread safety.** That of the queue: several rings may share one.

    >>> import queue
    >>> late = queue.SimpleQueue()
    >>> ring = ArrayRing(3, "i8", sink=ChannelSink(late))
    >>> ring.extend(range(10))
    >>> late.get()
    array([0, 1, 2, 3, 4, 5, 6])
    """

    def __init__(self, queue):
        put = getattr(queue, "put", None)
        if not callable(put):
            raise TypeError(f"{queue!r} has no put(); expected a queue.Queue, a queue.SimpleQueue or the like")
        refuse_async(queue, put)
        FnSink.__init__(self, put)
        self.queue = queue

    @property
    def queue(self):
        """The queue that is put on."""
        return self.queue

    def __repr__(self):
        return f"ChannelSink({self.queue!r})"
