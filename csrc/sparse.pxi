# Sparse codes: the k largest of each row, and products with them.

from fl cimport fl_outside


cdef struct Sparse:
    Call call  # first: spread() hands on a pointer to it
    Py_ssize_t h, k, d, itemsize, work_bytes
    int32_t *chosen  # top_k's output
    const int64_t *start
    const int32_t *index
    const real *value
    const real *delta
    const real *F
    const real *R
    const real *X
    int64_t *next  # entries sorted by feature
    int64_t *row
    real *sorted_value
    real *sorted_delta
    char *work
    double alpha, beta


cdef Sparse sparse_on(Array out) except *:
    cdef Sparse s
    memset(&s, 0, sizeof(Sparse))
    s.call, s.itemsize = call_on(out), out.buffer.itemsize
    return s


cdef int check_rows(Sparse *s, Array start, Array index, Py_ssize_t h) except -1:
    """Refuses what is no CSR of columns below h, for any arrays: nothing outside them is ever read or written."""
    start.vector(ANY)
    index.vector(ANY)
    cdef const int64_t *begin = start.int64s()
    cdef const int32_t *column = index.int32s()
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
            outside = fl_outside(column, h, i, min(i + STEP, m))
        if outside:
            e = i
            while 0 <= column[e] < h:
                e += 1
            raise ValueError(f"{index.name} holds {column[e]}, wanted 0 to {h - 1}")
    s.start, s.index, s.h = begin, column, h
    return 0


