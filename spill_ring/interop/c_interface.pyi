import ctypes
from typing import Any, Never

from typing_extensions import disjoint_base

@disjoint_base
class CInterface:
    def __init__(self, *args: Never, **kwargs: Never) -> None: ...

class Interface(ctypes.Structure):
    version: int
    size: int
    item_size: int
    state: int
    push: Any
    pop: Any
    length: Any
    reserve: Any
    commit: Any
    next: int
    stop: int

def capsule_of(ring: Any, /) -> Any: ...
def ctypes_of(ring: Any, /) -> Interface: ...
def cffi_of(ring: Any, /) -> Any: ...
