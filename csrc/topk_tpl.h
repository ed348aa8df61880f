/* Sparse codes: the k largest of each row, and products with the few entries that are left. */

#define KEY_MAX ((INT)(((UINT)1 << (REAL_BITS - 1)) - 1))
#define KEY_MIN (-KEY_MAX - 1) /* below the key of every number */
#define PAD 64                 /* keys beyond the last that may be written */
#define STRIP 256              /* columns at a time: their sums, and rows that features share, stay in cache */
#define TERMS 8                /* rows added at a time */
#define DOT_VECTORS (16 / LANES)
#define DOTS (DOT_VECTORS > 8 ? 1 : 8 / DOT_VECTORS) /* products at a time: enough sums to keep fma busy */

/* The order of numbers as that of integers: NaN above everything, -0 = +0. */
static inline INT FN(key)(REAL x)
{
    UINT u = FN(to_bits)(x + 0); /* -0 + 0 = +0 */
    INT key = (INT)(u ^ ((UINT)((INT)u >> (REAL_BITS - 1)) & (UINT)KEY_MAX));
    return x == x ? key : KEY_MAX;
}

/* The number of a key; NaN for keys that no number has. */
static inline REAL FN(of_key)(INT key)
{
    return FN(from_bits)((UINT)key ^ ((UINT)(key >> (REAL_BITS - 1)) & (UINT)KEY_MAX));
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
#define COLUMNS_FROM(j) \
    _mm512_add_epi32(_mm512_set1_epi32(j), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
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
static inline V FN(max)(V x, V y)
{
    for (int i = 0; i < LANES; i++)
        x[i] = x[i] > y[i] ? x[i] : y[i];
    return x;
}
#define V_MAX(x, y) FN(max)(x, y)
#endif

static inline V FN(biased)(const REAL *a, const REAL *bias, ptrdiff_t j)
{
    return bias ? V_ADD(V_LOAD(a + j), V_LOAD(bias + j)) : V_LOAD(a + j);
}

#ifdef PACK
static inline __m512i FN(keys_of)(V x)
{
    const __m512i max = ALL_KEYS(KEY_MAX);
    __m512i u = BITS(V_ADD(x, V_ALL(0)));
    return KEY_OF_NAN(_mm512_xor_si512(u, _mm512_and_si512(SIGNS(u), max)), x, max);
}
#endif

/* How many of n keys lie above t; may count on to the next multiple of LANES. */
static inline ptrdiff_t FN(count_above)(const INT *keys, ptrdiff_t n, INT t)
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
} FN(cut);

/* Bisection between the smallest and the largest key; stops early where k to k + slack keys lie above. 1 <= k <= n. */
static FN(cut) FN(cut_of)(INT *keys, ptrdiff_t n, ptrdiff_t k, ptrdiff_t slack)
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
        ptrdiff_t above = FN(count_above)(keys, n, mid);
        if (above < k) {
            hi = mid;
            above_hi = above;
        } else {
            lo = mid;
            if (above <= k + slack)
                return (FN(cut)){mid, 0};
        }
    }
    return (FN(cut)){hi, k - above_hi};
}

