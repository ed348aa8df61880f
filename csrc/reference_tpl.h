/* gemm by its definition. */
void REFERENCE(REAL *out, const REAL *a, const REAL *b, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, int trans_a,
               int trans_b, double alpha, double beta)
{
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j++) {
            REAL total = 0;
            for (ptrdiff_t block = 0; block < k; block += FL_BLOCK) {
                REAL sum = 0;
                for (ptrdiff_t l = block; l < k && l < block + FL_BLOCK; l++)
                    sum = FMA(trans_a ? a[l * m + i] : a[i * k + l], trans_b ? b[j * k + l] : b[l * n + j],
                              sum);
                total = block == 0 ? sum : total + sum;
            }
            REAL t = (REAL)alpha * total;
            out[i * n + j] = (REAL)beta == 0 ? t : t + (REAL)beta * out[i * n + j];
        }
}

#undef REAL
#undef FMA
#undef REFERENCE
