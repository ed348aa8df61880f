/* All kernels for one precision (REAL) and one instruction set (ISA), and the macro of their table. */
#include "math_tpl.h"

#include "gibbs_tpl.h"

#include "update_tpl.h"

#include "sums_tpl.h"

#include "layer_tpl.h"

#include "simd_tpl.h"

#include "gemm_tpl.h"

#include "topk_tpl.h"

#include "relax_tpl.h"

static const TABLE FN(table) = {FN(gemm), WORK, SHARE, FN(colsum), FN(axpby), FN(row_sqdist), FN(row_softplus),
                                FN(top_k), FN(top_k_bytes), FN(sparse_decode), FN(sparse_dot), FN(sort_entries),
                                FN(sparse_gradient), FN(scatter_add),
                                FN(add_bias), FN(sigmoid), FN(sigmoid_sample), FN(bernoulli), FN(uniform), FN(normal),
                                FN(update), FN(activate), FN(backward), FN(output_error), FN(cross_entropy), FN(softmax),
                                FN(adam), FN(relax)};

#undef FOR_COLUMNS
#undef V
#undef V_OP
#undef V_ZIP_LOW
#undef V_ZIP_HIGH
#undef V_LOAD
#undef V_STORE
#undef V_ALL
#undef V_ADD
#undef V_MUL
#undef V_FMA
#undef LANES
#undef TILE_ROWS
#undef WORK
#undef PANEL
#undef SHARE
#undef TILES
#undef GROUP
#undef A_STRIDE
#undef A_WIDTH
#undef A_SIZE
#undef PART
#undef TABLE
#undef REAL
#undef REAL_BITS
#undef UINT
#undef INT
#undef FMA
#undef SQRT
#undef ABS
#undef FN
