/*
 * rewrite.h — a graph made again, node by node, through a rule.
 *
 * graph_rewrite walks the live nodes in order. For each it hands the rule the
 * old node with operands already translated; the rule answers with a new node,
 * its own or any that exists. Equal nodes are shared, so common subexpressions
 * vanish by themselves; nodes that no root reaches are left behind. All tables
 * of the graph are translated.
 */
#ifndef RNNC_REWRITE_H
#define RNNC_REWRITE_H

#include "graph/ops.h"

typedef struct Rewrite Rewrite;
typedef NodeId RewriteRule(Rewrite *r, const Node *node, const NodeId *arg);

void graph_rewrite(Graph *g, RewriteRule *rule, void *user);

Graph *rewrite_graph(Rewrite *r); /* the graph being made */
void *rewrite_user(Rewrite *r);
NodeId rewrite_old(const Rewrite *r); /* the id that the node at hand had */
/* Adds a node, or returns an equal one that exists. */
NodeId rewrite_add(Rewrite *r, OpCode op, int n_arg, const NodeId *arg, const Attr *attr);

/* Puts the nodes of `sorted` in place of the graph's; map[old id] is the new one. */
void graph_permute(Graph *g, Node *sorted, const NodeId *map);

/* live[id]: some root reaches it. n_node flags in the graph's arena. */
bool *graph_live(const Graph *g);
/* users[id]: how many live nodes and roots use it. */
int *graph_uses(const Graph *g);
/* The value when the node is one number everywhere, known now. */
bool graph_constant_of(const Graph *g, NodeId id, double *value);
/* What stands under spreads. */
NodeId graph_unspread(const Graph *g, NodeId id);

#endif
