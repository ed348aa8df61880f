/* out = alpha op(a) op(b) + beta out by the definition in fl.h, in tiles of TILE_ROWS x 2 vectors held in
 * registers.
 *
 * Works on a share of the rows at a time. For each block of FL_BLOCK k it copies those rows of op(a) into L2;
 * then for each panel of PANEL columns it copies the panel of op(b) into L1 and walks down the rows, tile by
 * tile. Between blocks, totals wait in out, or in work where out is still needed (beta) or too narrow. Slim
 * products go without copies.
 */

#define PANEL (2 * LANES)
#define GROUP 8 /* panels at a time if totals wait in work */
#define TILES (REAL_BITS == 32 ? 36 : 18)
#define SHARE (TILE_ROWS * TILES)                         /* rows at a time */
#define A_STRIDE (FL_BLOCK + 64 / (int)sizeof(REAL))      /* of copied rows of a: no power of two */
#define A_WIDTH ((TILE_ROWS + LANES - 1) / LANES * LANES) /* of copied tiles of transposed a */
#define A_SIZE                                                                                               \
    (TILES * (TILE_ROWS * A_STRIDE > FL_BLOCK * A_WIDTH ? TILE_ROWS * A_STRIDE : FL_BLOCK * A_WIDTH))
#define WORK (FL_BLOCK * PANEL + A_SIZE + SHARE * GROUP * PANEL)

/* Where part t of `parts` even parts of m begins. */
#define PART(t, parts, m) ((t) * (m) / (parts))

/* packed (k, PANEL) = op(b)[l, j] for j < n; what it holds for n <= j < PANEL does not matter. */
static void pack_b(REAL *packed, const REAL *b, ptrdiff_t ldb, int trans_b, ptrdiff_t k, ptrdiff_t n)
{
    ptrdiff_t l = 0;
    if (!trans_b &&
        ldb + n >= PANEL) /* a panel that is too wide reads on into the next row, which the last has not */
        for (; l < (n < PANEL ? k - 1 : k); l++) {
            V x = V_LOAD(b + l * ldb), y = V_LOAD(b + l * ldb + LANES);
            V_STORE(packed + l * PANEL, x);
            V_STORE(packed + l * PANEL + LANES, y);
        }
#ifdef V_ZIP_LOW
    if (trans_b) /* squares of LANES x LANES, transposed by zipping rows i and i + LANES / 2, log2(LANES)
                    times */
        for (; l + LANES <= k; l += LANES)
            for (int half = 0; half < PANEL && half < n; half += LANES) {
                V x[LANES], y[LANES];
                UNROLL
                for (int i = 0; i < LANES; i++)
                    x[i] = V_LOAD(b + (half + i < n ? half + i : n - 1) * ldb + l);
                UNROLL
                for (int step = 1; step < LANES; step *= 2) {
                    UNROLL
                    for (int i = 0; i < LANES / 2; i++) {
                        y[2 * i] = V_ZIP_LOW(x[i], x[i + LANES / 2]);
                        y[2 * i + 1] = V_ZIP_HIGH(x[i], x[i + LANES / 2]);
                    }
                    UNROLL
                    for (int i = 0; i < LANES; i++)
                        x[i] = y[i];
                }
                UNROLL
                for (int i = 0; i < LANES; i++)
                    V_STORE(packed + (l + i) * PANEL + half, x[i]);
            }
#endif
    for (; l < k; l++)
        for (ptrdiff_t j = 0; j < PANEL; j++)
            packed[l * PANEL + j] = j >= n ? 0 : trans_b ? b[j * ldb + l] : b[l * ldb + j];
}

