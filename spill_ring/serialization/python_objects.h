/* What Python's C interface offers, and Cython can't say. */
#pragma once

#include <Python.h>

/* A new reference to what lies in a dict, which another thread may change meanwhile. NULL without an error: the key is
 * not there, or can't be a key. */
static PyObject *sr_find(PyObject *dict, PyObject *key)
{
    PyObject *found;
#if PY_VERSION_HEX >= 0x030D0000
    PyDict_GetItemRef(dict, key, &found);
#else
    found = PyDict_GetItemWithError(dict, key);
    Py_XINCREF(found);
#endif
    if (found == NULL && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Clear();
    return found;
}

/* An instance without a call of __init__, as unpickling makes it. */
static PyObject *sr_new_instance(PyObject *type, PyObject *no_arguments)
{
    return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, no_arguments, NULL);
}
