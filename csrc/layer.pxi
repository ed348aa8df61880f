# A layer element by element; bodies in layer_tpl.h.

KINDS = ("linear", "sigmoid", "tanh", "relu", "leaky")  # in the order of fl.h


cdef int kind_of(str name, object kind) except -1:
    if kind not in KINDS:
        raise ValueError(f"{name}: kind is {kind!r}, wanted one of {', '.join(KINDS)}")
    return KINDS.index(kind)


cdef void run_activate(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    if c.single:
        kernels.f32.activate(c.out, c.a, c.bias, c.kind, c.columns, begin(c, task), end(c, task))
    else:
        kernels.f64.activate(c.out, c.a, c.bias, c.kind, c.columns, begin(c, task), end(c, task))


def activate(out, a, bias, kind):
    """out (n, h) = f(a + bias); out may be a."""
    cdef Array o = Array(out, "activate: out", "fd", True)
    cdef Array x = Array(a, "activate: a", o.kind, False)
    cdef Array v = Array(bias, "activate: bias", o.kind, False)
    cdef Call c = with_bias(o, x, v)
    c.kind = kind_of("activate", kind)
    spread(run_activate, &c)


cdef void run_backward(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    if c.single:
        kernels.f32.backward(c.out, c.a, c.bias, c.kind, c.columns, begin(c, task), end(c, task))
    else:
        kernels.f64.backward(c.out, c.a, c.bias, c.kind, c.columns, begin(c, task), end(c, task))


def backward(delta, h, kind, row=None):
    """delta (n, h), in place, = (delta [+ row]) * f' where the function is h."""
    cdef Array o = Array(delta, "backward: delta", "fd", True)
    cdef Array y = Array(h, "backward: h", o.kind, False)
    cdef Array v
    cdef bytearray zeros
    cdef Call c = call_on(o)
    o.check((None, None))
    y.check(o.shape())
    o.apart(y, False)
    c.a, c.columns, c.kind = y.data, o.buffer.shape[1], kind_of("backward", kind)
    if row is None:
        zeros = bytearray(c.columns * o.buffer.itemsize)
        c.bias = <char *>zeros
    else:
        v = Array(row, "backward: row", o.kind, False)
        v.check((c.columns,))
        o.apart(v, False)
        c.bias = v.data
    spread(run_backward, &c)


cdef void run_output_error(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    if c.single:
        kernels.f32.output_error(c.out, c.second, c.a, c.b, c.weight, c.kind, c.columns, begin(c, task), end(c, task))
    else:
        kernels.f64.output_error(c.out, c.second, c.a, c.b, c.weight, c.kind, c.columns, begin(c, task), end(c, task))


def output_error(delta, loss, y, x, kind, weight=None):
    """loss (n,) = sums of weight * (y - x)^2 over rows; delta (n, d) = weight * (y - x) * f' where the function is y."""
    cdef Array o = Array(delta, "output_error: delta", "fd", True)
    cdef Array s = Array(loss, "output_error: loss", "d", True)
    cdef Array a = Array(y, "output_error: y", o.kind, False)
    cdef Array b = Array(x, "output_error: x", o.kind, False)
    cdef Array w
    cdef Call c = call_on(o)
    o.check((None, None))
    s.check((o.buffer.shape[0],))
    a.check(o.shape())
    b.check(o.shape())
    o.apart(a, True)
    o.apart(b, False)
    for one in (o, a, b):
        s.apart(one, False)
    if weight is not None:
        w = Array(weight, "output_error: weight", o.kind, False)
        w.check(o.shape())
        o.apart(w, False)
        s.apart(w, False)
        c.weight = w.data
    c.second, c.a, c.b, c.columns, c.kind = s.data, a.data, b.data, o.buffer.shape[1], kind_of("output_error", kind)
    c.size = o.buffer.shape[0]
    c.unit = max(UNIT // max(c.columns, 1), 1)
    spread(run_output_error, &c, c.columns)


cdef void run_cross_entropy(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    if c.single:
        kernels.f32.cross_entropy(c.out, c.a, c.bias, c.b, c.weight, c.columns, begin(c, task), end(c, task))
    else:
        kernels.f64.cross_entropy(c.out, c.a, c.bias, c.b, c.weight, c.columns, begin(c, task), end(c, task))


def cross_entropy(loss, a, bias, x, weight=None):
    """loss (n,) = sums of weight * (log(1 + exp(z)) - x z) over rows, z = a + bias."""
    cdef Array o = Array(loss, "cross_entropy: loss", "d", True)
    cdef Array z = Array(a, "cross_entropy: a", "fd", False)
    cdef Array v = Array(bias, "cross_entropy: bias", z.kind, False)
    cdef Array t = Array(x, "cross_entropy: x", z.kind, False)
    cdef Array w
    cdef Call c = call_on(o)
    o.check((None,))
    z.check((o.size, None))
    v.check((z.buffer.shape[1],))
    t.check(z.shape())
    for one in (z, v, t):
        o.apart(one, False)
    if weight is not None:
        w = Array(weight, "cross_entropy: weight", z.kind, False)
        w.check(z.shape())
        o.apart(w, False)
        c.weight = w.data
    c.single, c.a, c.bias, c.b, c.columns = z.single, z.data, v.data, t.data, z.buffer.shape[1]
    c.unit = max(UNIT // 4 // max(c.columns, 1), 1)
    spread(run_cross_entropy, &c, c.columns)


cdef void run_softmax(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    if c.single:
        kernels.f32.softmax(c.out, c.second, c.a, c.bias, c.b, c.columns, begin(c, task), end(c, task))
    else:
        kernels.f64.softmax(c.out, c.second, c.a, c.bias, c.b, c.columns, begin(c, task), end(c, task))


def softmax(p, loss, a, bias, labels):
    """p (n, c) = exp(z) / sum exp(z) of each row, z = a + bias; loss (n,) = log sum exp(z) - z[label]; both or none."""
    cdef Array o = Array(p, "softmax: p", "fd", True)
    cdef Array x = Array(a, "softmax: a", o.kind, False)
    cdef Array v = Array(bias, "softmax: bias", o.kind, False)
    cdef Array s, y
    cdef Py_ssize_t i
    cdef Call c = with_bias(o, x, v)
    if c.columns < 1:
        raise ValueError(f"softmax: p has shape {o.shape()}, wanted at least one column")
    if (loss is None) != (labels is None):
        raise ValueError("softmax: loss and labels go together, wanted both or none")
    if loss is not None:
        s = Array(loss, "softmax: loss", "d", True)
        y = Array(labels, "softmax: labels", "i", False)
        s.check((o.buffer.shape[0],))
        y.check((o.buffer.shape[0],))
        for one in (o, x, v, y):
            s.apart(one, False)
        o.apart(y, False)
        for i in range(y.size):
            if not 0 <= (<int *>y.data)[i] < c.columns:
                raise ValueError(f"softmax: label {i} is {(<int *>y.data)[i]}, wanted 0 to {c.columns - 1}")
        c.second, c.b = s.data, y.data
    c.size = o.buffer.shape[0]
    c.unit = max(UNIT // 4 // c.columns, 1)
    spread(run_softmax, &c, c.columns)


cdef void run_adam(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Call *c = <Call *>call
    if c.single:
        kernels.f32.adam(c.out, c.second, c.b, c.a, &c.adam, begin(c, task), end(c, task))
    else:
        kernels.f64.adam(c.out, c.second, c.b, c.a, &c.adam, begin(c, task), end(c, task))


def adam(w, m, v, grad, double lr, double beta1, double beta2, double eps, long step, double l1, double l2, bint soft):
    """m, v: running means of gradient and its square; w -= lr * (c1 m / (sqrt(c2 v) + eps) + decay) [, threshold]."""
    cdef Array o = Array(w, "adam: w", "fd", True)
    cdef Array first = Array(m, "adam: m", o.kind, True)
    cdef Array second = Array(v, "adam: v", o.kind, True)
    cdef Array g = Array(grad, "adam: grad", o.kind, False)
    cdef Call c = call_on(o)
    for one in (first, second, g):
        (<Array>one).check(o.shape())
        o.apart(one, False)
    first.apart(second, False)
    first.apart(g, False)
    second.apart(g, False)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"adam: beta1, beta2 are {beta1}, {beta2}, wanted 0 <= beta < 1")
    if step < 1:
        raise ValueError(f"adam: step is {step}, wanted at least 1")
    c.second, c.b, c.a = first.data, second.data, g.data
    c.adam.lr, c.adam.beta1, c.adam.beta2, c.adam.eps, c.adam.l2 = lr, beta1, beta2, eps, l2
    c.adam.c1, c.adam.c2 = 1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)
    c.adam.l1 = 0 if soft else l1
    c.adam.threshold = lr * l1 if soft else 0
    spread(run_adam, &c, 1, SHARED)
