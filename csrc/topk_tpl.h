/* The k largest of each row. */

#define KEY_MAX ((INT)(((UINT)1 << (REAL_BITS - 1)) - 1))
#define KEY_MIN (-KEY_MAX - 1) /* below the key of every number */
#define PAD 64                 /* keys beyond the last that may be written */

/* The order of numbers as that of integers: NaN above everything, -0 = +0. */
static inline INT key_of(REAL x)
{
    UINT u = to_bits(x + 0); /* -0 + 0 = +0 */
    INT key = (INT)(u ^ ((UINT)((INT)u >> (REAL_BITS - 1)) & (UINT)KEY_MAX));
    return x == x ? key : KEY_MAX;
}

/* The number of a key; NaN for keys that no number has. */
static inline REAL number_of(INT key)
{
    return from_bits((UINT)key ^ ((UINT)(key >> (REAL_BITS - 1)) & (UINT)KEY_MAX));
}

#if V_BYTES == 64 && REAL_BITS == 32
#define ABOVE(p, t) _mm512_cmpgt_epi32_mask(_mm512_loadu_si512(p), t)
#define ALL_KEYS(t) _mm512_set1_epi32(t)
#define BITS(x) _mm512_castps_si512(x)
#define SIGNS(u) _mm512_srai_epi32(u, 31)
#define KEY_OF_NAN(key, x, max) _mm512_mask_mov_epi32(key, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), max)
#define PACK(p, mask, x) _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(mask, x))
#define PACK_COLUMNS PACK
#define COLUMNS __m512i
#define COLUMNS_LOAD(p) _mm512_loadu_si512(p)
#define COLUMNS_FROM(j)                                                                                      \
    _mm512_add_epi32(_mm512_set1_epi32(j),                                                                   \
                     _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define NOT_BELOW(x, bound) _mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ)
#elif V_BYTES == 64
#define ABOVE(p, t) _mm512_cmpgt_epi64_mask(_mm512_loadu_si512(p), t)
#define ALL_KEYS(t) _mm512_set1_epi64(t)
#define BITS(x) _mm512_castpd_si512(x)
#define SIGNS(u) _mm512_srai_epi64(u, 63)
#define KEY_OF_NAN(key, x, max) _mm512_mask_mov_epi64(key, _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q), max)
#define PACK(p, mask, x) _mm512_storeu_si512(p, _mm512_maskz_compress_epi64(mask, x))
#define PACK_COLUMNS(p, mask, x) _mm256_storeu_si256((__m256i *)(p), _mm256_maskz_compress_epi32(mask, x))
#define COLUMNS __m256i
#define COLUMNS_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define COLUMNS_FROM(j) _mm256_add_epi32(_mm256_set1_epi32(j), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define NOT_BELOW(x, bound) _mm512_cmp_pd_mask(x, bound, _CMP_NLT_UQ)
#elif V_BYTES == 32 && REAL_BITS == 32
#define NOT_BELOW(x, bound) _mm256_movemask_ps(_mm256_cmp_ps(x, bound, _CMP_NLT_UQ))
#elif V_BYTES == 32
#define NOT_BELOW(x, bound) _mm256_movemask_pd(_mm256_cmp_pd(x, bound, _CMP_NLT_UQ))
#endif

/* The larger of x and y; y where x is NaN. */
#if V_BYTES > 16
#define V_MAX(x, y) V_OP(max)(x, y)
#else
static inline V vector_max(V x, V y)
{
    for (int i = 0; i < LANES; i++)
        x[i] = x[i] > y[i] ? x[i] : y[i];
    return x;
}
#define V_MAX(x, y) vector_max(x, y)
#endif

static inline V biased(const REAL *a, const REAL *bias, ptrdiff_t j)
{
    return bias ? V_ADD(V_LOAD(a + j), V_LOAD(bias + j)) : V_LOAD(a + j);
}

