/* Sinks in C for the tests of compiled functions. The user data is a `gathered`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    double total;
    ptrdiff_t calls, count;
    int refuses; /* if not 0, every call from now on takes nothing and returns this */
    int had_gil;
} gathered;

int gather(const void *items, ptrdiff_t count, void *user_data)
{
    gathered *g = user_data;
    const double *numbers = items;
    ptrdiff_t i;
    g->had_gil |= PyGILState_Check();
    g->calls++;
    if (g->refuses)
        return g->refuses;
    for (i = 0; i < count; i++)
        g->total += numbers[i];
    g->count += count;
    return 0;
}

/* A sink without user data. */
int refuse(const void *items, ptrdiff_t count, void *user_data)
{
    return user_data == NULL ? 5 : 6;
}

static void free_name(PyObject *capsule)
{
    free((void *)PyCapsule_GetName(capsule));
}

static PyObject *capsule(PyObject *module, PyObject *args)
{
    const char *signature;
    unsigned long long user_data;
    PyObject *made;
    if (!PyArg_ParseTuple(args, "sK", &signature, &user_data))
        return NULL;
    made = PyCapsule_New((void *)(size_t)gather, strdup(signature), free_name);
    if (made != NULL)
        PyCapsule_SetContext(made, (void *)(size_t)user_data);
    return made;
}

static PyMethodDef methods[] = {
    {"capsule", capsule, METH_VARARGS, "(signature, user_data): `gather` in a capsule"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native_sinks", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_native_sinks(void)
{
    PyObject *made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (made != NULL)
        PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED);
#endif
    return made;
}
