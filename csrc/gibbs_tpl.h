/* What a Gibbs step does element by element: bias, sigmoid, samples. */

/* Runs `statement` for e in lo..hi with j = e % h, the column of e, row piece by row piece. */
#define FOR_COLUMNS(statement)                                                                               \
    for (ptrdiff_t e0 = lo, j0 = lo % h, e1; e0 < hi; e0 = e1, j0 = 0) {                                     \
        e1 = e0 + h - j0 < hi ? e0 + h - j0 : hi;                                                            \
        const REAL *row_bias = bias + j0;                                                                    \
        INDEPENDENT                                                                                          \
        for (ptrdiff_t e = e0; e < e1; e++) {                                                                \
            REAL x = a[e] + row_bias[e - e0];                                                                \
            statement;                                                                                       \
        }                                                                                                    \
    }

static inline REAL sigmoid_of(REAL x)
{
    REAL y = exp_of(x < 0 ? x : -x); /* in 0..1: nothing overflows */
    return (x < 0 ? y : (REAL)1) / (1 + y);
}

/* A word as a number in [0, 1) for comparisons. */
static inline REAL unit(uint32_t word)
{
#if REAL_BITS == 32
    return (REAL)(int32_t)(word >> 8) * 0x1p-24f;
#else
    return (REAL)(int32_t)(word ^ 0x80000000u) * 0x1p-32 + 0.5;
#endif
}

static void add_bias_chunk(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t lo,
                           ptrdiff_t hi)
{
    FOR_COLUMNS(out[e] = x)
}

static void sigmoid_chunk(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t lo, ptrdiff_t hi)
{
    FOR_COLUMNS(out[e] = sigmoid_of(x))
}

static void sample_chunk(REAL *p, REAL *s, const REAL *a, const REAL *bias, ptrdiff_t h, uint64_t seed,
                         uint64_t draw, uint64_t offset, ptrdiff_t lo, ptrdiff_t hi)
{
    uint32_t room[WORDS(FL_CHUNK)];
    const uint32_t *word = words_from(room, seed, draw, offset + (uint64_t)lo, hi - lo);
    FOR_COLUMNS(REAL y = sigmoid_of(x); p[e] = y; s[e] = unit(word[e - lo]) < y ? (REAL)1 : (REAL)0)
}

static void bernoulli_chunk(REAL *s, const REAL *p, uint64_t seed, uint64_t draw, uint64_t offset,
                            ptrdiff_t lo, ptrdiff_t hi)
{
    uint32_t room[WORDS(FL_CHUNK)];
    const uint32_t *word = words_from(room, seed, draw, offset + (uint64_t)lo, hi - lo);
    INDEPENDENT
    for (ptrdiff_t e = lo; e < hi; e++)
        s[e] = unit(word[e - lo]) < p[e] ? (REAL)1 : (REAL)0;
}

static void dropout_chunk(REAL *out, const REAL *a, REAL rate, REAL scale, uint64_t seed, uint64_t draw,
                          uint64_t offset, ptrdiff_t lo, ptrdiff_t hi)
{
    uint32_t room[WORDS(FL_CHUNK)];
    const uint32_t *word = words_from(room, seed, draw, offset + (uint64_t)lo, hi - lo);
    INDEPENDENT
    for (ptrdiff_t e = lo; e < hi; e++)
        out[e] = unit(word[e - lo]) < rate ? (REAL)0 : scale * a[e];
}

/* u = the uniform numbers of n <= FL_CHUNK + 2 elements from e on. */
static void uniform_fill(REAL *u, uint64_t seed, uint64_t draw, uint64_t e, ptrdiff_t n)
{
#if REAL_BITS == 32
    uint32_t room[WORDS(FL_CHUNK)];
    const uint32_t *word = words_from(room, seed, draw, e, n);
    for (ptrdiff_t i = 0; i < n; i++)
        u[i] = unit(word[i]);
#else
    uint32_t room[WORDS(2 * FL_CHUNK)];
    const uint32_t *word = words_of(room, seed, draw, e / 2, (ptrdiff_t)(2 * (e % 2)), 2 * n);
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t bits = ((uint64_t)word[2 * i] << 32 | word[2 * i + 1]) >> 12;
        u[i] = from_bits(bits | 0x3ff0000000000000u) - 1;
    }
#endif
}

static void uniform_chunk(REAL *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t lo,
                          ptrdiff_t hi)
{
    uniform_fill(out + lo, seed, draw, offset + (uint64_t)lo, hi - lo);
}

static void normal_chunk(REAL *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t lo, ptrdiff_t hi)
{
    REAL u[FL_CHUNK + 2];
    uint64_t e = offset + (uint64_t)lo;
    ptrdiff_t skip = (ptrdiff_t)(e % 2), pairs = (skip + hi - lo + 1) / 2;
    uniform_fill(u, seed, draw, e - (uint64_t)skip, 2 * pairs);
    for (ptrdiff_t i = 0; i < pairs; i++) {
        REAL r = SQRT(-2 * log_of(1 - u[2 * i])), c, s;
        cos_sin(&c, &s, u[2 * i + 1]);
        u[2 * i] = r * c;
        u[2 * i + 1] = r * s;
    }
    memcpy(out + lo, u + skip, (size_t)(hi - lo) * sizeof *out);
}

static void add_bias(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop)
{
    FOR_CHUNKS(add_bias_chunk(out, a, bias, h, lo, hi));
}

static void sigmoid(REAL *out, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop)
{
    FOR_CHUNKS(sigmoid_chunk(out, a, bias, h, lo, hi));
}

static void sigmoid_sample(REAL *p, REAL *s, const REAL *a, const REAL *bias, ptrdiff_t h, uint64_t seed,
                           uint64_t draw, uint64_t offset, ptrdiff_t start, ptrdiff_t stop)
{
    FOR_CHUNKS(sample_chunk(p, s, a, bias, h, seed, draw, offset, lo, hi));
}

static void bernoulli(REAL *s, const REAL *p, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start,
                      ptrdiff_t stop)
{
    FOR_CHUNKS(bernoulli_chunk(s, p, seed, draw, offset, lo, hi));
}

static void dropout(REAL *out, const REAL *a, double rate, uint64_t seed, uint64_t draw, uint64_t offset,
                    ptrdiff_t start, ptrdiff_t stop)
{
    const REAL share = (REAL)rate, scale = (REAL)(1 / (1 - rate));
    FOR_CHUNKS(dropout_chunk(out, a, share, scale, seed, draw, offset, lo, hi));
}

static void uniform(REAL *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start, ptrdiff_t stop)
{
    FOR_CHUNKS(uniform_chunk(out, seed, draw, offset, lo, hi));
}

static void normal(REAL *out, uint64_t seed, uint64_t draw, uint64_t offset, ptrdiff_t start, ptrdiff_t stop)
{
    FOR_CHUNKS(normal_chunk(out, seed, draw, offset, lo, hi));
}