/* m rows of op(a), k deep: as rows of A_STRIDE, or (transposed) as tiles of k x A_WIDTH. */
static void pack_a(REAL *packed, const REAL *a, ptrdiff_t lda, int trans_a, ptrdiff_t m, ptrdiff_t k,
                   ptrdiff_t tiles)
{
    if (!trans_a) {
        for (ptrdiff_t i = 0; i < m; i++)
            memcpy(packed + i * A_STRIDE, a + i * lda, (size_t)k * sizeof *a);
        return;
    }
    for (ptrdiff_t l = 0; l < k; l++)
        for (ptrdiff_t t = 0; t < tiles; t++) {
            ptrdiff_t i0 = PART(t, tiles, m), i1 = PART(t + 1, tiles, m);
            const REAL *from = a + l * lda + i0;
            REAL *to = packed + (t * FL_BLOCK + l) * A_WIDTH;
            if (i0 + A_WIDTH <= (l + 1 < k ? lda + m : m))
                memcpy(to, from, A_WIDTH * sizeof *to);
            else
                for (ptrdiff_t i = 0; i < i1 - i0; i++)
                    to[i] = from[i];
        }
}

/* Asks the memory for part `part` of `parts` of m rows of n numbers, which will be copied soon. */
static inline void ask(const REAL *a, ptrdiff_t lda, ptrdiff_t m, ptrdiff_t n, ptrdiff_t part,
                       ptrdiff_t parts)
{
    for (ptrdiff_t i = PART(part, parts, m); i < PART(part + 1, parts, m); i++)
        for (ptrdiff_t j = 0; j < n; j += 64 / (ptrdiff_t)sizeof *a)
            __builtin_prefetch(a + i * lda + j, 0, 2);
}

/* What a tile does with its sums. */
typedef struct {
    REAL *total, *out; /* out: NULL unless this is the last block */
    ptrdiff_t ldt, ldo, width;
    int first; /* block: there are no totals yet */
    REAL alpha, beta;
} Target;

#define EACH_SUM(statement)                                                                                  \
    {                                                                                                        \
        UNROLL                                                                                               \
        for (int i = 0; i < rows; i++) {                                                                     \
            UNROLL                                                                                           \
            for (int j = 0; j < vectors; j++) {                                                              \
                V x = sum[i][j];                                                                             \
                statement;                                                                                   \
                sum[i][j] = x;                                                                               \
            }                                                                                                \
        }                                                                                                    \
    }

/* Sums (rows, vectors) over k of one block, added to the totals; the first four are constants where it is
 * inlined. */
static inline __attribute__((always_inline)) void tile(const int rows, const int vectors, const ptrdiff_t row,
                                                       const ptrdiff_t column, const REAL *a, const REAL *b,
                                                       ptrdiff_t k, const Target *to)
{
    V sum[TILE_ROWS][2];
    UNROLL
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = V_ALL(0);
    for (ptrdiff_t l = 0; l < k; l++) {
        V b0 = V_LOAD(b + l * PANEL), b1 = vectors > 1 ? V_LOAD(b + l * PANEL + LANES) : b0;
        UNROLL
        for (int i = 0; i < rows; i++) {
            V x = V_ALL(a[i * row + l * column]);
            sum[i][0] = V_FMA(x, b0, sum[i][0]);
            if (vectors > 1)
                sum[i][1] = V_FMA(x, b1, sum[i][1]);
        }
    }
    const Target t = *to;
    if (!t.first)
        EACH_SUM(x = V_ADD(V_LOAD(t.total + i * t.ldt + j * LANES), x))
    if (t.out == NULL || t.width < vectors * LANES) {
        EACH_SUM(V_STORE(t.total + i * t.ldt + j * LANES, x))
    } else if (t.beta == 0) {
        EACH_SUM(V_STORE(t.out + i * t.ldo + j * LANES, V_MUL(V_ALL(t.alpha), x)))
    } else
        EACH_SUM(REAL *out = t.out + i * t.ldo + j * LANES;
                 V_STORE(out, V_ADD(V_MUL(V_ALL(t.alpha), x), V_MUL(V_ALL(t.beta), V_LOAD(out)))))
}

