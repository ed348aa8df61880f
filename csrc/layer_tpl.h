/* A layer element by element: activations and their derivatives, errors of outputs, softmax. */

static inline REAL tanh_of(REAL x)
{
    REAL u = expm1_of(x < 0 ? 2 * x : -2 * x), t = u / (2 + u); /* -tanh |x| */
    return x < 0 ? t : -t;
}

static inline REAL function(const int kind, REAL x)
{
    switch (kind) {
    case FL_SIGMOID: return sigmoid_of(x);
    case FL_TANH: return tanh_of(x);
    case FL_RELU: return x < 0 ? (REAL)0 : x; /* NaN stays NaN */
    default: return x;
    }
}

/* The derivative where the function is y. */
static inline REAL slope(const int kind, REAL y)
{
    switch (kind) {
    case FL_SIGMOID: return y * (1 - y);
    case FL_TANH: return FMA(-y, y, (REAL)1);
    case FL_RELU: return y > 0 ? (REAL)1 : (REAL)0;
    default: return (REAL)1;
    }
}

/* Calls `call` with KIND a constant, so that loops have no branches. */
#define ONE_KIND(label, value, call)                                                                         \
    label:                                                                                                   \
    {                                                                                                        \
        enum { KIND = value };                                                                               \
        call;                                                                                                \
    }                                                                                                        \
    break;

#define EACH_KIND(kind, call)                                                                                \
    switch (kind) {                                                                                          \
        ONE_KIND(case FL_SIGMOID, FL_SIGMOID, call)                                                          \
        ONE_KIND(case FL_TANH, FL_TANH, call)                                                                \
        ONE_KIND(case FL_RELU, FL_RELU, call)                                                                \
        ONE_KIND(default, FL_LINEAR, call)                                                                   \
    }

static inline __attribute__((always_inline)) void activate_chunk(REAL *out, const REAL *a, const REAL *bias,
                                                                 const int kind, ptrdiff_t h, ptrdiff_t lo,
                                                                 ptrdiff_t hi)
{
    FOR_COLUMNS(out[e] = function(kind, x))
}

static void activate(REAL *out, const REAL *a, const REAL *bias, int kind, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop)
{
    EACH_KIND(kind, FOR_CHUNKS(activate_chunk(out, a, bias, KIND, h, lo, hi)))
}

static inline __attribute__((always_inline)) void backward_chunk(REAL *a, const REAL *y, const REAL *bias,
                                                                 const int kind, ptrdiff_t h, ptrdiff_t lo,
                                                                 ptrdiff_t hi)
{
    FOR_COLUMNS(a[e] = x * slope(kind, y[e]))
}

static void backward(REAL *delta, const REAL *y, const REAL *row, int kind, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop){
    EACH_KIND(kind, FOR_CHUNKS(backward_chunk(delta, y, row, KIND, h, lo, hi)))}

static inline __attribute__((always_inline)) void leaky_chunk(REAL *out, const REAL *a, const REAL *bias,
                                                              const REAL *leak, ptrdiff_t h, ptrdiff_t lo,
                                                              ptrdiff_t hi)
{
    FOR_COLUMNS(out[e] = x < 0 ? leak[j0 + e - e0] * x : x)
}

static void leaky(REAL *out, const REAL *a, const REAL *bias, const REAL *leak, ptrdiff_t h, ptrdiff_t start,
                  ptrdiff_t stop)
{
    FOR_CHUNKS(leaky_chunk(out, a, bias, leak, h, lo, hi))
}

static inline __attribute__((always_inline)) void leaky_backward_chunk(REAL *a, const REAL *y,
                                                                       const REAL *bias, const REAL *leak,
                                                                       ptrdiff_t h, ptrdiff_t lo,
                                                                       ptrdiff_t hi)
{
    FOR_COLUMNS(a[e] = y[e] > 0 ? x : leak[j0 + e - e0] * x)
}

static void leaky_backward(REAL *delta, const REAL *y, const REAL *row, const REAL *leak, ptrdiff_t h,
                           ptrdiff_t start, ptrdiff_t stop)
{
    FOR_CHUNKS(leaky_backward_chunk(delta, y, row, leak, h, lo, hi))
}

