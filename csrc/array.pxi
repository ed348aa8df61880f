# The arguments of kernels: arrays by the buffer protocol, and what is refused; and work space.

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
)
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset, strchr, strlen

NAMES = {"f": "float32", "d": "float64", "I": "uint32", "i": "int32", "q": "int64"}

cdef enum: ANY = -1  # length of an array


@cython.final
cdef class Array:
    """A C-contiguous buffer of one of the wanted kinds: f (float32), d (float64), I (uint32), i (int32), q (int64)."""

    cdef Py_buffer buffer
    cdef bint held
    cdef str name
    cdef char kind[2]
    cdef bint single
    cdef void *data
    cdef Py_ssize_t size

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)

    # The data as what it is known to be.

    cdef inline real *reals(self):
        return <real *>self.data

    cdef inline double *doubles(self):
        return <double *>self.data

    cdef inline uint32_t *words(self):
        return <uint32_t *>self.data

    cdef inline int32_t *int32s(self):
        return <int32_t *>self.data

    cdef inline int64_t *int64s(self):
        return <int64_t *>self.data

    cdef inline Py_ssize_t length(self, int axis):
        return self.buffer.shape[axis]

    # What is refused: other shapes, and memory that is shared with another array.

    cdef tuple shape(self):
        return tuple([self.buffer.shape[i] for i in range(self.buffer.ndim)])

    cdef int refuse_shape(self, tuple wanted) except -1:
        text = ", ".join(["any" if w == ANY else str(w) for w in wanted])
        raise ValueError(f"{self.name} has shape {self.shape()}, wanted ({text}{',' if len(wanted) == 1 else ''})")

    cdef int vector(self, Py_ssize_t n) except -1:
        if self.buffer.ndim != 1 or (n != ANY and n != self.buffer.shape[0]):
            self.refuse_shape((n,))
        return 0

    cdef int matrix(self, Py_ssize_t n, Py_ssize_t d) except -1:
        if (
            self.buffer.ndim != 2
            or (n != ANY and n != self.buffer.shape[0])
            or (d != ANY and d != self.buffer.shape[1])
        ):
            self.refuse_shape((n, d))
        return 0

    cdef int like(self, Array other) except -1:
        cdef int i
        cdef bint same = self.buffer.ndim == other.buffer.ndim
        for i in range(self.buffer.ndim if same else 0):
            same = same and self.buffer.shape[i] == other.buffer.shape[i]
        if not same:
            self.refuse_shape(other.shape())
        return 0

    cdef int apart(self, Array other, bint same_allowed=False) except -1:
        """Refuses memory shared with `other` (but for the very same array where that is allowed)."""
        if other is None or (same_allowed and self.data == other.data):
            return 0
        if <char *>self.data + self.buffer.len <= <char *>other.data:
            return 0
        if <char *>other.data + other.buffer.len <= <char *>self.data:
            return 0
        raise ValueError(f"{self.name} shares memory with {other.name.partition(': ')[2]}, wanted a separate array")


cdef Array take(object obj, str name, const char *kinds, bint writable):
    """The array `obj`, an argument of the kernel that `name` begins with."""
    cdef Array a = Array.__new__(Array)
    cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
    a.name = name
    if not PyObject_CheckBuffer(obj):
        raise ValueError(f"{name} is {type(obj).__name__}, wanted an array")
    try:
        PyObject_GetBuffer(obj, &a.buffer, flags)
    except (BufferError, ValueError) as error:
        raise ValueError(f"{name}: {error}; wanted a C-contiguous{' writable' if writable else ''} array") from None
    a.held = True
    a.kind[0] = a.buffer.format[0]
    if a.kind[0] == c"L" and a.buffer.itemsize == 4:
        a.kind[0] = c"I"
    if a.kind[0] == c"l":  # C's long, whatever its size
        a.kind[0] = c"i" if a.buffer.itemsize == 4 else c"q"
    if strlen(a.buffer.format) != 1 or strchr(kinds, a.kind[0]) == NULL:
        kind = a.kind.decode() if strlen(a.buffer.format) == 1 else a.buffer.format.decode()
        found = NAMES.get(kind) or f"of type {kind!r}"
        wanted = [NAMES[key] for key in NAMES if key in kinds.decode()]
        raise ValueError(f"{name} is {found}, wanted {' or '.join(wanted)}")
    a.single = a.buffer.itemsize == 4
    a.data = a.buffer.buf
    a.size = a.buffer.len // a.buffer.itemsize
    return a


cdef Array take_or_none(object obj, str name, const char *kinds, bint writable):
    return None if obj is None else take(obj, name, kinds, writable)


cdef inline real *reals_or_null(Array a):
    return NULL if a is None else a.reals()


cdef inline real *at(const real *x, Py_ssize_t i, Py_ssize_t itemsize) noexcept nogil:
    """Element i of x."""
    return <real *>(<char *>x + i * itemsize)


@cython.final
cdef class Space:
    """Memory that a call works in."""

    cdef void *data

    def __dealloc__(self):
        free(self.data)


cdef Space space(size_t n_bytes, bint zero=False):
    cdef Space s = Space.__new__(Space)
    s.data = calloc(n_bytes or 1, 1) if zero else malloc(n_bytes or 1)
    if s.data == NULL:
        raise MemoryError
    return s


cdef uint64_t word(object x, str kernel, str name) except? 0:
    if not 0 <= x < 1 << 64:
        raise ValueError(f"{kernel}: {name} is {x!r}, wanted an integer from 0 to 2^64 - 1")
    return x
