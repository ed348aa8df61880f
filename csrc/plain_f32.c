/* The kernels for float on any processor. */
#define V_BYTES 16
#define REAL_BITS 32
#include "kernels_tpl.h"
