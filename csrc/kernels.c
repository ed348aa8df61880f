/* Every kernel for float and double and for each instruction set, from bodies that are written once. */
#include <string.h>

#include "fl.h"
#include "fmaf.h"
#include "philox.h"

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define NAME_(a) #a
#define NAME(a) NAME_(a)
#define PRAGMA(text) _Pragma(#text)

/* Calls `call` for each lo..hi that start..stop is made of. */
#define FOR_CHUNKS(call)                                                                                            \
    for (ptrdiff_t lo = start; lo < stop; lo += FL_CHUNK) {                                                         \
        ptrdiff_t hi = lo + FL_CHUNK < stop ? lo + FL_CHUNK : stop;                                                 \
        call;                                                                                                       \
    }

/* INDEPENDENT: elements do not depend on each other even where out is an input; UNROLL: wholly. */
#if defined(__clang__)
#define INDEPENDENT PRAGMA(clang loop vectorize(assume_safety))
#define UNROLL PRAGMA(clang loop unroll(full))
#define TARGET_BEGIN(gcc, clang) PRAGMA(clang attribute push(__attribute__((target(clang))), apply_to = function))
#define TARGET_END PRAGMA(clang attribute pop)
#else
#define INDEPENDENT PRAGMA(GCC ivdep)
#define UNROLL PRAGMA(GCC unroll 32)
#define TARGET_BEGIN(gcc, clang) PRAGMA(GCC push_options) PRAGMA(GCC target(gcc))
#define TARGET_END PRAGMA(GCC pop_options)
#endif

#if defined(__x86_64__) && !defined(FL_ONLY_PLAIN)
#include <immintrin.h>

TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512",
             "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#define ISA avx512
#define FMA32 __builtin_fmaf
#define V_BYTES 64
#define ISA_FLOPS 80e9
#include "isa_tpl.h"
TARGET_END

TARGET_BEGIN("avx2,fma", "avx2,fma")
#define ISA avx2
#define FMA32 __builtin_fmaf
#define V_BYTES 32
#define ISA_FLOPS 40e9
#include "isa_tpl.h"
TARGET_END
#endif

#define ISA plain
#define FMA32 fl_fmaf
#define V_BYTES 16
#ifdef __FP_FAST_FMAF
#define ISA_FLOPS 4e9
#else
#define ISA_FLOPS 0.3e9
#endif
#include "isa_tpl.h"

#define REAL float
#define FMA __builtin_fmaf
#define REFERENCE fl_gemm_f32
#include "reference_tpl.h"

#define REAL double
#define FMA __builtin_fma
#define REFERENCE fl_gemm_f64
#include "reference_tpl.h"

int fl_outside(const int32_t *index, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop)
{
    uint32_t last = (uint32_t)(h - 1), seen = 0;
    for (ptrdiff_t e = start; e < stop; e++) /* no branch, so that it becomes vectors: the sign bit of either is set */
        seen |= (uint32_t)index[e] | (last - (uint32_t)index[e]);
    return (int)(seen >> 31);
}

const fl_isa *fl_get(int i, const char **name)
{
#if defined(__x86_64__) && !defined(FL_ONLY_PLAIN)
    if (i-- == 0) {
        *name = isa_avx512.name;
        int found = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("fma");
        return found ? &isa_avx512 : NULL;
    }
    if (i-- == 0) {
        *name = isa_avx2.name;
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &isa_avx2 : NULL;
    }
#endif
    *name = i == 0 ? isa_plain.name : NULL;
    return i == 0 ? &isa_plain : NULL;
}
