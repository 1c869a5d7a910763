"""Methods that a class gets after it was made."""
from spill_ring._core.cpython cimport PyTypeObject, PyType_Modified


cdef int add_methods(type kind, tuple methods) except -1:
    for method in methods:
        method.__qualname__ = f"{kind.__name__}.{method.__name__}"
        (<dict>(<PyTypeObject *>kind).tp_dict)[method.__name__] = method
    PyType_Modified(kind)
    return 0
