/* The table of all kernels for numbers of type REAL; fl.h includes it once for each. */
typedef struct {
    /* out (m, n) = alpha op(a) (m, k) op(b) (k, n) + beta out; op transposes where trans_* says so.
     * out[i,j]: total = the sums over blocks of FL_BLOCK k, added in order; a block's sum = its products
     * added in order by fma, from zero; t = alpha * total; out = beta == 0 ? t : t + beta * out (two
     * roundings). */
    void (*gemm)(REAL *out, ptrdiff_t ldo, const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb,
                 ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a, int trans_b, double alpha, double beta,
                 REAL *work);
    ptrdiff_t work; /* elements that gemm needs there, 64-byte aligned */
    ptrdiff_t rows; /* of out that gemm likes to have at a time; columns: a multiple of 32 */
    /* acc (d) += the sums over blocks of FL_BLOCK rows of a (n, d), in order; a block's sum starts at zero;
     * columns start..stop. */
    void (*colsum)(REAL *acc, const REAL *a, ptrdiff_t n, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);
    /* out (n) = beta == 0 ? alpha * x : alpha * x + beta * out. */
    void (*axpby)(REAL *out, const REAL *x, ptrdiff_t n, double alpha, double beta);
    /* out (n) = sum over columns of (x - y)^2, rows start..stop of x, y (n, d), in double: 16 interleaved
     * sums by fma, then a tree. */
    void (*row_sqdist)(double *out, const REAL *x, const REAL *y, ptrdiff_t d, ptrdiff_t start,
                       ptrdiff_t stop);
    /* Rows start..stop of x (n, d), in place: the mean of each taken off, then, unless floor < 0, multiplied
     * by 1 / scale, scale = sqrt(the mean square of what is left + floor); mean, scale (n), scale 1 where
     * nothing is divided. Sums in double as in row_sqdist. d > 0. */
    void (*normalize)(REAL *x, double *mean, double *scale, double floor, ptrdiff_t d, ptrdiff_t start,
                      ptrdiff_t stop);
    /* out (n) = sum over columns of log(1 + exp(scale (a + bias[column]))), rows start..stop of a (n, h): 16
     * interleaved sums in double, then a tree. */
    void (*row_softplus)(double *out, const REAL *a, const REAL *bias, double scale, ptrdiff_t h,
                         ptrdiff_t start, ptrdiff_t stop);
    /* Sparse rows (CSR): row i has the entries begin[i]..begin[i + 1] of index and value.
     * The k largest of a row of h, ties to the lowest column, NaN above everything, -0 = +0: index (k) in
     * order, value (k) = a (+ bias, or NULL). Takes columns start..stop of the row, which are to come in
     * order; `held` is what the call before returned (0 at first); the call with stop == h writes the result.
     * work: top_k_bytes(h, k), aligned for int64_t. 1 <= k <= h < 2^31. */
    ptrdiff_t (*top_k)(int32_t *index, REAL *value, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t k,
                       ptrdiff_t start, ptrdiff_t stop, ptrdiff_t held, void *work);
    ptrdiff_t (*top_k_bytes)(ptrdiff_t h, ptrdiff_t k);
    /* out (n, d) = the sum over a row's entries, in order, of value * F[index] by fma from zero, then + bias
     * (or NULL); rows start..stop. */
    void (*sparse_decode)(REAL *out, const int64_t *begin, const int32_t *index, const REAL *value,
                          const REAL *F, const REAL *bias, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);
    /* out[e] = F[index[e]] . R[i] for the entries e of rows i in start..stop of R (n, d): 16 interleaved sums
     * by fma in REAL, then a tree. */
    void (*sparse_dot)(REAL *out, const int64_t *begin, const int32_t *index, const REAL *R, const REAL *F,
                       ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);
    /* Sorts the entries of rows start..stop by feature, rows in order: entry e of row i goes to
     * to = next[index[e]]++, row[to] = i, x[to] = value[e] and y[to] = delta[e] (unless delta is NULL). */
    void (*sort_entries)(int64_t *next, int64_t *row, REAL *x, REAL *y, const int64_t *begin,
                         const int32_t *index, const REAL *value, const REAL *delta, ptrdiff_t start,
                         ptrdiff_t stop);
    /* G (h, d) = alpha S (beta == 0), or alpha S + beta G; features start..stop. S[f]: total = the sums over
     * blocks of FL_BLOCK rows that f has entries in, added in order, as in gemm; a block's sum = f's sorted
     * entries, which are end[f - 1] (0 for the first) to end[f], of x R[row] (+ y X[row] unless y is NULL),
     * added in order by fma, from zero. */
    void (*sparse_gradient)(REAL *G, const int64_t *end, const int64_t *row, const REAL *x, const REAL *y,
                            const REAL *R, const REAL *X, ptrdiff_t d, double alpha, double beta,
                            ptrdiff_t start, ptrdiff_t stop);
    /* acc (h) += the sums over blocks of FL_BLOCK rows, in order; a block's sum starts at zero, and
     * sum[index[e]] += value[e] for its entries in order. Rows start (a multiple of FL_BLOCK) to stop;
     * sum (h) is work space. */
    void (*scatter_add)(REAL *acc, REAL *sum, const int64_t *begin, const int32_t *index, const REAL *value,
                        ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop);
    /* out = a + bias[column]; h columns; out may be a. */
    void (*add_bias)(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop);
    /* out = 1 / (1 + exp(-(a + bias[column]))); out may be a. */
    void (*sigmoid)(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop);
    /* Random numbers: what stands at e is element offset + e of (seed, draw), so that a part of an array can
     * be drawn alone. Elements start..stop; offset + stop <= 2^64.
     * Bits: element e is word e % 4 of Philox4x32-10(counter (e / 4, draw), key seed). */
    void (*random_bits)(uint32_t *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start,
                        ptrdiff_t stop);
    /* s[e] = u < p[e], u from random word e: 24 bits (float), 32 bits (double); s may be p. */
    void (*bernoulli)(REAL *s, const REAL *p, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start,
                      ptrdiff_t stop);
    /* out[e] = 0 where u < rate, else a[e] / (1 - rate), the quotient made first, in double; u as of
     * bernoulli; 0 <= rate < 1; out may be a. */
    void (*dropout)(REAL *out, const REAL *a, double rate, uint64_t seed, uint64_t draw, uint64_t offset,
                    ptrdiff_t start, ptrdiff_t stop);
    /* p = sigmoid(a + bias[column]); s = bernoulli(p); p or s may be a. */
    void (*sigmoid_sample)(REAL *p, REAL *s, const REAL *a, const REAL *bias, ptrdiff_t h, uint64_t seed,
                           uint64_t draw, uint64_t offset, ptrdiff_t start, ptrdiff_t stop);
    /* Uniform in [0, 1). float: the upper 24 bits of word e; double: the upper 52 of words 2e (high), 2e+1.
     */
    void (*uniform)(REAL *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start,
                    ptrdiff_t stop);
    /* Box-Muller: elements 2i, 2i+1 are sqrt(-2 log(1 - u)) times cos, sin of 2 pi v; u, v: their uniforms.
     */
    void (*normal)(REAL *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start, ptrdiff_t stop);
    /* g = grad + l2 w [+ l1 sign(w)]; v = momentum v - lr g; w += v; [w = sign(w) max(|w| - threshold, 0)];
     * then |v|, |w| < 1e-30 become zero. l1 and threshold: one of the two is meant to be 0. v: NULL if there
     * is no momentum. */
    void (*update)(REAL *w, REAL *v, const REAL *grad, double lr, double momentum, double l1, double l2,
                   double threshold, ptrdiff_t start, ptrdiff_t stop);
    /* out = f(a + bias[column]), f by kind (FL_LINEAR ...); h columns; out may be a. */
    void (*activate)(REAL *out, const REAL *a, const REAL *bias, int kind, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop);
    /* delta = (delta + row[column]) f', f' where the function is y; h columns. */
    void (*backward)(REAL *delta, const REAL *y, const REAL *row, int kind, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop);
    /* out = a + bias[column], times leak[column] where that is below 0; h columns; out may be a. */
    void (*leaky)(REAL *out, const REAL *a, const REAL *bias, const REAL *leak, ptrdiff_t h, ptrdiff_t start,
                  ptrdiff_t stop);
    /* delta = delta + row[column], times leak[column] where y is not above 0; h columns. */
    void (*leaky_backward)(REAL *delta, const REAL *y, const REAL *row, const REAL *leak, ptrdiff_t h,
                           ptrdiff_t start, ptrdiff_t stop);
    /* delta = weight (y - x) f', f' where the function is y; loss (n) = sum over columns of weight (y - x)^2,
     * summed as row_sqdist; rows start..stop of (n, d); weight: NULL is 1; delta may be y. */
    void (*output_error)(REAL *delta, double *loss, const REAL *y, const REAL *x, const REAL *weight,
                         int kind, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);
    /* loss (n) = sum over columns of weight (log(1 + exp(z)) - x z), z = a + bias[column], summed as
     * row_softplus; rows start..stop of (n, d); weight: NULL is 1. */
    void (*cross_entropy)(double *loss, const REAL *a, const REAL *bias, const REAL *x, const REAL *weight,
                          ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);
    /* p (n, c) = exp(z - max z) / sum, z = a + bias[column], the sum in double in order; loss (n) = log sum
     * exp z - z[label], or none where NULL; rows start..stop; p may be a. */
    void (*softmax)(REAL *p, double *loss, const REAL *a, const REAL *bias, const int32_t *label, ptrdiff_t c,
                    ptrdiff_t start, ptrdiff_t stop);
    /* m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
     * w -= lr (c1 m / (sqrt(c2 v) + eps) + l2 w [+ l1 sign(w)]); [w = sign(w) max(|w| - threshold, 0)];
     * then |m|, |w| < 1e-30 and v < 1e-37 become zero. */
    void (*adam)(REAL *w, REAL *m, REAL *v, const REAL *grad, const fl_adam *how, ptrdiff_t start,
                 ptrdiff_t stop);
    /* `steps` times z -= step * slope, rows start..stop of z, f (n, h), from z on; a step that would raise
     * the energy of a sample is not taken, and halves all of that sample's that follow. Also at the z
     * reached: l (n, h), cost (n), slope (n, h), the derivative of the energy by z, and y (n, d) = m l, but
     * not with gram. q (n, h), m (d, h). work: FL_RELAX_WORK(d, h). The sums: relax_tpl.h. */
    void (*relax)(REAL *z, REAL *l, REAL *slope, double *cost, REAL *y, const REAL *f, const REAL *q,
                  const REAL *m, const fl_relax *how, ptrdiff_t d, ptrdiff_t h, ptrdiff_t start,
                  ptrdiff_t stop, REAL *work);
    /* z (n, h): on entry the products of rows with centroids, on return max(0, m - z), where
     * z = sqrt(max(0, (x'x + squares[column]) - 2 product)) (by fma) and m is the mean of a row's z; x'x and m
     * from 16 interleaved sums in REAL, then a tree; rows start..stop of x (n, d). h > 0. */
    void (*triangle)(REAL *z, const REAL *x, const REAL *squares, ptrdiff_t d, ptrdiff_t h, ptrdiff_t start,
                     ptrdiff_t stop);
} TABLE;

#undef REAL
#undef TABLE
