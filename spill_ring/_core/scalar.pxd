"""The C number types that compiled code pushes and pops one by one."""


ctypedef fused numeric:
    signed char
    unsigned char
    short
    unsigned short
    int
    unsigned int
    long
    unsigned long
    long long
    unsigned long long
    float
    double


cdef inline int scalar_index(numeric *kind) noexcept nogil:
    """Kind and size of the C type pointed to as one small number, known when it is compiled."""
    return (8 if <numeric>0.5 != 0 else 4 if <numeric>-1 < 1 else 0) + (
        0 if sizeof(numeric) == 1 else 1 if sizeof(numeric) == 2 else 2 if sizeof(numeric) == 4 else 3
    )
