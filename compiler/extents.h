/* extents.h — how many steps and rows a spec's chunk has, and its vocabulary. See
 * extents.c. */
#ifndef RNNC_EXTENTS_H
#define RNNC_EXTENTS_H

#include "pipeline.h"

/* Fills u->steps_max, rows_max and vocabulary; gives classes without a number their size.
   Mistakes go to u->diag. */
void extents_of_spec(Unit *u);

#endif
