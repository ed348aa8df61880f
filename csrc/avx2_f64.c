/* The kernels for double with AVX2. */
#include "fl.h"

#ifdef FL_X86
#define V_BYTES 32
#define REAL_BITS 64
#include "kernels_tpl.h"
#endif
