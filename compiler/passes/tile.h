/* tile.h — how nests are cut: for registers, caches, threads. See tile.c. */
#ifndef RNNC_TILE_H
#define RNNC_TILE_H

#include "passes/plan.h"

void tile_pass(Plan *p);

/* Tiles of a product with columns n in panels of `panel`, each element of `chains` chains;
   alternate: see Tiling. Down the longest dimension. */
Tiling tiling_of_product(const PlanTarget *t, int panel, int64_t n, int64_t k, int chains,
                         bool alternate);
/* Tiles and blocks of a sum over points into [m, n]; a_m, a_point: elements from one row of
   a to the next, from point to point. */
Tiling tiling_of_sum(const PlanTarget *t, int64_t m, int64_t n, int64_t a_m,
                     int64_t a_point);

/* Threads take parts of the nest's features so, or none; the pass calls it with what fits.
 */
void tile_set_split(const Plan *p, Nest *n, Split split);

#endif
