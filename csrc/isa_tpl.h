/* All kernels for one instruction set: ISA is its name, ISA_FLOPS a floor of its speed, V_BYTES its vectors, FMA32 its
 * fma of floats. */

#define ISA_FN(name) PASTE(name, ISA)
#include "bits_tpl.h"

#define REAL float
#define REAL_BITS 32
#define UINT uint32_t
#define INT int32_t
#define FMA FMA32
#define SQRT __builtin_sqrtf
#define ABS __builtin_fabsf
#define TABLE fl_f32
#define FN(name) PASTE(PASTE(name, f32), ISA)
#include "real_tpl.h"

#define REAL double
#define REAL_BITS 64
#define UINT uint64_t
#define INT int64_t
#define FMA __builtin_fma
#define SQRT __builtin_sqrt
#define ABS __builtin_fabs
#define TABLE fl_f64
#define FN(name) PASTE(PASTE(name, f64), ISA)
#include "real_tpl.h"

static const fl_isa ISA_FN(isa) = {NAME(ISA),           &PASTE(PASTE(table, f32), ISA), &PASTE(PASTE(table, f64), ISA),
                                   ISA_FN(random_bits), ISA_FLOPS};

#undef ISA_FN
#undef ISA
#undef ISA_FLOPS
#undef V_BYTES
#undef FMA32
