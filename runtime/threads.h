/*
 * threads.h — the team of threads that works on one chunk.
 */
#ifndef RNN_THREADS_H
#define RNN_THREADS_H

#include "rnn.h"

struct rnn__team;

/* n_thread >= 1; a team of one starts no thread. RNN_ENOMEM, RNN_ETHREAD. */
int rnn__team_new(struct rnn__team **out, int n_thread, const rnn_allocator *a);
void rnn__team_free(struct rnn__team *team, const rnn_allocator *a);
struct rnn_team *rnn__team_base(struct rnn__team *team);

/* Has all threads, the caller as number 0, run the procedure. Returns 0, or what one that
   failed returned. */
int rnn__team_run(struct rnn__team *team, rnn_procedure *procedure,
                  struct rnn_chunk *chunk);

#endif