/* Leaves the k largest of n candidates, in their order; the k-th is above or at the key returned. */
static INT FN(keep)(INT *keys, int32_t *columns, ptrdiff_t n, ptrdiff_t k)
{
    FN(cut) cut = FN(cut_of)(keys, n, k, 0);
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

static inline ptrdiff_t FN(room)(ptrdiff_t h, ptrdiff_t k)
{
    ptrdiff_t wanted = k > 64 ? 4 * k : 256;
    return (wanted < h ? wanted : h) + PAD;
}

static ptrdiff_t FN(top_k_bytes)(ptrdiff_t h, ptrdiff_t k)
{
    return (FN(room)(h, k) + PAD) * (ptrdiff_t)(sizeof(INT) + sizeof(int32_t));
}

/* A key that k keys of the n numbers lie above: columns are dealt to >= 2.5 k blocks, and of the blocks' largest
 * numbers k lie above it. KEY_MIN where there are too few numbers. */
static INT FN(bound)(INT *keys, const REAL *a, const REAL *bias, ptrdiff_t n, ptrdiff_t k)
{
    const ptrdiff_t wide = 4 * LANES, blocks = (k * 5 / 2 + wide) / wide * wide;
    if (blocks > n / 2)
        return KEY_MIN;
    for (ptrdiff_t b = 0; b < blocks; b += wide) {
        V top[4];
        REAL x[4 * LANES];
        UNROLL
        for (int v = 0; v < 4; v++)
            top[v] = FN(biased)(a, bias, b + v * LANES);
        for (ptrdiff_t j = b + blocks; j + wide <= n; j += blocks) {
            UNROLL
            for (int v = 0; v < 4; v++)
                top[v] = V_MAX(FN(biased)(a, bias, j + v * LANES), top[v]);
        }
        UNROLL
        for (int v = 0; v < 4; v++)
            V_STORE(x + v * LANES, top[v]);
        for (ptrdiff_t i = 0; i < wide; i++)
            keys[b + i] = FN(key)(x[i]);
    }
    FN(cut) cut = FN(cut_of)(keys, blocks, k, k / 8);
    return cut.ties ? cut.t - 1 : cut.t;
}

/* Bit i: a[i] (+ bias[i]) is not below the bound; NaN is below nothing. n <= 64. */
static inline uint64_t FN(not_below)(const REAL *a, const REAL *bias, REAL bound, ptrdiff_t n)
{
    uint64_t bits = 0;
#ifdef NOT_BELOW
    if (n == 64) {
        const V all = V_ALL(bound);
        UNROLL
        for (int i = 0; i < 64; i += LANES) {
            bits |= (uint64_t)(uint32_t)NOT_BELOW(FN(biased)(a, bias, i), all) << i;
        }
        return bits;
    }
#endif
    for (ptrdiff_t i = 0; i < n; i++)
        bits |= (uint64_t) !((bias ? a[i] + bias[i] : a[i]) < bound) << i;
    return bits;
}

/* What is not below a bound becomes a candidate; when there are too many of them, the k largest stay and raise the
 * bound. The first bound comes from block maxima, so that few pass. */
static ptrdiff_t FN(top_k)(int32_t *index, REAL *value, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t k,
                           ptrdiff_t start, ptrdiff_t stop, ptrdiff_t held, void *work)
{
    const ptrdiff_t room = FN(room)(h, k);
    INT *keys = work, t = KEY_MIN; /* what is not above t cannot be among the k largest */
    int32_t *columns = (int32_t *)(keys + room + PAD);
    if (start == 0)
        t = FN(bound)(keys, a, bias, stop, k);
    else if (held >= k) {
        t = FN(keep)(keys, columns, held, k);
        held = k;
    }
    for (ptrdiff_t j = start; j < stop && t < KEY_MAX; j += 64) {
        if (held + 64 > room) {
            t = FN(keep)(keys, columns, held, k);
            held = k;
            if (t == KEY_MAX)
                break;
        }
        uint64_t bits = FN(not_below)(a + j, bias ? bias + j : NULL, FN(of_key)(t + 1), stop - j < 64 ? stop - j : 64);
#ifdef PACK
        if (bits && stop - j >= 64) { /* without branches: which bits are set cannot be foretold */
            UNROLL
            for (int v = 0; v < 64; v += LANES) {
                unsigned mask = (unsigned)(bits >> v) & ((1u << LANES) - 1);
                PACK(keys + held, mask, FN(keys_of)(FN(biased)(a, bias, j + v)));
                PACK_COLUMNS(columns + held, mask, COLUMNS_FROM((int32_t)j + v));
                held += __builtin_popcount(mask);
            }
            continue;
        }
#endif
        for (; bits; bits &= bits - 1) {
            ptrdiff_t i = j + __builtin_ctzll(bits);
            keys[held] = FN(key)(bias ? a[i] + bias[i] : a[i]);
            columns[held++] = (int32_t)i;
        }
    }
    if (stop == h) {
        if (held > k)
            FN(keep)(keys, columns, held, k);
        for (ptrdiff_t i = 0; i < k; i++) {
            int32_t j = columns[i];
            index[i] = j;
            value[i] = bias ? a[j] + bias[j] : a[j];
        }
    }
    return held;
}

/* sum (d) = (first ? 0 : sum) + x[0] row[0] + ... , by fma in order; `terms` is a constant where it is inlined. */
static inline __attribute__((always_inline)) void FN(add_terms)(REAL *sum, const REAL *x, const REAL *const *row,
                                                                const int terms, int first, ptrdiff_t d)
{
    V all[TERMS];
    const REAL *from[TERMS];
    ptrdiff_t j = 0;
    UNROLL
    for (int t = 0; t < terms; t++) {
        all[t] = V_ALL(x[t]);
        from[t] = row[t];
    }
    for (; j + LANES <= d; j += LANES) {
        V s = first ? V_ALL(0) : V_LOAD(sum + j);
        UNROLL
        for (int t = 0; t < terms; t++)
            s = V_FMA(all[t], V_LOAD(from[t] + j), s);
        V_STORE(sum + j, s);
    }
    for (; j < d; j++) {
        REAL s = first ? 0 : sum[j];
        for (int t = 0; t < terms; t++)
            s = FMA(x[t], from[t][j], s);
        sum[j] = s;
    }
}

#define CASE(n)                                                                                                     \
    case n:                                                                                                         \
        FN(add_terms)(sum, x, row, n, first, d);                                                                    \
        break;

static void FN(add_rows)(REAL *sum, const REAL *x, const REAL *const *row, int terms, int first, ptrdiff_t d)
{
    switch (terms) {
        CASE(0)
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
    }
}

#undef CASE

static void FN(sparse_decode)(REAL *out, const int64_t *begin, const int32_t *index, const REAL *value, const REAL *F,
                              const REAL *bias, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++) {
        int64_t e0 = begin[i], e1 = begin[i + 1];
        int64_t e = e0;
        REAL *to = out + i * d;
        do {
            const REAL *row[TERMS];
            int terms = e1 - e < TERMS ? (int)(e1 - e) : TERMS;
            for (int t = 0; t < terms; t++)
                row[t] = F + index[e + t] * d;
            FN(add_rows)(to, value + e, row, terms, e == e0, d);
            e += terms;
        } while (e < e1);
        if (bias)
            for (ptrdiff_t j = 0; j < d; j++)
                to[j] += bias[j];
    }
}

