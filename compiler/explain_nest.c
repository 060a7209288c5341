/*
 * explain_nest.c — a nest in words: the product, the operations that run on its rows while
 * they are in cache, and what is stored, with the reason beside it.
 */
#include <inttypes.h>
#include <string.h>

#include "explain_room.h"

/* ---- stores of a nest, by reason ---- */

static const char *place_print(const Plan *p, const Access *a)
{
    const char *name = p->buffer[a->buffer].name;
    switch (a->when) {
    case AT_FIRST: return arena_print(p->arena, "%s(0)", name);
    case AT_END: return arena_print(p->arena, "%s(T)", name);
    case AT_SAVE: return arena_print(p->arena, "%s(save_at)", name);
    case AT_STEP: break;
    }
    return a->shift ? arena_print(p->arena, "%s(t%+d)", name, a->shift) : name;
}

enum { MAX_STORE = 128, LINE_OF_NAMES = 60, MAX_LOOPS = 8 };

typedef struct {
    int n;
    const char *name[MAX_STORE], *why[MAX_STORE];
} Stores;

static void add_store(Stores *s, const char *name, const char *why)
{
    for (int i = 0; i < s->n; i++)
        if (str_eq(s->name[i], name))
            return;
    if (s->n < MAX_STORE)
        s->name[s->n] = name, s->why[s->n++] = why;
}

static bool before_nest(const Touch *t, const Touch *at)
{
    return t->stage != at->stage   ? t->stage < at->stage
           : t->group != at->group ? t->group < at->group
                                   : t->nest < at->nest;
}

/* The first touch that does not stand before the nest. */
static int first_of_nest(const Explain *e, const Touch *at)
{
    int low = 0, high = e->n_touch;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (before_nest(&e->touch[middle], at))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A product's result that only its own nest reads is no news. */
static void find_stores(const Explain *e, const Touch *at, Stores *s)
{
    int i = first_of_nest(e, at);
    for (; i < e->n_touch && !before_nest(at, &e->touch[i]); i++) {
        const Touch *t = &e->touch[i];
        const char *why = t->write ? explain_why_stored(e, t) : NULL;
        if (why && (t->sweep >= 0 || !explain_is_epilogue(why)))
            add_store(s, place_print(e->p, t->access), why);
    }
}

static void print_stores(const Explain *e, const Stores *s)
{
    bool told[MAX_STORE] = {false};
    for (int i = 0; i < s->n; i++) {
        if (told[i])
            continue;
        fprintf(e->out, "        stores   %s", s->name[i]);
        size_t column = strlen(s->name[i]);
        for (int k = i + 1; k < s->n; k++)
            if (s->why[k] == s->why[i]) {
                bool next_line = column > LINE_OF_NAMES;
                fprintf(e->out, next_line ? ",\n                 %s" : ", %s", s->name[k]);
                column = (next_line ? 0 : column) + strlen(s->name[k]);
                told[k] = true;
            }
        fprintf(e->out, "\n                 — %s\n", s->why[i]);
    }
}

/* ---- operations of a nest ---- */

typedef struct {
    int op[OP_COUNT];
    int n_op, in_register;
} Operations;

/* By instruction: an operation of the same sweep takes its value. */
static bool *passed_on(Arena *arena, const Sweep *s)
{
    bool *passed = NEW_ARRAY(arena, bool, s->n_instr + 1);
    for (int i = 0; i < s->n_instr; i++)
        for (int k = 0; k < s->instr[i].n_arg && s->instr[i].kind != I_STORE; k++)
            passed[s->instr[i].arg[k]] = true;
    return passed;
}

/* OP_COUNT: it computes nothing. */
static OpCode operation_of(const Instr *in)
{
    switch (in->kind) {
    case I_MAP:
    case I_REDUCE: return in->op;
    case I_GATHER: return OP_GATHER;
    case I_ACCUMULATE: return OP_TOTAL;
    case I_SCATTER: return OP_SCATTER;
    case I_ORTHOGONAL: return OP_ORTHOGONAL;
    case I_CONSTANT:
    case I_LOAD:
    case I_IOTA:
    case I_RANDOM:
    case I_STEP:
    case I_EXTENT:
    case I_TRAINING:
    case I_STORE: break;
    }
    return OP_COUNT;
}

static void count_operations(Arena *arena, const Sweep *s, Operations *o)
{
    const bool *passed = passed_on(arena, s);
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        OpCode op = operation_of(in);
        if (op == OP_COUNT)
            continue;
        o->op[op]++, o->n_op++;
        o->in_register += (in->kind == I_MAP || in->kind == I_GATHER) && passed[i];
    }
}

