/*
 * generate.h — random well-typed specs of recurrent cells, told by a number.
 */
#ifndef RNNC_GENERATE_H
#define RNNC_GENERATE_H

#include "differential.h"

enum { LINES_MOST = 24 };

/*
 * A trial whose spec is told by the seed: sizes, states, equations, steps and rows. At most
 * `lines` lines of the step are drawn (1 … LINES_MOST; fewer when the seed says so); with a
 * smaller limit the spec begins as with a larger one, so a failure is reduced by lowering
 * it.
 */
Trial generate_trial(Arena *arena, uint64_t seed, int lines);

#endif