/* The products of `dots` rows of F with r; `dots` is a constant where it is inlined. */
static inline __attribute__((always_inline)) void FN(dot_rows)(REAL *out, const int32_t *index, const REAL *r,
                                                               const REAL *F, const int dots, ptrdiff_t d)
{
    V sum[DOTS][DOT_VECTORS];
    const REAL *row[DOTS];
    ptrdiff_t j = 0;
    UNROLL
    for (int e = 0; e < dots; e++) {
        row[e] = F + index[e] * d;
        UNROLL
        for (int v = 0; v < DOT_VECTORS; v++)
            sum[e][v] = V_ALL(0);
    }
    for (; j + 16 <= d; j += 16) {
        UNROLL
        for (int v = 0; v < DOT_VECTORS; v++) {
            V x = V_LOAD(r + j + v * LANES);
            UNROLL
            for (int e = 0; e < dots; e++)
                sum[e][v] = V_FMA(V_LOAD(row[e] + j + v * LANES), x, sum[e][v]);
        }
    }
    for (int e = 0; e < dots; e++) {
        REAL lane[16];
        for (int v = 0; v < DOT_VECTORS; v++)
            V_STORE(lane + v * LANES, sum[e][v]);
        for (int l = 0; j + l < d; l++)
            lane[l] = FMA(row[e][j + l], r[j + l], lane[l]);
        for (int half = 8; half > 0; half /= 2)
            for (int l = 0; l < half; l++)
                lane[l] += lane[l + half];
        out[e] = lane[0];
    }
}

static void FN(sparse_dot)(REAL *out, const int64_t *begin, const int32_t *index, const REAL *R, const REAL *F,
                           ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++) {
        int64_t e = begin[i];
        for (; e + DOTS <= begin[i + 1]; e += DOTS)
            FN(dot_rows)(out + e, index + e, R + i * d, F, DOTS, d);
        for (; e < begin[i + 1]; e++)
            FN(dot_rows)(out + e, index + e, R + i * d, F, 1, d);
    }
}

static void FN(sort_entries)(int64_t *next, int64_t *row, REAL *x, REAL *y, const int64_t *begin, const int32_t *index,
                             const REAL *value, const REAL *delta, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++)
        for (int64_t e = begin[i]; e < begin[i + 1]; e++) {
            int64_t to = next[index[e]]++;
            row[to] = i;
            x[to] = value[e];
            if (delta)
                y[to] = delta[e];
        }
}

static void FN(sparse_gradient)(REAL *G, const int64_t *end, const int64_t *row, const REAL *x, const REAL *y,
                                const REAL *R, const REAL *X, ptrdiff_t d, double alpha, double beta, ptrdiff_t start,
                                ptrdiff_t stop)
{
    const int each = y ? 2 : 1; /* terms of an entry */
    REAL sum[STRIP], al = (REAL)alpha, be = (REAL)beta;
    for (ptrdiff_t j0 = 0; j0 < d; j0 += STRIP)
        for (ptrdiff_t f = start; f < stop; f++) {
            int64_t e0 = f > 0 ? end[f - 1] : 0, e1 = end[f];
            ptrdiff_t width = d - j0 < STRIP ? d - j0 : STRIP;
            REAL *out = G + f * d + j0;
            int64_t e = e0;
            do {
                const REAL *from[TERMS];
                REAL factor[TERMS];
                int first = e == e0, terms = 0;
                for (; e < e1 && terms < TERMS; e++, terms += each) {
                    factor[terms] = x[e];
                    from[terms] = R + row[e] * d + j0;
                    if (y) {
                        factor[terms + 1] = y[e];
                        from[terms + 1] = X + row[e] * d + j0;
                    }
                }
                FN(add_rows)(sum, factor, from, terms, first, width);
            } while (e < e1);
            if (be == 0)
                for (ptrdiff_t j = 0; j < width; j++)
                    out[j] = al * sum[j];
            else
                for (ptrdiff_t j = 0; j < width; j++)
                    out[j] = al * sum[j] + be * out[j];
        }
}

static void FN(scatter_add)(REAL *acc, const int32_t *index, const REAL *value, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t e = start; e < stop; e++)
        acc[index[e]] += value[e];
}

#undef KEY_MAX
#undef KEY_MIN
#undef PAD
#undef STRIP
#undef TERMS
#undef DOT_VECTORS
#undef DOTS
#undef ABOVE
#undef ALL_KEYS
#undef BITS
#undef SIGNS
#undef KEY_OF_NAN
#undef PACK
#undef PACK_COLUMNS
#undef COLUMNS
#undef COLUMNS_LOAD
#undef COLUMNS_FROM
#undef NOT_BELOW
#undef V_MAX
