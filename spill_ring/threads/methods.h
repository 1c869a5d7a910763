/* Methods of Python types, put there in ways that Cython has no words for. */
#ifndef SPILL_RING_METHODS_H
#define SPILL_RING_METHODS_H

#include <Python.h>

/* Copy a method from one type to another. The function gets objects of both as `self`. */
static inline int sr_copy_method(PyTypeObject *type, PyObject *name, PyObject *method)
{
    PyObject *copy = PyDescr_NewMethod(type, ((PyMethodDescrObject *)method)->d_method);
    int result = copy == NULL ? -1 : PyDict_SetItem(type->tp_dict, name, copy);
    Py_XDECREF(copy);
    return result;
}

/* A push is so short that looking for keywords takes a seventh of it. So the method that Cython made is
 * called only if there are some. */
typedef int (*sr_push_function)(PyObject *ring, PyObject *item);
typedef PyObject *(*sr_method)(PyObject *ring, PyObject *const *args, Py_ssize_t count, PyObject *names);
static sr_push_function sr_push_one;
static sr_method sr_push_with_keywords;

static inline PyObject *sr_push(PyObject *ring, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count != 1 || names != NULL)
        return sr_push_with_keywords(ring, args, count, names);
    if (sr_push_one(ring, args[0]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static inline void sr_install_fast_push(PyObject *method, void *push_one)
{
    PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
    if (def->ml_flags != (METH_FASTCALL | METH_KEYWORDS))
        return;
    sr_push_one = (sr_push_function)push_one;
    sr_push_with_keywords = (sr_method)(void (*)(void))def->ml_meth;
    def->ml_meth = (PyCFunction)(void (*)(void))sr_push;
}

#endif
