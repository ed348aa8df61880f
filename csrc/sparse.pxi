# Sparse codes: the k largest of each row, and products with them.

from libc.stdint cimport int32_t, int64_t

from fl cimport fl_outside


cdef struct Sparse:
    Call call  # first: spread() hands on a pointer to it
    Py_ssize_t h, k, d, held, work_bytes
    int64_t *start
    int32_t *index
    int64_t *next
    int64_t *row
    void *value
    void *delta
    void *F
    void *R
    void *X
    void *bias
    char *work
    double alpha, beta


cdef Sparse sparse_on(Array out) except *:
    cdef Sparse s
    memset(&s, 0, sizeof(Sparse))
    s.call = call_on(out)
    return s


cdef int check_rows(Sparse *s, Array start, Array index, Py_ssize_t h) except -1:
    """Refuses what is no CSR of columns below h, for any arrays: nothing outside them is ever read or written."""
    start.check((None,))
    index.check((None,))
    cdef int64_t *begin = <int64_t *>start.data
    cdef Py_ssize_t n = start.size - 1, m = index.size, i, e
    if n < 0 or begin[0] != 0 or begin[n] != m:
        found = f"from {begin[0]} to {begin[n]}" if n >= 0 else "empty"
        raise ValueError(f"{start.name} is {found}, wanted 0 to {m}, the entries there are")
    for i in range(n):
        if begin[i] > begin[i + 1]:
            raise ValueError(f"{start.name} falls from {begin[i]} to {begin[i + 1]}, wanted it never to fall")
    cdef int outside = 0
    for i in range(0, m, STEP):
        with nogil:
            outside = fl_outside(<int32_t *>index.data, h, i, min(i + STEP, m))
        if outside:
            e = i
            while 0 <= (<int32_t *>index.data)[e] < h:
                e += 1
            raise ValueError(f"{index.name} holds {(<int32_t *>index.data)[e]}, wanted 0 to {h - 1}")
    s.start, s.index, s.h = begin, <int32_t *>index.data, h
    return 0


