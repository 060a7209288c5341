/* grad.h — the backward phase of a graph. See grad.c. */
#ifndef RNNC_GRAD_H
#define RNNC_GRAD_H

#include "graph/graph.h"

/*
 * Adds to a graph with a loss the nodes and states of PHASE_BACKWARD that find the loss's
 * derivative by every trained parameter, and notes them in Param.gradient (NO_NODE where
 * none flows). Without a loss: nothing. Once a graph.
 */
void grad_pass(Graph *g);

#endif
