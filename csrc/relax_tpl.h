/* Relaxation of codes: gradient descent on the energy of fl.h, for FL_RELAX_ROWS samples at a time, which all
 * see a row of m while it is in L1. Sums over columns go by groups of 16; what is left of a row is made 16
 * wide with zeros. */

#define SAMPLES FL_RELAX_ROWS
#define DOWN FL_RELAX_BLOCK       /* rows of m at a time */
#define WIDE ((h + 15) / 16 * 16) /* distance between samples in the work space */
#define PIECES (16 / LANES)       /* vectors in a group */
#define MOST_DOWN(rows)                                                                                      \
    ((rows) == 1 ? 16 : (rows) == 2 ? 8 : (rows) <= 4 ? 4 : 2) /* so that there are <= 16 sums */
#define LEAST                                                                                                \
    ((REAL)(REAL_BITS == 32 ? -21 : -177))      /* no power of l that is needed is denormal, and so slow */
#define MANY (V_BYTES == 64 && REAL_BITS == 32) /* registers enough for several groups */

typedef struct {
    REAL *z, *l, *acc; /* (SAMPLES, WIDE) the point tried, its logistic, m'm times that */
    REAL *r;           /* (SAMPLES, DOWN) */
    REAL *rest;        /* (d, 16) the last columns of m where they are no group */
    REAL *y;           /* (SAMPLES, d) m l */
} Relaxing;

/* The sums over the lanes of up to 16 vectors, by a tree: lanes k and k + 8, then k + 4, ... of all at a
 * time. */
static inline __attribute__((always_inline)) void relax_trees(REAL *out, V (*sum)[PIECES], const int count)
{
#ifdef V_ZIP_LOW
    UNROLL
    for (int first = 0; first < count; first += LANES) {
        V x[LANES];
        UNROLL
        for (int e = 0; e < LANES; e++) {
            x[e] = V_ALL(0);
            if (first + e < count) {
                UNROLL
                for (int half = PIECES / 2; half > 0; half /= 2)
                    UNROLL
                for (int p = 0; p < half; p++)
                    sum[first + e][p] = V_ADD(sum[first + e][p], sum[first + e][p + half]);
                x[e] = sum[first + e][0];
            }
        }
        UNROLL
        for (int half = LANES / 2; half > 0; half /= 2)
            UNROLL
        for (int e = 0; e < half; e++)
            x[e] = V_ADD(V_ZIP_LOW(x[e], x[e + half]), V_ZIP_HIGH(x[e], x[e + half]));
        V_STORE(out + first, x[0]);
    }
#else
    for (int e = 0; e < count; e++) {
        REAL lane[16];
        for (int p = 0; p < PIECES; p++)
            V_STORE(lane + p * LANES, sum[e][p]);
        for (int half = 8; half > 0; half /= 2)
            for (int k = 0; k < half; k++)
                lane[k] += lane[k + half];
        out[e] = lane[0];
    }
#endif
}

/* r[s] = l[s] . row for `down` rows of m and `rows` samples, both constants: 16 interleaved sums by fma, then
 * a tree. */
static inline __attribute__((always_inline)) void relax_dots(REAL *r, const REAL *l, const REAL *m,
                                                             const REAL *rest, ptrdiff_t h, const int down,
                                                             const int rows)
{
    V sum[16][PIECES];
    REAL out[16];
    UNROLL
    for (int e = 0; e < rows * down; e++)
        UNROLL
    for (int p = 0; p < PIECES; p++)
        sum[e][p] = V_ALL(0);
    for (ptrdiff_t j = 0; j < h; j += 16) {
        const REAL *from = j + 16 <= h ? m + j : rest;
        ptrdiff_t ld = j + 16 <= h ? h : 16;
        UNROLL
        for (int p = 0; p < PIECES; p++)
            UNROLL
        for (int i = 0; i < down; i++) {
            V x = V_LOAD(from + i * ld + p * LANES);
            UNROLL
            for (int s = 0; s < rows; s++)
                sum[s * down + i][p] = V_FMA(V_LOAD(l + s * WIDE + j + p * LANES), x, sum[s * down + i][p]);
        }
    }
    relax_trees(out, sum, rows * down);
    UNROLL
    for (int s = 0; s < rows; s++)
        memcpy(r + s * DOWN, out + s * down, (size_t)down * sizeof *r);
}

/* acc[s] += the rows of m times r[s], in order by fma, in `groups` groups of columns; and one more from
 * `rest`. */
