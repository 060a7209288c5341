/* merge.h — algebra that has to know the recurrence. See merge.c. */
#ifndef RNNC_MERGE_H
#define RNNC_MERGE_H

#include "graph/graph.h"

/* Products with a common operand become one; long sums are ordered so that what does not
   recur is added first; products with a concatenation split where a part leaves the scan.
 */
void merge_pass(Graph *g);

#endif
