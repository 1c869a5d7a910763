/* A C extension that uses a ring: it pushes items and pops items in a thread of its own, which Python doesn't know.
 * tests/interop/test_c_interface.py compiles it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <spill_ring/interface.h>

enum { LARGEST_BLOCK = 4096 };

typedef struct {
    const spill_ring_interface *ring;
    Py_ssize_t first, n, block; /* the numbers to push; a block of 0 means the header's inline function */
    int reserves;
    int code; /* the error of the push that ended the job early */
    Py_ssize_t done;
    double total;
    int in_order;
} job;

static void *push(void *context)
{
    job *j = context;
    double *room, items[LARGEST_BLOCK];
    Py_ssize_t i, count;
    for (j->done = 0; j->done < j->n && j->code == 0; j->done += j->code == 0 ? count : 0) {
        count = j->block == 0 ? 1 : j->n - j->done < j->block ? j->n - j->done : j->block;
        room = items;
        if (j->reserves && (j->code = j->ring->reserve(j->ring->state, count, (void **)&room)) != 0)
            break;
        if (j->block == 0) {
            j->code = spill_ring_push_f8(j->ring, (double)(j->first + j->done));
            continue;
        }
        for (i = 0; i < count; i++)
            room[i] = (double)(j->first + j->done + i);
        j->code = j->reserves ? j->ring->commit(j->ring->state, count) : j->ring->push(j->ring->state, room, count);
    }
    return NULL;
}

static void *pop(void *context)
{
    job *j = context;
    double last = -1, items[LARGEST_BLOCK];
    Py_ssize_t i, count;
    j->in_order = 1;
    while ((count = j->ring->pop(j->ring->state, items, j->block)) >= 0)
        for (i = 0; i < count; i++, j->done++) {
            j->in_order &= items[i] > last;
            last = items[i];
            j->total += last;
        }
    j->code = (int)count;
    return NULL;
}

static int run(job *j, PyObject *capsule, void *(*work)(void *))
{
    pthread_t thread;
    if ((j->ring = spill_ring_from_capsule(capsule)) == NULL)
        return -1;
    if (j->ring->item_size != sizeof(double) || j->block > LARGEST_BLOCK) {
        PyErr_SetString(PyExc_ValueError, "this pushes blocks of double");
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_create(&thread, NULL, work, j);
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    return 0;
}

static PyObject *push_numbers(PyObject *module, PyObject *args)
{
    job j = {0};
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "Onnn|p", &capsule, &j.first, &j.n, &j.block, &j.reserves) || run(&j, capsule, push) < 0)
        return NULL;
    return Py_BuildValue("in", j.code, j.done);
}

static PyObject *pop_numbers(PyObject *module, PyObject *args)
{
    job j = {0};
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "On", &capsule, &j.block) || run(&j, capsule, pop) < 0)
        return NULL;
    return Py_BuildValue("indi", j.code, j.done, j.total, j.in_order);
}

/* A thread that continues by itself, also while the interpreter ends. */
static PyObject *push_for_ever(PyObject *module, PyObject *capsule)
{
    static job j;
    pthread_t thread;
    j.ring = spill_ring_from_capsule(capsule);
    if (j.ring == NULL)
        return NULL;
    Py_INCREF(capsule); /* and never drop it */
    j.n = PY_SSIZE_T_MAX;
    pthread_create(&thread, NULL, push, &j);
    pthread_detach(thread);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"push_numbers", push_numbers, METH_VARARGS, "(capsule, first, n, block, reserves=False) -> (code, pushed)"},
    {"pop_numbers", pop_numbers, METH_VARARGS, "(capsule, block) -> (code, popped, total, in_order), at the end"},
    {"push_for_ever", push_for_ever, METH_O, "(capsule)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "pthread_client", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_pthread_client(void)
{
    PyObject *made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (made != NULL)
        PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED);
#endif
    return made;
}
