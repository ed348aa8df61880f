/* Runs every kernel of every instruction set on awkward sizes, with guard bytes round outputs, and compares bytes with
 * the scalar twins. Exits with 1 if anything failed. tests/c/run.sh builds it with sanitizers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fl.h"
#include "fmaf.h"
#include "philox.h"
#include "pool.h"

#define GUARD 64

static int failures = 0;

static void check(int ok, const char *isa, const char *what, long size)
{
    if (ok)
        return;
    failures++;
    fprintf(stderr, "FAILED: %s %s at size %ld\n", isa, what, size);
}

/* n_bytes between guards, one element off alignment; contents 0xA5. */
static void *guarded(size_t n_bytes)
{
    unsigned char *block = malloc(n_bytes + 2 * GUARD);
    if (!block)
        abort();
    memset(block, 0xA5, n_bytes + 2 * GUARD);
    return block + GUARD;
}

static int release(void *data, size_t n_bytes)
{
    unsigned char *block = (unsigned char *)data - GUARD;
    int whole = 1;
    for (size_t i = 0; i < GUARD; i++)
        whole &= block[i] == 0xA5 && block[GUARD + n_bytes + i] == 0xA5;
    free(block);
    return whole;
}

static void test_philox(void)
{
    /* The known answers of the authors' Random123 library (kat_vectors, philox4x32 10). */
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *v = known[i];
        uint32_t out[4];
        philox(out, v[0] | (uint64_t)v[1] << 32, v[2] | (uint64_t)v[3] << 32, v[4] | (uint64_t)v[5] << 32);
        check(memcmp(out, v + 6, sizeof out) == 0, "scalar", "philox", i);
    }
}

static void test_bits(const fl_isa *isa)
{
    const uint64_t seed = 0x123456789abcdef0u, draw = 0xfedcba9876543210u;
    for (ptrdiff_t n = 0; n < 6000; n = n < 40 ? n + 1 : n * 2 + 1) {
        uint32_t *out = guarded((size_t)n * 4);
        isa->f32->random_bits(out, seed, draw, 0, 0, n);
        int same = 1;
        for (ptrdiff_t e = 0; e < n; e++) {
            uint32_t words[4];
            philox(words, (uint64_t)e / 4, draw, seed);
            same &= out[e] == words[e % 4];
        }
        check(release(out, (size_t)n * 4), isa->name, "random_bits wrote outside", n);
        check(same, isa->name, "random_bits", n);
    }
    /* From any element on, also beyond 2^32 counters and to the very last. */
    const uint64_t last = ~(uint64_t)0, offsets[] = {1, 2, 3, 4, 2047, (uint64_t)FL_CHUNK << 24, last - 4999};
    for (int i = 0; i < 7; i++)
        for (ptrdiff_t n = 1; n <= 5000; n = n * 17 + 1) {
            uint32_t *out = guarded((size_t)n * 4);
            isa->f64->random_bits(out, seed, draw, offsets[i], 0, n);
            int same = 1;
            for (ptrdiff_t e = 0; e < n; e++) {
                uint32_t words[4];
                philox(words, (offsets[i] + (uint64_t)e) / 4, draw, seed);
                same &= out[e] == words[(offsets[i] + (uint64_t)e) % 4];
            }
            check(release(out, (size_t)n * 4), isa->name, "random_bits with an offset wrote outside", n);
            check(same, isa->name, "random_bits with an offset", n);
        }
}

/* The plain-C fma against the library's, on numbers that meet halfway, underflow and overflow. */
static void test_fmaf(void)
{
    for (uint64_t i = 0; i < 400000; i++) {
        uint32_t w[4];
        float x[3];
        philox(w, i, 1, 2);
        if (i % 2) /* few bits: ties are common */
            w[0] &= 0xbffff000, w[1] &= 0xbffff000, w[2] &= 0xbff00000;
        if (i % 3 == 0) /* product near the smallest numbers */
            w[0] = (w[0] & 0x807fffff) | (40 + w[3] % 30) << 23, w[1] = (w[1] & 0x807fffff) | 35u << 23,
            w[2] &= 0x80ffffff;
        memcpy(x, w, sizeof x);
        float mine = fl_fmaf(x[0], x[1], x[2]), theirs = fmaf(x[0], x[1], x[2]);
        check((isnan(mine) && isnan(theirs)) || memcmp(&mine, &theirs, sizeof mine) == 0, "plain", "fma", (long)i);
    }
}

/* Each task once, by a worker in range, from several callers at a time. */
typedef struct {
    int threads;
    int *runs, *bad;
} job;

static void count(void *call, ptrdiff_t task, int worker)
{
    job *j = call;
    __atomic_fetch_add(&j->runs[task], 1, __ATOMIC_RELAXED);
    if (worker < 0 || worker >= j->threads)
        __atomic_fetch_add(j->bad, 1, __ATOMIC_RELAXED);
}

static void nested(void *call, ptrdiff_t task, int worker)
{
    (void)task, (void)worker;
    fl_spread(count, call, 10, ((job *)call)->threads);
}

static void test_pool(void)
{
    for (int repeat = 0; repeat < 500; repeat++)
        for (int threads = 1; threads <= 4; threads++) {
            int runs[37] = {0}, bad = 0, wrong = 0;
            job j = {threads, runs, &bad};
            ptrdiff_t tasks = repeat % 38;
            fl_spread(count, &j, tasks, threads);
            for (int i = 0; i < 37; i++)
                wrong += runs[i] != (i < tasks);
            check(wrong == 0 && bad == 0, "pool", "tasks", tasks);
        }
    int runs[10] = {0}, bad = 0;
    job j = {3, runs, &bad};
    fl_spread(nested, &j, 5, 3);
    check(runs[0] == 5 && runs[9] == 5 && bad == 0, "pool", "a call within a call", 5);
}

#define REAL float
#define TABLE f32
#define F(name) name##_f32
#include "test_tpl.h"
#undef REAL
#undef TABLE
#undef F

#define REAL double
#define TABLE f64
#define F(name) name##_f64
#include "test_tpl.h"

/* `pool` alone, for the thread sanitizer, or everything. */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "pool") == 0) {
        test_pool();
        printf("%d failures\n", failures);
        return failures != 0;
    }
    const char *name;
    const fl_isa *plain = NULL, *isa;
    int n = 0;
    for (int i = 0; (isa = fl_get(i, &name)), name; i++)
        if (isa)
            plain = isa, n++;
    check(plain && strcmp(plain->name, "plain") == 0, "all", "plain is the last", n);
    test_philox();
    test_fmaf();
    test_pool();
    test_gemm_f32();
    test_gemm_f64();
    for (int i = 0; (isa = fl_get(i, &name)), name; i++) {
        if (!isa)
            continue;
        test_bits(isa);
        test_all_f32(isa, plain);
        test_all_f64(isa, plain);
        printf("%s done\n", isa->name);
    }
    printf("%d failures\n", failures);
    return failures != 0;
}
