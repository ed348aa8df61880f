/* The instruction sets and their tables of kernels. The kernels themselves: one file for each instruction set
 * and precision, all made of kernels_tpl.h. */
#include "fl.h"

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
    for (ptrdiff_t e = start; e < stop;
         e++) /* no branch, so that it becomes vectors: the sign bit of either is set */
        seen |= (uint32_t)index[e] | (last - (uint32_t)index[e]);
    return (int)(seen >> 31);
}

#ifdef FL_X86
extern const fl_f32 fl_avx512_f32, fl_avx2_f32;
extern const fl_f64 fl_avx512_f64, fl_avx2_f64;
#endif
extern const fl_f32 fl_plain_f32;
extern const fl_f64 fl_plain_f64;

#ifdef __FP_FAST_FMAF
#define PLAIN_FLOPS 4e9
#else
#define PLAIN_FLOPS 0.3e9
#endif

static const fl_isa isas[] = {
#ifdef FL_X86
    {.name = "avx512", .f32 = &fl_avx512_f32, .f64 = &fl_avx512_f64, .flops = 80e9},
    {.name = "avx2", .f32 = &fl_avx2_f32, .f64 = &fl_avx2_f64, .flops = 40e9},
#endif
    {.name = "plain", .f32 = &fl_plain_f32, .f64 = &fl_plain_f64, .flops = PLAIN_FLOPS},
};

/* Whether this CPU has instruction set i. */
static int has(int i)
{
#ifdef FL_X86
    if (i == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    if (i == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    (void)i;
#endif
    return 1;
}

const fl_isa *fl_get(int i, const char **name)
{
    const int known = (int)(sizeof isas / sizeof *isas);
    *name = i < known ? isas[i].name : NULL;
    return i < known && has(i) ? &isas[i] : NULL;
}
