/* The kernels of featlearn: pure functions on pointers and sizes; no allocation, no I/O, no globals, no exit.
 *
 * Letters: n rows (samples), d columns (visible units), h hidden units, m x n x k the sizes of a matrix product.
 * All arrays are C-contiguous; ld* is the distance between rows, in elements. Outputs come first and may not overlap
 * inputs unless said. Kernels that work element by element take the whole arrays and a range start..stop of flat
 * elements (start a multiple of FL_CHUNK), so that a caller can go in steps, on several threads (pool.h), and counted
 * random numbers stay in place.
 *
 * Every kernel exists for float and double and once per instruction set; all give the same bytes, however the work is
 * cut: each output element has one definition, fma stands only where it is written, and no libm is called.
 */
#ifndef FL_H
#define FL_H

#include <stddef.h>
#include <stdint.h>

#define FL_BLOCK 256  /* sums are made of in-order sums over blocks of this many terms */
#define FL_CHUNK 2048 /* elements worked on at a time: random words fill a buffer of this many in L1 */

/* Kinds of activation functions; leaky: FL_LEAK x below zero. */
enum { FL_LINEAR, FL_SIGMOID, FL_TANH, FL_RELU, FL_LEAKY };
#define FL_LEAK 0.01

/* How Adam makes an update; c1, c2: 1 / (1 - beta^step). */
typedef struct {
    double lr, beta1, beta2, eps, c1, c2, l1, l2, threshold;
} fl_adam;

/* The energy that codes are relaxed on (SESM), of one sample with z, l = 1 / (1 + exp(-gain z)) and f - shift = q
 * (gain z below -21 counts as -21 in float, below -177 as that in double):
 * code |z - f|^2 + sparsity sum log(1 + l^2)   its cost
 * + l'm'm l - 2 q'l                            gram: m is that matrix m'm itself, symmetric */
typedef struct {
    double gain, code, sparsity, step;
    ptrdiff_t steps;
    int gram;
} fl_relax;

#define FL_RELAX_ROWS 5   /* samples that relax takes together */
#define FL_RELAX_BLOCK 16 /* rows of m that it takes together */
#define FL_RELAX_WORK(d, h) (FL_RELAX_ROWS * (3 * (((h) + 15) / 16 * 16) + FL_RELAX_BLOCK + (d)) + 16 * (d))

