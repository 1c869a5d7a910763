"""The errors of rings between threads."""


class ConsumerGoneError(BrokenPipeError):
    """Nobody will take from this ring any more, so a producer that waits for that would wait for ever.

    The consumer called ``ring.abandon()``; or the thread that took last has ended, and there is no room (the main
    thread ends when the interpreter begins to shut down). The item is still the caller's. What is in the ring goes to
    the ring's sink, if it has one, with the producer's next call, with `close`, or as the ring is dropped.

    >>> ring = SpscRing(2, "i8", overflow="block")
    >>> ring.abandon()
    >>> try:
    ...     ring.push(1)
    ... except ConsumerGoneError:
    ...     print("nobody takes it")
    nobody takes it
    """
