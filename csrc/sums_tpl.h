/* Sums over rows and over columns, each in one order whatever the threads. */

#define STRIP 512 /* columns at a time: their sums stay in L1 */

static void colsum_strip(REAL *acc, const REAL *a, ptrdiff_t n, ptrdiff_t d, ptrdiff_t width)
{
    for (ptrdiff_t i0 = 0; i0 < n; i0 += FL_BLOCK) {
        REAL sum[STRIP] = {0};
        ptrdiff_t i1 = i0 + FL_BLOCK < n ? i0 + FL_BLOCK : n;
        for (ptrdiff_t i = i0; i < i1; i++)
            for (ptrdiff_t j = 0; j < width; j++)
                sum[j] += a[i * d + j];
        for (ptrdiff_t j = 0; j < width; j++)
            acc[j] += sum[j];
    }
}

static void colsum(REAL *acc, const REAL *a, ptrdiff_t n, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t j = start; j < stop; j += STRIP)
        colsum_strip(acc + j, a + j, n, d, j + STRIP < stop ? STRIP : stop - j);
}

static void axpby(REAL *out, const REAL *x, ptrdiff_t n, double alpha, double beta)
{
    REAL al = (REAL)alpha, be = (REAL)beta;
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL t = al * x[i];
        out[i] = be == 0 ? t : t + be * out[i];
    }
}

/* Sums 16 interleaved terms by a tree. */
static inline double tree(double *sum)
{
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            sum[l] += sum[l + half];
    return sum[0];
}

static double sqdist(const REAL *x, const REAL *y, ptrdiff_t d)
{
    double sum[16] = {0};
    ptrdiff_t j = 0;
    for (; j + 16 <= d; j += 16)
        for (int l = 0; l < 16; l++) {
            double diff = (double)x[j + l] - (double)y[j + l];
            sum[l] = __builtin_fma(diff, diff, sum[l]);
        }
    for (int l = 0; j + l < d; l++) {
        double diff = (double)x[j + l] - (double)y[j + l];
        sum[l] = __builtin_fma(diff, diff, sum[l]);
    }
    return tree(sum);
}

static void row_sqdist(double *out, const REAL *x, const REAL *y, ptrdiff_t d, ptrdiff_t start,
                       ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        out[i] = sqdist(x + i * d, y + i * d, d);
}

/* One row: its mean taken off, and divided by sqrt(variance + floor) unless floor is below 0. */
static inline void normalize_row(REAL *x, double *mean, double *scale, double floor, ptrdiff_t d)
{
    double sum[16] = {0}, squares[16] = {0};
    ptrdiff_t j = 0;
    for (; j + 16 <= d; j += 16)
        for (int l = 0; l < 16; l++)
            sum[l] += (double)x[j + l];
    for (int l = 0; j + l < d; l++)
        sum[l] += (double)x[j + l];
    *mean = tree(sum) / (double)d;
    *scale = 1;
    const REAL middle = (REAL)*mean;
    for (j = 0; j < d; j++)
        x[j] -= middle;
    if (floor < 0)
        return;
    for (j = 0; j + 16 <= d; j += 16)
        for (int l = 0; l < 16; l++)
            squares[l] = __builtin_fma((double)x[j + l], (double)x[j + l], squares[l]);
    for (int l = 0; j + l < d; l++)
        squares[l] = __builtin_fma((double)x[j + l], (double)x[j + l], squares[l]);
    *scale = __builtin_sqrt(tree(squares) / (double)d + floor);
    const REAL factor = (REAL)(1 / *scale);
    for (j = 0; j < d; j++)
        x[j] *= factor;
}

static void normalize(REAL *x, double *mean, double *scale, double floor, ptrdiff_t d, ptrdiff_t start,
                      ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        normalize_row(x + i * d, mean + i, scale + i, floor, d);
}

/* log(1 + exp(x)) */
static inline REAL softplus_of(REAL x)
{
    return (x > 0 ? x : (REAL)0) + log1p_of(exp_of(x < 0 ? x : -x));
}

static double softplus_sum(const REAL *a, const REAL *bias, REAL scale, ptrdiff_t h)
{
    double sum[16] = {0};
    REAL y[FL_BLOCK];
    for (ptrdiff_t j0 = 0; j0 < h; j0 += FL_BLOCK) {
        ptrdiff_t n = h - j0 < FL_BLOCK ? h - j0 : FL_BLOCK, j = 0;
        for (ptrdiff_t i = 0; i < n; i++)
            y[i] = softplus_of(scale * (a[j0 + i] + bias[j0 + i]));
        for (; j + 16 <= n; j += 16)
            for (int l = 0; l < 16; l++)
                sum[l] += (double)y[j + l];
        for (int l = 0; j + l < n; l++)
            sum[l] += (double)y[j + l];
    }
    return tree(sum);
}

static void row_softplus(double *out, const REAL *a, const REAL *bias, double scale, ptrdiff_t h,
                         ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        out[i] = softplus_sum(a + i * h, bias, (REAL)scale, h);
}

#undef STRIP
