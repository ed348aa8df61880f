/* Momentum, L1 and L2 in one pass over the weights. */

static inline __attribute__((always_inline)) void FN(update_chunk)(const int moving, REAL *w, REAL *v, const REAL *grad,
                                                                   REAL lr, REAL momentum, REAL l1, REAL l2,
                                                                   REAL threshold, ptrdiff_t lo, ptrdiff_t hi)
{
    const REAL tiny = (REAL)1e-30; /* decaying numbers would end as denormals, which are slow */
    INDEPENDENT
    for (ptrdiff_t e = lo; e < hi; e++) {
        REAL x = w[e];
        REAL sign = x > 0 ? (REAL)1 : x < 0 ? (REAL)-1 : (REAL)0;
        REAL g = FMA(l1, sign, FMA(l2, x, grad[e]));
        REAL y = moving ? FMA(momentum, v[e], -(lr * g)) : -(lr * g);
        x += y;
        REAL size = ABS(x), shrunk = size - threshold;
        shrunk = shrunk < tiny ? (REAL)0 : shrunk; /* NaN stays NaN */
        w[e] = x < 0 ? 0 - shrunk : shrunk; /* never -0 */
        if (moving)
            v[e] = ABS(y) < tiny ? (REAL)0 : y;
    }
}

static void FN(update)(REAL *w, REAL *v, const REAL *grad, double lr, double momentum, double l1, double l2,
                       double threshold, ptrdiff_t start, ptrdiff_t stop)
{
    const REAL r = (REAL)lr, m = (REAL)momentum, t = (REAL)threshold;
    if (v)
        FOR_CHUNKS(FN(update_chunk)(1, w, v, grad, r, m, (REAL)l1, (REAL)l2, t, lo, hi))
    else
        FOR_CHUNKS(FN(update_chunk)(0, w, v, grad, r, m, (REAL)l1, (REAL)l2, t, lo, hi))
}
