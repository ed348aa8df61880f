/* Vectors of REAL for one instruction set: V_BYTES 64 (AVX-512), 32 (AVX2), 16 (any compiler; NEON where
 * there is one). TILE_ROWS x 2 vectors are the sums that gemm holds in registers. */

#define LANES (V_BYTES * 8 / REAL_BITS)

#if V_BYTES == 64 && REAL_BITS == 32
#define TILE_ROWS 14
#define V __m512
#define V_OP(name) _mm512_##name##_ps
#define V_ZIP_LOW(a, b)                                                                                      \
    _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b)
#define V_ZIP_HIGH(a, b)                                                                                     \
    _mm512_permutex2var_ps(                                                                                  \
        a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b)
#elif V_BYTES == 64
#define TILE_ROWS 14
#define V __m512d
#define V_OP(name) _mm512_##name##_pd
#define V_ZIP_LOW(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b)
#define V_ZIP_HIGH(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b)
#elif V_BYTES == 32 && REAL_BITS == 32
#define TILE_ROWS 6
#define V __m256
#define V_OP(name) _mm256_##name##_ps
#define V_ZIP_LOW(a, b) _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20)
#define V_ZIP_HIGH(a, b) _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31)
#elif V_BYTES == 32
#define TILE_ROWS 6
#define V __m256d
#define V_OP(name) _mm256_##name##_pd
#define V_ZIP_LOW(a, b) _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20)
#define V_ZIP_HIGH(a, b) _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31)
#endif

#if V_BYTES > 16
#define V_LOAD(p) V_OP(loadu)(p)
#define V_STORE(p, x) V_OP(storeu)(p, x)
#define V_ALL(x) V_OP(set1)(x)
#define V_ADD(x, y) V_OP(add)(x, y)
#define V_MUL(x, y) V_OP(mul)(x, y)
#define V_FMA(x, y, z) V_OP(fmadd)(x, y, z)
#else
#define TILE_ROWS 6
#define V vector
typedef REAL V __attribute__((vector_size(V_BYTES)));

static inline V vector_load(const REAL *p)
{
    V x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void vector_store(REAL *p, V x)
{
    memcpy(p, &x, sizeof x);
}

/* Where float's fma is a function itself (fmaf.h), copies of it would take most of the compiler's time. */
#if REAL_BITS == 32 && !defined(__FP_FAST_FMAF)
#define MAYBE_INLINE __attribute__((noinline))
#else
#define MAYBE_INLINE inline
#endif

static MAYBE_INLINE V vector_fma(V x, V y, V z)
{
    for (int i = 0; i < LANES; i++)
        z[i] = FMA(x[i], y[i], z[i]);
    return z;
}

#define V_LOAD(p) vector_load(p)
#define V_STORE(p, x) vector_store(p, x)
#define V_ALL(x) ((V){0} + (x))
#define V_ADD(x, y) ((x) + (y))
#define V_MUL(x, y) ((x) * (y))
#define V_FMA(x, y, z) vector_fma(x, y, z)
#endif