#define CASE(r)                                                                                              \
    case r:                                                                                                  \
        if (to->width <= LANES && trans_a)                                                                   \
            tile(r, 1, 1, A_WIDTH, a, b, k, to);                                                             \
        else if (to->width <= LANES)                                                                         \
            tile(r, 1, A_STRIDE, 1, a, b, k, to);                                                            \
        else if (trans_a)                                                                                    \
            tile(r, 2, 1, A_WIDTH, a, b, k, to);                                                             \
        else                                                                                                 \
            tile(r, 2, A_STRIDE, 1, a, b, k, to);                                                            \
        break;

static void tile_of(int rows, int trans_a, const REAL *a, const REAL *b, ptrdiff_t k, const Target *to)
{
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if TILE_ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(14)
#endif
    }
    if (to->out && to->width % LANES != 0) /* too narrow for vectors: the totals lie in work */
        for (int i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < to->width; j++) {
                REAL x = to->alpha * to->total[i * to->ldt + j], *out = to->out + i * to->ldo + j;
                *out = to->beta == 0 ? x : x + to->beta * *out;
            }
}

/* gemm for m <= SHARE rows; where totals wait in work, n <= GROUP * PANEL columns. */
static void share(REAL *out, ptrdiff_t ldo, const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb,
                  ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a, int trans_b, REAL alpha, REAL beta,
                  REAL *work)
{
    REAL *bs = work, *as = bs + FL_BLOCK * PANEL, *totals = as + A_SIZE;
    int wait_in_work = k > FL_BLOCK && beta != 0;
    ptrdiff_t tiles = (m + TILE_ROWS - 1) / TILE_ROWS;
    for (ptrdiff_t l = 0; l == 0 || l < k; l += FL_BLOCK) {
        ptrdiff_t depth = k - l < FL_BLOCK ? k - l : FL_BLOCK;
        int last = l + FL_BLOCK >= k;
        pack_a(as, a + (trans_a ? l * lda : l), lda, trans_a, m, depth, tiles);
        for (ptrdiff_t j = 0; j < n; j += PANEL) {
            ptrdiff_t width = n - j < PANEL ? n - j : PANEL;
            const REAL *panel = b + (trans_b ? j * ldb + l : l * ldb + j);
            const REAL *next = panel + (trans_b ? PANEL * ldb : PANEL);
            pack_b(bs, panel, ldb, trans_b, depth, width);
            for (ptrdiff_t t = 0; t < tiles; t++) {
                ptrdiff_t r0 = PART(t, tiles, m), r1 = PART(t + 1, tiles, m);
                REAL *to = out + r0 * ldo + j;
                Target target = {to, last ? to : NULL, ldo, ldo, width, l == 0, alpha, beta};
                if (wait_in_work || width % LANES != 0) {
                    target.total = totals + ((wait_in_work ? j / PANEL : 0) * SHARE + r0) * PANEL;
                    target.ldt = PANEL;
                }
                if (j + 2 * PANEL <= n)
                    ask(next, ldb, trans_b ? PANEL : depth, trans_b ? depth : PANEL, t, tiles);
                tile_of((int)(r1 - r0), trans_a, as + (trans_a ? t * FL_BLOCK * A_WIDTH : r0 * A_STRIDE), bs,
                        depth, &target);
            }
        }
    }
}

/* Few rows, or short sums: what is copied above would be read but once or twice. */
#define SLIM 4
#define SLIM_VECTORS (V_BYTES == 64 ? 4 : 2)

