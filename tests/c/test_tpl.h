/* The tests of one precision; included by test_kernels.c for float and double. */

/* Numbers with whole and broken parts; exact size, so that reading past the end is seen. */
static REAL *F(numbers)(ptrdiff_t n, uint64_t draw)
{
    REAL *x = malloc((size_t)n * sizeof *x + (n == 0));
    if (!x)
        abort();
    for (ptrdiff_t i = 0; i < n; i++) {
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        x[i] = (REAL)((double)(int32_t)(draw >> 32) * 0x1p-30 * ((draw >> 20 & 15) ? 1 : 40));
    }
    return x;
}

/* The same bytes; but one NaN is as good as another. */
static int F(same)(const REAL *x, const REAL *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        if (memcmp(x + i, y + i, sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i])))
            return 0;
    return 1;
}

static void F(product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans, double alpha, double beta)
{
    REAL *a = F(numbers)(m * k, 1), *b = F(numbers)(k * n, 2), *start = F(numbers)(m * n, 3);
    size_t n_bytes = (size_t)(m * n) * sizeof *a;
    REAL *twin = guarded(n_bytes), *block = guarded(n_bytes);
    int trans_a = trans & 1, trans_b = trans >> 1;
    ptrdiff_t lda = trans_a ? m : k, ldb = trans_b ? k : n;
    if (beta == 0) /* must not be read */
        for (ptrdiff_t i = 0; i < m * n; i++)
            start[i] = (REAL)NAN;
    memcpy(twin, start, n_bytes);
    F(fl_gemm)(twin, a, b, m, n, k, trans_a, trans_b, alpha, beta);
    const ptrdiff_t i0 = 2, i1 = m - 1, j0 = 32, j1 = n - 1; /* as threads work: nothing round the block changes */
    memcpy(block, start, n_bytes);
    for (ptrdiff_t i = i0; i < i1; i++)
        for (ptrdiff_t j = j0; j < j1; j++)
            block[i * n + j] = twin[i * n + j];

    const char *name;
    const fl_isa *isa;
    for (int which = 0; (isa = fl_get(which, &name)), name; which++) {
        if (!isa)
            continue;
        void *space = malloc((size_t)isa->TABLE->work * sizeof(REAL) + 64);
        REAL *work = (REAL *)(((uintptr_t)space + 63) / 64 * 64), *out = guarded(n_bytes);
        memcpy(out, start, n_bytes);
        isa->TABLE->gemm(out, n, a, lda, b, ldb, m, n, k, trans_a, trans_b, alpha, beta, work);
        check(memcmp(out, twin, n_bytes) == 0, name, "gemm", (m * 10000 + n) * 10000 + k);
        if (i0 < i1 && j0 < j1) {
            memcpy(out, start, n_bytes);
            isa->TABLE->gemm(out + i0 * n + j0, n, a + (trans_a ? i0 : i0 * lda), lda, b + (trans_b ? j0 * ldb : j0),
                             ldb, i1 - i0, j1 - j0, k, trans_a, trans_b, alpha, beta, work);
            check(memcmp(out, block, n_bytes) == 0, name, "gemm of a block", (m * 10000 + n) * 10000 + k);
        }
        check(release(out, n_bytes), name, "gemm wrote outside", m * n);
        free(space);
    }
    check(release(twin, n_bytes) && release(block, n_bytes), "scalar", "gemm wrote outside", m * n);
    free(a), free(b), free(start);
}

static void F(test_gemm)(void)
{
    static const ptrdiff_t sizes[] = {0, 1, 7, 8, 9, 17, 33, 49}, depths[] = {0, 1, 9, 17, 256, 257};
    static const double scales[][2] = {{1, 0}, {-0.7, 0}, {1, 1}, {0.3, -1.7}};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int l = 0; l < 6; l++)
                for (int trans = 0; trans < 4; trans++) {
                    const double *s = scales[(i + j + l + trans) % 4];
                    F(product)(sizes[i], sizes[j], depths[l], trans, s[0], s[1]);
                }
    for (int trans = 0; trans < 4; trans++) { /* more than one share of rows, more than one group of panels */
        F(product)(700, 40, 9, trans, 1, 0);
        F(product)(16, 300, 259, trans, 0.5, 0.25);
    }
}