#define FL_TABLE(REAL)                                                                                              \
    struct {                                                                                                        \
        /* out (m, n) = alpha op(a) (m, k) op(b) (k, n) + beta out; op transposes where trans_* says so.            \
         * out[i,j]: total = the sums over blocks of FL_BLOCK k, added in order; a block's sum = its products added \
         * in order by fma, from zero; t = alpha * total; out = beta == 0 ? t : t + beta * out (two roundings). */  \
        void (*gemm)(REAL *out, ptrdiff_t ldo, const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb,          \
                     ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a, int trans_b, double alpha, double beta,    \
                     REAL *work);                                                                                   \
        ptrdiff_t work; /* elements that gemm needs there, 64-byte aligned */                                       \
        ptrdiff_t rows; /* of out that gemm likes to have at a time; columns: a multiple of 32 */                   \
        /* acc (d) += the sums over blocks of FL_BLOCK rows of a (n, d), in order; a block's sum starts at zero;    \
         * columns start..stop. */                                                                                  \
        void (*colsum)(REAL *acc, const REAL *a, ptrdiff_t n, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);        \
        /* out (n) = beta == 0 ? alpha * x : alpha * x + beta * out. */                                             \
        void (*axpby)(REAL *out, const REAL *x, ptrdiff_t n, double alpha, double beta);                            \
        /* out (n) = sum over columns of (x - y)^2, rows start..stop of x, y (n, d), in double: 16 interleaved sums \
         * by fma, then a tree. */                                                                                  \
        void (*row_sqdist)(double *out, const REAL *x, const REAL *y, ptrdiff_t d, ptrdiff_t start,                 \
                           ptrdiff_t stop);                                                                         \
        /* out (n) = sum over columns of log(1 + exp(scale (a + bias[column]))), rows start..stop of a (n, h): 16   \
         * interleaved sums in double, then a tree. */                                                              \
        void (*row_softplus)(double *out, const REAL *a, const REAL *bias, double scale, ptrdiff_t h,               \
                             ptrdiff_t start, ptrdiff_t stop);                                                      \
        /* Sparse rows (CSR): row i has the entries begin[i]..begin[i + 1] of index and value.                      \
         * The k largest of a row of h, ties to the lowest column, NaN above everything, -0 = +0: index (k) in      \
         * order, value (k) = a (+ bias, or NULL). Takes columns start..stop of the row, which are to come in order;\
         * `held` is what the call before returned (0 at first); the call with stop == h writes the result.         \
         * work: top_k_bytes(h, k), aligned for int64_t. 1 <= k <= h < 2^31. */                                     \
        ptrdiff_t (*top_k)(int32_t *index, REAL *value, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t k,  \
                           ptrdiff_t start, ptrdiff_t stop, ptrdiff_t held, void *work);                            \
        ptrdiff_t (*top_k_bytes)(ptrdiff_t h, ptrdiff_t k);                                                         \
        /* out (n, d) = the sum over a row's entries, in order, of value * F[index] by fma from zero, then + bias   \
         * (or NULL); rows start..stop. */                                                                          \
        void (*sparse_decode)(REAL *out, const int64_t *begin, const int32_t *index, const REAL *value,             \
                              const REAL *F, const REAL *bias, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);       \
        /* out[e] = F[index[e]] . R[i] for the entries e of rows i in start..stop of R (n, d): 16 interleaved sums  \
         * by fma in REAL, then a tree. */                                                                          \
        void (*sparse_dot)(REAL *out, const int64_t *begin, const int32_t *index, const REAL *R, const REAL *F,     \
                           ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);                                           \
        /* Sorts the entries of rows start..stop by feature, rows in order: entry e of row i goes to                \
         * to = next[index[e]]++, row[to] = i, x[to] = value[e] and y[to] = delta[e] (unless delta is NULL). */     \
        void (*sort_entries)(int64_t *next, int64_t *row, REAL *x, REAL *y, const int64_t *begin,                   \
                             const int32_t *index, const REAL *value, const REAL *delta, ptrdiff_t start,           \
                             ptrdiff_t stop);                                                                       \
        /* G (h, d) = alpha S (beta == 0), or alpha S + beta G; features start..stop. S[f] = the sum over f's sorted\
         * entries, end[f - 1] (0 for the first) to end[f], of x R[row] (+ y X[row] unless y is NULL), by fma from  \
         * zero in order. */                                                                                        \
        void (*sparse_gradient)(REAL *G, const int64_t *end, const int64_t *row, const REAL *x, const REAL *y,      \
                                const REAL *R, const REAL *X, ptrdiff_t d, double alpha, double beta,               \
                                ptrdiff_t start, ptrdiff_t stop);                                                   \
        /* acc[index[e]] += value[e] for e in start..stop, in order. */                                             \
        void (*scatter_add)(REAL *acc, const int32_t *index, const REAL *value, ptrdiff_t start, ptrdiff_t stop);   \
        /* out = a + bias[column]; h columns; out may be a. */                                                      \
        void (*add_bias)(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop); \
        /* out = 1 / (1 + exp(-(a + bias[column]))); out may be a. */                                               \
        void (*sigmoid)(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop);  \
        /* p = sigmoid(a + bias[column]); s = bernoulli(p); p or s may be a. */                                     \
        void (*sigmoid_sample)(REAL *p, REAL *s, const REAL *a, const REAL *bias, ptrdiff_t h, uint64_t seed,       \
                               uint64_t draw, ptrdiff_t start, ptrdiff_t stop);                                     \
        /* s[e] = u < p[e], u from random word e: 24 bits (float), 32 bits (double); s may be p. */                 \
        void (*bernoulli)(REAL *s, const REAL *p, uint64_t seed, uint64_t draw, ptrdiff_t start, ptrdiff_t stop);   \
        /* Uniform in [0, 1). float: the upper 24 bits of word e; double: the upper 52 of words 2e (high), 2e+1. */ \
        void (*uniform)(REAL *out, uint64_t seed, uint64_t draw, ptrdiff_t start, ptrdiff_t stop);                  \
        /* Box-Muller: elements 2i, 2i+1 are sqrt(-2 log(1 - u)) times cos, sin of 2 pi v; u, v: their uniforms. */ \
        void (*normal)(REAL *out, uint64_t seed, uint64_t draw, ptrdiff_t start, ptrdiff_t stop);                   \
        /* g = grad + l2 w [+ l1 sign(w)]; v = momentum v - lr g; w += v; [w = sign(w) max(|w| - threshold, 0)];    \
         * then |v|, |w| < 1e-30 become zero. l1 and threshold: one of the two is meant to be 0. v: NULL if there   \
         * is no momentum. */                                                                                       \
        void (*update)(REAL *w, REAL *v, const REAL *grad, double lr, double momentum, double l1, double l2,        \
                       double threshold, ptrdiff_t start, ptrdiff_t stop);                                          \
        /* out = f(a + bias[column]), f by kind (FL_LINEAR ...); h columns; out may be a. */                        \
        void (*activate)(REAL *out, const REAL *a, const REAL *bias, int kind, ptrdiff_t h, ptrdiff_t start,        \
                         ptrdiff_t stop);                                                                           \
        /* delta = (delta + row[column]) f', f' where the function is y; h columns. */                              \
        void (*backward)(REAL *delta, const REAL *y, const REAL *row, int kind, ptrdiff_t h, ptrdiff_t start,       \
                         ptrdiff_t stop);                                                                           \
        /* delta = weight (y - x) f', f' where the function is y; loss (n) = sum over columns of weight (y - x)^2,  \
         * summed as row_sqdist; rows start..stop of (n, d); weight: NULL is 1; delta may be y. */                  \
        void (*output_error)(REAL *delta, double *loss, const REAL *y, const REAL *x, const REAL *weight, int kind, \
                             ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);                                         \
        /* loss (n) = sum over columns of weight (log(1 + exp(z)) - x z), z = a + bias[column], summed as           \
         * row_softplus; rows start..stop of (n, d); weight: NULL is 1. */                                          \
        void (*cross_entropy)(double *loss, const REAL *a, const REAL *bias, const REAL *x, const REAL *weight,     \
                              ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop);                                        \
        /* p (n, c) = exp(z - max z) / sum, z = a + bias[column], the sum in double in order; loss (n) = log sum    \
         * exp z - z[label], or none where NULL; rows start..stop; p may be a. */                                   \
        void (*softmax)(REAL *p, double *loss, const REAL *a, const REAL *bias, const int32_t *label, ptrdiff_t c,  \
                        ptrdiff_t start, ptrdiff_t stop);                                                           \
        /* m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;                                              \
         * w -= lr (c1 m / (sqrt(c2 v) + eps) + l2 w [+ l1 sign(w)]); [w = sign(w) max(|w| - threshold, 0)];        \
         * then |m|, |w| < 1e-30 and v < 1e-37 become zero. */                                                      \
        void (*adam)(REAL *w, REAL *m, REAL *v, const REAL *grad, const fl_adam *how, ptrdiff_t start,              \
                     ptrdiff_t stop);                                                                               \
        /* `steps` times z -= step * slope, rows start..stop of z, f (n, h), from z on; a step that would raise the \
         * energy of a sample is not taken, and halves all of that sample's that follow. Also at the z reached:     \
         * l (n, h), cost (n), slope (n, h), the derivative of the energy by z, and y (n, d) = m l, but not with    \
         * gram. shift (h), m (d, h).                                                                               \
         * work: FL_RELAX_WORK(d, h). The sums: relax_tpl.h. */                                                     \
        void (*relax)(REAL *z, REAL *l, REAL *slope, double *cost, REAL *y, const REAL *f, const REAL *shift,       \
                      const REAL *m, const fl_relax *how, ptrdiff_t d, ptrdiff_t h, ptrdiff_t start,                \
                      ptrdiff_t stop, REAL *work);                                                                  \
    }

typedef FL_TABLE(float) fl_f32;
typedef FL_TABLE(double) fl_f64;

typedef struct {
    const char *name; /* avx512, avx2 or plain */
    const fl_f32 *f32;
    const fl_f64 *f64;
    /* Words start..stop of (seed, draw): word e is word e % 4 of Philox4x32-10(counter (e / 4, draw), key seed). */
    void (*random_bits)(uint32_t *out, uint64_t seed, uint64_t draw, ptrdiff_t start, ptrdiff_t stop);
    double flops; /* a floor of its speed in a second, to size calls by */
} fl_isa;

/* The i-th instruction set that this program knows (best first) if this CPU has it, NULL past the last;
 * *name says which in any case. */
const fl_isa *fl_get(int i, const char **name);

/* Whether any of index[start..stop] lies outside 0..h - 1. */
int fl_outside(const int32_t *index, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop);

/* The definition of gemm in three loops; the twin that all others are compared with. */
void fl_gemm_f32(float *out, const float *a, const float *b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a,
                 int trans_b, double alpha, double beta);
void fl_gemm_f64(double *out, const double *a, const double *b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a,
                 int trans_b, double alpha, double beta);

#endif
