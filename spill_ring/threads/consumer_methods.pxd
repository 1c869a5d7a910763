"""The consumer's calls from Python, which SpscRing and MpscRing share."""
from cpython.object cimport PyObject

# Returns a borrowed reference to the `Consumer` of a ring; None if the ring is not initialised.
ctypedef PyObject *(*consumer_getter)(object ring) noexcept

# Put the methods of `ConsumerMethods` into a class. (The two classes can't derive from one that has them: SpscRing is a
# Sink and MpscRing is not, and Cython has single inheritance.)
cdef int add_consumer_methods(type cls, consumer_getter get) except -1