/* Calls `kernel` of isa and of plain on equal outputs and compares; `second` is another output or NULL. */
#define COMPARE(what, n, call)                                                                                      \
    do {                                                                                                            \
        size_t n_bytes = (size_t)(n) * sizeof(REAL);                                                                \
        REAL *result[2][2];                                                                                         \
        for (int which = 0; which < 2; which++) {                                                                   \
            const fl_isa *use = which ? plain : isa;                                                                \
            REAL *out = result[which][0] = guarded(n_bytes), *second = result[which][1] = guarded(n_bytes);         \
            memcpy(out, a, n_bytes);                                                                                \
            memcpy(second, b, n_bytes);                                                                             \
            (void)second;                                                                                           \
            call;                                                                                                   \
        }                                                                                                           \
        for (int i = 0; i < 2; i++) {                                                                               \
            check(F(same)(result[0][i], result[1][i], n), isa->name, what, (long)(n));                    \
            check(release(result[0][i], n_bytes), isa->name, what " outside", (long)(n));                           \
            check(release(result[1][i], n_bytes), "plain", what " outside", (long)(n));                             \
        }                                                                                                           \
    } while (0)

static void F(test_elements)(const fl_isa *isa, const fl_isa *plain)
{
    static const ptrdiff_t sizes[] = {0, 1, 7, 8, 9, 17, 33, 1000, 2047, 2048, 2049, 5003};
    for (int s = 0; s < 12; s++) {
        ptrdiff_t n = sizes[s];
        REAL *a = F(numbers)(n, 4), *b = F(numbers)(n, 5), *c = F(numbers)(n, 6), *bias = F(numbers)(33, 8);
        if (n > 8)
            a[0] = (REAL)1e30, a[1] = (REAL)-1e30, a[2] = (REAL)INFINITY, a[3] = (REAL)-INFINITY, a[4] = 0,
            a[5] = (REAL)1e-40;
        for (ptrdiff_t h = 1; h <= 33; h += 8)
            if (n % h == 0) {
                COMPARE("add_bias", n, use->TABLE->add_bias(out, a, bias, h, 0, n));
                COMPARE("sigmoid", n, use->TABLE->sigmoid(out, a, bias, h, 0, n));
                COMPARE("sigmoid in place", n, use->TABLE->sigmoid(out, out, bias, h, 0, n));
                for (int kind = FL_LINEAR; kind <= FL_RELU; kind++) {
                    COMPARE("activate", n, use->TABLE->activate(out, a, bias, kind, h, 0, n));
                    COMPARE("activate in place", n, use->TABLE->activate(out, out, bias, kind, h, 0, n));
                    COMPARE("backward", n, use->TABLE->backward(out, c, bias, kind, h, 0, n));
                }
                COMPARE("leaky", n, use->TABLE->leaky(out, a, bias, c, h, 0, n));
                COMPARE("leaky in place", n, use->TABLE->leaky(out, out, bias, c, h, 0, n));
                COMPARE("leaky_backward", n, use->TABLE->leaky_backward(out, c, bias, b, h, 0, n));
                COMPARE("sigmoid_sample", n, use->TABLE->sigmoid_sample(out, second, a, bias, h, 1, 2, n % 5, 0, n));
                COMPARE("sigmoid_sample of p", n, use->TABLE->sigmoid_sample(out, second, out, bias, h, 1, 2, n % 5, 0, n));
            }
        COMPARE("bernoulli", n, use->TABLE->bernoulli(out, b, 1, 2, n % 5, 0, n));
        COMPARE("dropout", n, use->TABLE->dropout(out, b, 0.3, 1, 2, n % 5, 0, n));
        COMPARE("dropout in place", n, use->TABLE->dropout(out, out, 0.3, 1, 2, n % 5, 0, n));
        COMPARE("uniform", n, use->TABLE->uniform(out, 1, 2, n % 5, 0, n));
        COMPARE("normal", n, use->TABLE->normal(out, 1, 2, n % 5, 0, n));
        if (n > FL_CHUNK) /* in two steps, as threads work */
            COMPARE("normal in steps", n,
                    use->TABLE->normal(out, 1, 2, 3, FL_CHUNK, n);
                    use->TABLE->normal(out, 1, 2, 3, 0, which ? n : FL_CHUNK));
        COMPARE("update", n, use->TABLE->update(out, second, c, 0.1, 0.9, 0, 0.01, 0.3, 0, n));
        COMPARE("update, no velocity", n, use->TABLE->update(out, NULL, c, 0.1, 0, 0, 0.01, 0.3, 0, n));
        COMPARE("update, subgradient", n, use->TABLE->update(out, second, c, 0.1, 0.9, 0.2, 0, 0, 0, n));
        fl_adam adam = {0.1, 0.9, 0.99, 1e-8, 10, 100, 0, 0.01, 0.3};
        COMPARE("adam", n, REAL *v = guarded(n_bytes); memset(v, 0, n_bytes);
                use->TABLE->adam(out, second, v, c, &adam, 0, n); check(release(v, n_bytes), isa->name, "adam outside", n));
        COMPARE("axpby", n, use->TABLE->axpby(out, b, n, 0.3, 0));
        COMPARE("axpby", n, use->TABLE->axpby(out, b, n, 0.3, -2));
        free(a), free(b), free(c), free(bias);
    }
}

