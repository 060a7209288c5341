/*
 * prefetch.h — one job done by a thread of its own while the caller goes on.
 */
#ifndef RNN_PREFETCH_H
#define RNN_PREFETCH_H

#include <stdbool.h>

struct rnn__prefetch;

/* Makes one that does work(user). NULL when there is no memory. Where no thread can be
   started the job is done when it is waited for: slower, with the same result. */
struct rnn__prefetch *rnn__prefetch_new(void (*work)(void *user), void *user);
/* Begins the job; the one before must have been waited for. */
void rnn__prefetch_begin(struct rnn__prefetch *p);
/* Returns when no job is in progress. */
void rnn__prefetch_wait(struct rnn__prefetch *p);
/* Waits, ends the thread. NULL is allowed. */
void rnn__prefetch_free(struct rnn__prefetch *p);

#endif
