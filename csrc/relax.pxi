# Relaxation of codes; body in relax_tpl.h.

from fl cimport FL_RELAX_ROWS, FL_RELAX_WORK, fl_relax


cdef struct Relaxation:
    Call call  # first: fl_spread hands on a pointer to it
    fl_relax how
    const real *f
    const real *q
    const real *m
    real *slope
    real *y
    Py_ssize_t d, h, work_bytes
    char *work


cdef void run_relax(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Relaxation *r = <Relaxation *>call
    cdef Call *c = &r.call
    cdef real *work = <real *>(r.work + worker * r.work_bytes)
    c.table.relax(c.out, c.second, r.slope, c.sums, r.y, r.f, r.q, r.m, &r.how, r.d, r.h,
                  begin(c, task), end(c, task), work)


def relax(z, l, slope, cost, y, f, q, m, double gain, double code, double sparsity, double step, int steps):
    """Gradient descent of codes z (n, h), in place, on the energy of _core.pyi; also l, slope (n, h), cost (n,), y (n, d)."""
    cdef Array o = take(z, "relax: z", b"fd", True)
    cdef Array x = take(l, "relax: l", o.kind, True)
    cdef Array g = take(slope, "relax: slope", o.kind, True)
    cdef Array p = take(cost, "relax: cost", b"d", True)
    cdef Array a = take(f, "relax: f", o.kind, False)
    cdef Array b = take(q, "relax: q", o.kind, False)
    cdef Array w = take(m, "relax: m", o.kind, False)
    cdef Array v, one, other
    cdef bint gram = y is None
    cdef Relaxation r
    memset(&r, 0, sizeof(Relaxation))
    o.matrix(ANY, ANY)
    cdef Py_ssize_t n = o.length(0), h = o.length(1)
    for one in (x, g, a, b):
        one.like(o)
    p.vector(n)
    w.matrix(h if gram else ANY, h)
    outputs = [o, x, g, p]
    if not gram:
        v = take(y, "relax: y", o.kind, True)
        v.matrix(n, w.length(0))
        outputs.append(v)
    for i, one in enumerate(outputs):
        for other in [*outputs[i + 1:], a, b, w]:
            one.apart(other)
    if steps < 0:
        raise ValueError(f"relax: steps is {steps}, wanted at least 0")
    r.call = call_on(o)
    r.call.second, r.slope, r.call.sums = x.reals(), g.reals(), p.doubles()
    r.f, r.q, r.m = a.reals(), b.reals(), w.reals()
    r.how = fl_relax(gain, code, sparsity, step, steps, gram)
    r.d, r.h = w.length(0), h
    if not gram:
        r.y = v.reals()

    # As much for each thread, and calls that end in time.
    cdef double per_row = 2.0 * h * max(r.d, 1) * (1 if gram else 2) * (steps + 1.0)
    cdef int t = threads if n * per_row > SMALL else 1
    cdef Py_ssize_t most = <Py_ssize_t>max(kernels.flops * CALL_SECONDS / max(per_row, 1), 1)
    r.call.size, r.call.unit = n, min((n + t - 1) // t, FL_RELAX_ROWS, most)
    r.call.unit = max(r.call.unit, 1)
    cdef Py_ssize_t tasks = max(most // r.call.unit, 1) * t
    r.work_bytes = (FL_RELAX_WORK(r.d, h) * o.buffer.itemsize + 63) // 64 * 64
    cdef Space work = space(r.work_bytes * t)
    r.work = <char *>work.data
    while r.call.first < n:
        with nogil:
            fl_spread(run_relax, &r, min(tasks, (n - r.call.first + r.call.unit - 1) // r.call.unit), t)
        PyErr_CheckSignals()
        r.call.first += tasks * r.call.unit