static inline
    __attribute__((always_inline)) void slim_tile(const int rows, const int vectors, REAL *out, ptrdiff_t ldo,
                                                  const REAL *a, ptrdiff_t row, ptrdiff_t column,
                                                  const REAL *b, ptrdiff_t ldb, ptrdiff_t k, REAL alpha)
{
    V total[2][SLIM_VECTORS], sum[2][SLIM_VECTORS];
    int first = 1;
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int j = 0; j < vectors; j++)
        total[i][j] = V_ALL(0);
    for (ptrdiff_t l0 = 0; l0 == 0 || l0 < k; l0 += FL_BLOCK) {
        const ptrdiff_t end = k - l0 < FL_BLOCK ? k : l0 + FL_BLOCK;
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
        for (int j = 0; j < vectors; j++)
            sum[i][j] = V_ALL(0);
        for (ptrdiff_t l = l0; l < end; l++) {
            V x[SLIM_VECTORS];
            UNROLL
            for (int j = 0; j < vectors; j++)
                x[j] = V_LOAD(b + l * ldb + j * LANES);
            UNROLL
            for (int i = 0; i < rows; i++) {
                V scale = V_ALL(a[i * row + l * column]);
                UNROLL
                for (int j = 0; j < vectors; j++)
                    sum[i][j] = V_FMA(scale, x[j], sum[i][j]);
            }
        }
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
        for (int j = 0; j < vectors; j++)
            total[i][j] = first ? sum[i][j] : V_ADD(total[i][j], sum[i][j]);
        first = 0;
    }
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int j = 0; j < vectors; j++)
        V_STORE(out + i * ldo + j * LANES, V_MUL(V_ALL(alpha), total[i][j]));
}

static inline __attribute__((always_inline)) void slim_rows(const int rows, REAL *out, ptrdiff_t ldo,
                                                            const REAL *a, ptrdiff_t row, ptrdiff_t column,
                                                            const REAL *b, ptrdiff_t ldb, ptrdiff_t n,
                                                            ptrdiff_t k, REAL alpha)
{
    ptrdiff_t j = 0;
    for (; j + SLIM_VECTORS * LANES <= n; j += SLIM_VECTORS * LANES)
        slim_tile(rows, SLIM_VECTORS, out + j, ldo, a, row, column, b + j, ldb, k, alpha);
    for (; j + LANES <= n; j += LANES)
        slim_tile(rows, 1, out + j, ldo, a, row, column, b + j, ldb, k, alpha);
    if (j < n) /* some columns twice: the same sums */
        slim_tile(rows, 1, out + n - LANES, ldo, a, row, column, b + n - LANES, ldb, k, alpha);
}

static void gemm(REAL *out, ptrdiff_t ldo, const REAL *a, ptrdiff_t lda, const REAL *b, ptrdiff_t ldb,
                 ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a, int trans_b, double alpha, double beta,
                 REAL *work)
{
    if ((m <= SLIM || k <= SLIM) && n >= LANES && !trans_b && (REAL)beta == 0) {
        const ptrdiff_t row = trans_a ? 1 : lda, column = trans_a ? lda : 1;
        ptrdiff_t i = 0;
        for (; i + 2 <= m; i += 2)
            slim_rows(2, out + i * ldo, ldo, a + i * row, row, column, b, ldb, n, k, (REAL)alpha);
        if (i < m)
            slim_rows(1, out + i * ldo, ldo, a + i * row, row, column, b, ldb, n, k, (REAL)alpha);
        return;
    }
    ptrdiff_t group = k > FL_BLOCK && (REAL)beta != 0 ? GROUP * PANEL : n > 0 ? n : 1;
    ptrdiff_t shares = (m + SHARE - 1) / SHARE;
    for (ptrdiff_t j = 0; j < n; j += group)
        for (ptrdiff_t s = 0; s < shares; s++) {
            ptrdiff_t i0 = PART(s, shares, m), i1 = PART(s + 1, shares, m);
            share(out + i0 * ldo + j, ldo, a + (trans_a ? i0 : i0 * lda), lda, b + (trans_b ? j * ldb : j),
                  ldb, i1 - i0, n - j < group ? n - j : group, k, trans_a, trans_b, (REAL)alpha, (REAL)beta,
                  work);
        }
}

#undef CASE
