"""Callables that would take items and deliver nothing.

A call of a coroutine function runs none of its body: it makes a coroutine, which somebody has to await. A sink doesn't,
so that the items would be gone. The same holds for a generator function, whose body runs as somebody iterates.
"""
import functools
import inspect
from collections.abc import Coroutine


cdef int refuse_async(object given, object function) except -1:
    if function is None:
        return 0
    while isinstance(function, functools.partial):
        function = function.func
    for called in (function, getattr(type(function), "__call__", None)):
        if inspect.iscoroutinefunction(called):
            kind = "a coroutine function"
        elif inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
            kind = "a generator function"
        else:
            continue
        raise TypeError(f"{given!r} calls {kind}, which delivers nothing when it is called; {INSTEAD}")
    return 0


cdef int refuse_awaitable(object function, object result) except -1:
    if isinstance(result, Coroutine):  # A task or a future runs by itself.
        result.close()  # so that nobody warns that it was never awaited
        raise TypeError(f"{function!r} returned a coroutine, which delivers nothing; {INSTEAD}")
    return 0


cdef str INSTEAD = (
    "give a function that hands the items to the event loop, such as lambda items: "
    "loop.call_soon_threadsafe(queue.put_nowait, items), or let the loop take them: async for block in ring.ablocks(), "
    "of an SpscRing"
)