#ifdef PACK
static inline __m512i keys_of(V x)
{
    const __m512i max = ALL_KEYS(KEY_MAX);
    __m512i u = BITS(V_ADD(x, V_ALL(0)));
    return KEY_OF_NAN(_mm512_xor_si512(u, _mm512_and_si512(SIGNS(u), max)), x, max);
}
#endif

/* How many of n keys lie above t; may count on to the next multiple of LANES. */
static inline ptrdiff_t count_above(const INT *keys, ptrdiff_t n, INT t)
{
#ifdef ABOVE
    const __m512i bound = ALL_KEYS(t);
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < n; i += LANES)
        count += __builtin_popcount(ABOVE(keys + i, bound));
#else
    INT count = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        count += keys[i] > t;
#endif
    return (ptrdiff_t)count;
}

/* The k largest keys: all above t, and the first `ties` that equal it. */
typedef struct {
    INT t;
    ptrdiff_t ties;
} Cut;

/* Bisection between the smallest and the largest key; stops early where k to k + slack keys lie above. 1 <= k
 * <= n. */
static Cut cut_of(INT *keys, ptrdiff_t n, ptrdiff_t k, ptrdiff_t slack)
{
    INT lo = keys[0], hi = keys[0];
    for (ptrdiff_t i = 1; i < n; i++) {
        lo = keys[i] < lo ? keys[i] : lo;
        hi = keys[i] > hi ? keys[i] : hi;
    }
    for (ptrdiff_t i = n; i < n + LANES; i++) /* so that vectors may count them */
        keys[i] = KEY_MIN;
    lo--;
    ptrdiff_t above_hi = 0; /* < k; above lo there are k or more */
    while ((UINT)hi - (UINT)lo > 1) {
        INT mid = lo + (INT)(((UINT)hi - (UINT)lo) / 2);
        ptrdiff_t above = count_above(keys, n, mid);
        if (above < k) {
            hi = mid;
            above_hi = above;
        } else {
            lo = mid;
            if (above <= k + slack)
                return (Cut){mid, 0};
        }
    }
    return (Cut){hi, k - above_hi};
}

/* Leaves the k largest of n candidates, in their order; the k-th is above or at the key returned. */
static INT keep(INT *keys, int32_t *columns, ptrdiff_t n, ptrdiff_t k)
{
    Cut cut = cut_of(keys, n, k, 0);
    INT t = cut.t;
    ptrdiff_t kept = 0, i = 0;
#ifdef PACK
    const __m512i all = ALL_KEYS(t);
    for (; cut.ties == 0 && kept < k; i += LANES) {
        unsigned above = ABOVE(keys + i, all);
        COLUMNS column = COLUMNS_LOAD(columns + i);
        PACK(keys + kept, above, _mm512_loadu_si512(keys + i));
        PACK_COLUMNS(columns + kept, above, column);
        kept += __builtin_popcount(above);
    }
#endif
    for (; kept < k; i++) {
        INT key = keys[i];
        int tie = (key == t) & (cut.ties > 0);
        keys[kept] = key;
        columns[kept] = columns[i];
        kept += (key > t) | tie;
        cut.ties -= tie;
    }
    return t;
}

static inline ptrdiff_t room_for(ptrdiff_t h, ptrdiff_t k)
{
    ptrdiff_t wanted = k > 64 ? 4 * k : 256;
    return (wanted < h ? wanted : h) + PAD;
}

static ptrdiff_t top_k_bytes(ptrdiff_t h, ptrdiff_t k)
{
    return (room_for(h, k) + PAD) * (ptrdiff_t)(sizeof(INT) + sizeof(int32_t));
}

/* A key that k keys of the n numbers lie above: columns are dealt to >= 2.5 k blocks, and of the blocks'
 * largest numbers k lie above it. KEY_MIN where there are too few numbers. */