/* That sums begin at zero goes without saying. */
static const char *loops_print(Arena *arena, const Nest *n)
{
    Text t = {.arena = arena};
    int first = nest_point_sweeps(n).first;
    int end = n->n_sweep - first > MAX_LOOPS ? first + MAX_LOOPS : n->n_sweep;
    for (int i = first; i < end; i++) {
        const Sweep *s = &n->sweep[i];
        text_add(&t, "%s[", i > first ? " then " : "");
        for (int d = 0; d < s->rank; d++)
            text_add(&t, "%s%" PRId64, d ? ", " : "", s->extent[d]);
        text_add(&t, "]");
    }
    if (end < n->n_sweep)
        text_add(&t, " then %d more", n->n_sweep - end);
    return t.text;
}

static void print_counts(const Explain *e, const Operations *o)
{
    const char *separator = ": ";
    for (int op = 0; op < OP_COUNT; op++) {
        if (!o->op[op])
            continue;
        fprintf(e->out, "%s%d %s", separator, o->op[op], op_defs[op]->name);
        separator = ", ";
    }
    if (o->in_register)
        fprintf(e->out, "; %d value%s pass%s in registers", o->in_register,
                o->in_register == 1 ? "" : "s", o->in_register == 1 ? "es" : "");
    fprintf(e->out, "%s\n", o->n_op ? "" : ": copied");
}

static void print_operations(const Explain *e, const Nest *n)
{
    Operations o = {.n_op = 0};
    if (n->n_sweep == 0)
        return;
    for (int i = 0; i < n->n_sweep; i++)
        count_operations(e->p->arena, &n->sweep[i], &o);
    if (n->contraction)
        fprintf(e->out, "        fused    onto its rows while they are in cache: ");
    else
        fprintf(e->out, "      loop       ");
    fprintf(e->out, "over %s", loops_print(e->p->arena, n));
    print_counts(e, &o);
}

/* ---- a nest ---- */

static void print_product(const Explain *e, const Stage *s, const Group *group,
                          const Nest *n)
{
    const Plan *p = e->p;
    const Contraction *c = n->contraction;
    bool sum = s->kind == STAGE_SUM;
    fprintf(e->out, "      product    %s = %s%s · %s", place_print(p, &c->c),
            sum ? "Σ " : "", place_print(p, &c->a), place_print(p, &c->b));
    if (c->has_init)
        fprintf(e->out, ", starting from %s", place_print(p, &c->init));
    fprintf(e->out, "\n        shape    ");
    if (c->n_batch > 1)
        fprintf(e->out, "%" PRId64 " of ", c->n_batch);
    if (sum || c->m > 1)
        fprintf(e->out, "[%" PRId64 ", %" PRId64 "]", c->m, c->n);
    else
        fprintf(e->out, "[%" PRId64 "] → [%" PRId64 "]", c->k, c->n);
    if (!sum && c->m > 1)
        fprintf(e->out, ", each over %" PRId64, c->k);
    if (s->kind == STAGE_TIME && group->scan)
        fprintf(e->out, " for %" PRId64 " rows, %" PRId64 " times", p->rows_max,
                p->steps_max);
    else if (s->kind != STAGE_ONCE)
        fprintf(e->out, " %s %.0f points", sum ? "over" : "for", plan_points(p, s, n->sum));
    fprintf(e->out, "\n");
}

void explain_cost(const Explain *e, const char *label, Cost c)
{
    Arena *arena = e->p->arena;
    fprintf(e->out, "%s", label);
    if (c.product > 0)
        fprintf(e->out, "%s operations of products, ", count_print(arena, c.product));
    if (c.elementwise > 0)
        fprintf(e->out, "%s elementwise, ", count_print(arena, c.elementwise));
    fprintf(e->out, "%s read, %s written\n", bytes_print(arena, c.read_bytes),
            bytes_print(arena, c.written_bytes));
}

void explain_nest(const Explain *e, int stage, int group_id, int nest)
{
    const Touch at = {.stage = stage, .group = group_id, .nest = nest};
    const Stage *s = &e->proc->stage[stage];
    const Group *group = &s->group[group_id];
    const Nest *n = &group->nest[nest];
    Stores stores = {.n = 0};
    if (n->pack >= 0) {
        const Buffer *b = &e->p->buffer[n->pack];
        fprintf(e->out, "      pack       %s: [%" PRId64 ", %" PRId64 "], %s\n", b->name,
                b->pack_n, b->pack_k, bytes_print(e->p->arena, (double)b->bytes));
        return;
    }
    if (n->contraction)
        print_product(e, s, group, n);
    print_operations(e, n);
    find_stores(e, &at, &stores);
    print_stores(e, &stores);
    explain_cost(e, "        work     ", cost_of_nest(e->p, s, group, n, ANY_PHASE));
}
