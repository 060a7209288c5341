/*
 * plan_dump.c — a plan as a person reads it.
 *
 * Procedures, stages, groups and nests are indented; a product is one line, a
 * sweep is its equations: stores with what they store, written out as far as a
 * value is used once and fits a line. h(t+1) is the slot behind the current step, h(T) the
 * last.
 *
 * v[128…] begins at element 128 of its row. Most accesses take element after element in the
 * order of the loops, or one number for all of them, and say no more; of others the strides
 * follow, one for each dimension of the sweep, of a product's m, k, n (its batch first,
 * when there is one): v[7… by -1] is reversed, v[… by 0, 1] the same for all rows. A
 * product's second operand that is ᵀ is read across its rows. How far rows and steps of a
 * buffer are apart stands with the buffers.
 */
#include <inttypes.h>
#include <string.h>

#include "passes/plan.h"

const char *const proc_names[PROC_COUNT] = {
    [PROC_INIT] = "init",     [PROC_PACK] = "pack", [PROC_GRAD] = "grad",
    [PROC_UPDATE] = "update", [PROC_EVAL] = "eval", [PROC_STEP] = "step",
};
static const char *const stage_names[] = {"once", "rows", "time", "sum"};

/* ---- places ---- */

static const char *axes_word(Axes axes)
{
    return axes == AXES_ALL ? "steps, rows" : axes == AXIS_TIME ? "steps" : "rows";
}

static void print_place(const Plan *p, const Access *a, FILE *out)
{
    const Buffer *b = &p->buffer[a->buffer];
    const char *state = b->home == HOME_STATE_IN      ? "carried"
                        : b->home == HOME_STATE_OUT   ? "to carry"
                        : b->home == HOME_STATE_SAVED ? "to keep"
                                                      : NULL;
    fprintf(out, "%s", b->name);
    if (state)
        fprintf(out, "(%s)", state);
    else if (a->when == AT_FIRST)
        fprintf(out, "(0)");
    else if (a->when == AT_END)
        fprintf(out, "(T)");
    else if (a->when == AT_SAVE)
        fprintf(out, "(save_at)");
    else if (a->shift)
        fprintf(out, "(t%+d)", a->shift);
}

/* Element after element, or always the same one? */
static bool walks_on(int rank, const int64_t *extent, const int64_t *stride)
{
    int64_t dense = 1;
    bool moves = false, in_order = true;
    for (int d = rank - 1; d >= 0; dense *= extent[d--]) {
        moves = moves || (extent[d] > 1 && stride[d] != 0);
        in_order = in_order && (extent[d] == 1 || stride[d] == dense);
    }
    return !moves || in_order;
}

/* Which of its elements, where loops of these extents run. */
static void print_part(const Access *a, int rank, const int64_t *extent,
                       const int64_t *stride, FILE *out)
{
    bool plain = walks_on(rank, extent, stride);
    if (a->offset == 0 && plain)
        return;
    fprintf(out, "[");
    if (a->offset)
        fprintf(out, "%" PRId64, a->offset);
    fprintf(out, "…");
    for (int d = 0; d < rank && !plain; d++)
        fprintf(out, "%s%" PRId64, d ? ", " : " by ", stride[d]);
    fprintf(out, "]");
}

static void print_access(const Plan *p, const Sweep *s, const Instr *in, FILE *out)
{
    int64_t extent[MAX_RANK], stride[MAX_RANK];
    int rank = 0;
    for (int d = 0; d < s->rank; d++) {
        if (in->kind == I_REDUCE && s->reduced >> d & 1)
            continue;
        extent[rank] = s->extent[d], stride[rank++] = in->access.stride[d];
    }
    print_place(p, &in->access, out);
    print_part(&in->access, rank, extent, stride, out);
}

/* One operand of a product: [batch][rows][columns], across: as it stands when its columns
   are the rows. */
static void print_matrix(const Plan *p, const Contraction *c, const Access *a, int64_t rows,
                         int64_t columns, bool across, FILE *out)
{
    const int64_t *by = a->stride;
    const int64_t extent[] = {c->n_batch, across ? columns : rows, across ? rows : columns},
                  stride[] = {by[0], by[across ? 2 : 1], by[across ? 1 : 2]};
    int first = c->n_batch > 1 ? 0 : rows > 1 ? 1 : 2;
    print_place(p, a, out);
    print_part(a, 3 - first, extent + first, stride + first, out);
}

