# A layer element by element; bodies in layer_tpl.h.

KINDS = ("linear", "sigmoid", "tanh", "relu")  # in the order of fl.h


cdef int kind_of(str name, object kind) except -1:
    if kind not in KINDS:
        raise ValueError(f"{name}: kind is {kind!r}, wanted one of {', '.join(KINDS)}")
    return KINDS.index(kind)


cdef void run_activate(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.activate(c.out, c.a, c.bias, c.kind, c.columns, begin(c, task), end(c, task))


def activate(out, a, bias, kind):
    """out (n, h) = f(a + bias); out may be a."""
    cdef Array o = take(out, "activate: out", b"fd", True)
    cdef Array x = take(a, "activate: a", o.kind, False)
    cdef Array v = take(bias, "activate: bias", o.kind, False)
    cdef Call c = with_bias(o, x, v)
    c.kind = kind_of("activate", kind)
    spread(run_activate, &c)


cdef void run_backward(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.backward(c.out, c.a, c.bias, c.kind, c.columns, begin(c, task), end(c, task))


def backward(delta, h, kind, row=None):
    """delta (n, h), in place, = (delta [+ row]) * f' where the function is h."""
    cdef Array o = take(delta, "backward: delta", b"fd", True)
    cdef Array y = take(h, "backward: h", o.kind, False)
    cdef Array v
    cdef Space zeros
    cdef Call c = call_on(o)
    o.matrix(ANY, ANY)
    y.like(o)
    o.apart(y)
    c.a, c.columns, c.kind = y.reals(), o.length(1), kind_of("backward", kind)
    if row is None:
        zeros = space(c.columns * o.buffer.itemsize, True)
        c.bias = <real *>zeros.data
    else:
        v = take(row, "backward: row", o.kind, False)
        v.vector(c.columns)
        o.apart(v)
        c.bias = v.reals()
    spread(run_backward, &c)


cdef void run_leaky(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.leaky(c.out, c.a, c.bias, c.weight, c.columns, begin(c, task), end(c, task))


def leaky(out, a, bias, leak):
    """out (n, h) = a + bias, times leak (h,) where that is below 0; out may be a."""
    cdef Array o = take(out, "leaky: out", b"fd", True)
    cdef Array x = take(a, "leaky: a", o.kind, False)
    cdef Array v = take(bias, "leaky: bias", o.kind, False)
    cdef Array w = take(leak, "leaky: leak", o.kind, False)
    cdef Call c = with_bias(o, x, v)
    w.vector(c.columns)
    o.apart(w)
    c.weight = w.reals()
    spread(run_leaky, &c)


cdef void run_leaky_backward(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.leaky_backward(c.out, c.a, c.bias, c.weight, c.columns, begin(c, task), end(c, task))


def leaky_backward(delta, h, row, leak):
    """delta (n, h), in place, = delta + row, times leak (h,) where h is not above 0."""
    cdef Array o = take(delta, "leaky_backward: delta", b"fd", True)
    cdef Array y = take(h, "leaky_backward: h", o.kind, False)
    cdef Array v = take(row, "leaky_backward: row", o.kind, False)
    cdef Array w = take(leak, "leaky_backward: leak", o.kind, False)
    cdef Array one
    cdef Call c = call_on(o)
    o.matrix(ANY, ANY)
    y.like(o)
    c.columns = o.length(1)
    for one in (v, w):
        one.vector(c.columns)
    for one in (y, v, w):
        o.apart(one)
    c.a, c.bias, c.weight = y.reals(), v.reals(), w.reals()
    spread(run_leaky_backward, &c)


cdef void run_output_error(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.output_error(c.out, c.sums, c.a, c.b, c.weight, c.kind, c.columns, begin(c, task), end(c, task))


def output_error(delta, loss, y, x, kind, weight=None):
    """loss (n,) = sums of weight * (y - x)^2 over rows; delta (n, d) = weight * (y - x) * f' where the function is y."""
    cdef Array o = take(delta, "output_error: delta", b"fd", True)
    cdef Array s = take(loss, "output_error: loss", b"d", True)
    cdef Array a = take(y, "output_error: y", o.kind, False)
    cdef Array b = take(x, "output_error: x", o.kind, False)
    cdef Array w
    cdef Call c = call_on(o)
    o.matrix(ANY, ANY)
    s.vector(o.length(0))
    a.like(o)
    b.like(o)
    o.apart(a, True)
    o.apart(b)
    for one in (o, a, b):
        s.apart(one)
    if weight is not None:
        w = take(weight, "output_error: weight", o.kind, False)
        w.like(o)
        o.apart(w)
        s.apart(w)
        c.weight = w.reals()
    c.sums, c.a, c.b = s.doubles(), a.reals(), b.reals()
    c.columns, c.kind = o.length(1), kind_of("output_error", kind)
    c.size = o.length(0)
    c.unit = max(UNIT // max(c.columns, 1), 1)
    spread(run_output_error, &c, c.columns)


cdef void run_cross_entropy(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.cross_entropy(c.sums, c.a, c.bias, c.b, c.weight, c.columns, begin(c, task), end(c, task))


def cross_entropy(loss, a, bias, x, weight=None):
    """loss (n,) = sums of weight * (log(1 + exp(z)) - x z) over rows, z = a + bias."""
    cdef Array o = take(loss, "cross_entropy: loss", b"d", True)
    cdef Array z = take(a, "cross_entropy: a", b"fd", False)
    cdef Array v = take(bias, "cross_entropy: bias", z.kind, False)
    cdef Array t = take(x, "cross_entropy: x", z.kind, False)
    cdef Array w
    cdef Call c = call_on(o)
    o.vector(ANY)
    z.matrix(o.size, ANY)
    v.vector(z.length(1))
    t.like(z)
    for one in (z, v, t):
        o.apart(one)
    if weight is not None:
        w = take(weight, "cross_entropy: weight", z.kind, False)
        w.like(z)
        o.apart(w)
        c.weight = w.reals()
    c.table, c.sums = table(z.single), o.doubles()
    c.a, c.bias, c.b, c.columns = z.reals(), v.reals(), t.reals(), z.length(1)
    c.unit = max(UNIT // 4 // max(c.columns, 1), 1)
    spread(run_cross_entropy, &c, c.columns)


cdef void run_softmax(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.softmax(c.out, c.sums, c.a, c.bias, c.labels, c.columns, begin(c, task), end(c, task))


def softmax(p, loss, a, bias, labels):
    """p (n, c) = exp(z) / sum exp(z) of each row, z = a + bias; loss (n,) = log sum exp(z) - z[label]; both or none."""
    cdef Array o = take(p, "softmax: p", b"fd", True)
    cdef Array x = take(a, "softmax: a", o.kind, False)
    cdef Array v = take(bias, "softmax: bias", o.kind, False)
    cdef Array s, y
    cdef Py_ssize_t i
    cdef Call c = with_bias(o, x, v)
    if c.columns < 1:
        raise ValueError(f"softmax: p has shape {o.shape()}, wanted at least one column")
    if (loss is None) != (labels is None):
        raise ValueError("softmax: loss and labels go together, wanted both or none")
    if loss is not None:
        s = take(loss, "softmax: loss", b"d", True)
        y = take(labels, "softmax: labels", b"i", False)
        s.vector(o.length(0))
        y.vector(o.length(0))
        for one in (o, x, v, y):
            s.apart(one)
        o.apart(y)
        for i in range(y.size):
            if not 0 <= y.int32s()[i] < c.columns:
                raise ValueError(f"softmax: label {i} is {y.int32s()[i]}, wanted 0 to {c.columns - 1}")
        c.sums, c.labels = s.doubles(), y.int32s()
    c.size = o.length(0)
    c.unit = max(UNIT // 4 // c.columns, 1)
    spread(run_softmax, &c, c.columns)


cdef void run_triangle(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.triangle(c.out, c.a, c.bias, c.depth, c.columns, begin(c, task), end(c, task))


def triangle(z, x, squares):
    """z (n, h): products of rows x (n, d) with centroids of these `squares` (h,) become triangle codes."""
    cdef Array o = take(z, "triangle: z", b"fd", True)
    cdef Array a = take(x, "triangle: x", o.kind, False)
    cdef Array v = take(squares, "triangle: squares", o.kind, False)
    cdef Call c = call_on(o)
    o.matrix(ANY, ANY)
    a.matrix(o.length(0), ANY)
    v.vector(o.length(1))
    o.apart(a)
    o.apart(v)
    if o.length(1) < 1:
        raise ValueError(f"triangle: z has shape {o.shape()}, wanted at least one column")
    c.a, c.bias, c.depth, c.columns = a.reals(), v.reals(), a.length(1), o.length(1)
    c.size = o.length(0)
    c.unit = max(UNIT // c.columns, 1)
    spread(run_triangle, &c, c.columns)


cdef void run_adam(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    c.table.adam(c.out, c.second, c.third, c.a, &c.adam, begin(c, task), end(c, task))


def adam(w, m, v, grad, double lr, double beta1, double beta2, double eps, long step, double l1, double l2, bint soft):
    """m, v: running means of gradient and its square; w -= lr * (c1 m / (sqrt(c2 v) + eps) + decay) [, threshold]."""
    cdef Array o = take(w, "adam: w", b"fd", True)
    cdef Array first = take(m, "adam: m", o.kind, True)
    cdef Array second = take(v, "adam: v", o.kind, True)
    cdef Array g = take(grad, "adam: grad", o.kind, False)
    cdef Call c = call_on(o)
    for one in (first, second, g):
        (<Array>one).like(o)
        o.apart(one)
    first.apart(second)
    first.apart(g)
    second.apart(g)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"adam: beta1, beta2 are {beta1}, {beta2}, wanted 0 <= beta < 1")
    if step < 1:
        raise ValueError(f"adam: step is {step}, wanted at least 1")
    c.second, c.third, c.a = first.reals(), second.reals(), g.reals()
    c.adam.lr, c.adam.beta1, c.adam.beta2, c.adam.eps, c.adam.l2 = lr, beta1, beta2, eps, l2
    c.adam.c1, c.adam.c2 = 1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)
    c.adam.l1 = 0 if soft else l1
    c.adam.threshold = lr * l1 if soft else 0
    spread(run_adam, &c, 1, SHARED)