cdef int spread_rows(fl_task *run, Sparse *s, Py_ssize_t n, Py_ssize_t m) except -1:
    """spread() over n rows (or features) that have m entries of d columns each."""
    cdef Py_ssize_t width = max(m // max(n, 1), 1) * s.d
    s.call.size, s.call.unit = n, max(UNIT // max(width, 1), 1)
    return spread(run, &s.call, width)


cdef Py_ssize_t choose_in_row(Sparse *s, Py_ssize_t i, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t held,
                              int worker) noexcept nogil:
    """The kernel on columns start..stop of row i."""
    cdef Call *c = &s.call
    cdef real *value = at(c.out, i * s.k, s.itemsize)
    cdef const real *a = at(c.a, i * s.h, s.itemsize)
    cdef void *work = s.work + worker * s.work_bytes
    return c.table.top_k(s.chosen + i * s.k, value, a, c.bias, s.h, s.k, start, stop, held, work)


cdef void run_top_k(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Py_ssize_t i
    for i in range(begin(&s.call, task), end(&s.call, task)):
        choose_in_row(s, i, 0, s.h, 0, worker)


cdef int long_rows(Sparse *s) except -1:
    """top_k where a row is too long for one call without the GIL."""
    cdef Py_ssize_t i, j, held
    for i in range(s.call.size):
        held = 0
        for j in range(0, s.h, 4 * STEP):
            with nogil:
                held = choose_in_row(s, i, j, min(j + 4 * STEP, s.h), held, 0)
            PyErr_CheckSignals()
    return 0


def top_k(index, value, a, bias=None):
    """The k largest of each row of a (n, h) [+ bias], columns ascending; ties go to the lowest column."""
    cdef Array v = take(value, "top_k: value", b"fd", True)
    cdef Array x = take(a, "top_k: a", v.kind, False)
    cdef Array o = take(index, "top_k: index", b"i", True)
    cdef Array b = take_or_none(bias, "top_k: bias", v.kind, False)
    cdef Sparse s = sparse_on(v)
    v.matrix(ANY, ANY)
    o.like(v)
    s.call.size, s.k = v.length(0), v.length(1)
    x.matrix(s.call.size, ANY)
    s.h = x.length(1)
    if not 1 <= s.k <= s.h < 1 << 31:
        raise ValueError(f"top_k: k is {s.k} of {s.h} columns, wanted 1 <= k <= columns < 2^31")
    v.apart(o)
    for other in (x, b):
        v.apart(other)
        o.apart(other)
    if b is not None:
        b.vector(s.h)
    s.chosen, s.call.a, s.call.bias = o.int32s(), x.reals(), reals_or_null(b)
    s.work_bytes = (s.call.table.top_k_bytes(s.h, s.k) + 63) // 64 * 64
    s.call.unit = max(UNIT // s.h, 1)
    cdef Space work = space(s.work_bytes * threads)
    s.work = <char *>work.data
    if s.h > 4 * STEP:
        long_rows(&s)
    else:
        spread(run_top_k, &s.call, s.h)


cdef void run_sparse_decode(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    c.table.sparse_decode(c.out, s.start, s.index, s.value, s.F, c.bias, s.d, begin(c, task), end(c, task))


def sparse_decode(out, start, index, value, F, bias=None):
    """out (n, d) = sum over a row's entries of value * F[index] [+ bias]."""
    cdef Array o = take(out, "sparse_decode: out", b"fd", True)
    cdef Array begin = take(start, "sparse_decode: start", b"q", False)
    cdef Array columns = take(index, "sparse_decode: index", b"i", False)
    cdef Array v = take(value, "sparse_decode: value", o.kind, False)
    cdef Array f = take(F, "sparse_decode: F", o.kind, False)
    cdef Array b = take_or_none(bias, "sparse_decode: bias", o.kind, False)
    cdef Sparse s = sparse_on(o)
    f.matrix(ANY, ANY)
    check_rows(&s, begin, columns, f.length(0))
    s.d = f.length(1)
    o.matrix(begin.size - 1, s.d)
    v.vector(columns.size)
    for other in (begin, columns, v, f, b):
        o.apart(other)
    if b is not None:
        b.vector(s.d)
    s.value, s.F, s.call.bias = v.reals(), f.reals(), reals_or_null(b)
    spread_rows(run_sparse_decode, &s, begin.size - 1, columns.size)


cdef void run_sparse_dot(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    c.table.sparse_dot(c.out, s.start, s.index, s.R, s.F, s.d, begin(c, task), end(c, task))


def sparse_dot(out, start, index, R, F):
    """out (m,): for each entry, the product of F[index] and its row of R."""
    cdef Array o = take(out, "sparse_dot: out", b"fd", True)
    cdef Array begin = take(start, "sparse_dot: start", b"q", False)
    cdef Array columns = take(index, "sparse_dot: index", b"i", False)
    cdef Array r = take(R, "sparse_dot: R", o.kind, False)
    cdef Array f = take(F, "sparse_dot: F", o.kind, False)
    cdef Sparse s = sparse_on(o)
    f.matrix(ANY, ANY)
    check_rows(&s, begin, columns, f.length(0))
    s.d = f.length(1)
    o.vector(columns.size)
    r.matrix(begin.size - 1, s.d)
    for other in (begin, columns, r, f):
        o.apart(other)
    s.R, s.F = r.reals(), f.reals()
    spread_rows(run_sparse_dot, &s, begin.size - 1, columns.size)


cdef void run_sparse_gradient(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Sparse *s = <Sparse *>call
    cdef Call *c = &s.call
    c.table.sparse_gradient(c.out, s.next, s.row, s.sorted_value, s.sorted_delta, s.R, s.X, s.d, s.alpha, s.beta,
                            begin(c, task), end(c, task))


def sparse_gradient(G, start, index, value, R, delta=None, X=None, double alpha=1.0, double beta=0.0):
    """G (h, d) = alpha * (sum over each feature's entries of value * R[row] [+ delta * X[row]]) + beta * G."""
    cdef Array o = take(G, "sparse_gradient: G", b"fd", True)
    cdef Array begin = take(start, "sparse_gradient: start", b"q", False)
    cdef Array columns = take(index, "sparse_gradient: index", b"i", False)
    cdef Array v = take(value, "sparse_gradient: value", o.kind, False)
    cdef Array r = take(R, "sparse_gradient: R", o.kind, False)
    cdef Array y = None
    cdef Array x = None
    cdef Sparse s = sparse_on(o)
    if (delta is None) != (X is None):
        raise ValueError("sparse_gradient: one of delta and X is given, wanted both or none")
    if delta is not None:
        y = take(delta, "sparse_gradient: delta", o.kind, False)
        x = take(X, "sparse_gradient: X", o.kind, False)
    o.matrix(ANY, ANY)
    check_rows(&s, begin, columns, o.length(0))
    cdef Py_ssize_t n = begin.size - 1, m = columns.size, rows = max(STEP * n // max(m, 1), 1), h = o.length(0), i, f
    s.d, s.alpha, s.beta = o.length(1), alpha, beta
    v.vector(m)
    r.matrix(n, s.d)
    if y is not None:
        y.vector(m)
        x.matrix(n, s.d)
    for other in (begin, columns, v, r, y, x):
        o.apart(other)
    s.value, s.R = v.reals(), r.reals()
    s.delta, s.X = reals_or_null(y), reals_or_null(x)

    # The entries by feature: `next` is where each feature's begin, and after sorting where they end.
    cdef Space numbers = space((h + 1 + m) * sizeof(int64_t)), sorted = space(2 * m * s.itemsize)
    s.next = <int64_t *>numbers.data
    s.row = s.next + h + 1
    s.sorted_value = <real *>sorted.data
    s.sorted_delta = NULL if y is None else at(s.sorted_value, m, s.itemsize)
    memset(s.next, 0, (h + 1) * sizeof(int64_t))
    for i in range(0, m, STEP):
        with nogil:
            for f in range(i, min(i + STEP, m)):
                s.next[s.index[f] + 1] += 1
        PyErr_CheckSignals()
    for f in range(h):
        s.next[f + 1] += s.next[f]
    for i in range(0, n, rows):
        with nogil:
            s.call.table.sort_entries(s.next, s.row, s.sorted_value, s.sorted_delta, s.start, s.index, s.value,
                                      s.delta, i, min(i + rows, n))
        PyErr_CheckSignals()
    spread_rows(run_sparse_gradient, &s, h, m + h)


def scatter_sum(out, start, index, value, double alpha=1.0, double beta=0.0):
    """out (h,) = alpha * the sum of each feature's values + beta * out."""
    cdef Array o = take(out, "scatter_sum: out", b"fd", True)
    cdef Array begin = take(start, "scatter_sum: start", b"q", False)
    cdef Array columns = take(index, "scatter_sum: index", b"i", False)
    cdef Array v = take(value, "scatter_sum: value", o.kind, False)
    cdef Sparse s = sparse_on(o)
    o.vector(ANY)
    check_rows(&s, begin, columns, o.size)
    v.vector(columns.size)
    for other in (begin, columns, v):
        o.apart(other)
    cdef Py_ssize_t n = begin.size - 1, i
    cdef Py_ssize_t rows = max(STEP * n // max(v.size, 1) // FL_BLOCK, 1) * FL_BLOCK
    cdef Space sums = space(2 * o.buffer.len, True)
    cdef real *total = <real *>sums.data
    cdef real *block = at(total, o.size, s.itemsize)
    s.value = v.reals()
    for i in range(0, n, rows):
        with nogil:
            s.call.table.scatter_add(total, block, s.start, s.index, s.value, s.h, i, min(i + rows, n))
        PyErr_CheckSignals()
    s.call.table.axpby(o.reals(), total, o.size, alpha, beta)
