/*
 * threads.c — the team: a fixed number of threads that sleep between chunks, and
 * meet at barriers within one.
 *
 * A barrier: each thread counts on a cache line of its own the barriers that it has come
 * to, and watches the others' counts reach its own. A line is written by one thread alone,
 * so that two threads pass in the time of one exchange of lines. They spin for about as
 * long as the shortest stage of a kernel takes, then give the processor away: with more
 * threads than processors, or with other programs on them, a spinning one would keep the
 * last from arriving. Where that has happened it is likely to happen again at the next
 * barrier, and a step of a scan may have one: a thread then spins less, and more again as
 * waits turn out short.
 *
 * Between chunks a thread spins as long, then sleeps on a condition. Who posts a job locks
 * only where some sleep: each side writes its own word (the job, the count of sleepers)
 * before it reads the other's, in one total order, so that not both miss. The caller is
 * thread 0: a team of one is a plain call.
 */
#include "threads.h"
#include "engine.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

enum { SPINS = 4000, FEWEST_SPINS = 16 };

/* Written by its thread alone. */
struct seat {
    _Alignas(64) atomic_uint arrived; /* barriers come to */
    atomic_uint done;                 /* the last job finished: its number */
    int patience;                     /* spins before it gives the processor away */
};

struct worker {
    struct rnn__team *team;
    int thread;
    pthread_t id;
};

struct rnn__team {
    struct rnn_team base; /* first: kernels know this part alone */
    struct seat *seat;    /* [n_thread] */
    struct worker *worker;
    int n_worker;

    _Alignas(64) atomic_uint job; /* its number; what follows is written before it */
    rnn_procedure *procedure;     /* NULL: stop */
    struct rnn_chunk *chunk;

    _Alignas(64) atomic_int n_asleep;
    atomic_int status; /* of the last worker that failed in this job */
    pthread_mutex_t mutex;
    pthread_cond_t has_job;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool has_come(const atomic_uint *count, unsigned value)
{
    return (int)(atomic_load_explicit(count, memory_order_acquire) - value) >= 0;
}

/* Until the count, which only grows (and wraps), is at least `value`. A wait in vain halves
   the patience of the next ones several times over, one that was not doubles it. */
static void wait_until(const atomic_uint *count, unsigned value, int *patience)
{
    enum { IN_VAIN = 8 };
    for (int spin = 0; spin < *patience; spin++) {
        if (has_come(count, value)) {
            if (*patience < SPINS) /* else nothing is stored: others watch this line */
                *patience = 2 * *patience < SPINS ? 2 * *patience : SPINS;
            return;
        }
        relax();
    }
    int less = *patience / IN_VAIN;
    *patience = less > FEWEST_SPINS ? less : FEWEST_SPINS;
    while (!has_come(count, value))
        sched_yield();
}

static void wait_for_all(struct rnn_team *base, int thread)
{
    struct rnn__team *team = (struct rnn__team *)base;
    if (base->n_thread == 1)
        return;
    atomic_uint *own = &team->seat[thread].arrived;
    unsigned arrived = atomic_load_explicit(own, memory_order_relaxed) + 1;
    atomic_store_explicit(own, arrived, memory_order_release);
    for (int i = 0; i < base->n_thread; i++)
        if (i != thread)
            wait_until(&team->seat[i].arrived, arrived, &team->seat[thread].patience);
}

static void wait_for_job(struct rnn__team *team, unsigned seen)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (atomic_load_explicit(&team->job, memory_order_acquire) != seen)
            return;
        relax();
    }
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->n_asleep, 1);
    while (atomic_load(&team->job) == seen)
        pthread_cond_wait(&team->has_job, &team->mutex);
    atomic_fetch_sub(&team->n_asleep, 1);
    pthread_mutex_unlock(&team->mutex);
}

/* Returns the job's number. */
static unsigned post_job(struct rnn__team *team, rnn_procedure *procedure,
                         struct rnn_chunk *chunk)
{
    team->procedure = procedure;
    team->chunk = chunk;
    unsigned job = atomic_fetch_add(&team->job, 1) + 1;
    if (atomic_load(&team->n_asleep) > 0) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_broadcast(&team->has_job);
        pthread_mutex_unlock(&team->mutex);
    }
    return job;
}

static void *work(void *argument)
{
    const struct worker *w = argument;
    struct rnn__team *team = w->team;
    for (unsigned seen = 0;; seen++) {
        wait_for_job(team, seen);
        if (!team->procedure)
            return NULL;
        int status = team->procedure(team->chunk, w->thread);
        if (status != 0)
            atomic_store(&team->status, status);
        atomic_store_explicit(&team->seat[w->thread].done, seen + 1, memory_order_release);
    }
}

int rnn__team_run(struct rnn__team *team, rnn_procedure *procedure, struct rnn_chunk *chunk)
{
    if (team->n_worker == 0)
        return procedure(chunk, 0);
    atomic_store_explicit(&team->status, 0, memory_order_relaxed);
    unsigned job = post_job(team, procedure, chunk);
    int status = procedure(chunk, 0);
    for (int i = 1; i <= team->n_worker; i++)
        wait_until(&team->seat[i].done, job, &team->seat[0].patience);
    return status ? status : atomic_load_explicit(&team->status, memory_order_relaxed);
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
    team->seat = rnn__alloc(a, (size_t)n_thread * sizeof *team->seat, 64);
    int status = team->worker && team->seat ? 0 : RNN_ENOMEM;
    for (int i = 0; i < n_thread && status == 0; i++)
        team->seat[i].patience = SPINS;
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
    post_job(team, NULL, NULL);
    for (int i = 0; i < team->n_worker; i++)
        pthread_join(team->worker[i].id, NULL);
    pthread_cond_destroy(&team->has_job);
    pthread_mutex_destroy(&team->mutex);
    rnn__free(a, team->seat);
    rnn__free(a, team->worker);
    rnn__free(a, team);
}

struct rnn_team *rnn__team_base(struct rnn__team *team) { return &team->base; }
