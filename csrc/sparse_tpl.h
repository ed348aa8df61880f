/* Products with sparse codes (CSR). */

#define STRIP 256 /* columns at a time: their sums, and rows that features share, stay in cache */
#define TERMS 8   /* rows added at a time */
#define DOT_VECTORS (16 / LANES)
#define DOTS (DOT_VECTORS > 8 ? 1 : 8 / DOT_VECTORS) /* products at a time: enough sums to keep fma busy */

/* sum (d) = (first ? 0 : sum) + x[0] row[0] + ... , by fma in order; `terms` is a constant where it is
 * inlined. */
static inline __attribute__((always_inline)) void add_terms(REAL *sum, const REAL *x, const REAL *const *row,
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

#define CASE(n)                                                                                              \
    case n: add_terms(sum, x, row, n, first, d); break;

static void add_rows(REAL *sum, const REAL *x, const REAL *const *row, int terms, int first, ptrdiff_t d)
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

static void sparse_decode(REAL *out, const int64_t *begin, const int32_t *index, const REAL *value,
                          const REAL *F, const REAL *bias, ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
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
            add_rows(to, value + e, row, terms, e == e0, d);
            e += terms;
        } while (e < e1);
        if (bias)
            for (ptrdiff_t j = 0; j < d; j++)
                to[j] += bias[j];
    }
}

/* The products of `dots` rows of F with r; `dots` is a constant where it is inlined. */
static inline __attribute__((always_inline)) void dot_rows(REAL *out, const int32_t *index, const REAL *r,
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

static void sparse_dot(REAL *out, const int64_t *begin, const int32_t *index, const REAL *R, const REAL *F,
                       ptrdiff_t d, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i++) {
        int64_t e = begin[i];
        for (; e + DOTS <= begin[i + 1]; e += DOTS)
            dot_rows(out + e, index + e, R + i * d, F, DOTS, d);
        for (; e < begin[i + 1]; e++)
            dot_rows(out + e, index + e, R + i * d, F, 1, d);
    }
}

static void sort_entries(int64_t *next, int64_t *row, REAL *x, REAL *y, const int64_t *begin,
                         const int32_t *index, const REAL *value, const REAL *delta, ptrdiff_t start,
                         ptrdiff_t stop)
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

/* total (d) = the sum of entries e0..e1 of one feature, block by block; each entry has one or two terms. */
static void feature_sum(REAL *total, const int64_t *row, const REAL *x, const REAL *y, const REAL *R,
                        const REAL *X, ptrdiff_t ld, int64_t e0, int64_t e1, ptrdiff_t d)
{
    const int each = y ? 2 : 1;
    REAL block[STRIP], *sum = total; /* the first block's sum is made in its place */
    int64_t e = e0;
    do {
        const int64_t begin = e, next = e < e1 ? row[e] / FL_BLOCK * FL_BLOCK + FL_BLOCK : 0;
        do {
            const REAL *from[TERMS];
            REAL factor[TERMS];
            int first = e == begin, terms = 0;
            for (; e < e1 && row[e] < next && terms < TERMS; e++, terms += each) {
                factor[terms] = x[e];
                from[terms] = R + row[e] * ld;
                if (y) {
                    factor[terms + 1] = y[e];
                    from[terms + 1] = X + row[e] * ld;
                }
            }
            add_rows(sum, factor, from, terms, first, d);
        } while (e < e1 && row[e] < next);
        if (sum == block)
            for (ptrdiff_t j = 0; j < d; j++)
                total[j] += block[j];
        sum = block;
    } while (e < e1);
}

static void sparse_gradient(REAL *G, const int64_t *end, const int64_t *row, const REAL *x, const REAL *y,
                            const REAL *R, const REAL *X, ptrdiff_t d, double alpha, double beta,
                            ptrdiff_t start, ptrdiff_t stop)
{
    REAL sum[STRIP], al = (REAL)alpha, be = (REAL)beta;
    for (ptrdiff_t j0 = 0; j0 < d; j0 += STRIP)
        for (ptrdiff_t f = start; f < stop; f++) {
            ptrdiff_t width = d - j0 < STRIP ? d - j0 : STRIP;
            REAL *out = G + f * d + j0;
            feature_sum(sum, row, x, y, R + j0, y ? X + j0 : NULL, d, f > 0 ? end[f - 1] : 0, end[f], width);
            if (be == 0)
                for (ptrdiff_t j = 0; j < width; j++)
                    out[j] = al * sum[j];
            else
                for (ptrdiff_t j = 0; j < width; j++)
                    out[j] = al * sum[j] + be * out[j];
        }
}

static void scatter_add(REAL *acc, REAL *sum, const int64_t *begin, const int32_t *index, const REAL *value,
                        ptrdiff_t h, ptrdiff_t start, ptrdiff_t stop)
{
    for (ptrdiff_t i = start; i < stop; i += FL_BLOCK) {
        ptrdiff_t next = i + FL_BLOCK < stop ? i + FL_BLOCK : stop;
        memset(sum, 0, (size_t)h * sizeof *sum);
        for (int64_t e = begin[i]; e < begin[next]; e++)
            sum[index[e]] += value[e];
        for (ptrdiff_t f = 0; f < h; f++)
            acc[f] += sum[f];
    }
}
