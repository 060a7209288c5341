/*
 * prefetch.c — a thread that sleeps until it has a job.
 */
#include "prefetch.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct rnn__prefetch {
    void (*work)(void *user);
    void *user;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool has_job, stop; /* under the mutex */
    bool has_thread;
    pthread_t thread;
};

static void *run(void *argument)
{
    struct rnn__prefetch *p = argument;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (!p->has_job && !p->stop)
            pthread_cond_wait(&p->changed, &p->mutex);
        if (p->stop)
            break;
        pthread_mutex_unlock(&p->mutex);
        p->work(p->user);
        pthread_mutex_lock(&p->mutex);
        p->has_job = false;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

struct rnn__prefetch *rnn__prefetch_new(void (*work)(void *user), void *user)
{
    struct rnn__prefetch *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->work = work;
    p->user = user;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->changed, NULL);
    sigset_t all, old; /* signals are for the threads that the program knows */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    p->has_thread = pthread_create(&p->thread, NULL, run, p) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return p;
}

void rnn__prefetch_begin(struct rnn__prefetch *p)
{
    pthread_mutex_lock(&p->mutex);
    p->has_job = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
}

void rnn__prefetch_wait(struct rnn__prefetch *p)
{
    pthread_mutex_lock(&p->mutex);
    if (p->has_job && !p->has_thread) {
        p->work(p->user);
        p->has_job = false;
    }
    while (p->has_job)
        pthread_cond_wait(&p->changed, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

void rnn__prefetch_free(struct rnn__prefetch *p)
{
    if (!p)
        return;
    rnn__prefetch_wait(p);
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}
