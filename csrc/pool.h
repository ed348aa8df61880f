/* One pool of threads for all kernels. */
#ifndef FL_POOL_H
#define FL_POOL_H

#include <stddef.h>

/* Part `task` of a call; `worker` (below the number of threads, 0 the caller itself) says whose work space to use. */
typedef void fl_task(void *call, ptrdiff_t task, int worker);

/* Runs the tasks 0..tasks - 1, in any order, on at most `threads` threads; returns when all are done. While another
 * thread of this process is inside, the caller runs its tasks alone. */
void fl_spread(fl_task *run, void *call, ptrdiff_t tasks, int threads);

/* Whether there are threads at all (POSIX). */
int fl_has_threads(void);

#endif