static void F(test_sums)(const fl_isa *isa, const fl_isa *plain)
{
    static const ptrdiff_t rows[] = {0, 1, 9, 255, 256, 257, 600}, columns[] = {1, 7, 16, 17, 33, 530};
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < 6; j++) {
            ptrdiff_t n = rows[i], d = columns[j];
            REAL *x = F(numbers)(n * d, 9), *y = F(numbers)(n * d + d, 10), *a = F(numbers)(n * d + d, 11), *b = a;
            COMPARE("colsum", d, use->TABLE->colsum(out, x, n, d, 0, d / 2);
                    use->TABLE->colsum(out, x, n, d, d / 2, d));
            double *mine = guarded((size_t)n * 8), *theirs = guarded((size_t)n * 8);
            isa->TABLE->row_sqdist(mine, x, y, d, 0, n);
            plain->TABLE->row_sqdist(theirs, x, y, d, 0, n);
            check(memcmp(mine, theirs, (size_t)n * 8) == 0, isa->name, "row_sqdist", n * 1000 + d);
            for (int contrast = 0; contrast < 2; contrast++) {
                double *scales = guarded((size_t)n * 8), *others = guarded((size_t)n * 8);
                COMPARE("normalize", n * d, double *mean = which ? theirs : mine; double *s = which ? others : scales;
                        memcpy(out, x, n_bytes);
                        use->TABLE->normalize(out, mean, s, contrast ? 0.1 : -1, d, 0, n / 2);
                        use->TABLE->normalize(out, mean, s, contrast ? 0.1 : -1, d, n / 2, n));
                check(memcmp(mine, theirs, (size_t)n * 8) == 0, isa->name, "mean of normalize", n * 1000 + d);
                check(memcmp(scales, others, (size_t)n * 8) == 0, isa->name, "scale of normalize", n * 1000 + d);
                check(release(scales, (size_t)n * 8) && release(others, (size_t)n * 8), isa->name, "scales", n);
            }
            isa->TABLE->row_softplus(mine, x, y, 0.7, d, 0, n / 2);
            isa->TABLE->row_softplus(mine, x, y, 0.7, d, n / 2, n);
            plain->TABLE->row_softplus(theirs, x, y, 0.7, d, 0, n);
            check(memcmp(mine, theirs, (size_t)n * 8) == 0, isa->name, "row_softplus", n * 1000 + d);
            for (int kind = FL_LINEAR; kind <= FL_RELU; kind++)
                for (int weighted = 0; weighted < 2; weighted++) {
                    COMPARE("output_error", n * d, double *loss = which ? theirs : mine; memcpy(out, y, n_bytes);
                            use->TABLE->output_error(out, loss, out, x, weighted ? y + d : NULL, kind, d, 0, n / 2);
                            use->TABLE->output_error(out, loss, out, x, weighted ? y + d : NULL, kind, d, n / 2, n));
                    check(memcmp(mine, theirs, (size_t)n * 8) == 0, isa->name, "loss of output_error", n * 1000 + d);
                }
            isa->TABLE->cross_entropy(mine, x, y, x, NULL, d, 0, n / 2);
            isa->TABLE->cross_entropy(mine, x, y, x, y, d, n / 2, n);
            plain->TABLE->cross_entropy(theirs, x, y, x, NULL, d, 0, n / 2);
            plain->TABLE->cross_entropy(theirs, x, y, x, y, d, n / 2, n);
            check(memcmp(mine, theirs, (size_t)n * 8) == 0, isa->name, "cross_entropy", n * 1000 + d);
            int32_t *label = guarded((size_t)n * 4);
            for (ptrdiff_t k = 0; k < n; k++)
                label[k] = (int32_t)(k % d);
            COMPARE("softmax", n * d, use->TABLE->softmax(out, which ? theirs : mine, x, y, label, d, 0, n));
            check(memcmp(mine, theirs, (size_t)n * 8) == 0, isa->name, "loss of softmax", n * 1000 + d);
            check(release(label, (size_t)n * 4), isa->name, "labels", n);
            check(release(mine, (size_t)n * 8) && release(theirs, (size_t)n * 8), isa->name, "row sums outside", n);
            free(x), free(y), free(a);
        }
}

