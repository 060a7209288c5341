/* permute.h — an order of n things that can be asked for one place at a time. */
#ifndef RNN_PERMUTE_H
#define RNN_PERMUTE_H

#include <stdint.h>

/* What stands at place i of the key's permutation of 0 … n - 1; 0 <= i < n. */
int64_t rnn__permute(uint64_t key, int64_t n, int64_t i);

#endif
