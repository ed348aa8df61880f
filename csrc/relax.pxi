# Relaxation of codes; body in relax_tpl.h.

from fl cimport FL_RELAX_ROWS, FL_RELAX_WORK, fl_relax


cdef struct Relaxation:
    Call call  # first: fl_spread hands on a pointer to it
    fl_relax how
    void *f
    void *m
    void *slope
    double *cost
    void *y
    Py_ssize_t d, h, work_bytes
    char *work


cdef void run_relax(void *call, Py_ssize_t task, int worker) noexcept nogil:
    cdef Relaxation *r = <Relaxation *>call
    cdef Call *c = &r.call
    cdef void *work = r.work + worker * r.work_bytes
    if c.single:
        kernels.f32.relax(c.out, c.second, r.slope, r.cost, r.y, r.f, c.bias, r.m, &r.how, r.d, r.h,
                          begin(c, task), end(c, task), work)
    else:
        kernels.f64.relax(c.out, c.second, r.slope, r.cost, r.y, r.f, c.bias, r.m, &r.how, r.d, r.h,
                          begin(c, task), end(c, task), work)


def relax(z, l, slope, cost, y, f, shift, m, double gain, double code, double sparsity, double step, int steps):
    """Gradient descent of codes z (n, h), in place, on the energy of _core.pyi; also l, slope (n, h), cost (n,), y (n, d)."""
    cdef Array o = Array(z, "relax: z", "fd", True)
    cdef Array x = Array(l, "relax: l", o.kind, True)
    cdef Array g = Array(slope, "relax: slope", o.kind, True)
    cdef Array p = Array(cost, "relax: cost", "d", True)
    cdef Array a = Array(f, "relax: f", o.kind, False)
    cdef Array b = Array(shift, "relax: shift", o.kind, False)
    cdef Array w = Array(m, "relax: m", o.kind, False)
    cdef Array v, one, other
    cdef bint gram = y is None
    cdef Relaxation r
    memset(&r, 0, sizeof(Relaxation))
    o.check((None, None))
    cdef Py_ssize_t n = o.buffer.shape[0], h = o.buffer.shape[1]
    for one in (x, g, a):
        one.check(o.shape())
    p.check((n,))
    b.check((h,))
    w.check((h, h) if gram else (None, h))
    outputs = [o, x, g, p]
    if not gram:
        v = Array(y, "relax: y", o.kind, True)
        v.check((n, w.buffer.shape[0]))
        outputs.append(v)
    for i, one in enumerate(outputs):
        for other in [*outputs[i + 1:], a, b, w]:
            one.apart(other, False)
    if steps < 0:
        raise ValueError(f"relax: steps is {steps}, wanted at least 0")
    r.call = call_on(o)
    r.call.second, r.slope, r.cost, r.f, r.call.bias, r.m = x.data, g.data, <double *>p.data, a.data, b.data, w.data
    r.how.gain, r.how.code, r.how.sparsity, r.how.step, r.how.steps, r.how.gram = gain, code, sparsity, step, steps, gram
    r.d, r.h = w.buffer.shape[0], h
    if not gram:
        r.y = v.data

    # As much for each thread, and calls that end in time.
    cdef double per_row = 2.0 * h * max(r.d, 1) * (1 if gram else 2) * (steps + 1.0)
    cdef int t = threads if n * per_row > SMALL else 1
    cdef Py_ssize_t most = <Py_ssize_t>max(kernels.flops * CALL_SECONDS / max(per_row, 1), 1)
    r.call.size, r.call.unit = n, min((n + t - 1) // t, FL_RELAX_ROWS, most)
    r.call.unit = max(r.call.unit, 1)
    cdef Py_ssize_t tasks = max(most // r.call.unit, 1) * t
    r.work_bytes = (FL_RELAX_WORK(r.d, h) * o.buffer.itemsize + 63) // 64 * 64
    r.work = <char *>PyMem_RawMalloc(r.work_bytes * t + 64)
    if r.work == NULL:
        raise MemoryError
    try:
        while r.call.first < n:
            with nogil:
                fl_spread(run_relax, &r, min(tasks, (n - r.call.first + r.call.unit - 1) // r.call.unit), t)
            PyErr_CheckSignals()
            r.call.first += tasks * r.call.unit
    finally:
        PyMem_RawFree(r.work)