cdef int spread_rows(fl_task *run, Sparse *s, Py_ssize_t n, Py_ssize_t m) except -1:
    """spread() over n rows (or features) that have m entries of d columns each."""
    cdef Py_ssize_t width = max(m // max(n, 1), 1) * s.d
    s.call.size, s.call.unit = n, max(UNIT // max(width, 1), 1)
    return spread(run, &s.call, width)


cdef void run_top_k(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    cdef Py_ssize_t size = 4 if c.single else 8, i
    cdef void *work = s.work + worker * s.work_bytes
    cdef void *value
    cdef void *a
    for i in range(begin(c, task), end(c, task)):
        value, a = <char *>c.out + i * s.k * size, <char *>c.a + i * s.h * size
        if c.single:
            kernels.f32.top_k(s.index + i * s.k, value, a, s.bias, s.h, s.k, 0, s.h, 0, work)
        else:
            kernels.f64.top_k(s.index + i * s.k, value, a, s.bias, s.h, s.k, 0, s.h, 0, work)


cdef int long_rows(Sparse *s) except -1:
    """top_k where a row is too long for one call without the GIL."""
    cdef Py_ssize_t size = 4 if s.call.single else 8, i, j, stop, held
    cdef void *value
    cdef void *a
    for i in range(s.call.size):
        held = 0
        value, a = <char *>s.call.out + i * s.k * size, <char *>s.call.a + i * s.h * size
        for j in range(0, s.h, 4 * STEP):
            stop = min(j + 4 * STEP, s.h)
            with nogil:
                if s.call.single:
                    held = kernels.f32.top_k(s.index + i * s.k, value, a, s.bias, s.h, s.k, j, stop, held, s.work)
                else:
                    held = kernels.f64.top_k(s.index + i * s.k, value, a, s.bias, s.h, s.k, j, stop, held, s.work)
            PyErr_CheckSignals()
    return 0


def top_k(index, value, a, bias=None):
    """The k largest of each row of a (n, h) [+ bias], columns ascending; ties go to the lowest column."""
    cdef Array v = Array(value, "top_k: value", "fd", True)
    cdef Array x = Array(a, "top_k: a", v.kind, False)
    cdef Array o = Array(index, "top_k: index", "i", True)
    cdef Array b = None if bias is None else Array(bias, "top_k: bias", v.kind, False)
    cdef Sparse s = sparse_on(v)
    v.check((None, None))
    o.check(v.shape())
    s.call.size, s.k = v.buffer.shape[0], v.buffer.shape[1]
    x.check((s.call.size, None))
    s.h = x.buffer.shape[1]
    if not 1 <= s.k <= s.h < 1 << 31:
        raise ValueError(f"top_k: k is {s.k} of {s.h} columns, wanted 1 <= k <= columns < 2^31")
    for other in (o, x, b):
        if other is not None:
            v.apart(other, False)
            o.apart(other, False) if other is not o else None
    s.index, s.call.a = <int32_t *>o.data, x.data
    if b is not None:
        b.check((s.h,))
        s.bias = b.data
    s.work_bytes = (kernels.f32.top_k_bytes(s.h, s.k) if s.call.single else kernels.f64.top_k_bytes(s.h, s.k))
    s.work_bytes = (s.work_bytes + 63) // 64 * 64
    s.call.unit = max(UNIT // s.h, 1)
    s.work = <char *>PyMem_RawMalloc(s.work_bytes * threads)
    if s.work == NULL:
        raise MemoryError
    try:
        if s.h > 4 * STEP:
            long_rows(&s)
        else:
            spread(run_top_k, &s.call, s.h)
    finally:
        PyMem_RawFree(s.work)


cdef void run_sparse_decode(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    if c.single:
        kernels.f32.sparse_decode(c.out, s.start, s.index, s.value, s.F, s.bias, s.d, begin(c, task), end(c, task))
    else:
        kernels.f64.sparse_decode(c.out, s.start, s.index, s.value, s.F, s.bias, s.d, begin(c, task), end(c, task))


def sparse_decode(out, start, index, value, F, bias=None):
    """out (n, d) = sum over a row's entries of value * F[index] [+ bias]."""
    cdef Array o = Array(out, "sparse_decode: out", "fd", True)
    cdef Array begin = Array(start, "sparse_decode: start", "q", False)
    cdef Array columns = Array(index, "sparse_decode: index", "i", False)
    cdef Array v = Array(value, "sparse_decode: value", o.kind, False)
    cdef Array f = Array(F, "sparse_decode: F", o.kind, False)
    cdef Array b = None if bias is None else Array(bias, "sparse_decode: bias", o.kind, False)
    cdef Sparse s = sparse_on(o)
    f.check((None, None))
    check_rows(&s, begin, columns, f.buffer.shape[0])
    s.d = f.buffer.shape[1]
    o.check((begin.size - 1, s.d))
    v.check((columns.size,))
    for other in (begin, columns, v, f, b):
        if other is not None:
            o.apart(other, False)
    s.value, s.F = v.data, f.data
    if b is not None:
        b.check((s.d,))
        s.bias = b.data
    spread_rows(run_sparse_decode, &s, begin.size - 1, columns.size)


cdef void run_sparse_dot(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    if c.single:
        kernels.f32.sparse_dot(c.out, s.start, s.index, s.R, s.F, s.d, begin(c, task), end(c, task))
    else:
        kernels.f64.sparse_dot(c.out, s.start, s.index, s.R, s.F, s.d, begin(c, task), end(c, task))


def sparse_dot(out, start, index, R, F):
    """out (m,): for each entry, the product of F[index] and its row of R."""
    cdef Array o = Array(out, "sparse_dot: out", "fd", True)
    cdef Array begin = Array(start, "sparse_dot: start", "q", False)
    cdef Array columns = Array(index, "sparse_dot: index", "i", False)
    cdef Array r = Array(R, "sparse_dot: R", o.kind, False)
    cdef Array f = Array(F, "sparse_dot: F", o.kind, False)
    cdef Sparse s = sparse_on(o)
    f.check((None, None))
    check_rows(&s, begin, columns, f.buffer.shape[0])
    s.d = f.buffer.shape[1]
    o.check((columns.size,))
    r.check((begin.size - 1, s.d))
    for other in (begin, columns, r, f):
        o.apart(other, False)
    s.R, s.F = r.data, f.data
    spread_rows(run_sparse_dot, &s, begin.size - 1, columns.size)


cdef void run_sparse_gradient(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    if c.single:
        kernels.f32.sparse_gradient(c.out, s.next, s.row, s.value, s.delta, s.R, s.X, s.d, s.alpha, s.beta,
                                    begin(c, task), end(c, task))
    else:
        kernels.f64.sparse_gradient(c.out, s.next, s.row, s.value, s.delta, s.R, s.X, s.d, s.alpha, s.beta,
                                    begin(c, task), end(c, task))


def sparse_gradient(G, start, index, value, R, delta=None, X=None, double alpha=1.0, double beta=0.0):
    """G (h, d) = alpha * (sum over each feature's entries of value * R[row] [+ delta * X[row]]) + beta * G."""
    cdef Array o = Array(G, "sparse_gradient: G", "fd", True)
    cdef Array begin = Array(start, "sparse_gradient: start", "q", False)
    cdef Array columns = Array(index, "sparse_gradient: index", "i", False)
    cdef Array v = Array(value, "sparse_gradient: value", o.kind, False)
    cdef Array r = Array(R, "sparse_gradient: R", o.kind, False)
    cdef Array y = None
    cdef Array x = None
    cdef void *delta_in = NULL
    cdef Sparse s = sparse_on(o)
    if (delta is None) != (X is None):
        raise ValueError("sparse_gradient: one of delta and X is given, wanted both or none")
    if delta is not None:
        y = Array(delta, "sparse_gradient: delta", o.kind, False)
        x = Array(X, "sparse_gradient: X", o.kind, False)
    o.check((None, None))
    check_rows(&s, begin, columns, o.buffer.shape[0])
    cdef Py_ssize_t n = begin.size - 1, m = columns.size, rows = max(STEP * n // max(m, 1), 1), i, f
    s.d, s.alpha, s.beta = o.buffer.shape[1], alpha, beta
    v.check((m,))
    r.check((n, s.d))
    if y is not None:
        y.check((m,))
        x.check((n, s.d))
        s.X, delta_in = x.data, y.data
    for other in (begin, columns, v, r, y, x):
        if other is not None:
            o.apart(other, False)

    # The entries by feature: `next` is where each feature's begin, and after sorting where they end.
    cdef Py_ssize_t itemsize = o.buffer.itemsize, h = s.h
    cdef int64_t *next = <int64_t *>PyMem_RawMalloc((h + 1 + m) * sizeof(int64_t) + (2 * m + 1) * itemsize)
    if next == NULL:
        raise MemoryError
    s.next, s.row, s.value, s.R = next, next + h + 1, <void *>(next + h + 1 + m), r.data
    if y is not None:
        s.delta = <char *>s.value + m * itemsize
    try:
        memset(next, 0, (h + 1) * sizeof(int64_t))
        for i in range(0, m, STEP):
            with nogil:
                for f in range(i, min(i + STEP, m)):
                    next[s.index[f] + 1] += 1
            PyErr_CheckSignals()
        for f in range(h):
            next[f + 1] += next[f]
        for i in range(0, n, rows):
            with nogil:
                if s.call.single:
                    kernels.f32.sort_entries(next, s.row, s.value, s.delta, s.start, s.index, v.data, delta_in, i,
                                             min(i + rows, n))
                else:
                    kernels.f64.sort_entries(next, s.row, s.value, s.delta, s.start, s.index, v.data, delta_in, i,
                                             min(i + rows, n))
            PyErr_CheckSignals()
        spread_rows(run_sparse_gradient, &s, h, m + h)
    finally:
        PyMem_RawFree(next)


def scatter_sum(out, start, index, value, double alpha=1.0, double beta=0.0):
    """out (h,) = alpha * the sum of each feature's values + beta * out."""
    cdef Array o = Array(out, "scatter_sum: out", "fd", True)
    cdef Array begin = Array(start, "scatter_sum: start", "q", False)
    cdef Array columns = Array(index, "scatter_sum: index", "i", False)
    cdef Array v = Array(value, "scatter_sum: value", o.kind, False)
    cdef Sparse s = sparse_on(o)
    cdef Py_ssize_t i
    o.check((None,))
    check_rows(&s, begin, columns, o.size)
    v.check((columns.size,))
    for other in (begin, columns, v):
        o.apart(other, False)
    cdef bytearray sums = bytearray(o.buffer.len)
    cdef void *total = <char *>sums
    for i in range(0, v.size, STEP):
        with nogil:
            if o.single:
                kernels.f32.scatter_add(total, s.index, v.data, i, min(i + STEP, v.size))
            else:
                kernels.f64.scatter_add(total, s.index, v.data, i, min(i + STEP, v.size))
        PyErr_CheckSignals()
    if o.single:
        kernels.f32.axpby(o.data, total, o.size, alpha, beta)
    else:
        kernels.f64.axpby(o.data, total, o.size, alpha, beta)
