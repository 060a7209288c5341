/* machine.h — what this machine can run, and with how many threads. See machine.c. */
#ifndef RNN_MACHINE_H
#define RNN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

/* What this machine lacks for code of the level `target` (rnn_model.target), such as
   "avx2"; NULL: nothing, or a level without needs (the interpreter's). */
const char *rnn__machine_lacks(const char *target);

/* Physical cores that this process may run on, at least 1. */
int rnn__core_count(void);
/* Of processors 0 … n - 1 those with may[i], by the system's folder of processors: two that
   share a core (cpuN/topology/thread_siblings_list) count once. */
int rnn__cores_of(const char *folder, const bool *may, int n);
/* Which processors this process may run on, of *n; NULL: nobody says. The caller frees.
   `ask` fills a cpu_set_t of so many bytes, or fails with EINVAL when that is too small. */
typedef int rnn__affinity(size_t bytes, void *set);
bool *rnn__processors(rnn__affinity *ask, int *n);

#endif