/* ---- equations ---- */

/* A sweep being written: which of its values have a name and a line of their own, for they
   are used several times, or their text would be long. */
typedef struct {
    const Plan *p;
    const Sweep *s;
    bool *named; /* by instruction */
    FILE *out;
} Equations;

/* How an operation is written: between its operands, or as a function. BIND: how tightly
   the place where a value is written binds: what binds less stands in parentheses. Operands
   to the right always do, so that the order of roundings shows. */
enum { BIND_NONE, BIND_COMPARE, BIND_SUM, BIND_PRODUCT, BIND_SIGN, BIND_POWER };

static const struct Infix {
    const char *sign;
    int bind;
} infix[OP_COUNT] = {
    [OP_ADD] = {"+", BIND_SUM},     [OP_SUB] = {"-", BIND_SUM},
    [OP_MUL] = {"*", BIND_PRODUCT}, [OP_DIV] = {"/", BIND_PRODUCT},
    [OP_LT] = {"<", BIND_COMPARE},  [OP_LE] = {"<=", BIND_COMPARE},
    [OP_EQ] = {"==", BIND_COMPARE}, [OP_NE] = {"!=", BIND_COMPARE},
    [OP_POW] = {"^", BIND_POWER},
};

/* Columns of an equation about which its value gets a name. */
enum { WIDE_EQUATION = 80, NAME_WIDTH = 4 };

/* About as many columns as the instruction's text takes, its operands' with it. */
static int width_of(const Equations *e, int i, const int *width)
{
    const Instr *in = &e->s->instr[i];
    int columns = in->kind == I_MAP ? (int)strlen(op_defs[in->op]->name) + 2 : 6;
    if (in->access.buffer >= 0 && (in->kind == I_LOAD || in->kind == I_GATHER))
        columns += (int)strlen(e->p->buffer[in->access.buffer].name);
    for (int k = 0; k < in->n_arg; k++)
        columns += e->named[in->arg[k]] ? NAME_WIDTH : width[in->arg[k]];
    return columns;
}

static Equations equations_of(const Plan *p, const Sweep *s, FILE *out)
{
    Equations e = {p, s, NEW_ARRAY(p->arena, bool, s->n_instr + 1), out};
    int *uses = NEW_ARRAY(p->arena, int, s->n_instr + 1);
    bool *inner = NEW_ARRAY(p->arena, bool, s->n_instr + 1); /* part of another equation */
    int *width = NEW_ARRAY(p->arena, int, s->n_instr + 1);
    for (int i = 0; i < s->n_instr; i++)
        for (int k = 0; k < s->instr[i].n_arg; k++) {
            int arg = s->instr[i].arg[k];
            uses[arg]++;
            inner[arg] = inner[arg] || !instr_writes(&s->instr[i]);
        }
    for (int i = 0; i < s->n_instr; i++) {
        width[i] = width_of(&e, i, width);
        bool wide = inner[i] && width[i] > WIDE_EQUATION;
        e.named[i] = s->instr[i].kind == I_MAP && (uses[i] > 1 || wide);
    }
    return e;
}

static void print_value(const Equations *e, int i, int bind);

static void print_infix(const Equations *e, const Instr *in, int bind)
{
    const struct Infix *how = &infix[in->op];
    bool left = how->bind == BIND_SUM || how->bind == BIND_PRODUCT;
    if (how->bind < bind)
        fprintf(e->out, "(");
    print_value(e, in->arg[0], left ? how->bind : how->bind + 1);
    fprintf(e->out, " %s ", how->sign);
    print_value(e, in->arg[1], how->bind + 1);
    if (how->bind < bind)
        fprintf(e->out, ")");
}

static void print_negative(const Equations *e, const Instr *in, int bind)
{
    fprintf(e->out, bind > BIND_SIGN ? "(-" : "-");
    print_value(e, in->arg[0], BIND_POWER);
    fprintf(e->out, bind > BIND_SIGN ? ")" : "");
}

