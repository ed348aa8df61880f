# The arguments of kernels: arrays by the buffer protocol, and what is refused.

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
)


cdef class Array:
    """A C-contiguous buffer of one of the wanted kinds: f (float32), d (float64), I (uint32), i (int32), q (int64)."""

    cdef Py_buffer buffer
    cdef bint held
    cdef str name
    cdef str kind
    cdef bint single
    cdef void *data
    cdef Py_ssize_t size

    def __cinit__(self, obj, str name, str kinds, bint writable):
        cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
        self.name = name
        if not PyObject_CheckBuffer(obj):
            raise ValueError(f"{name} is {type(obj).__name__}, wanted an array")
        try:
            PyObject_GetBuffer(obj, &self.buffer, flags)
        except (BufferError, ValueError) as error:
            raise ValueError(f"{name}: {error}; wanted a C-contiguous{' writable' if writable else ''} array") from None
        self.held = True
        self.kind = (<bytes>self.buffer.format).decode()
        if self.kind == "L" and self.buffer.itemsize == 4:
            self.kind = "I"
        if self.kind == "l":  # C's long, whatever its size
            self.kind = "i" if self.buffer.itemsize == 4 else "q"
        if len(self.kind) != 1 or self.kind not in kinds:
            found = NAMES.get(self.kind) or f"of type {self.kind!r}"
            raise ValueError(f"{name} is {found}, wanted {' or '.join([NAMES[key] for key in NAMES if key in kinds])}")
        self.single = self.buffer.itemsize == 4
        self.data = self.buffer.buf
        self.size = self.buffer.len // self.buffer.itemsize

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)

    cdef tuple shape(self):
        return tuple([self.buffer.shape[i] for i in range(self.buffer.ndim)])

    cdef int check(self, tuple wanted) except -1:
        """Refuses another shape; None in `wanted` stands for any length."""
        cdef tuple shape = self.shape()
        if len(shape) == len(wanted) and all([w is None or w == s for s, w in zip(shape, wanted)]):
            return 0
        text = ", ".join(["any" if w is None else str(w) for w in wanted])
        raise ValueError(f"{self.name} has shape {shape}, wanted ({text}{',' if len(wanted) == 1 else ''})")

    cdef int apart(self, Array other, bint same_allowed) except -1:
        """Refuses memory shared with `other` (but for the very same array where that is allowed)."""
        if same_allowed and self.data == other.data:
            return 0
        if <char *>self.data + self.buffer.len <= <char *>other.data:
            return 0
        if <char *>other.data + other.buffer.len <= <char *>self.data:
            return 0
        raise ValueError(f"{self.name} shares memory with {other.name.partition(': ')[2]}, wanted a separate array")


NAMES = {"f": "float32", "d": "float64", "I": "uint32", "i": "int32", "q": "int64"}


cdef uint64_t word(object x, str name) except? 0:
    if not 0 <= x < 1 << 64:
        raise ValueError(f"{name} is {x!r}, wanted an integer from 0 to 2^64 - 1")
    return x