/* Whether x belongs before y: NaN above everything. */
static int F(larger)(REAL x, REAL y)
{
    return isnan(x) ? !isnan(y) : x > y;
}

/* top_k of one row, whole and in parts, against counting for each column how many belong before it. */
static void F(select)(const fl_isa *isa, const REAL *a, const REAL *bias, ptrdiff_t h, ptrdiff_t k)
{
    for (ptrdiff_t part = 70; part < 2 * h + 140; part = part < h ? part * 3 : 2 * h + 140) {
        size_t work_bytes = (size_t)isa->TABLE->top_k_bytes(h, k);
        int32_t *index = guarded((size_t)k * sizeof *index);
        REAL *value = guarded((size_t)k * sizeof *value), *work = guarded(work_bytes);
        ptrdiff_t held = 0, next = 0;
        for (ptrdiff_t start = 0; start < h; start += part)
            held = isa->TABLE->top_k(index, value, a, bias, h, k, start, start + part < h ? start + part : h, held,
                                     work);
        int right = 1;
        for (ptrdiff_t j = 0; j < h; j++) {
            REAL x = bias ? a[j] + bias[j] : a[j];
            ptrdiff_t before = 0;
            for (ptrdiff_t i = 0; i < h; i++) {
                REAL y = bias ? a[i] + bias[i] : a[i];
                before += F(larger)(y, x) || (i < j && !F(larger)(x, y));
            }
            if (before < k) {
                right &= index[next] == j && F(same)(value + next, &x, 1);
                next++;
            }
        }
        check(right && next == k, isa->name, "top_k", h * 1000 + k);
        check(release(index, (size_t)k * sizeof *index) && release(value, (size_t)k * sizeof *value) &&
                  release(work, work_bytes),
              isa->name, "top_k outside", h * 1000 + k);
    }
}

static void F(test_top_k)(const fl_isa *isa)
{
    static const ptrdiff_t sizes[] = {1, 2, 16, 63, 64, 65, 130, 700}, ks[] = {1, 2, 9, 60, 130, 699, 700};
    for (int s = 0; s < 8; s++)
        for (int kind = 0; kind < 5; kind++) {
            ptrdiff_t h = sizes[s];
            REAL *a = F(numbers)(h, 20 + kind), *bias = F(numbers)(h, 30);
            for (ptrdiff_t j = 0; j < h; j++) {
                if (kind == 1) /* all equal */
                    a[j] = j % 2 ? (REAL)-0.0 : 0;
                if (kind == 2) /* the candidates overflow again and again */
                    a[j] = (REAL)j;
                if (kind == 3) /* few values */
                    a[j] = (REAL)(int)a[j];
                if (kind == 4) {
                    const REAL odd[] = {(REAL)NAN, (REAL)INFINITY, -(REAL)INFINITY, -(REAL)NAN, (REAL)1e-40, 1};
                    a[j] = odd[j * 7 % 17 % 6];
                }
            }
            for (int i = 0; i < 7; i++)
                if (ks[i] <= h) {
                    F(select)(isa, a, NULL, h, ks[i]);
                    F(select)(isa, a, bias, h, ks[i]);
                }
            free(a), free(bias);
        }
}

