"""fl.h and pool.h for Cython. One declaration serves fl_f32 and fl_f64: pointers to numbers are void * here."""

from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "fl.h" nogil:
    enum: FL_BLOCK
    ctypedef struct fl_adam:
        double lr, beta1, beta2, eps, c1, c2, l1, l2, threshold
    ctypedef struct fl_relax:
        double gain, code, sparsity, step
        Py_ssize_t steps
        int gram
    enum: FL_RELAX_ROWS
    Py_ssize_t FL_RELAX_WORK(Py_ssize_t d, Py_ssize_t h)
    ctypedef struct fl_f32:
        void (*gemm)(void *out, Py_ssize_t ldo, void *a, Py_ssize_t lda, void *b, Py_ssize_t ldb, Py_ssize_t m,
                     Py_ssize_t n, Py_ssize_t k, int trans_a, int trans_b, double alpha, double beta,
                     void *work) noexcept nogil
        Py_ssize_t work
        Py_ssize_t rows
        void (*colsum)(void *acc, void *a, Py_ssize_t n, Py_ssize_t d, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*axpby)(void *out, void *x, Py_ssize_t n, double alpha, double beta) noexcept nogil
        void (*row_sqdist)(void *out, void *x, void *y, Py_ssize_t d, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*row_softplus)(void *out, void *a, void *bias, double scale, Py_ssize_t h, Py_ssize_t start,
                             Py_ssize_t stop) noexcept nogil
        Py_ssize_t (*top_k)(int32_t *index, void *value, void *a, void *bias, Py_ssize_t h, Py_ssize_t k,
                            Py_ssize_t start, Py_ssize_t stop, Py_ssize_t held, void *work) noexcept nogil
        Py_ssize_t (*top_k_bytes)(Py_ssize_t h, Py_ssize_t k) noexcept nogil
        void (*sparse_decode)(void *out, int64_t *begin, int32_t *index, void *value, void *F, void *bias, Py_ssize_t d,
                              Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*sparse_dot)(void *out, int64_t *begin, int32_t *index, void *R, void *F, Py_ssize_t d, Py_ssize_t start,
                           Py_ssize_t stop) noexcept nogil
        void (*sort_entries)(int64_t *next, int64_t *row, void *x, void *y, int64_t *begin, int32_t *index, void *value,
                             void *delta, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*sparse_gradient)(void *G, int64_t *end, int64_t *row, void *x, void *y, void *R, void *X, Py_ssize_t d,
                                double alpha, double beta, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*scatter_add)(void *acc, int32_t *index, void *value, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*add_bias)(void *out, void *a, void *bias, Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*sigmoid)(void *out, void *a, void *bias, Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*sigmoid_sample)(void *p, void *s, void *a, void *bias, Py_ssize_t h, uint64_t seed, uint64_t draw,
                               Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*bernoulli)(void *s, void *p, uint64_t seed, uint64_t draw, Py_ssize_t start,
                          Py_ssize_t stop) noexcept nogil
        void (*uniform)(void *out, uint64_t seed, uint64_t draw, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*normal)(void *out, uint64_t seed, uint64_t draw, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*update)(void *w, void *v, void *grad, double lr, double momentum, double l1, double l2, double threshold,
                       Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*activate)(void *out, void *a, void *bias, int kind, Py_ssize_t h, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil
        void (*backward)(void *delta, void *y, void *row, int kind, Py_ssize_t h, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil
        void (*output_error)(void *delta, void *loss, void *y, void *x, void *weight, int kind, Py_ssize_t d,
                             Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*cross_entropy)(void *loss, void *a, void *bias, void *x, void *weight, Py_ssize_t d, Py_ssize_t start,
                              Py_ssize_t stop) noexcept nogil
        void (*softmax)(void *p, void *loss, void *a, void *bias, void *label, Py_ssize_t c, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil
        void (*adam)(void *w, void *m, void *v, void *grad, const fl_adam *how, Py_ssize_t start,
                     Py_ssize_t stop) noexcept nogil
        void (*relax)(void *z, void *l, void *slope, double *cost, void *y, void *f, void *shift, void *m,
                      const fl_relax *how, Py_ssize_t d, Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop, void *work) noexcept nogil
    ctypedef struct fl_isa:
        const char *name
        const fl_f32 *f32
        const fl_f32 *f64
        void (*random_bits)(void *out, uint64_t seed, uint64_t draw, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        double flops
    const fl_isa *fl_get(int i, const char **name)
    int fl_outside(const int32_t *index, Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop)
    void fl_gemm_f32(void *out, void *a, void *b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, int trans_a, int trans_b,
                     double alpha, double beta)
    void fl_gemm_f64(void *out, void *a, void *b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, int trans_a, int trans_b,
                     double alpha, double beta)


cdef extern from "pool.h" nogil:
    ctypedef void fl_task(void *call, Py_ssize_t task, int worker) noexcept nogil
    void fl_spread(fl_task *run, void *call, Py_ssize_t tasks, int threads)
    int fl_has_threads()
