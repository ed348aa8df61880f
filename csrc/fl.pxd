"""fl.h and pool.h for Cython.

`real` stands for float or double: the two tables of kernels have one layout, and pointers to numbers are only handed on
to them, so one declaration serves both and the C compiler checks every call (as one for float).
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "fl.h" nogil:
    ctypedef struct real "float":
        pass
    enum: FL_BLOCK
    ctypedef struct fl_adam:
        double lr, beta1, beta2, eps, c1, c2, l1, l2, threshold
    ctypedef struct fl_relax:
        double gain, code, sparsity, step
        Py_ssize_t steps
        int gram
    enum: FL_RELAX_ROWS
    Py_ssize_t FL_RELAX_WORK(Py_ssize_t d, Py_ssize_t h)
    ctypedef struct fl_table "fl_f32":
        void (*gemm)(real *out, Py_ssize_t ldo, const real *a, Py_ssize_t lda, const real *b, Py_ssize_t ldb,
                     Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, int trans_a, int trans_b, double alpha, double beta,
                     real *work) noexcept nogil
        Py_ssize_t work
        Py_ssize_t rows
        void (*colsum)(real *acc, const real *a, Py_ssize_t n, Py_ssize_t d, Py_ssize_t start,
                       Py_ssize_t stop) noexcept nogil
        void (*axpby)(real *out, const real *x, Py_ssize_t n, double alpha, double beta) noexcept nogil
        void (*row_sqdist)(double *out, const real *x, const real *y, Py_ssize_t d, Py_ssize_t start,
                           Py_ssize_t stop) noexcept nogil
        void (*normalize)(real *x, double *mean, double *scale, double floor, Py_ssize_t d, Py_ssize_t start,
                          Py_ssize_t stop) noexcept nogil
        void (*row_softplus)(double *out, const real *a, const real *bias, double scale, Py_ssize_t h,
                             Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        Py_ssize_t (*top_k)(int32_t *index, real *value, const real *a, const real *bias, Py_ssize_t h, Py_ssize_t k,
                            Py_ssize_t start, Py_ssize_t stop, Py_ssize_t held, void *work) noexcept nogil
        Py_ssize_t (*top_k_bytes)(Py_ssize_t h, Py_ssize_t k) noexcept nogil
        void (*sparse_decode)(real *out, const int64_t *begin, const int32_t *index, const real *value, const real *F,
                              const real *bias, Py_ssize_t d, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*sparse_dot)(real *out, const int64_t *begin, const int32_t *index, const real *R, const real *F,
                           Py_ssize_t d, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*sort_entries)(int64_t *next, int64_t *row, real *x, real *y, const int64_t *begin,
                             const int32_t *index, const real *value, const real *delta, Py_ssize_t start,
                             Py_ssize_t stop) noexcept nogil
        void (*sparse_gradient)(real *G, const int64_t *end, const int64_t *row, const real *x, const real *y,
                                const real *R, const real *X, Py_ssize_t d, double alpha, double beta,
                                Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*scatter_add)(real *acc, real *sum, const int64_t *begin, const int32_t *index, const real *value,
                            Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*add_bias)(real *out, const real *a, const real *bias, Py_ssize_t h, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil
        void (*sigmoid)(real *out, const real *a, const real *bias, Py_ssize_t h, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil
        void (*sigmoid_sample)(real *p, real *s, const real *a, const real *bias, Py_ssize_t h, uint64_t seed,
                               uint64_t draw, uint64_t offset, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*random_bits)(uint32_t *out, uint64_t seed, uint64_t draw, uint64_t offset, Py_ssize_t start,
                            Py_ssize_t stop) noexcept nogil
        void (*bernoulli)(real *s, const real *p, uint64_t seed, uint64_t draw, uint64_t offset, Py_ssize_t start,
                          Py_ssize_t stop) noexcept nogil
        void (*dropout)(real *out, const real *a, double rate, uint64_t seed, uint64_t draw, uint64_t offset,
                        Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*uniform)(real *out, uint64_t seed, uint64_t draw, uint64_t offset, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil
        void (*normal)(real *out, uint64_t seed, uint64_t draw, uint64_t offset, Py_ssize_t start,
                       Py_ssize_t stop) noexcept nogil
        void (*update)(real *w, real *v, const real *grad, double lr, double momentum, double l1, double l2,
                       double threshold, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*activate)(real *out, const real *a, const real *bias, int kind, Py_ssize_t h, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil
        void (*backward)(real *delta, const real *y, const real *row, int kind, Py_ssize_t h, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil
        void (*leaky)(real *out, const real *a, const real *bias, const real *leak, Py_ssize_t h, Py_ssize_t start,
                      Py_ssize_t stop) noexcept nogil
        void (*leaky_backward)(real *delta, const real *y, const real *row, const real *leak, Py_ssize_t h,
                               Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*output_error)(real *delta, double *loss, const real *y, const real *x, const real *weight, int kind,
                             Py_ssize_t d, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*cross_entropy)(double *loss, const real *a, const real *bias, const real *x, const real *weight,
                              Py_ssize_t d, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*softmax)(real *p, double *loss, const real *a, const real *bias, const int32_t *label, Py_ssize_t c,
                        Py_ssize_t start, Py_ssize_t stop) noexcept nogil
        void (*adam)(real *w, real *m, real *v, const real *grad, const fl_adam *how, Py_ssize_t start,
                     Py_ssize_t stop) noexcept nogil
        void (*relax)(real *z, real *l, real *slope, double *cost, real *y, const real *f, const real *q,
                      const real *m, const fl_relax *how, Py_ssize_t d, Py_ssize_t h, Py_ssize_t start,
                      Py_ssize_t stop, real *work) noexcept nogil
        void (*triangle)(real *z, const real *x, const real *squares, Py_ssize_t d, Py_ssize_t h, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil
    ctypedef struct fl_f64:
        pass
    ctypedef struct fl_isa:
        const char *name
        const fl_table *f32
        const fl_f64 *f64
        double flops
    const fl_isa *fl_get(int i, const char **name)
    int fl_outside(const int32_t *index, Py_ssize_t h, Py_ssize_t start, Py_ssize_t stop)
    void fl_gemm_f32(real *out, const real *a, const real *b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, int trans_a,
                     int trans_b, double alpha, double beta)
    void fl_gemm_f64(double *out, const double *a, const double *b, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
                     int trans_a, int trans_b, double alpha, double beta)


cdef extern from "pool.h" nogil:
    ctypedef void fl_task(void *call, Py_ssize_t task, int worker) noexcept nogil
    void fl_spread(fl_task *run, void *call, Py_ssize_t tasks, int threads)
    int fl_has_threads()