#define FEATURES 20
#define ENTRIES 51

static void F(gradient)(const fl_isa *isa, REAL *out, const int64_t *begin, const int32_t *index, const REAL *value,
                        const REAL *delta, const REAL *R, const REAL *X, ptrdiff_t n, ptrdiff_t d, double beta)
{
    size_t n_bytes = ENTRIES * sizeof(REAL);
    int64_t next[FEATURES + 1] = {0}, row[ENTRIES];
    REAL *x = guarded(n_bytes), *y = guarded(n_bytes);
    for (int e = 0; e < ENTRIES; e++)
        next[index[e] + 1]++;
    for (int f = 0; f < FEATURES; f++)
        next[f + 1] += next[f];
    isa->TABLE->sort_entries(next, row, x, y, begin, index, value, delta, 0, 3);
    isa->TABLE->sort_entries(next, row, x, y, begin, index, value, delta, 3, n);
    isa->TABLE->sparse_gradient(out, next, row, x, delta ? y : NULL, R, X, d, 0.3, beta, 0, 9);
    isa->TABLE->sparse_gradient(out, next, row, x, delta ? y : NULL, R, X, d, 0.3, beta, 9, FEATURES);
    check(release(x, n_bytes) && release(y, n_bytes), isa->name, "sort_entries outside", ENTRIES);
}

/* The products of sparse rows, in two parts as threads work. */
static void F(test_sparse)(const fl_isa *isa, const fl_isa *plain)
{
    static const ptrdiff_t columns[] = {0, 1, 7, 16, 33, 1025}, lengths[] = {0, 1, 8, 19, 3, 0, 20};
    enum { GAP = 258 }; /* empty rows, so that there are two blocks of them */
    const ptrdiff_t n = 7 + GAP, h = FEATURES;
    int64_t begin[7 + GAP + 1] = {0};
    int32_t index[ENTRIES];
    for (ptrdiff_t i = 0; i < n; i++) {
        ptrdiff_t length = i < 3 ? lengths[i] : i < 3 + GAP ? 0 : lengths[i - GAP];
        begin[i + 1] = begin[i] + length;
        for (ptrdiff_t e = 0; e < length; e++)
            index[begin[i] + e] = (int32_t)(e * h / length);
    }
    const ptrdiff_t m = begin[n];
    check(m == ENTRIES && fl_outside(index, h, 0, m) == 0 && fl_outside(index, h - 1, 0, m), "all", "outside", m);
    index[5] = -1;
    check(fl_outside(index, h, 0, m) && !fl_outside(index, h, 6, m), "all", "outside", m);
    index[5] = (int32_t)(4 * h / 8);
    for (int c = 0; c < 6; c++) {
        ptrdiff_t d = columns[c], most = (n + h) * d + m;
        REAL *a = F(numbers)(most, 40), *b = F(numbers)(most, 41), *W = F(numbers)(h * d, 42), *x = F(numbers)(m, 43);
        COMPARE("sparse_decode", n * d, use->TABLE->sparse_decode(out, begin, index, x, W, NULL, d, 0, 3);
                use->TABLE->sparse_decode(out, begin, index, x, W, b, d, 3, n));
        COMPARE("sparse_dot", m, use->TABLE->sparse_dot(out, begin, index, a, W, d, 0, 3);
                use->TABLE->sparse_dot(out, begin, index, a, W, d, 3, n));
        for (int both = 0; both < 2; both++)
            for (int beta = 0; beta < 2; beta++)
                COMPARE("sparse_gradient", h * d,
                        F(gradient)(use, out, begin, index, x, both ? a : NULL, a, b, n, d, beta * 0.7));
        if (h <= most)
            COMPARE("scatter_add", h, REAL *sum = guarded(n_bytes);
                    use->TABLE->scatter_add(out, sum, begin, index, x, h, 0, FL_BLOCK);
                    use->TABLE->scatter_add(out, sum, begin, index, x, h, FL_BLOCK, n);
                    check(release(sum, n_bytes), isa->name, "scatter_add outside", h));
        free(a), free(b), free(W), free(x);
    }
}

