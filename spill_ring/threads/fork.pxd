"""A forked child has copies of the rings between threads, and none of the threads that were inside of them."""
from spill_ring.threads.producer cimport ProducerSide


# Have forked children find the sides of a ring free.
cdef int watch_forks(ProducerSide ring) except -1
