/*
 * test_threads.c — the team: every thread does every job once, none passes a barrier before
 * all have come to it, and a thread that has gone to sleep between jobs is woken.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "engine.h"
#include "machine.h"
#include "scratch.h"
#include "threads.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 5, N_BARRIER = 20 };

/* What the threads of a job do: each counts up, and reads the others' counts between two
   barriers. */
static atomic_int count[THREADS_MAX];
static atomic_int n_wrong;
static int failing = -1;

static int meet(struct rnn_chunk *c, int thread)
{
    for (int i = 0; i < N_BARRIER; i++) {
        int mine = atomic_fetch_add_explicit(&count[thread], 1, memory_order_relaxed) + 1;
        c->team->wait(c->team, thread);
        for (int other = 0; other < c->team->n_thread; other++)
            n_wrong += atomic_load_explicit(&count[other], memory_order_relaxed) != mine;
        c->team->wait(c->team, thread);
    }
    return thread == failing ? RNN_EIO : 0;
}

/* Longer than a thread spins where `long_enough`. */
static void pause_between_jobs(bool long_enough)
{
    struct timespec t = {.tv_nsec = long_enough ? 20000000 : 1000};
    nanosleep(&t, NULL);
}

static void run_jobs(int n_thread, int n_job)
{
    struct rnn__team *team;
    const rnn_allocator *a = rnn__allocator_or_default(NULL);
    CHECK(rnn__team_new(&team, n_thread, a) == 0, "%d threads", n_thread);
    struct rnn_chunk chunk = {.team = rnn__team_base(team)};
    memset(count, 0, sizeof count);
    for (int job = 0; job < n_job; job++) {
        failing = job == 3 ? n_thread - 1 : -1;
        int status = rnn__team_run(team, meet, &chunk);
        CHECK(status == (failing < 0 ? 0 : RNN_EIO), "job %d: %d", job, status);
        if (job % 8 < 2)
            pause_between_jobs(job % 8 == 0);
    }
    rnn__team_free(team, a);
    for (int i = 0; i < n_thread; i++)
        CHECK(count[i] == n_job * N_BARRIER, "thread %d: %d", i, count[i]);
    CHECK(n_wrong == 0, "%d threads: %d passed a barrier early", n_thread, n_wrong);
}

static void test_threads_meet(void)
{
    for (int n_thread = 1; n_thread <= THREADS_MAX; n_thread++)
        run_jobs(n_thread, 50);
}

static void put_siblings(int processor, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/cpu%d", scratch_folder, processor);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/cpu%d/topology", scratch_folder, processor);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "cpu%d/topology/thread_siblings_list", processor);
    scratch_write(path, text, strlen(text));
}

/* As the system tells of them, with lists in both of its forms. */
static void test_threads_of_one_core_count_once(void)
{
    static const char *const siblings[] = {"0,4\n", "1-2\n", "1-2\n", "3\n", "0,4\n", "?"};
    static const struct {
        bool may[7];
        int cores;
    } list[] = {
        {{1, 1, 1, 1, 1, 1, 1}, 5},
        {{1, 0, 0, 0, 1}, 1},
        {{0, 0, 0, 0, 1}, 1},
        {{0, 1, 1, 1}, 2},
        {{0}, 1},
    };
    scratch_open();
    for (int i = 0; i < 6; i++)
        put_siblings(i, siblings[i]);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        int cores = rnn__cores_of(scratch_folder, list[i].may, 7);
        CHECK(cores == list[i].cores, "%d: %d cores", (int)i, cores);
    }
    CHECK(rnn__core_count() >= 1, "%d", rnn__core_count());
    scratch_close();
}

/* A machine of more processors than a cpu_set_t has room for. */
static int ask_large(size_t bytes, void *set)
{
    errno = EINVAL;
    if (bytes < 4096 / 8)
        return -1;
    memset(set, 0, bytes);
    memset((char *)set + 3000 / 8, 1, 1);
    return 0;
}

static int ask_in_vain(size_t bytes, void *set)
{
    (void)bytes, (void)set;
    errno = EINVAL;
    return -1;
}

static void test_processors_beyond_a_thousand_are_seen(void)
{
    int n = 0, count_may = 0;
    bool *may = rnn__processors(ask_large, &n);
    CHECK(may && n == 4096 && may[3000], "of %d", n);
    for (int i = 0; may && i < n; i++)
        count_may += may[i];
    CHECK(count_may == 1, "%d", count_may);
    free(may);
    may = rnn__processors(ask_in_vain, &n);
    CHECK(!may, "of %d", n);
    free(may);
}

int main(void)
{
    test_threads_meet();
    test_threads_of_one_core_count_once();
    test_processors_beyond_a_thousand_are_seen();
    return check_result();
}
