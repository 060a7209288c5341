/*
 * dump.c — a graph as text, one node a line:
 *
 *     %12 = tanh(%11)  [128] {time,row}  forward
 *
 * The attributes that an operation uses stand behind its operands, leaves by the name of
 * what they read. Below the nodes come the tables. The text depends on the graph alone.
 */
#include <stdio.h>

#include "graph/ops.h"

static const char *const phase_name[] = {
    [PHASE_INIT] = "init",
    [PHASE_FORWARD] = "forward",
    [PHASE_BACKWARD] = "backward",
    [PHASE_UPDATE] = "update",
};

static const char *const axes_name[] = {"", " {time}", " {row}", " {time,row}"};

/* ---- attributes ---- */

/* The table's name for what leaf `n` reads; NULL where it has none. */
static const char *name_of(const Graph *g, const Node *n)
{
    bool is_state = n->op == OP_STATE || n->op == OP_CARRIED || n->op == OP_FINAL;
    bool is_param = n->op == OP_PARAM || n->op == OP_GRADIENT;
    int i = n->attr.index;
    if (is_state && i < g->n_state)
        return g->state[i].name;
    if (is_param && i < g->n_param)
        return g->param[i].name;
    if (n->op == OP_INPUT && i < g->n_input)
        return g->input[i].name;
    if (n->op == OP_SCALAR && i < g->n_scalar)
        return g->scalar[i].name;
    if (n->op == OP_OPTIMIZER && i < g->n_optimizer)
        return g->optimizer[i].name;
    return NULL;
}

static void print_index(const Graph *g, const Node *n, FILE *out)
{
    const char *name = name_of(g, n);
    if (name)
        fprintf(out, " %s", name);
    else
        fprintf(out, " #%d", n->attr.index);
}

static void print_numbers(const char *what, const int64_t *v, int n, FILE *out)
{
    fprintf(out, " %s", what);
    for (int i = 0; i < n; i++)
        fprintf(out, "%s%lld", i ? "," : " ", (long long)v[i]);
}

static void print_reduce(uint32_t mask, FILE *out)
{
    const char *between = " over ";
    for (int i = 0; i < MAX_RANK; i++)
        if (mask >> i & 1) {
            fprintf(out, "%s%d", between, i);
            between = ",";
        }
}

static void print_permutation(const Node *n, FILE *out)
{
    fputs(" to ", out);
    for (int i = 0; i < n->shape.rank; i++)
        fprintf(out, "%s%d", i ? "," : "", n->attr.permutation[i]);
}

static void print_attributes(const Graph *g, const Node *n, FILE *out)
{
    unsigned uses = op_defs[n->op]->uses;
    const Attr *a = &n->attr;
    if (uses & USES_VALUE)
        fprintf(out, " %.17g", a->value);
    if (uses & USES_INDEX)
        print_index(g, n, out);
    if (uses & USES_LABEL)
        fprintf(out, " %s,%s->%s", a->label[0], a->label[1], a->label[2]);
    if ((uses & USES_AXES) && n->n_arg > 0 && a->axes)
        fprintf(out, " over%s", axes_name[a->axes & AXES_ALL]);
    if ((uses & USES_AXES) && n->op == OP_EXTENT)
        fprintf(out, " of%s", axes_name[a->axes & AXES_ALL]);
    if (uses & USES_REDUCE)
        print_reduce(a->reduce, out);
    if (uses & USES_AXIS)
        fprintf(out, " along %d", a->axis);
    if (uses & USES_PERMUTATION)
        print_permutation(n, out);
    if (uses & USES_START)
        print_numbers("from", a->start, n->shape.rank, out);
    if (uses & USES_STEP)
        print_numbers("by", a->step, n->shape.rank, out);
}

static void dump_node(const Graph *g, NodeId id, FILE *out)
{
    const Node *n = &g->node[id];
    fprintf(out, "%%%d = %s", (int)id, op_defs[n->op]->name);
    for (int i = 0; i < n->n_arg; i++)
        fprintf(out, "%s%%%d", i ? ", " : "(", (int)n->arg[i]);
    if (n->n_arg > 0)
        fputc(')', out);
    print_attributes(g, n, out);
    fprintf(out, "  %s%s%s  %s\n", shape_print(g->arena, &n->shape),
            axes_name[n->axes & AXES_ALL], n->wide ? " wide" : "", phase_name[n->phase]);
}

/* ---- tables ---- */

static void print_root(const char *what, NodeId id, FILE *out)
{
    if (id != NO_NODE)
        fprintf(out, "  %s %%%d", what, (int)id);
}

static void dump_states(const Graph *g, FILE *out)
{
    for (int i = 0; i < g->n_state; i++) {
        const State *s = &g->state[i];
        fprintf(out, "state %s %s", s->name, shape_print(g->arena, &s->shape));
        print_root("leaf", s->leaf, out), print_root("carried", s->carried, out);
        print_root("entry", s->entry, out), print_root("next", s->next, out);
        fputc('\n', out);
    }
}

static void dump_params(const Graph *g, FILE *out)
{
    for (int i = 0; i < g->n_param; i++) {
        const Param *p = &g->param[i];
        fprintf(out, "param %s %s%s", p->name, shape_print(g->arena, &p->shape),
                p->trained ? "" : " fixed");
        print_root("leaf", p->leaf, out), print_root("init", p->init, out);
        print_root("gradient", p->gradient, out), print_root("next", p->next, out);
        fputc('\n', out);
    }
}

static void dump_others(const Graph *g, FILE *out)
{
    for (int i = 0; i < g->n_input; i++) {
        fprintf(out, "input %s %s", g->input[i].name,
                shape_print(g->arena, &g->input[i].shape));
        print_root("leaf", g->input[i].leaf, out);
        fputc('\n', out);
    }
    for (int i = 0; i < g->n_optimizer; i++) {
        fprintf(out, "optimizer %s", g->optimizer[i].name);
        print_root("leaf", g->optimizer[i].leaf, out);
        print_root("next", g->optimizer[i].next, out);
        fputc('\n', out);
    }
    for (int i = 0; i < g->n_scalar; i++)
        fprintf(out, "scalar %s %.17g\n", g->scalar[i].name, g->scalar[i].value);
    for (int i = 0; i < g->n_metric; i++)
        fprintf(out, "metric %s  value %%%d\n", g->metric[i].name, (int)g->metric[i].value);
    for (int i = 0; i < g->n_running; i++)
        fprintf(out, "running #%d  leaf %%%d  next %%%d\n", i, (int)g->running[i].leaf,
                (int)g->running[i].next);
}

void graph_dump(const Graph *g, FILE *out)
{
    fprintf(out, "graph %s\n", g->name);
    for (NodeId id = 0; id < g->n_node; id++)
        dump_node(g, id, out);
    dump_others(g, out);
    dump_params(g, out);
    dump_states(g, out);
    fputs("roots", out);
    print_root("output", g->output, out), print_root("loss", g->loss, out);
    print_root("weight", g->weight, out),
        print_root("gradient_norm", g->gradient_norm, out);
    fputc('\n', out);
}
