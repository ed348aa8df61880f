/* exp, log and sine in REAL: Taylor series on a reduced range, by fma; within about 2 units in the last
 * place. Plain C without branches, so that the loops around them become vectors and all instruction sets
 * agree. */

#if REAL_BITS == 32
#define EXP_TERMS 7     /* (ln 2 / 2)^8 / 8! = 5e-9 */
#define LOG_TERMS 5     /* ((sqrt 2 - 1) / (sqrt 2 + 1))^12 / 13 = 5e-11 */
#define LOG1P_TERMS 7   /* (1 / 3)^16 / 17 = 1e-9 */
#define SIN_TERMS 5     /* (pi / 4)^11 / 11! = 2e-9 */
#define EXP_MIN -87     /* the smallest exponent whose result is a normal number */
#define ROUND 0x1.8p23f /* x + ROUND has round(x) in its low bits */
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define FRACTION 23
#define ONE 0x3f800000u
#define SQRT_HALF 0x3f3504f3u
#else
#define EXP_TERMS 13 /* (ln 2 / 2)^14 / 14! = 4e-18 */
#define LOG_TERMS 11
#define LOG1P_TERMS 16
#define SIN_TERMS 9
#define EXP_MIN -708
#define ROUND 0x1.8p52
#define LN2_HIGH 0x1.62e42fefa38p-1
#define LN2_LOW 0x1.ef35793c7673p-45
#define FRACTION 52
#define ONE 0x3ff0000000000000u
#define SQRT_HALF 0x3fe6a09e667f3bcdu
#endif

/* 1 / i! */
static const REAL inverse_factorial[] = {(REAL)1,
                                         (REAL)1,
                                         (REAL)(1 / 2.),
                                         (REAL)(1 / 6.),
                                         (REAL)(1 / 24.),
                                         (REAL)(1 / 120.),
                                         (REAL)(1 / 720.),
                                         (REAL)(1 / 5040.),
                                         (REAL)(1 / 40320.),
                                         (REAL)(1 / 362880.),
                                         (REAL)(1 / 3628800.),
                                         (REAL)(1 / 39916800.),
                                         (REAL)(1 / 479001600.),
                                         (REAL)(1 / 6227020800.),
                                         (REAL)(1 / 87178291200.),
                                         (REAL)(1 / 1307674368000.),
                                         (REAL)(1 / 20922789888000.),
                                         (REAL)(1 / 355687428096000.),
                                         (REAL)(1 / 6402373705728000.),
                                         (REAL)(1 / 121645100408832000.)};

static inline UINT to_bits(REAL x)
{
    UINT u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline REAL from_bits(UINT u)
{
    REAL x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* exp(x) for x <= 0; below EXP_MIN it stays at exp(EXP_MIN). NaN gives NaN. */
static inline REAL exp_of(REAL x)
{
    x = x < (REAL)EXP_MIN ? (REAL)EXP_MIN : x;
    REAL t = FMA(x, (REAL)1.4426950408889634, (REAL)ROUND), n = t - (REAL)ROUND; /* x = n ln 2 + r */
    REAL r = FMA(n, -(REAL)LN2_LOW, FMA(n, -(REAL)LN2_HIGH, x));
    REAL y = inverse_factorial[EXP_TERMS];
    UNROLL
    for (int i = EXP_TERMS - 1; i >= 0; i--)
        y = FMA(y, r, inverse_factorial[i]);
    return y * from_bits((to_bits(t) << FRACTION) + ONE);
}

/* exp(x) - 1 for x <= 0, with all its digits near 0: 2^n (exp(r) - 1) + (2^n - 1). */
static inline REAL expm1_of(REAL x)
{
    x = x < (REAL)EXP_MIN ? (REAL)EXP_MIN : x;
    REAL t = FMA(x, (REAL)1.4426950408889634, (REAL)ROUND), n = t - (REAL)ROUND;
    REAL r = FMA(n, -(REAL)LN2_LOW, FMA(n, -(REAL)LN2_HIGH, x));
    REAL y = inverse_factorial[EXP_TERMS];
    UNROLL
    for (int i = EXP_TERMS - 1; i > 0; i--)
        y = FMA(y, r, inverse_factorial[i]);
    REAL power = from_bits((to_bits(t) << FRACTION) + ONE);
    return FMA(power, y * r, power - 1);
}

/* log(x) for normal x > 0: x = 2^n m, m in sqrt(1/2)..sqrt(2), log m = 2 artanh((m - 1) / (m + 1)). */
static inline REAL log_of(REAL x)
{
    UINT u = to_bits(x) - SQRT_HALF;
    REAL m = from_bits((u & (((UINT)1 << FRACTION) - 1)) + SQRT_HALF);
    /* n as a number: its bits above the fraction of ROUND. */
    UINT shifted = (UINT)((INT)u >> FRACTION);
    REAL n = from_bits(to_bits((REAL)ROUND) + shifted) - (REAL)ROUND;
    REAL s = (m - 1) / (m + 1), z = s * s, y = (REAL)1 / (REAL)(2 * LOG_TERMS + 1);
    UNROLL
    for (int i = LOG_TERMS; i > 0; i--)
        y = FMA(y, z, (REAL)1 / (REAL)(2 * i - 1));
    return FMA(n, (REAL)LN2_HIGH, FMA(n, (REAL)LN2_LOW, 2 * s * y));
}

/* log(1 + y) for y in 0..1, as 2 artanh(y / (2 + y)): small y keep their digits. */
static inline REAL log1p_of(REAL y)
{
    REAL s = y / (2 + y), z = s * s, sum = (REAL)1 / (REAL)(2 * LOG1P_TERMS + 1);
    UNROLL
    for (int i = LOG1P_TERMS; i > 0; i--)
        sum = FMA(sum, z, (REAL)1 / (REAL)(2 * i - 1));
    return 2 * s * sum;
}

/* cos and sin of 2 pi u, u in 0..1. */
static inline void cos_sin(REAL *c, REAL *s, REAL u)
{
    REAL t = FMA(u, (REAL)4, (REAL)ROUND), q = t - (REAL)ROUND;
    REAL x = FMA(q, (REAL)-0.25, u) * (REAL)6.283185307179586, z = -(x * x);
    REAL even = inverse_factorial[2 * SIN_TERMS], odd = inverse_factorial[2 * SIN_TERMS + 1];
    UNROLL
    for (int i = SIN_TERMS - 1; i >= 0; i--) {
        even = FMA(even, z, inverse_factorial[2 * i]);
        odd = FMA(odd, z, inverse_factorial[2 * i + 1]);
    }
    odd *= x;
    UINT quadrant = to_bits(t), swap = quadrant & 1; /* a quarter turn: cos -> -sin, sin -> cos */
    REAL cosine = swap ? odd : even, sine = swap ? even : odd;
    UINT negative_sine = quadrant >> 1 & 1, negative_cosine = negative_sine ^ swap;
    *c = from_bits(to_bits(cosine) ^ negative_cosine << (REAL_BITS - 1));
    *s = from_bits(to_bits(sine) ^ negative_sine << (REAL_BITS - 1));
}
