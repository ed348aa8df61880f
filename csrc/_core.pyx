"""The kernels for Python: checks shapes, releases the GIL, picks the precision. Signatures: featlearn/_core.pyi."""

import os

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from fl cimport (
    FL_BLOCK, fl_adam, fl_gemm_f32, fl_gemm_f64, fl_get, fl_has_threads, fl_isa, fl_spread, fl_table, fl_task, real
)


cdef Py_ssize_t UNIT = 8192       # elements of a task
cdef Py_ssize_t STEP = 1 << 20    # elements handled without the GIL: some milliseconds, so that signals are answered
cdef double CALL_SECONDS = 0.02   # the same for gemm
cdef double SMALL = 250000        # multiplications below which gemm takes one thread
cdef double SLIM = 1000000        # the same where a matrix is a few rows: what counts is where the other one lies
cdef Py_ssize_t SHARED = 1 << 18  # elements below which updates do: on its way to another core's cache it costs more

cdef const fl_isa *kernels = NULL
cdef int threads = 1


def _isas():
    """The instruction sets this CPU has, best first."""
    cdef const char *name = NULL
    cdef int i = 0
    found = []
    while True:
        if fl_get(i, &name) != NULL:
            found.append(name.decode())
        if name == NULL:
            return found
        i += 1


cdef int choose() except -1:
    global kernels
    cdef const char *name = NULL
    cdef int i = 0
    known = _isas()
    wanted = os.environ.get("FEATLEARN_ISA") or known[0]
    if wanted not in known:
        raise ImportError(f"FEATLEARN_ISA is {wanted!r}; this CPU runs {', '.join(known)}; unset it to take the best")
    while kernels == NULL:
        kernels = fl_get(i, &name)
        if name.decode() != wanted:
            kernels = NULL
        i += 1
    return 0


choose()


cdef inline const fl_table *table(bint single) noexcept nogil:
    """The kernels for float32 or float64."""
    return kernels.f32 if single else <const fl_table *>kernels.f64


include "array.pxi"


cdef struct Call:
    # What a kernel is called with; a task is `unit` of the `size` items from item `first` on.
    Py_ssize_t first, unit, size
    const fl_table *table
    real *out
    real *second
    real *third
    const real *a
    const real *b
    const real *bias
    const real *weight
    double *sums
    double *scales
    uint32_t *words
    const int32_t *labels
    Py_ssize_t columns, depth
    uint64_t seed, draw, offset
    double lr, momentum, l1, l2, threshold, scale
    int kind
    fl_adam adam


cdef Call call_on(Array out):
    cdef Call call
    memset(&call, 0, sizeof(Call))
    call.unit, call.size = UNIT, out.size
    call.table, call.out = table(out.single), out.reals()
    return call


cdef inline Py_ssize_t begin(Call *call, Py_ssize_t task) noexcept nogil:
    return call.first + task * call.unit


cdef inline Py_ssize_t end(Call *call, Py_ssize_t task) noexcept nogil:
    return min(begin(call, task) + call.unit, call.size)


