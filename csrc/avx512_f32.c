/* The kernels for float with AVX-512. */
#include "fl.h"

#ifdef FL_X86
#define V_BYTES 64
#define REAL_BITS 32
#include "kernels_tpl.h"
#endif
