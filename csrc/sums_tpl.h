/* Sums over rows and over columns, each in one order whatever the threads. */

#define STRIP 512 /* columns at a time: their sums stay in L1 */

static void FN(colsum_strip)(REAL *acc, const REAL *a, ptrdiff_t n, ptrdiff_t d, ptrdiff_t width)
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

static void FN(colsum)(REAL *acc, const REAL *a, ptrdiff_t n, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t j = start; j < stop; j += STRIP)
        FN(colsum_strip)(acc + j, a + j, n, d, j + STRIP < stop ? STRIP : stop - j);
}

static void FN(axpby)(REAL *out, const REAL *x, ptrdiff_t n, double alpha, double beta)
{
    REAL al = (REAL)alpha, be = (REAL)beta;
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL t = al * x[i];
        out[i] = be == 0 ? t : t + be * out[i];
    }
}

static double FN(sqdist)(const REAL *x, const REAL *y, ptrdiff_t d)
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
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            sum[l] += sum[l + half];
    return sum[0];
}

static void FN(row_sqdist)(double *out, const REAL *x, const REAL *y, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        out[i] = FN(sqdist)(x + i * d, y + i * d, d);
}

#undef STRIP
