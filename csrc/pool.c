/* A small pool instead of OpenMP, whose threads spin until all have come to the end of each loop: on two cores with
 * other work to do, a training step took ten times as long. Here the caller works on the tasks itself and waits only
 * for tasks that a worker has begun, so a worker that the system does not run costs nothing; who waits spins for some
 * microseconds, then sleeps. bench/gemm.py --busy 1 shows what is left of the speed. */
#include "pool.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define MAX_WORKERS 255
#define WORKER_SPIN 500000 /* ns that a worker looks out for the next call; to wake it takes a fifth of that and more */
#define CALLER_SPIN 20000  /* ns that the caller looks out for the last task to end */

static struct {
    pthread_mutex_t entry; /* held by the caller whose tasks are run */
    pthread_mutex_t lock;  /* guards what follows, but for the atomics */
    pthread_cond_t called, left;
    int workers, asleep;
    struct job {
        fl_task *run; /* NULL: nothing to join */
        void *call;
        ptrdiff_t tasks;
        int threads;
    } job;
    atomic_int inside;       /* workers that have joined */
    atomic_ulong generation; /* counts calls */
    struct {
        _Alignas(64) atomic_ptrdiff_t task; /* the next one of this worker's part that nobody has begun */
    } next[MAX_WORKERS + 1];
} pool = {.entry = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .called = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static ptrdiff_t part(const struct job *job, int worker)
{
    return worker * job->tasks / job->threads;
}

/* First one's own part of the tasks, the same in every call, so that its data stay in this core's cache; then those of
 * others that they have not begun. */
static void take_tasks(struct job job, int worker)
{
    for (int i = 0; i < job.threads; i++) {
        int owner = (worker + i) % job.threads;
        ptrdiff_t task, end = part(&job, owner + 1);
        while ((task = atomic_fetch_add(&pool.next[owner].task, 1)) < end)
            job.run(job.call, task, worker);
    }
}

static void *work(void *argument)
{
    int worker = (int)(ptrdiff_t)argument;
    unsigned long seen = 0;
    for (;;) {
        for (long long end = now() + WORKER_SPIN; atomic_load(&pool.generation) == seen && now() < end;) {
            for (int i = 0; i < 64; i++)
                relax();
            sched_yield(); /* to the caller, where both are on one core */
        }
        pthread_mutex_lock(&pool.lock);
        pool.asleep++;
        while (atomic_load(&pool.generation) == seen)
            pthread_cond_wait(&pool.called, &pool.lock);
        pool.asleep--;
        seen = atomic_load(&pool.generation);
        struct job job = pool.job;
        int joins = job.run && worker < job.threads;
        if (joins)
            atomic_fetch_add(&pool.inside, 1);
        pthread_mutex_unlock(&pool.lock);
        if (joins) {
            take_tasks(job, worker);
            pthread_mutex_lock(&pool.lock);
            if (atomic_fetch_sub(&pool.inside, 1) == 1)
                pthread_cond_signal(&pool.left);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    return NULL;
}

/* A forked child has none of the workers, and locks in any state. */
static void after_fork(void)
{
    pthread_mutex_init(&pool.entry, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.called, NULL);
    pthread_cond_init(&pool.left, NULL);
    pool.workers = pool.asleep = 0;
    pool.job.run = NULL;
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.generation, 0);
}

/* Sees to it that there are `wanted` workers, or as many as the system gives. Signals are for the other threads. */
static void hire(int wanted)
{
    static int watched;
    if (!watched)
        watched = pthread_atfork(NULL, NULL, after_fork) == 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < wanted && pool.workers < MAX_WORKERS) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(ptrdiff_t)(pool.workers + 1)) != 0)
            break;
        pthread_detach(thread);
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fl_spread(fl_task *run, void *call, ptrdiff_t tasks, int threads)
{
    if (threads > MAX_WORKERS + 1)
        threads = MAX_WORKERS + 1;
    const struct job job = {run, call, tasks, threads};
    if (threads < 2 || tasks < 2 || pthread_mutex_trylock(&pool.entry) != 0) {
        for (ptrdiff_t i = 0; i < tasks; i++)
            run(call, i, 0);
        return;
    }
    if (pool.workers < threads - 1)
        hire(threads - 1);
    pthread_mutex_lock(&pool.lock);
    pool.job = job;
    for (int i = 0; i < threads; i++)
        atomic_store(&pool.next[i].task, part(&job, i));
    atomic_fetch_add(&pool.generation, 1);
    int asleep = pool.asleep;
    pthread_mutex_unlock(&pool.lock);
    if (asleep)
        pthread_cond_broadcast(&pool.called);

    take_tasks(job, 0);

    pthread_mutex_lock(&pool.lock);
    pool.job.run = NULL; /* nobody joins from here on */
    pthread_mutex_unlock(&pool.lock);
    for (long long end = now() + CALLER_SPIN; atomic_load(&pool.inside) > 0 && now() < end;)
        relax();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.inside) > 0)
        pthread_cond_wait(&pool.left, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&pool.entry);
}

int fl_has_threads(void)
{
    return 1;
}

#else

void fl_spread(fl_task *run, void *call, ptrdiff_t tasks, int threads)
{
    (void)threads;
    for (ptrdiff_t i = 0; i < tasks; i++)
        run(call, i, 0);
}

int fl_has_threads(void)
{
    return 0;
}

#endif
