/* float fma in plain C, for processors without the instruction: exact, and loops over it become vectors. */
#ifndef FL_FMAF_H
#define FL_FMAF_H

#include <stdint.h>
#include <string.h>

#ifdef __FP_FAST_FMAF
#define fl_fmaf __builtin_fmaf
#else
static inline float fl_fmaf(float a, float b, float c)
{
    double product = (double)a * b; /* exact: 48 bits */
    double sum = product + c;
    double part = sum - product, error = (product - (sum - part)) + (c - part); /* sum + error is exact (Knuth) */
    /* Rounded to odd (cut off towards zero, last bit set if anything was lost), sum rounds to the right float. */
    double lost = __builtin_fabs(error) > 0 ? 1 : 0; /* a number, not a bit: gcc makes no vectors of the latter */
    uint64_t bits, error_bits, inexact;
    memcpy(&bits, &sum, sizeof bits);
    memcpy(&error_bits, &error, sizeof error_bits);
    memcpy(&inexact, &lost, sizeof inexact);
    inexact = inexact >> 52 & 1;
    bits -= (bits ^ error_bits) >> 63 & inexact;
    bits |= inexact;
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
}
#endif

#endif
