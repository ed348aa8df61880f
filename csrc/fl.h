/* The kernels of featlearn: pure functions on pointers and sizes; no allocation, no I/O, no globals, no exit.
 *
 * Letters: n rows (samples), d columns (visible units), h hidden units, m x n x k the sizes of a matrix
 * product. All arrays are C-contiguous; ld* is the distance between rows, in elements. Outputs come first and
 * may not overlap inputs unless said. Kernels that work element by element take the whole arrays and a range
 * start..stop of flat elements (start a multiple of FL_CHUNK), so that a caller can go in steps, on several
 * threads (pool.h), and counted random numbers stay in place.
 *
 * Every kernel exists for float and double and once per instruction set; all give the same bytes, however the
 * work is cut: each output element has one definition, fma stands only where it is written, and no libm is
 * called.
 */
#ifndef FL_H
#define FL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && !defined(FL_ONLY_PLAIN)
#define FL_X86 /* there are kernels for AVX-512 and AVX2 */
#endif

#define FL_BLOCK 256  /* sums are made of in-order sums over blocks of this many terms */
#define FL_CHUNK 2048 /* elements worked on at a time: random words fill a buffer of this many in L1 */

/* Kinds of activation functions. */
enum { FL_LINEAR, FL_SIGMOID, FL_TANH, FL_RELU };

/* How Adam makes an update; c1, c2: 1 / (1 - beta^step). */
typedef struct {
    double lr, beta1, beta2, eps, c1, c2, l1, l2, threshold;
} fl_adam;

/* The energy that codes are relaxed on (SESM), of one sample with z, l = 1 / (1 + exp(-gain z)), f
 * and q (gain z below -21 counts as -21 in float, below -177 as that in double): code |z - f|^2 + sparsity sum
 * log(1 + l^2)   its cost
 * + l'm'm l - 2 q'l                            gram: m is that matrix m'm itself, symmetric */
typedef struct {
    double gain, code, sparsity, step;
    ptrdiff_t steps;
    int gram;
} fl_relax;

#define FL_RELAX_ROWS 5   /* samples that relax takes together */
#define FL_RELAX_BLOCK 16 /* rows of m that it takes together */
#define FL_RELAX_WORK(d, h) (FL_RELAX_ROWS * (3 * (((h) + 15) / 16 * 16) + FL_RELAX_BLOCK + (d)) + 16 * (d))

#define REAL float
#define TABLE fl_f32
#include "table_tpl.h"

#define REAL double
#define TABLE fl_f64
#include "table_tpl.h"

typedef struct {
    const char *name; /* avx512, avx2 or plain */
    const fl_f32 *f32;
    const fl_f64 *f64;
    double flops; /* a floor of its speed in a second, to size calls by */
} fl_isa;

/* The i-th instruction set that this program knows (best first) if this CPU has it, NULL past the last;
 * *name says which in any case. */
const fl_isa *fl_get(int i, const char **name);

/* Whether any of index[start..stop] lies outside 0..h - 1. */
int fl_outside(const int32_t *index, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop);

/* The definition of gemm in three loops; the twin that all others are compared with. */
void fl_gemm_f32(float *out, const float *a, const float *b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                 int trans_a, int trans_b, double alpha, double beta);
void fl_gemm_f64(double *out, const double *a, const double *b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                 int trans_a, int trans_b, double alpha, double beta);

#endif
