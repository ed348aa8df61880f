/* Triangle codes of k-means: how much nearer than the mean distance each centroid is. */

#define SUM_VECTORS (16 / LANES)

#if V_BYTES > 16
#define V_SQRT(x) V_OP(sqrt)(x)
#else
static inline V vector_sqrt(V x)
{
    for (int i = 0; i < LANES; i++)
        x[i] = SQRT(x[i]);
    return x;
}
#define V_SQRT(x) vector_sqrt(x)
#endif

static inline REAL tree_of(REAL *lane)
{
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

/* x'x */
static inline REAL square_sum(const REAL *x, ptrdiff_t d)
{
    V sum[SUM_VECTORS];
    REAL lane[16];
    ptrdiff_t j = 0;
    UNROLL
    for (int v = 0; v < SUM_VECTORS; v++)
        sum[v] = V_ALL(0);
    for (; j + 16 <= d; j += 16) {
        UNROLL
        for (int v = 0; v < SUM_VECTORS; v++) {
            V a = V_LOAD(x + j + v * LANES);
            sum[v] = V_FMA(a, a, sum[v]);
        }
    }
    for (int v = 0; v < SUM_VECTORS; v++)
        V_STORE(lane + v * LANES, sum[v]);
    for (int l = 0; j + l < d; l++)
        lane[l] = FMA(x[j + l], x[j + l], lane[l]);
    return tree_of(lane);
}

/* Products in place become distances; returns their mean. NaN stays NaN. */
static inline REAL distances(REAL *z, REAL square, const REAL *squares, ptrdiff_t h)
{
    const V own = V_ALL(square), zero = V_ALL(0), two = V_ALL(-2);
    V sum[SUM_VECTORS];
    REAL lane[16];
    ptrdiff_t j = 0;
    UNROLL
    for (int v = 0; v < SUM_VECTORS; v++)
        sum[v] = zero;
    for (; j + 16 <= h; j += 16) {
        UNROLL
        for (int v = 0; v < SUM_VECTORS; v++) {
            REAL *at = z + j + v * LANES;
            V x = V_FMA(two, V_LOAD(at), V_ADD(own, V_LOAD(squares + j + v * LANES)));
            x = V_SQRT(V_MAX(zero, x));
            V_STORE(at, x);
            sum[v] = V_ADD(sum[v], x);
        }
    }
    for (int v = 0; v < SUM_VECTORS; v++)
        V_STORE(lane + v * LANES, sum[v]);
    for (int l = 0; j + l < h; l++) {
        REAL x = FMA((REAL)-2, z[j + l], square + squares[j + l]);
        z[j + l] = SQRT(0 > x ? (REAL)0 : x);
        lane[l] += z[j + l];
    }
    return tree_of(lane) / (REAL)h;
}

static void triangle(REAL *z, const REAL *x, const REAL *squares, ptrdiff_t d, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++) {
        REAL *row = z + i * h;
        REAL mean = distances(row, square_sum(x + i * d, d), squares, h);
        INDEPENDENT
        for (ptrdiff_t j = 0; j < h; j++) {
            REAL t = mean - row[j];
            row[j] = t < 0 ? (REAL)0 : t;
        }
    }
}
