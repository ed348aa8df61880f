/* The kernels for double on any processor. */
#define V_BYTES 16
#define REAL_BITS 64
#include "kernels_tpl.h"
