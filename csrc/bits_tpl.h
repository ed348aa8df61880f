/* Random words, for one instruction set. */

/* Vectors of 64-bit lanes; a lane holds a 32-bit word of Philox, what stands above it does not count. */
#if V_BYTES == 64
#define U __m512i
#define U_OP(name) _mm512_##name
#define U_XOR(x, y) _mm512_xor_si512(x, y)
#define U_COUNT _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)
#define U_JOIN(x, y) _mm512_mask_blend_epi32(0xAAAA, x, _mm512_slli_epi64(y, 32))
#define U_ZIP_LOW(x, y) _mm512_permutex2var_epi64(x, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), y)
#define U_ZIP_HIGH(x, y) _mm512_permutex2var_epi64(x, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), y)
#define U_STORE(p, x) _mm512_storeu_si512((void *)(p), x)
#elif V_BYTES == 32
#define U __m256i
#define U_OP(name) _mm256_##name
#define U_XOR(x, y) _mm256_xor_si256(x, y)
#define U_COUNT _mm256_setr_epi64x(0, 1, 2, 3)
#define U_JOIN(x, y) _mm256_blend_epi32(x, _mm256_slli_epi64(y, 32), 0xAA)
#define U_ZIP_LOW(x, y)                                                                                      \
    _mm256_permute2x128_si256(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y), 0x20)
#define U_ZIP_HIGH(x, y)                                                                                     \
    _mm256_permute2x128_si256(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y), 0x31)
#define U_STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#define _mm256_set1_epi64 _mm256_set1_epi64x
#endif

/* Words 4c..4(c + n) of (seed, draw). May write on to the next multiple of 32 words. */
static void philox_fill(uint32_t *out, uint64_t seed, uint64_t draw, uint64_t c, ptrdiff_t n)
{
#ifdef U
    const U m0 = U_OP(set1_epi64)(PHILOX_M0), m1 = U_OP(set1_epi64)(PHILOX_M1);
    const U draw_low = U_OP(set1_epi64)((long long)(uint32_t)draw);
    const U draw_high = U_OP(set1_epi64)((long long)(draw >> 32));
    U counter = U_OP(add_epi64)(U_OP(set1_epi64)((long long)c), U_COUNT);
    for (ptrdiff_t i = 0; i < n; i += V_BYTES / 8, out += V_BYTES / 2) {
        U x0 = counter, x1 = U_OP(srli_epi64)(counter, 32), x2 = draw_low, x3 = draw_high;
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        UNROLL
        for (int round = 0; round < 10; round++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
            U p0 = U_OP(mul_epu32)(x0, m0), p1 = U_OP(mul_epu32)(x2, m1);
            x0 = U_XOR(U_XOR(U_OP(srli_epi64)(p1, 32), x1), U_OP(set1_epi64)(k0));
            x2 = U_XOR(U_XOR(U_OP(srli_epi64)(p0, 32), x3), U_OP(set1_epi64)(k1));
            x1 = p1;
            x3 = p0;
        }
        U front = U_JOIN(x0, x1), back = U_JOIN(x2, x3);
        U_STORE(out, U_ZIP_LOW(front, back));
        U_STORE(out + V_BYTES / 4, U_ZIP_HIGH(front, back));
        counter = U_OP(add_epi64)(counter, U_OP(set1_epi64)(V_BYTES / 8));
    }
#else
    for (ptrdiff_t i = 0; i < n; i++)
        philox(out + 4 * i, c + (uint64_t)i, draw, seed);
#endif
}

#define WORDS(n) ((n) + 32) /* room for n words that do not begin at a counter */

/* n words from word `skip` of counter c on; returns where in `room`, which has WORDS(n), they begin. */
static inline const uint32_t *words_of(uint32_t *room, uint64_t seed, uint64_t draw, uint64_t c,
                                       ptrdiff_t skip, ptrdiff_t n)
{
    philox_fill(room, seed, draw, c, (skip + n + 3) / 4);
    return room + skip;
}

/* n <= FL_CHUNK words from word e on. */
static inline const uint32_t *words_from(uint32_t *room, uint64_t seed, uint64_t draw, uint64_t e,
                                         ptrdiff_t n)
{
    return words_of(room, seed, draw, e / 4, (ptrdiff_t)(e % 4), n);
}

static void bits_chunk(uint32_t *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t lo,
                       ptrdiff_t hi)
{
    uint32_t room[WORDS(FL_CHUNK)];
    const uint32_t *word = words_from(room, seed, draw, offset + (uint64_t)lo, hi - lo);
    memcpy(out + lo, word, (size_t)(hi - lo) * sizeof *out);
}

static void random_bits(uint32_t *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start,
                        ptrdiff_t stop)
{
    FOR_CHUNKS(bits_chunk(out, seed, draw, offset, lo, hi));
}
