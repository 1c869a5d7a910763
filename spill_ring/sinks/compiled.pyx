"""Compiled functions that are given as sinks: what form they come in, and whether their signature is right."""
from cpython.pycapsule cimport PyCapsule_CheckExact, PyCapsule_GetContext, PyCapsule_GetName, PyCapsule_GetPointer

import _ctypes
import ctypes
import re

cdef str SIGNATURE = "int (const void *items, ptrdiff_t count, void *user_data)"

# C's names of a signed integer of a pointer's size
cdef set COUNTS = {"ptrdiff_t", "Py_ssize_t", "ssize_t", "intptr_t", "npy_intp"} | {
    name for name, kind in (("long", ctypes.c_long), ("long long", ctypes.c_longlong), ("int64_t", ctypes.c_int64))
    if ctypes.sizeof(kind) == sizeof(Py_ssize_t)
}
# and of an int: ctypes calls it long where that is as large
cdef str INT = "int|long" if sizeof(long) == sizeof(int) else "int"


cdef native_sink native_function(object given, void **user_data) except? NULL:
    cdef const char *name
    function = given
    user_data[0] = NULL
    if isinstance(given, tuple) and type(given) is not tuple and len(given):
        first = tuple.__getitem__(given, 0)
        if PyCapsule_CheckExact(first):  # a scipy.LowLevelCallable's, which it makes of whatever it is given
            function = first
    if PyCapsule_CheckExact(function):
        name = PyCapsule_GetName(function)
        signature = "" if name == NULL else name.decode()
        check(given, signature_fits(signature), signature)
        user_data[0] = PyCapsule_GetContext(function)
        return <native_sink>PyCapsule_GetPointer(function, name)
    if not isinstance(function, ctypes._CFuncPtr):
        function = getattr(given, "ctypes", None)  # of a numba cfunc
    if not isinstance(function, ctypes._CFuncPtr):
        return NULL
    if function._flags_ & _ctypes.FUNCFLAG_PYTHONAPI:
        raise TypeError(f"{given!r} can't be a sink: it needs the GIL, and is called without; use ctypes.CFUNCTYPE")
    check(given, types_fit(function.restype, function.argtypes), written(function.restype, function.argtypes))
    address = ctypes.cast(function, ctypes.c_void_p).value
    if not address:
        raise ValueError(f"{given!r} can't be a sink: it is a NULL pointer")
    return <native_sink><size_t>address


cdef int check(object given, bint fits, str found) except -1:
    if not fits:
        raise TypeError(f"{given!r} can't be a sink: its signature is {found!r}, and {SIGNATURE!r} would be right")
    return 0


cdef bint signature_fits(str signature) except -1:
    """Of the name of a capsule, as scipy has it; names of arguments may be there or not."""
    parts = re.fullmatch(rf"\s*(?:{INT})\s*\(([^,()]*),([^,()]*),([^,()]*)\)\s*", signature)
    if parts is None:
        return False
    items, count, user_data = (" ".join(part.split()) for part in parts.groups())
    pointer = r"(\w+ )*\w+ ?\* ?\w*"
    number = rf"({'|'.join(COUNTS)})( (?!double|int|long|unsigned)\w+)?"
    return all(re.fullmatch(form, part) for form, part in ((pointer, items), (number, count), (pointer, user_data)))


cdef bint types_fit(object result, object arguments) except -1:
    """Of a ctypes function."""
    if arguments is None or len(arguments) != 3:
        return False
    items, count, user_data = arguments
    return (
        is_signed(result, sizeof(int)) and is_pointer(items) and is_signed(count, sizeof(Py_ssize_t))
        and is_pointer(user_data)
    )


cdef bint is_signed(object kind, size_t size) except -1:
    return getattr(kind, "_type_", None) in ("i", "l", "q") and ctypes.sizeof(kind) == size


cdef bint is_pointer(object kind) except -1:
    return isinstance(kind, type) and issubclass(kind, (ctypes.c_void_p, ctypes._Pointer))


cdef str written(object result, object arguments):
    names = ["argtypes not set"] if arguments is None else [kind.__name__ for kind in arguments]
    return f"{getattr(result, '__name__', result)} ({', '.join(names)})"
