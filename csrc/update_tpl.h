/* Updates of weights in one pass over them: momentum or Adam, with L1 and L2. */

static inline __attribute__((always_inline)) void update_chunk(const int moving, REAL *w, REAL *v,
                                                               const REAL *grad, REAL lr, REAL momentum,
                                                               REAL l1, REAL l2, REAL threshold, ptrdiff_t lo,
                                                               ptrdiff_t hi)
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
        w[e] = x < 0 ? 0 - shrunk : shrunk;        /* never -0 */
        if (moving)
            v[e] = ABS(y) < tiny ? (REAL)0 : y;
    }
}

static void update(REAL *w, REAL *v, const REAL *grad, double lr, double momentum, double l1, double l2,
                   double threshold, ptrdiff_t start, ptrdiff_t stop)
{
    const REAL r = (REAL)lr, m = (REAL)momentum, t = (REAL)threshold;
    if (v)
        FOR_CHUNKS(update_chunk(1, w, v, grad, r, m, (REAL)l1, (REAL)l2, t, lo, hi))
    else
        FOR_CHUNKS(update_chunk(0, w, v, grad, r, m, (REAL)l1, (REAL)l2, t, lo, hi))
}

static void adam_chunk(REAL *w, REAL *m, REAL *v, const REAL *grad, REAL lr, REAL beta1, REAL rest1,
                       REAL beta2, REAL rest2, REAL c1, REAL c2, REAL eps, REAL l1, REAL l2, REAL threshold,
                       ptrdiff_t lo, ptrdiff_t hi)
{
    const REAL tiny = (REAL)1e-30,
               tiny2 = (REAL)1e-37; /* decaying numbers would end as denormals, which are slow */
    INDEPENDENT
    for (ptrdiff_t e = lo; e < hi; e++) {
        REAL x = w[e], g = grad[e];
        REAL mean = FMA(beta1, m[e], rest1 * g), square = FMA(beta2, v[e], rest2 * g * g);
        REAL sign = x > 0 ? (REAL)1 : x < 0 ? (REAL)-1 : (REAL)0;
        REAL step = FMA(l1, sign, FMA(l2, x, c1 * mean / (SQRT(c2 * square) + eps)));
        x = FMA(-lr, step, x);
        REAL size = ABS(x), shrunk = size - threshold;
        shrunk = shrunk < tiny ? (REAL)0 : shrunk; /* NaN stays NaN */
        w[e] = x < 0 ? 0 - shrunk : shrunk;        /* never -0 */
        m[e] = ABS(mean) < tiny ? (REAL)0 : mean;
        v[e] = square < tiny2 ? (REAL)0 : square;
    }
}

static void adam(REAL *w, REAL *m, REAL *v, const REAL *grad, const fl_adam *how, ptrdiff_t start,
                 ptrdiff_t stop)
{
    FOR_CHUNKS(adam_chunk(w, m, v, grad, (REAL)how->lr, (REAL)how->beta1, (REAL)(1 - how->beta1),
                          (REAL)how->beta2, (REAL)(1 - how->beta2), (REAL)how->c1, (REAL)how->c2,
                          (REAL)how->eps, (REAL)how->l1, (REAL)how->l2, (REAL)how->threshold, lo, hi));
}