static inline __attribute__((always_inline)) void relax_add(REAL *acc, const REAL *r, const REAL *m,
                                                            const REAL *rest, ptrdiff_t count, ptrdiff_t h,
                                                            const int rows, const int groups, const int more)
{
    V sum[SAMPLES][9 * PIECES], x[9 * PIECES];
    UNROLL
    for (int s = 0; s < rows; s++)
        UNROLL
    for (int p = 0; p < (groups + more) * PIECES; p++)
        sum[s][p] = V_LOAD(acc + s * WIDE + p * LANES);
    for (ptrdiff_t i = 0; i < count; i++) {
        UNROLL
        for (int p = 0; p < groups * PIECES; p++)
            x[p] = V_LOAD(m + i * h + p * LANES);
        UNROLL
        for (int p = 0; p < more * PIECES; p++)
            x[groups * PIECES + p] = V_LOAD(rest + i * 16 + p * LANES);
        UNROLL
        for (int s = 0; s < rows; s++) {
            V scale = V_ALL(r[s * DOWN + i]);
            UNROLL
            for (int p = 0; p < (groups + more) * PIECES; p++)
                sum[s][p] = V_FMA(scale, x[p], sum[s][p]);
        }
    }
    UNROLL
    for (int s = 0; s < rows; s++)
        UNROLL
    for (int p = 0; p < (groups + more) * PIECES; p++)
        V_STORE(acc + s * WIDE + p * LANES, sum[s][p]);
}

/* acc = m'(m l), or m l where m is a symmetric matrix already. */
static inline __attribute__((always_inline)) void relax_product(Relaxing w, const REAL *m, ptrdiff_t d,
                                                                ptrdiff_t h, const int gram, const int rows)
{
    const int groups = MANY ? (rows <= 3 ? 8 : 4) : 1, down = MANY        ? MOST_DOWN(rows)
                                                              : rows <= 2 ? 4 / rows
                                                                          : 1;
    const ptrdiff_t whole = h / 16 * 16;
    const int half =
        whole >= 16 * (groups / 2) ? groups / 2 : 0; /* so many groups come last, with what is left */
    memset(w.acc, 0, (size_t)(rows * WIDE) * sizeof(REAL));
    for (ptrdiff_t i0 = 0; i0 < d; i0 += DOWN) {
        const ptrdiff_t count = d - i0 < DOWN ? d - i0 : DOWN;
        const REAL *block = m + i0 * h, *rest = w.rest + i0 * 16;
        if (gram) {
            for (int s = 0; s < rows; s++)
                memcpy(w.r + s * DOWN, w.l + s * WIDE + i0, (size_t)count * sizeof(REAL));
        } else {
            ptrdiff_t i = 0;
            for (; i + down <= count; i += down)
                relax_dots(w.r + i, w.l, block + i * h, rest + i * 16, h, down, rows);
            for (; i < count; i++)
                relax_dots(w.r + i, w.l, block + i * h, rest + i * 16, h, 1, rows);
            for (int s = 0; s < rows; s++)
                memcpy(w.y + s * d + i0, w.r + s * DOWN, (size_t)count * sizeof(REAL));
        }
#define ADD(wide, more)                                                                                      \
    relax_add(w.acc + j, w.r, block + j, rest, count, h, rows, wide, more), j += 16 * (wide)
        ptrdiff_t j = 0;
        while (j + 16 * groups <= whole - 16 * half)
            ADD(groups, 0);
        while (j + 16 <= whole - 16 * half)
            ADD(1, 0);
        if (half && whole < h) /* one group alone would wait for itself */
            ADD(groups / 2, 1);
        else if (half)
            ADD(groups / 2, 0);
        else if (whole < h)
            ADD(0, 1);
#undef ADD
    }
}

/* One term of the sums over a sample's units. */
#define ENERGY_OF(k)                                                                                         \
    {                                                                                                        \
        double wide = (double)z[j0 + j + k] - (double)f[j0 + j + k];                                         \
        cost[k] += __builtin_fma(how->code * wide, wide, how->sparsity * (double)y[j + k]);                  \
        energy[k] = __builtin_fma((double)u[j + k], (double)l[j0 + j + k], energy[k]);                       \
    }

/* The energy at z and its cost part; acc = m'm l becomes the slope. */
static double relax_energy(double *paid, REAL *acc, const REAL *z, const REAL *l, const REAL *f,
                           const REAL *q, const fl_relax *how, ptrdiff_t h)
{
    const REAL gain = (REAL)how->gain, code = (REAL)(2 * how->code), sparsity = (REAL)(2 * how->sparsity);
    double cost[16] = {0}, energy[16] = {0};
    REAL y[FL_BLOCK], u[FL_BLOCK];
    for (ptrdiff_t j0 = 0; j0 < h; j0 += FL_BLOCK) {
        ptrdiff_t n = h - j0 < FL_BLOCK ? h - j0 : FL_BLOCK, j = 0;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < n; i++) {
            REAL x = l[j0 + i], a = acc[j0 + i];
            y[i] = log1p_of(x * x);
            u[i] = a - 2 * q[j0 + i];
            REAL by_l = FMA(sparsity, x / (1 + x * x), 2 * (a - q[j0 + i]));
            acc[j0 + i] = FMA(gain * (x * (1 - x)), by_l, code * (z[j0 + i] - f[j0 + i]));
        }
        for (; j + 16 <= n; j += 16) {
            INDEPENDENT
            for (int k = 0; k < 16; k++)
                ENERGY_OF(k)
        }
        for (int k = 0; j + k < n; k++)
            ENERGY_OF(k)
    }
    *paid = tree(cost);
    return *paid + tree(energy);
}

