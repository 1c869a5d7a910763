"""Plans of values that are made of others, and the plan of any type."""
from spill_ring.serialization.plan cimport Plan


cdef class FieldsPlan(Plan):
    cdef tuple plans
    cdef tuple names

    cdef int set_plans(self, tuple plans) except -1
    cdef int require_type(self, object value) except -1
    cdef object part(self, object value, Py_ssize_t i)
    cdef object begin(self)
    cdef int add(self, object made, Py_ssize_t i, object part) except -1
    cdef object finish(self, object made)
    cdef int note_location(self, object error, Py_ssize_t i) except -1


cdef class DataclassPlan(FieldsPlan):
    pass


cdef DataclassPlan dataclass_plan(object cls)

# Of a type; it is found out once.
cdef Plan plan_of(object hint)

# Of a value, where no type (...) is given too.
cdef Plan plan_for(object value, object hint)
