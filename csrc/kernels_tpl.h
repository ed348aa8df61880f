/* All kernels for one precision and one instruction set: a source file of its own, so that they are compiled
 * side by side. It says which before it includes this: REAL_BITS 32 or 64; V_BYTES, the vectors: 64
 * (AVX-512), 32 (AVX2), or 16 (any compiler). The bodies in the files named *_tpl.h are written once, for
 * REAL. */
#include <string.h>

#include "fl.h"
#include "fmaf.h"
#include "philox.h"

#define PASTE_(a, b, c) a##_##b##_##c
#define PASTE(a, b, c) PASTE_(a, b, c)
#define PRAGMA(text) _Pragma(#text)

#if REAL_BITS == 32
#define PRECISION f32
#define REAL float
#define TABLE fl_f32
#define UINT uint32_t
#define INT int32_t
#define SQRT __builtin_sqrtf
#define ABS __builtin_fabsf
#else
#define PRECISION f64
#define REAL double
#define TABLE fl_f64
#define UINT uint64_t
#define INT int64_t
#define SQRT __builtin_sqrt
#define ABS __builtin_fabs
#endif

#if REAL_BITS == 64
#define FMA __builtin_fma
#elif V_BYTES > 16
#define FMA __builtin_fmaf
#else
#define FMA fl_fmaf
#endif

/* Calls `call` for each lo..hi that start..stop is made of. */
#define FOR_CHUNKS(call)                                                                                     \
    for (ptrdiff_t lo = start; lo < stop; lo += FL_CHUNK) {                                                  \
        ptrdiff_t hi = lo + FL_CHUNK < stop ? lo + FL_CHUNK : stop;                                          \
        call;                                                                                                \
    }

/* INDEPENDENT: elements do not depend on each other even where out is an input; UNROLL: wholly. */
#if defined(__clang__)
#define INDEPENDENT PRAGMA(clang loop vectorize(assume_safety))
#define UNROLL PRAGMA(clang loop unroll(full))
#define TARGET(gcc, clang) PRAGMA(clang attribute push(__attribute__((target(clang))), apply_to = function))
#else
#define INDEPENDENT PRAGMA(GCC ivdep)
#define UNROLL PRAGMA(GCC unroll 32)
#define TARGET(gcc, clang) PRAGMA(GCC target(gcc))
#endif

#if V_BYTES > 16
#include <immintrin.h>
#endif

#if V_BYTES == 64
#define ISA avx512
TARGET("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512",
       "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#elif V_BYTES == 32
#define ISA avx2
TARGET("avx2,fma", "avx2,fma")
#else
#define ISA plain
#endif

#include "math_tpl.h"

#include "bits_tpl.h"

#include "gibbs_tpl.h"

#include "update_tpl.h"

#include "sums_tpl.h"

#include "layer_tpl.h"

#include "simd_tpl.h"

#include "gemm_tpl.h"

#include "topk_tpl.h"

#include "sparse_tpl.h"

#include "triangle_tpl.h"

#include "relax_tpl.h"

const TABLE PASTE(fl, ISA, PRECISION) = {
    .gemm = gemm,
    .work = WORK,
    .rows = SHARE,
    .colsum = colsum,
    .axpby = axpby,
    .row_sqdist = row_sqdist,
    .normalize = normalize,
    .row_softplus = row_softplus,
    .top_k = top_k,
    .top_k_bytes = top_k_bytes,
    .sparse_decode = sparse_decode,
    .sparse_dot = sparse_dot,
    .sort_entries = sort_entries,
    .sparse_gradient = sparse_gradient,
    .scatter_add = scatter_add,
    .add_bias = add_bias,
    .sigmoid = sigmoid,
    .sigmoid_sample = sigmoid_sample,
    .random_bits = random_bits,
    .bernoulli = bernoulli,
    .dropout = dropout,
    .uniform = uniform,
    .normal = normal,
    .update = update,
    .activate = activate,
    .backward = backward,
    .leaky = leaky,
    .leaky_backward = leaky_backward,
    .output_error = output_error,
    .cross_entropy = cross_entropy,
    .softmax = softmax,
    .adam = adam,
    .relax = relax,
    .triangle = triangle,
};

#if V_BYTES > 16 && defined(__clang__)
PRAGMA(clang attribute pop)
#endif
