/* simplify.h — algebra on the whole graph, behind grad. See simplify.c and merge.c. */
#ifndef RNNC_SIMPLIFY_H
#define RNNC_SIMPLIFY_H

#include "graph/graph.h"

void simplify_pass(Graph *g);
/* Products with a common operand become one; long sums are ordered so that what does not
   recur is added first; products with a concatenation split where a part leaves the scan.
 */
void merge_pass(Graph *g);

#endif
