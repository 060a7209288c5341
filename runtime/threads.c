/*
 * threads.c — the team: a fixed number of threads that sleep between chunks, and
 * meet at barriers within one.
 *
 * A barrier is a count of those who have arrived and a generation: the last one
 * resets the count and raises the generation, which is what the others watch. They
 * spin for about as long as the shortest stage of a kernel takes, then give the
 * processor away: with more threads than processors a spinning one would keep the
 * last from arriving.
 *
 * Between chunks a thread spins as long, then sleeps on a condition. The caller is
 * thread 0, so that a team of one is a plain call.
 */
#include "threads.h"
#include "engine.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

enum { SPINS = 4000 };

struct worker {
    struct rnn__team *team;
    int thread;
    pthread_t id;
};

struct rnn__team {
    struct rnn_team base; /* first: kernels know this part alone */
    atomic_uint generation;
    atomic_int arrived;

    pthread_mutex_t mutex;
    pthread_cond_t has_job;
    atomic_uint job; /* its number; changed under the mutex */
    atomic_int n_working, status;
    bool stop; /* read after job has changed */
    rnn_procedure *procedure;
    struct rnn_chunk *chunk;
    int n_worker;
    struct worker *worker;
};

static void relax(int spin)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
    if (spin >= SPINS)
        sched_yield();
}

static void wait_for_all(struct rnn_team *base, int thread)
{
    struct rnn__team *team = (struct rnn__team *)base;
    (void)thread;
    if (base->n_thread == 1)
        return;
    unsigned generation = atomic_load_explicit(&team->generation, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 ==
        base->n_thread) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->generation, generation + 1, memory_order_release);
        return;
    }
    for (int spin = 0;
         atomic_load_explicit(&team->generation, memory_order_acquire) == generation;
         spin += spin < SPINS)
        relax(spin);
}

static void wait_for_job(struct rnn__team *team, unsigned seen)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&team->job, memory_order_acquire) != seen)
            return;
        relax(0);
    }
    pthread_mutex_lock(&team->mutex);
    while (atomic_load(&team->job) == seen)
        pthread_cond_wait(&team->has_job, &team->mutex);
    pthread_mutex_unlock(&team->mutex);
}

static void post_job(struct rnn__team *team)
{
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add_explicit(&team->job, 1, memory_order_release);
    pthread_cond_broadcast(&team->has_job);
    pthread_mutex_unlock(&team->mutex);
}

static void *work(void *argument)
{
    const struct worker *w = argument;
    struct rnn__team *team = w->team;
    for (unsigned seen = 0;; seen++) {
        wait_for_job(team, seen);
        if (team->stop)
            return NULL;
        int status = team->procedure(team->chunk, w->thread);
        if (status != 0)
            atomic_store(&team->status, status);
        atomic_fetch_sub_explicit(&team->n_working, 1, memory_order_release);
    }
}

int rnn__team_run(struct rnn__team *team, rnn_procedure *procedure, struct rnn_chunk *chunk)
{
    if (team->n_worker == 0)
        return procedure(chunk, 0);
    team->procedure = procedure;
    team->chunk = chunk;
    atomic_store(&team->status, 0);
    atomic_store(&team->n_working, team->n_worker);
    post_job(team);
    int status = procedure(chunk, 0);
    for (int spin = 0; atomic_load_explicit(&team->n_working, memory_order_acquire) > 0;
         spin += spin < SPINS)
        relax(spin);
    return status ? status : atomic_load(&team->status);
}

/* Workers take no signals: those are for the threads that the program knows. */
static int start_worker(struct rnn__team *team)
{
    struct worker *w = &team->worker[team->n_worker];
    *w = (struct worker){.team = team, .thread = team->n_worker + 1};
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&w->id, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    team->n_worker += !failed;
    return failed ? RNN_ETHREAD : 0;
}

int rnn__team_new(struct rnn__team **out, int n_thread, const rnn_allocator *a)
{
    struct rnn__team *team = rnn__alloc(a, sizeof *team, 64);
    if (!team)
        return RNN_ENOMEM;
    team->base = (struct rnn_team){.n_thread = n_thread, .wait = wait_for_all};
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->has_job, NULL);
    team->worker = rnn__alloc(a, (size_t)n_thread * sizeof *team->worker, 64);
    int status = team->worker ? 0 : RNN_ENOMEM;
    for (int i = 1; i < n_thread && status == 0; i++)
        status = start_worker(team);
    if (status < 0) {
        rnn__team_free(team, a);
        return status;
    }
    *out = team;
    return 0;
}

void rnn__team_free(struct rnn__team *team, const rnn_allocator *a)
{
    if (!team)
        return;
    team->stop = true;
    post_job(team);
    for (int i = 0; i < team->n_worker; i++)
        pthread_join(team->worker[i].id, NULL);
    pthread_cond_destroy(&team->has_job);
    pthread_mutex_destroy(&team->mutex);
    rnn__free(a, team->worker);
    rnn__free(a, team);
}

struct rnn_team *rnn__team_base(struct rnn__team *team) { return &team->base; }

int rnn__processor_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < 1024 ? (int)n : 1;
}
