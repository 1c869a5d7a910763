"""What CPython's headers offer, and Cython's own `cpython` declares otherwise or not at all.

`gil.pxd` declares the thread state.
Reference counts and lists are declared over bare pointers, since Cython counts a reference around each object argument.
"""
from cpython.object cimport PyObject


cdef extern from "Python.h" nogil:
    const Py_ssize_t PY_SSIZE_T_MAX
    bint PY_BIG_ENDIAN
    unsigned long PyThread_get_thread_ident()


cdef extern from * nogil:
    """
    #if PY_VERSION_HEX < 0x030D0000
    #define Py_IsFinalizing _Py_IsFinalizing
    #endif
    """
    bint Py_IsFinalizing()


cdef extern from "Python.h":
    void Py_INCREF(PyObject *o)
    void Py_DECREF(PyObject *o)
    PyObject **PySequence_Fast_ITEMS(object o)
    void PyList_SET_ITEM(object list, Py_ssize_t i, PyObject *item)  # steals the reference
    double PyFloat_AS_DOUBLE(object o)
    int PyFloat_Pack2(double x, char *p, int is_little) except -1
    int PyFloat_Pack4(double x, char *p, int is_little) except -1
    double PyFloat_Unpack2(const char *p, int is_little) except? -1
    long long PyLong_AsLongLongAndOverflow(object o, int *overflow) except? -1
    bint PyIndex_Check(object o)
    Py_ssize_t PyNumber_AsSsize_t(object o, PyObject *error) except? -1
    int Py_ReprEnter(object o) except -1
    void Py_ReprLeave(object o)
    ctypedef int (*visitproc)(PyObject *o, void *arg) noexcept
    ctypedef int (*traverseproc)(PyObject *o, visitproc visit, void *arg) noexcept
    ctypedef int (*inquiry)(PyObject *o) noexcept
    ctypedef struct PyTypeObject:
        PyObject *tp_dict
        traverseproc tp_traverse
        inquiry tp_clear
    void PyType_Modified(type t)
