/*
 * bytes.h — does what a compilation makes fit an address space? Each check says a mistake
 * of the spec when it does not.
 */
#ifndef RNNC_BYTES_H
#define RNNC_BYTES_H

#include "pipeline.h"

/* Behind build: sizes that all later arithmetic stays exact for, and the tables. */
void bytes_check_graph(Unit *u);
/* Behind fuse: every buffer for itself, for place adds them up. */
void bytes_check_buffers(Unit *u);
/* Behind place: all that a chunk holds. */
void bytes_check_plan(Unit *u);
/* The interpreter keeps every value of the graph. false: it was said, nothing is left to
   flush. */
bool bytes_fit_interpreter(Unit *u);

/* All that a chunk of a placed plan holds: tables, states, inputs, workspace. */
double bytes_of_plan(const Unit *u);

/* 128 TB, what a process can address. */
static const double BYTES_MAX = 0x1p47;

#endif