/* relax of `samples` rows, in two parts as threads work: codes, then what else it tells of them. */
static void F(relax)(const fl_isa *isa, REAL *out, const REAL *f, const REAL *q, const REAL *m, int gram,
                     ptrdiff_t d, ptrdiff_t h, ptrdiff_t samples)
{
    fl_relax how = {3, 0.5, 0.3, 0.1, 3, gram};
    size_t work_bytes = (size_t)FL_RELAX_WORK(d, h) * sizeof(REAL);
    REAL *work = guarded(work_bytes);
    ptrdiff_t size = samples * h, middle = samples / 3;
    double cost[7];
    REAL *y = gram ? NULL : out + 3 * size + samples;
    memcpy(out, f, (size_t)size * sizeof *out);
    isa->TABLE->relax(out, out + size, out + 2 * size, cost, y, f, q, m, &how, d, h, 0, middle, work);
    isa->TABLE->relax(out, out + size, out + 2 * size, cost, y, f, q, m, &how, d, h, middle, samples, work);
    for (ptrdiff_t i = 0; i < samples; i++)
        out[3 * size + i] = (REAL)cost[i];
    check(release(work, work_bytes), isa->name, "relax wrote outside its work", h);
}

static void F(test_relax)(const fl_isa *isa, const fl_isa *plain)
{
    static const ptrdiff_t hidden[] = {1, 15, 16, 17, 33, 150}, visible[] = {0, 1, 17, 40};
    for (int j = 0; j < 6; j++)
        for (int i = 0; i < 5; i++)
            for (ptrdiff_t samples = 1; samples <= 7; samples++) {
                ptrdiff_t h = hidden[j], gram = i == 4, d = gram ? h : visible[i], most = samples * (3 * h + 1 + (gram ? 0 : d));
                REAL *a = F(numbers)(most, 50), *b = F(numbers)(most, 51), *m = F(numbers)(d * h, 52);
                for (ptrdiff_t e = 0; e < d * h; e++)
                    m[e] /= 16;
                a[0] = samples == 7 ? (REAL)NAN : a[0];
                COMPARE("relax", most, F(relax)(use, out, a, b, m, (int)gram, d, h, samples));
                free(a), free(b), free(m);
            }
}

static void F(test_triangle)(const fl_isa *isa, const fl_isa *plain)
{
    static const ptrdiff_t hidden[] = {1, 15, 16, 17, 33, 150}, visible[] = {0, 1, 16, 17, 40};
    for (int j = 0; j < 6; j++)
        for (int i = 0; i < 5; i++) {
            ptrdiff_t h = hidden[j], d = visible[i], n = 9;
            REAL *a = F(numbers)(n * h, 60), *b = a, *x = F(numbers)(n * d, 61), *squares = F(numbers)(h, 62);
            a[h] = (REAL)NAN, a[2 * h] = (REAL)INFINITY;
            COMPARE("triangle", n * h, use->TABLE->triangle(out, x, squares, d, h, 0, 4);
                    use->TABLE->triangle(out, x, squares, d, h, 4, n));
            free(a), free(x), free(squares);
        }
}

static void F(test_all)(const fl_isa *isa, const fl_isa *plain)
{
    F(test_elements)(isa, plain);
    F(test_sums)(isa, plain);
    F(test_top_k)(isa);
    F(test_sparse)(isa, plain);
    F(test_relax)(isa, plain);
    F(test_triangle)(isa, plain);
}

#undef COMPARE
#undef FEATURES
#undef ENTRIES