static inline __attribute__((always_inline)) void relax_group(REAL *z, REAL *l, REAL *slope, double *cost,
                                                              REAL *y, const REAL *f, const REAL *q,
                                                              const REAL *m, const fl_relax *how, ptrdiff_t d,
                                                              ptrdiff_t h, Relaxing w, const int rows)
{
    double lowest[SAMPLES] = {0};
    REAL step[SAMPLES];
    for (int s = 0; s < rows; s++) {
        step[s] = (REAL)how->step;
        memcpy(w.z + s * WIDE, z + s * h, (size_t)h * sizeof(REAL));
    }
    for (ptrdiff_t t = 0; t <= how->steps; t++) {
        for (int s = 0; s < rows; s++) {
            const REAL gain = (REAL)how->gain;
            INDEPENDENT
            for (ptrdiff_t j = 0; j < h; j++) {
                REAL x = gain * w.z[s * WIDE + j];
                w.l[s * WIDE + j] = sigmoid_of(x < LEAST ? LEAST : x);
            }
        }
        if (how->gram)
            relax_product(w, m, d, h, 1, rows);
        else
            relax_product(w, m, d, h, 0, rows);
        for (int s = 0; s < rows; s++) {
            double paid, energy = relax_energy(&paid, w.acc + s * WIDE, w.z + s * WIDE, w.l + s * WIDE,
                                               f + s * h, q + s * h, how, h);
            if (t == 0 || energy <= lowest[s]) {
                lowest[s] = energy;
                cost[s] = paid;
                memcpy(z + s * h, w.z + s * WIDE, (size_t)h * sizeof(REAL));
                memcpy(l + s * h, w.l + s * WIDE, (size_t)h * sizeof(REAL));
                memcpy(slope + s * h, w.acc + s * WIDE, (size_t)h * sizeof(REAL));
                if (!how->gram)
                    memcpy(y + s * d, w.y + s * d, (size_t)d * sizeof(REAL));
            } else {
                step[s] /= 2;
            }
            INDEPENDENT
            for (ptrdiff_t j = 0; j < h; j++)
                w.z[s * WIDE + j] = FMA(-step[s], slope[s * h + j], z[s * h + j]);
        }
    }
}

static void relax(REAL *z, REAL *l, REAL *slope, double *cost, REAL *y, const REAL *f, const REAL *q,
                  const REAL *m, const fl_relax *how, ptrdiff_t d, ptrdiff_t h, ptrdiff_t start,
                  ptrdiff_t stop, REAL *work)
{
    const ptrdiff_t whole = h / 16 * 16;
    memset(work, 0, (size_t)FL_RELAX_WORK(d, h) * sizeof(REAL)); /* what is beyond a row stays zero */
    Relaxing w = {work,
                  work + SAMPLES * WIDE,
                  work + 2 * SAMPLES * WIDE,
                  work + 3 * SAMPLES * WIDE,
                  work + 3 * SAMPLES * WIDE + SAMPLES * DOWN,
                  NULL};
    w.y = w.rest + 16 * d;
    for (ptrdiff_t i = 0; i < d && whole < h; i++)
        memcpy(w.rest + i * 16, m + i * h + whole, (size_t)(h - whole) * sizeof(REAL));
    for (ptrdiff_t i = start, rows; i < stop; i += rows) {
        rows = stop - i < SAMPLES ? stop - i : SAMPLES;
#if V_BYTES == 16
        rows = rows < SAMPLES ? 1 : rows; /* here the compiler's time is worth more than that of a few rows */
#endif
#define GROUP_OF(count)                                                                                      \
    case count:                                                                                              \
        relax_group(z + i * h, l + i * h, slope + i * h, cost + i, how->gram ? y : y + i * d, f + i * h,     \
                    q + i * h, m, how, d, h, w, count);                                                          \
        break;
        switch (rows) {
            GROUP_OF(1)
#if V_BYTES > 16
            GROUP_OF(2)
            GROUP_OF(3)
            GROUP_OF(4)
#endif
            GROUP_OF(5)
        }
#undef GROUP_OF
    }
}