static void print_map(const Equations *e, const Instr *in, int bind)
{
    if (infix[in->op].sign) {
        print_infix(e, in, bind);
    } else if (in->op == OP_DETACH) {
        print_value(e, in->arg[0], bind);
    } else if (in->op == OP_NEG) {
        print_negative(e, in, bind);
    } else {
        fprintf(e->out, "%s(", op_defs[in->op]->name);
        for (int k = 0; k < in->n_arg; k++) {
            fprintf(e->out, k > 0 ? ", " : "");
            print_value(e, in->arg[k], BIND_NONE);
        }
        fprintf(e->out, ")");
    }
}

static void print_pair(const Equations *e, const char *left, const char *right, int bind)
{
    bool inside = bind > BIND_NONE;
    fprintf(e->out, "%s%s %s%s", inside ? "(" : "", left, right, inside ? ")" : "");
}

static void print_gather(const Equations *e, const Instr *in)
{
    print_access(e->p, e->s, in, e->out);
    fprintf(e->out, "[");
    print_value(e, in->arg[0], BIND_NONE);
    fprintf(e->out, "]");
}

/* The instruction's own line: its equation. Elsewhere it goes by its name, if any. */
static void print_equation(const Equations *e, int i, int bind)
{
    const Instr *in = &e->s->instr[i];
    switch (in->kind) {
    case I_CONSTANT: fprintf(e->out, "%g", in->value); break;
    case I_LOAD: print_access(e->p, e->s, in, e->out); break;
    case I_GATHER: print_gather(e, in); break;
    case I_IOTA: fprintf(e->out, "iota"); break;
    case I_RANDOM: fprintf(e->out, "random%d", in->index); break;
    case I_STEP:
        print_pair(e, "t", in->index == STEP_OF_LOSS ? "- loss_from" : "+ step0", bind);
        break;
    case I_EXTENT:
        if (in->axes == AXES_ALL)
            print_pair(e, "steps", "* rows", bind);
        else
            fprintf(e->out, "%s", axes_word(in->axes));
        break;
    case I_TRAINING: fprintf(e->out, "training"); break;
    case I_MAP: print_map(e, in, bind); break;
    case I_REDUCE:
    case I_STORE:
    case I_ACCUMULATE:
    case I_SCATTER:
    case I_ORTHOGONAL: break;
    }
}

static void print_value(const Equations *e, int i, int bind)
{
    if (e->named[i])
        fprintf(e->out, "v%d", i);
    else
        print_equation(e, i, bind);
}

static void print_result(const Equations *e, const Instr *in)
{
    FILE *out = e->out;
    print_access(e->p, e->s, in, out);
    switch (in->kind) {
    case I_STORE:
        fprintf(out, " = ");
        print_value(e, in->arg[0], BIND_NONE);
        break;
    case I_REDUCE:
        fprintf(out, " = %s(", op_defs[in->op]->name);
        print_value(e, in->arg[0], BIND_NONE);
        fprintf(out, ")");
        break;
    case I_ACCUMULATE:
        fprintf(out, " += ");
        print_value(e, in->arg[0], BIND_NONE);
        break;
    case I_SCATTER:
        fprintf(out, "[");
        print_value(e, in->arg[1], BIND_NONE);
        fprintf(out, "] += ");
        print_value(e, in->arg[0], BIND_NONE);
        break;
    case I_ORTHOGONAL: fprintf(out, " made orthogonal"); break;
    case I_CONSTANT:
    case I_LOAD:
    case I_GATHER:
    case I_IOTA:
    case I_RANDOM:
    case I_STEP:
    case I_EXTENT:
    case I_TRAINING:
    case I_MAP: break;
    }
}

/* A value of all steps is there to be read in another stage: by the backward pass, or by a
   sum over points. States are kept in any case. */
static bool is_stash(const Plan *p, const Instr *in)
{
    const Buffer *b = &p->buffer[in->access.buffer];
    return b->home == HOME_WORKSPACE && b->axes & AXIS_TIME && b->span == SPAN_CHUNK &&
           b->n_slot <= p->steps_max;
}

static void dump_instr(const Equations *e, int i)
{
    const Instr *in = &e->s->instr[i];
    fprintf(e->out, "          ");
    if (instr_writes(in)) {
        print_result(e, in);
        fprintf(e->out, is_stash(e->p, in) ? "   stash" : "");
    } else {
        fprintf(e->out, "v%d = ", i);
        print_equation(e, i, BIND_NONE);
    }
    fprintf(e->out, "\n");
}