/* One error: its delta, and its square into a sum. */
#define ERROR_OF(l)                                                                                          \
    {                                                                                                        \
        REAL u = y[j + l], v = x[j + l], w = weighted ? weight[j + l] : (REAL)1, diff = u - v;               \
        double wide = (double)u - (double)v;                                                                 \
        sum[l] = __builtin_fma((double)w * wide, wide, sum[l]);                                              \
        delta[j + l] = w * (diff * slope(kind, u));                                                          \
    }

static inline __attribute__((always_inline)) double error_row(REAL *delta, const REAL *y, const REAL *x,
                                                              const REAL *weight, const int weighted,
                                                              const int kind, ptrdiff_t d)
{
    double sum[16] = {0};
    ptrdiff_t j = 0;
    for (; j + 16 <= d; j += 16) {
        INDEPENDENT
        for (int l = 0; l < 16; l++)
            ERROR_OF(l)
    }
    for (int l = 0; j + l < d; l++)
        ERROR_OF(l)
    return tree(sum);
}

static void output_error(REAL *delta, double *loss, const REAL *y, const REAL *x, const REAL *weight,
                         int kind, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        if (weight)
            EACH_KIND(kind,
                      loss[i] = error_row(delta + i * d, y + i * d, x + i * d, weight + i * d, 1, KIND, d))
        else
            EACH_KIND(kind, loss[i] = error_row(delta + i * d, y + i * d, x + i * d, NULL, 0, KIND, d))
}

/* softplus(z) - x z = (max(z, 0) - x z) + log(1 + exp(-|z|)), weighted, into a sum. */
#define ENTROPY_OF(l)                                                                                        \
    {                                                                                                        \
        double u = (double)z[j + l],                                                                         \
               t = __builtin_fma(-(double)x[j0 + j + l], u, u > 0 ? u : 0) + (double)y[j + l];               \
        sum[l] = __builtin_fma(weight ? (double)weight[j0 + j + l] : 1, t, sum[l]);                          \
    }

static double entropy_row(const REAL *a, const REAL *bias, const REAL *x, const REAL *weight, ptrdiff_t d)
{
    double sum[16] = {0};
    REAL y[FL_BLOCK], z[FL_BLOCK];
    for (ptrdiff_t j0 = 0; j0 < d; j0 += FL_BLOCK) {
        ptrdiff_t n = d - j0 < FL_BLOCK ? d - j0 : FL_BLOCK, j = 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            z[i] = a[j0 + i] + bias[j0 + i];
            y[i] = log1p_of(exp_of(z[i] < 0 ? z[i] : -z[i]));
        }
        for (; j + 16 <= n; j += 16)
            for (int l = 0; l < 16; l++)
                ENTROPY_OF(l)
        for (int l = 0; j + l < n; l++)
            ENTROPY_OF(l)
    }
    return tree(sum);
}

static void cross_entropy(double *loss, const REAL *a, const REAL *bias, const REAL *x, const REAL *weight,
                          ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        loss[i] = entropy_row(a + i * d, bias, x + i * d, weight ? weight + i * d : NULL, d);
}

static void softmax(REAL *p, double *loss, const REAL *a, const REAL *bias, const int32_t *label, ptrdiff_t c,
                    ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++) {
        REAL *q = p + i * c;
        REAL most = a[i * c] + bias[0];
        for (ptrdiff_t j = 0; j < c; j++) {
            REAL z = a[i * c + j] + bias[j];
            most = z > most ? z : most;
            q[j] = z;
        }
        REAL right = loss ? q[label[i]] - most : 0;
        double sum = 0;
        for (ptrdiff_t j = 0; j < c; j++) {
            q[j] = exp_of(q[j] - most);
            sum += (double)q[j];
        }
        for (ptrdiff_t j = 0; j < c; j++)
            q[j] = (REAL)((double)q[j] / sum);
        if (loss)
            loss[i] = (double)log_of((REAL)sum) - (double)right;
    }
}