static INT first_bound(INT *keys, const REAL *a, const REAL *bias, ptrdiff_t n, ptrdiff_t k)
{
    const ptrdiff_t wide = 4 * LANES, blocks = (k * 5 / 2 + wide) / wide * wide;
    if (blocks > n / 2)
        return KEY_MIN;
    for (ptrdiff_t b = 0; b < blocks; b += wide) {
        V top[4];
        REAL x[4 * LANES];
        UNROLL
        for (int v = 0; v < 4; v++)
            top[v] = biased(a, bias, b + v * LANES);
        for (ptrdiff_t j = b + blocks; j + wide <= n; j += blocks) {
            UNROLL
            for (int v = 0; v < 4; v++)
                top[v] = V_MAX(biased(a, bias, j + v * LANES), top[v]);
        }
        UNROLL
        for (int v = 0; v < 4; v++)
            V_STORE(x + v * LANES, top[v]);
        for (ptrdiff_t i = 0; i < wide; i++)
            keys[b + i] = key_of(x[i]);
    }
    Cut cut = cut_of(keys, blocks, k, k / 8);
    return cut.ties ? cut.t - 1 : cut.t;
}

/* Bit i: a[i] (+ bias[i]) is not below the bound; NaN is below nothing. n <= 64. */
static inline uint64_t not_below(const REAL *a, const REAL *bias, REAL bound, ptrdiff_t n)
{
    uint64_t bits = 0;
#ifdef NOT_BELOW
    if (n == 64) {
        const V all = V_ALL(bound);
        UNROLL
        for (int i = 0; i < 64; i += LANES) {
            bits |= (uint64_t)(uint32_t)NOT_BELOW(biased(a, bias, i), all) << i;
        }
        return bits;
    }
#endif
    for (ptrdiff_t i = 0; i < n; i++)
        bits |= (uint64_t)!((bias ? a[i] + bias[i] : a[i]) < bound) << i;
    return bits;
}

/* What is not below a bound becomes a candidate; when there are too many of them, the k largest stay and
 * raise the bound. The first bound comes from block maxima, so that few pass. */
static ptrdiff_t top_k(int32_t *index, REAL *value, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t k,
                       ptrdiff_t start, ptrdiff_t stop, ptrdiff_t held, void *work)
{
    const ptrdiff_t room = room_for(h, k);
    INT *keys = work, t = KEY_MIN; /* what is not above t cannot be among the k largest */
    int32_t *columns = (int32_t *)(keys + room + PAD);
    if (start == 0)
        t = first_bound(keys, a, bias, stop, k);
    else if (held >= k) {
        t = keep(keys, columns, held, k);
        held = k;
    }
    for (ptrdiff_t j = start; j < stop && t < KEY_MAX; j += 64) {
        if (held + 64 > room) {
            t = keep(keys, columns, held, k);
            held = k;
            if (t == KEY_MAX)
                break;
        }
        uint64_t bits =
            not_below(a + j, bias ? bias + j : NULL, number_of(t + 1), stop - j < 64 ? stop - j : 64);
#ifdef PACK
        if (bits && stop - j >= 64) { /* without branches: which bits are set cannot be foretold */
            UNROLL
            for (int v = 0; v < 64; v += LANES) {
                unsigned mask = (unsigned)(bits >> v) & ((1u << LANES) - 1);
                PACK(keys + held, mask, keys_of(biased(a, bias, j + v)));
                PACK_COLUMNS(columns + held, mask, COLUMNS_FROM((int32_t)j + v));
                held += __builtin_popcount(mask);
            }
            continue;
        }
#endif
        for (; bits; bits &= bits - 1) {
            ptrdiff_t i = j + __builtin_ctzll(bits);
            keys[held] = key_of(bias ? a[i] + bias[i] : a[i]);
            columns[held++] = (int32_t)i;
        }
    }
    if (stop == h) {
        if (held > k)
            keep(keys, columns, held, k);
        for (ptrdiff_t i = 0; i < k; i++) {
            int32_t j = columns[i];
            index[i] = j;
            value[i] = bias ? a[j] + bias[j] : a[j];
        }
    }
    return held;
}