static void dump_sweep(const Plan *p, const Nest *n, const Sweep *s, FILE *out)
{
    const Equations e = equations_of(p, s, out);
    fprintf(out, "        each [");
    for (int d = 0; d < s->rank; d++)
        fprintf(out, "%s%s%" PRId64, d ? ", " : "", s->reduced >> d & 1 ? "Σ" : "",
                s->extent[d]);
    fprintf(out, "]%s", s->rank > 0 && s->lanes == 1 ? " one by one" : "");
    if (s->each_point)
        fprintf(out, " for all %s", axes_word(n->sum));
    if (s->ahead > 0)
        fprintf(out, ", fetching %d rows ahead", s->ahead);
    fprintf(out, "\n");
    for (int i = 0; i < s->n_instr; i++)
        if (instr_writes(&s->instr[i]) || e.named[i])
            dump_instr(&e, i);
}

/* ---- the frame ---- */

/* Behind the pass: tiles as rows x vectors, the largest, those over the last columns, then
   those of exactly one and of two rows, where they are wider. */
static void dump_tiling(const Contraction *c, FILE *out)
{
    const Tiling *g = &c->tiling;
    static const char *const along[] = {[ALONG_M] = "m",
                                        [ALONG_ROWS] = "rows",
                                        [ALONG_STEPS] = "steps",
                                        [ALONG_LONGEST] = "the longest"};
    fprintf(out, "        tiles %d x %d", g->rows, g->vectors);
    if (g->rest > 0)
        fprintf(out, ", %d x %d at the end", g->rows, g->rest);
    for (int i = 0; i < COUNT(g->panels); i++)
        for (const int *width = g->panels[i]; *width > 1; width++)
            if (width == g->panels[i])
                fprintf(out, ", %d x %d", i + 1, *width * g->vectors);
            else
                fprintf(out, " or %d", *width * g->vectors);
    fprintf(out, " down %s", along[g->along]);
    if (g->chains > 1)
        fprintf(out, ", %d chains", g->chains);
    if (c->packed < 0)
        fprintf(out, ", blocks of %" PRId64 " points", g->block);
    else if (g->block < c->k)
        fprintf(out, ", blocks of %" PRId64 " k", g->block);
    if (g->ahead)
        fprintf(out, ", fetching ahead%s", g->c_ahead ? " a and c" : "");
    if (g->a_panel > 0)
        fprintf(out, ", a in panels of %d, %" PRId64 " at a time", g->a_panel, g->a_rows);
    if (g->alternate)
        fprintf(out, ", back and forth by step%s", g->halves ? " in halves" : "");
    fprintf(out, "\n");
}

static void dump_extents(const Contraction *c, bool sum, FILE *out)
{
    fprintf(out, "   [");
    if (c->n_batch > 1)
        fprintf(out, "batch %" PRId64 ", ", c->n_batch);
    if (c->m > 1 || sum)
        fprintf(out, "m %" PRId64 ", ", c->m);
    fprintf(out, "n %" PRId64, c->n);
    if (c->k > 1 || !sum)
        fprintf(out, ", k %" PRId64, c->k);
    fprintf(out, "]");
}

static void dump_contraction(const Plan *p, const Nest *n, FILE *out)
{
    const Contraction *c = n->contraction;
    bool sum = n->sum != 0, across = !sum && access_is_transposed(&c->b, c->n, c->k);
    fprintf(out, "      product  ");
    print_matrix(p, c, &c->c, c->m, c->n, false, out);
    if (sum)
        fprintf(out, " = Σ over %s of ", axes_word(n->sum));
    else
        fprintf(out, " = ");
    print_matrix(p, c, &c->a, c->m, c->k, false, out);
    fprintf(out, sum ? " ⊗ " : " · ");
    print_matrix(p, c, &c->b, c->n, c->k, across, out);
    if (across)
        fprintf(out, "ᵀ");
    if (c->packed >= 0 && p->buffer[c->packed].home == HOME_PARAMS)
        fprintf(out, " in place");
    if (c->has_init) {
        fprintf(out, "  starting from ");
        print_matrix(p, c, &c->init, c->m, c->n, false, out);
    }
    dump_extents(c, sum, out);
}

static void dump_pack(const Buffer *b, FILE *out)
{
    fprintf(out, "      pack     %s, %d columns each   [", b->name, b->panel);
    if (b->pack_batch > 1)
        fprintf(out, "batch %" PRId64 ", ", b->pack_batch);
    fprintf(out, "n %" PRId64 ", k %" PRId64 "]", b->pack_n, b->pack_k);
}

