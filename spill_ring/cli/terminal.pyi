from collections.abc import Callable
from contextlib import AbstractContextManager

def progress_bar(
    title: str, total: int | None, itemsize: int
) -> AbstractContextManager[Callable[[int], object]]: ...