cdef int spread(fl_task *run, Call *call, Py_ssize_t width=1, Py_ssize_t least=2 * 8192) except -1:
    """Runs all tasks, back with the GIL from time to time; an item is `width` elements, `least` are worth threads."""
    cdef Py_ssize_t step = max(STEP // (call.unit * max(width, 1)), 1) * call.unit, tasks
    cdef int t = threads if call.size * width > least else 1
    while call.first < call.size:
        tasks = (min(step, call.size - call.first) + call.unit - 1) // call.unit
        with nogil:
            fl_spread(run, call, tasks, t)
        PyErr_CheckSignals()
        call.first += step
    return 0


cdef struct Product:
    # What gemm is called with; out is cut into shares of its rows times groups of its panels, 32 columns each.
    Py_ssize_t m, n, k, lda, ldb, shares, groups, panels, first
    const fl_table *table
    Py_ssize_t itemsize
    bint trans_a, trans_b
    double alpha, beta
    real *out
    const real *a
    const real *b
    char *work
    Py_ssize_t work_bytes


cdef void run_gemm(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Product *c = <Product *>call
    cdef Py_ssize_t share = (c.first + task) % c.shares, group = (c.first + task) // c.shares
    cdef Py_ssize_t i = share * c.m // c.shares, h = (share + 1) * c.m // c.shares - i
    cdef Py_ssize_t j = group * c.panels // c.groups * 32, w = min((group + 1) * c.panels // c.groups * 32, c.n) - j
    cdef real *out = at(c.out, i * c.n + j, c.itemsize)
    cdef const real *a = at(c.a, i if c.trans_a else i * c.lda, c.itemsize)
    cdef const real *b = at(c.b, j * c.ldb if c.trans_b else j, c.itemsize)
    cdef real *work = <real *>(c.work + worker * c.work_bytes)
    c.table.gemm(out, c.n, a, c.lda, b, c.ldb, h, w, c.k, c.trans_a, c.trans_b, c.alpha, c.beta, work)


# The last work space of gemm, kept for the next call.
cdef void *spare = NULL
cdef size_t spare_bytes = 0


def gemm(out, a, b, bint trans_a=False, bint trans_b=False, double alpha=1.0, double beta=0.0):
    """out = alpha * op(a) op(b) + beta * out."""
    global spare, spare_bytes
    cdef Array o = take(out, "gemm: out", b"fd", True)
    cdef Array x = take(a, "gemm: a", o.kind, False)
    cdef Array y = take(b, "gemm: b", o.kind, False)
    cdef Product c
    o.matrix(ANY, ANY)
    c.m, c.n = o.length(0), o.length(1)
    x.matrix(ANY if trans_a else c.m, c.m if trans_a else ANY)
    c.k = x.length(0 if trans_a else 1)
    y.matrix(c.n if trans_b else c.k, c.k if trans_b else c.n)
    o.apart(x)
    o.apart(y)
    if o.size == 0:
        return
    c.out, c.a, c.b = o.reals(), x.reals(), y.reals()
    c.table, c.itemsize = table(o.single), o.buffer.itemsize
    c.lda, c.ldb, c.trans_a, c.trans_b = x.length(1), y.length(1), trans_a, trans_b
    c.alpha, c.beta, c.first = alpha, beta, 0

    # Shares that fit the caches and the time, and as much for each thread.
    cdef int t = threads if <double>c.m * c.n * c.k > (SLIM if min(c.m, c.k) < 4 else SMALL) else 1
    cdef double budget = kernels.flops * CALL_SECONDS / (2.0 * max(c.k, 1))
    cdef Py_ssize_t rows = max(min(c.table.rows, <Py_ssize_t>(budget / min(c.n, 128))), 1)
    c.shares = (c.m + rows - 1) // rows
    c.panels = (c.n + 31) // 32
    rows = (c.m + c.shares - 1) // c.shares
    c.groups = min(max(<Py_ssize_t>(32.0 * c.panels * rows / budget), 1), c.panels)
    while c.groups * c.shares % t != 0 and c.groups < c.panels:
        c.groups += 1
    if c.groups * c.shares < t:
        c.shares = min((t + c.groups - 1) // c.groups, c.m)
    cdef Py_ssize_t tasks = c.groups * c.shares
    cdef Py_ssize_t step = max(<Py_ssize_t>(t * budget / (<double>o.size / tasks)), t)

    c.work_bytes = (c.table.work * c.itemsize + 63) // 64 * 64
    cdef size_t n_bytes = t * c.work_bytes + 64
    cdef void *block = spare
    if block == NULL or spare_bytes < n_bytes:
        block = malloc(n_bytes)
        if block == NULL:
            raise MemoryError
    else:
        n_bytes = spare_bytes
        spare = NULL
    c.work = <char *>((<size_t>block + 63) // 64 * 64)
    try:
        while c.first < tasks:
            with nogil:
                fl_spread(run_gemm, &c, min(step, tasks - c.first), t)
            PyErr_CheckSignals()
            c.first += step
    finally:
        free(spare)
        spare, spare_bytes = block, n_bytes


def _gemm_reference(out, a, b, bint trans_a=False, bint trans_b=False, double alpha=1.0, double beta=0.0):
    """gemm by its definition, in three loops; for tests."""
    cdef Array o = take(out, "gemm: out", b"fd", True)
    cdef Array x = take(a, "gemm: a", o.kind, False)
    cdef Array y = take(b, "gemm: b", o.kind, False)
    o.matrix(ANY, ANY)
    cdef Py_ssize_t m = o.length(0), n = o.length(1), k
    x.matrix(ANY if trans_a else m, m if trans_a else ANY)
    k = x.length(0 if trans_a else 1)
    y.matrix(n if trans_b else k, k if trans_b else n)
    if o.single:
        fl_gemm_f32(o.reals(), x.reals(), y.reals(), m, n, k, trans_a, trans_b, alpha, beta)
    else:
        fl_gemm_f64(o.doubles(), x.doubles(), y.doubles(), m, n, k, trans_a, trans_b, alpha, beta)


cdef void run_colsum(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.colsum(c.out, c.a, c.first, c.columns, task * c.unit, min((task + 1) * c.unit, c.columns))


def colsum(out, a, double alpha=1.0, double beta=0.0):
    """out (d,) = alpha * sum over rows of a (n, d) + beta * out."""
    cdef Array o = take(out, "colsum: out", b"fd", True)
    cdef Array x = take(a, "colsum: a", o.kind, False)
    o.vector(ANY)
    x.matrix(ANY, o.size)
    o.apart(x)
    if o.size == 0:
        return
    cdef Py_ssize_t n = x.length(0), d = o.size, step = max(STEP // d // FL_BLOCK, 1) * FL_BLOCK, i
    cdef int t = threads if n * d > 4 * UNIT else 1
    cdef Space sums = space(o.buffer.len, True)
    cdef Call c = call_on(o)
    c.out, c.columns = <real *>sums.data, d
    c.unit = ((d + t - 1) // t + 15) // 16 * 16
    for i in range(0, n, step):
        c.a, c.first = at(x.reals(), i * d, o.buffer.itemsize), min(step, n - i)
        with nogil:
            fl_spread(run_colsum, &c, (d + c.unit - 1) // c.unit, t)
        PyErr_CheckSignals()
    c.table.axpby(o.reals(), c.out, d, alpha, beta)


include "sparse.pxi"


cdef Call with_bias(Array o, Array x, Array c) except *:
    """Checks out (n, h), a (n, h) and bias (h,)."""
    o.matrix(ANY, ANY)
    x.like(o)
    c.vector(o.length(1))
    o.apart(x, True)
    o.apart(c)
    cdef Call call = call_on(o)
    call.a, call.bias, call.columns = x.reals(), c.reals(), o.length(1)
    return call


cdef void run_add_bias(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.add_bias(c.out, c.a, c.bias, c.columns, begin(c, task), end(c, task))


def add_bias(out, a, bias):
    """out (n, h) = a + bias; out may be a."""
    cdef Array o = take(out, "add_bias: out", b"fd", True)
    cdef Array x = take(a, "add_bias: a", o.kind, False)
    cdef Array v = take(bias, "add_bias: bias", o.kind, False)
    cdef Call c = with_bias(o, x, v)
    spread(run_add_bias, &c)


cdef void run_sigmoid(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.sigmoid(c.out, c.a, c.bias, c.columns, begin(c, task), end(c, task))


def sigmoid(out, a, bias):
    """out (n, h) = 1 / (1 + exp(-(a + bias))); out may be a."""
    cdef Array o = take(out, "sigmoid: out", b"fd", True)
    cdef Array x = take(a, "sigmoid: a", o.kind, False)
    cdef Array v = take(bias, "sigmoid: bias", o.kind, False)
    cdef Call c = with_bias(o, x, v)
    spread(run_sigmoid, &c)


cdef int count(Call *call, str name, object seed, object draw, object offset) except -1:
    """Which random numbers these are."""
    call.seed, call.draw, call.offset = word(seed, name, "seed"), word(draw, name, "draw"), word(offset, name, "offset")
    if call.size > 0 and call.offset + <uint64_t>(call.size - 1) < call.offset:
        raise ValueError(f"{name}: offset is {offset} for {call.size} elements, wanted the last below 2^64")
    return 0


cdef void run_sigmoid_sample(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.sigmoid_sample(c.out, c.second, c.a, c.bias, c.columns, c.seed, c.draw, c.offset, begin(c, task),
                           end(c, task))


def sigmoid_sample(p, s, a, bias, seed, draw, offset=0):
    """p = sigmoid(a + bias); s = 1 where a uniform number lies below p, else 0; p or s may be a."""
    cdef Array o = take(p, "sigmoid_sample: p", b"fd", True)
    cdef Array r = take(s, "sigmoid_sample: s", o.kind, True)
    cdef Array x = take(a, "sigmoid_sample: a", o.kind, False)
    cdef Array v = take(bias, "sigmoid_sample: bias", o.kind, False)
    cdef Call c = with_bias(r, x, v)
    c = with_bias(o, x, v)
    r.apart(o)
    c.second = r.reals()
    count(&c, "sigmoid_sample", seed, draw, offset)
    spread(run_sigmoid_sample, &c)


cdef void run_bernoulli(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.bernoulli(c.out, c.a, c.seed, c.draw, c.offset, begin(c, task), end(c, task))


def bernoulli(s, p, seed, draw, offset=0):
    """s = 1 where a uniform number lies below p, else 0; any shape; s may be p."""
    cdef Array o = take(s, "bernoulli: s", b"fd", True)
    cdef Array x = take(p, "bernoulli: p", o.kind, False)
    cdef Call c = call_on(o)
    x.like(o)
    o.apart(x, True)
    c.a = x.reals()
    count(&c, "bernoulli", seed, draw, offset)
    spread(run_bernoulli, &c)


cdef void run_dropout(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.dropout(c.out, c.a, c.scale, c.seed, c.draw, c.offset, begin(c, task), end(c, task))


def dropout(out, a, double rate, seed, draw, offset=0):
    """out = 0 where a uniform number lies below rate, else a / (1 - rate); any shape; out may be a."""
    cdef Array o = take(out, "dropout: out", b"fd", True)
    cdef Array x = take(a, "dropout: a", o.kind, False)
    cdef Call c = call_on(o)
    x.like(o)
    o.apart(x, True)
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate is {rate}, wanted 0 <= rate < 1")
    c.a, c.scale = x.reals(), rate
    count(&c, "dropout", seed, draw, offset)
    spread(run_dropout, &c)


cdef void run_random_bits(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.random_bits(c.words, c.seed, c.draw, c.offset, begin(c, task), end(c, task))


def random_bits(out, seed, draw, offset=0):
    """Philox4x32-10 words: element e is word e % 4 of counter (e // 4, draw) under the key seed."""
    cdef Array o = take(out, "random_bits: out", b"I", True)
    cdef Call c = call_on(o)
    c.words = o.words()
    count(&c, "random_bits", seed, draw, offset)
    spread(run_random_bits, &c)


cdef void run_uniform(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.uniform(c.out, c.seed, c.draw, c.offset, begin(c, task), end(c, task))


def uniform(out, seed, draw, offset=0):
    """Uniform numbers in [0, 1), any shape."""
    cdef Array o = take(out, "uniform: out", b"fd", True)
    cdef Call c = call_on(o)
    count(&c, "uniform", seed, draw, offset)
    spread(run_uniform, &c)


cdef void run_normal(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.normal(c.out, c.seed, c.draw, c.offset, begin(c, task), end(c, task))


def normal(out, seed, draw, offset=0):
    """Standard normal numbers (Box-Muller), any shape."""
    cdef Array o = take(out, "normal: out", b"fd", True)
    cdef Call c = call_on(o)
    count(&c, "normal", seed, draw, offset)
    spread(run_normal, &c)


cdef void run_update(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.update(c.out, c.second, c.a, c.lr, c.momentum, c.l1, c.l2, c.threshold, begin(c, task), end(c, task))


def update(w, velocity, grad, double lr, double momentum, double l1, double l2, bint soft):
    """velocity = momentum * velocity - lr * (grad + l2 * w [+ l1 * sign(w)]); w += velocity [, soft threshold]."""
    cdef Array o = take(w, "update: w", b"fd", True)
    cdef Array v
    cdef Array g = take(grad, "update: grad", o.kind, False)
    cdef Call c = call_on(o)
    g.like(o)
    o.apart(g)
    if velocity is not None:
        v = take(velocity, "update: velocity", o.kind, True)
        v.like(o)
        o.apart(v)
        v.apart(g)
        c.second = v.reals()
    elif momentum != 0:
        raise ValueError(f"update: momentum is {momentum}, wanted a velocity with it")
    if not 0 <= momentum < 1:
        raise ValueError(f"update: momentum is {momentum}, wanted 0 <= momentum < 1")
    c.a, c.lr, c.momentum, c.l2 = g.reals(), lr, momentum, l2
    c.l1 = 0 if soft else l1
    c.threshold = lr * l1 / (1 - momentum) if soft else 0
    spread(run_update, &c, 1, SHARED)


cdef void run_row_sqdist(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.row_sqdist(c.sums, c.a, c.b, c.columns, begin(c, task), end(c, task))


def row_sqdist(out, x, y):
    """out (n,) = sum over columns of (x - y)^2, added in float64 in a fixed order."""
    cdef Array o = take(out, "row_sqdist: out", b"d", True)
    cdef Array a = take(x, "row_sqdist: x", b"fd", False)
    cdef Array b = take(y, "row_sqdist: y", a.kind, False)
    o.vector(ANY)
    a.matrix(o.size, ANY)
    b.like(a)
    o.apart(a)
    o.apart(b)
    cdef Call c = call_on(o)
    c.table, c.sums = table(a.single), o.doubles()
    c.a, c.b, c.columns = a.reals(), b.reals(), a.length(1)
    c.unit = max(UNIT // max(c.columns, 1), 1)
    spread(run_row_sqdist, &c, c.columns)


cdef void run_normalize(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.normalize(c.out, c.sums, c.scales, c.scale, c.columns, begin(c, task), end(c, task))


def normalize(x, mean, scale, double floor=-1.0):
    """x (n, d), in place: rows less their mean (n,), divided by scale (n,) unless floor is below 0."""
    cdef Array o = take(x, "normalize: x", b"fd", True)
    cdef Array m = take(mean, "normalize: mean", b"d", True)
    cdef Array s = take(scale, "normalize: scale", b"d", True)
    cdef Call c = call_on(o)
    o.matrix(ANY, ANY)
    m.vector(o.length(0))
    s.vector(o.length(0))
    m.apart(o)
    s.apart(o)
    s.apart(m)
    if o.length(1) < 1:
        raise ValueError(f"normalize: x has shape {o.shape()}, wanted at least one column")
    c.sums, c.scales, c.scale, c.columns = m.doubles(), s.doubles(), floor, o.length(1)
    c.size = o.length(0)
    c.unit = max(UNIT // c.columns, 1)
    spread(run_normalize, &c, c.columns)


cdef void run_row_softplus(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.row_softplus(c.sums, c.a, c.bias, c.scale, c.columns, begin(c, task), end(c, task))


def row_softplus(out, a, bias, double scale=1.0):
    """out (n,) = sum over columns of log(1 + exp(scale * (a + bias))), added in float64 in a fixed order."""
    cdef Array o = take(out, "row_softplus: out", b"d", True)
    cdef Array x = take(a, "row_softplus: a", b"fd", False)
    cdef Array v = take(bias, "row_softplus: bias", x.kind, False)
    o.vector(ANY)
    x.matrix(o.size, ANY)
    v.vector(x.length(1))
    o.apart(x)
    o.apart(v)
    cdef Call c = call_on(o)
    c.table, c.sums = table(x.single), o.doubles()
    c.a, c.bias, c.scale, c.columns = x.reals(), v.reals(), scale, x.length(1)
    c.unit = max(UNIT // 4 // max(c.columns, 1), 1)
    spread(run_row_softplus, &c, c.columns)


include "layer.pxi"


include "relax.pxi"


def set_threads(int n):
    """How many threads the kernels use from now on (>= 1); one where the system has none."""
    global threads
    if n < 1:
        raise ValueError(f"set_threads: n is {n}, wanted at least 1")
    threads = n if has_threads() else 1


def get_threads():
    """How many threads the kernels use."""
    return threads


def has_threads():
    """Whether this build can use more than one thread."""
    return bool(fl_has_threads())


def isa():
    """The instruction set in use: avx512, avx2 or plain (FEATLEARN_ISA forces one)."""
    return kernels.name.decode()


set_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