/* What each thread does of a nest that is split by features: known behind `tile`. */
static void dump_parts(const Nest *n, FILE *out)
{
    if (n->split == SPLIT_NONE)
        fprintf(out, "   one thread, turn %d", n->turn);
    else
        fprintf(out, "   split over %s",
                n->pack >= 0          ? "panels"
                : n->split == SPLIT_M ? "rows"
                                      : "columns");
    if (n->split != SPLIT_NONE && n->contraction && n->unit > 1)
        fprintf(out, " by %" PRId64, n->unit);
}

static void dump_nest(const Plan *p, const Stage *stage, const Nest *n, FILE *out)
{
    if (n->barrier)
        fprintf(out, "      barrier\n");
    if (n->pack >= 0)
        dump_pack(&p->buffer[n->pack], out);
    else if (n->contraction)
        dump_contraction(p, n, out);
    else
        fprintf(out, "      sweeps");
    if (!stage_by_rows(stage) && n->unit > 0)
        dump_parts(n, out);
    fprintf(out, "\n");
    if (n->contraction && n->contraction->tiling.rows > 0)
        dump_tiling(n->contraction, out);
    for (int i = 0; i < n->n_sweep; i++)
        dump_sweep(p, n, &n->sweep[i], out);
}

static void dump_stage(const Plan *p, const Stage *s, FILE *out)
{
    if (s->barrier)
        fprintf(out, "  barrier\n");
    fprintf(out, "  %s", stage_names[s->kind]);
    if (s->kind == STAGE_TIME)
        fprintf(out, " %s, blocks of %" PRId64 " steps, %s split over threads",
                s->backward ? "backward" : "forward", s->block,
                s->features ? "steps of maps and features of scans" : "rows");
    fprintf(out, "\n");
    for (int i = 0; i < s->n_group; i++) {
        if (s->group[i].barrier)
            fprintf(out, "    barrier\n");
        if (s->kind == STAGE_TIME)
            fprintf(out, "    %s\n",
                    s->group[i].scan ? "scan, step by step" : "map, all steps at once");
        for (int k = 0; k < s->group[i].n_nest; k++)
            dump_nest(p, s, &s->group[i].nest[k], out);
    }
}

static const char *span_text(const Buffer *b)
{
    static const char *const text[] = {"a step", "a block", "all steps"};
    return b->axes & AXIS_TIME ? text[b->span] : b->axes & AXIS_ROW ? "rows" : "once";
}

static void dump_buffers(const Plan *p, FILE *out)
{
    fprintf(out, "buffers\n");
    for (int i = 0; i < p->n_buffer; i++) {
        const Buffer *b = &p->buffer[i];
        if (b->home != HOME_WORKSPACE || b->bytes == 0)
            continue;
        fprintf(out, "  %-28s %-9s %10" PRId64 " bytes at %" PRId64 "%s%s", b->name,
                span_text(b), b->bytes, b->offset, b->persistent ? "  kept" : "  of ",
                b->persistent ? "" : proc_names[b->proc]);
        if (b->axes & AXIS_ROW)
            fprintf(out, ", rows by %" PRId64, b->row_stride);
        if (b->axes & AXIS_TIME && b->span != SPAN_ONE)
            fprintf(out, ", steps by %" PRId64, b->slot_stride);
        fprintf(out, "\n");
    }
}

void plan_dump(const Plan *p, FILE *out)
{
    fprintf(out, "plan %s: %" PRId64 " steps, %" PRId64 " rows, %s, vectors of %d, %s\n",
            p->graph->name, p->steps_max, p->rows_max, p->target.name, p->target.vector,
            p->fuse ? "fused" : "one operation a nest");
    fprintf(out, "workspace %" PRId64 " bytes and %" PRId64 " a thread\n",
            p->workspace_bytes, p->scratch_bytes);
    for (int i = 0; i < PROC_COUNT; i++) {
        fprintf(out, "\n%s\n", proc_names[i]);
        for (int k = 0; k < p->proc[i].n_stage; k++)
            dump_stage(p, &p->proc[i].stage[k], out);
    }
    fprintf(out, "\n");
    dump_buffers(p, out);
}
