/*
 * test_plan_verify.c — the verifiers notice a broken plan, and what it is made of.
 *
 * What is sound is broken in one place, in a process of its own, and the verifier must end
 * it with the sentence that names what is wrong. A verifier that let it pass would leave a
 * kernel that reads past a buffer or races, which no other test is sure to see.
 */
#include "check.h"
#include "differential.h"
#include "passes/fuse.h"
#include "passes/settle.h"
#include "passes/stage.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Gathers and their scatters, a negative stride, a scan with its stash, products over
   points, a state that starts from a parameter, panels, scratch, an optimizer whose update
   has a reduction over the parameter. */
static const char *const spec = "rnnc: 1\n"
                                "name: broken\n"
                                "inputs: {c: class(7), y: [5]}\n"
                                "optimizers:\n"
                                "  lion:\n"
                                "    args: {lr: 0.1}\n"
                                "    state: {m: like(w)}\n"
                                "    step: |\n"
                                "      m' = 0.9 * m + g\n"
                                "      w' = w - lr * m' / (1 + norm(m'))\n"
                                "model: |\n"
                                "  emb  = embedding(c, size=6)\n"
                                "  rnn  = lstm(emb[::-1], hidden=8)\n"
                                "  head = linear(softmax(rnn), size=5)\n"
                                "loss: mse(head, y)\n"
                                "optimizer: lion(lr=1e-3)\n"
                                "tbptt: {step: 6}\n"
                                "data: {train: {random: true, batch: 4, steps: 12}}\n";

/* Threads share its features. */
static const char *const spec_of_one_row =
    "rnnc: 1\n"
    "name: broken\n"
    "inputs: {x: [5], y: [5]}\n"
    "model: |\n"
    "  rnn  = lstm(x, hidden=64)\n"
    "  head = linear(rnn, size=5)\n"
    "loss: mse(head, y)\n"
    "optimizer: sgd(lr=1e-3)\n"
    "tbptt: {step: 6}\n"
    "data: {train: {random: true, batch: 1, steps: 12}}\n";

static void stop(const char *what)
{
    fprintf(stderr, "the plan has no %s to break\n", what);
    exit(1);
}

/* ---- finding something to break ---- */

typedef struct {
    Plan *p;
    Procedure *proc;
    Stage *stage;
    Group *group;
    Nest *nest;
    Sweep *sweep;
    Instr *instr;
} Spot;

typedef bool Fits(const Spot *s);

static bool find_in_nest(Spot *s, Fits *fits)
{
    s->sweep = NULL, s->instr = NULL;
    if (fits(s))
        return true;
    for (int w = 0; w < s->nest->n_sweep; w++)
        for (int i = 0; i < s->nest->sweep[w].n_instr; i++) {
            s->sweep = &s->nest->sweep[w];
            s->instr = &s->sweep->instr[i];
            if (fits(s))
                return true;
        }
    return false;
}

/* The first spot that fits, in order of execution. */
static Spot find(Unit *u, const char *what, Fits *fits)
{
    static const ProcId order[] = {PROC_GRAD, PROC_UPDATE, PROC_PACK, PROC_INIT};
    Spot s = {.p = u->plan};
    for (int i = 0; i < COUNT(order); i++) {
        s.proc = &u->plan->proc[order[i]];
        for (int k = 0; k < s.proc->n_stage; k++) {
            s.stage = &s.proc->stage[k];
            for (int g = 0; g < s.stage->n_group; g++)
                for (int n = 0; n < s.stage->group[g].n_nest; n++) {
                    s.group = &s.stage->group[g];
                    s.nest = &s.group->nest[n];
                    if (find_in_nest(&s, fits))
                        return s;
                }
        }
    }
    stop(what);
    return s;
}

static const Buffer *touched(const Spot *s)
{
    return s->instr && instr_touches(s->instr->kind)
               ? &s->p->buffer[s->instr->access.buffer]
               : NULL;
}

static bool uses(const Spot *s) { return s->instr && s->instr->n_arg > 0; }
static bool load(const Spot *s) { return s->instr && s->instr->kind == I_LOAD; }
static bool reduce(const Spot *s) { return s->instr && s->instr->kind == I_REDUCE; }
static bool gather(const Spot *s) { return s->instr && s->instr->kind == I_GATHER; }
static bool scatter(const Spot *s) { return s->instr && s->instr->kind == I_SCATTER; }
static bool backwards(const Spot *s)
{
    return touched(s) && s->instr->access.stride[0] < 0;
}
static bool pack(const Spot *s) { return s->nest->pack >= 0; }
static bool product(const Spot *s)
{
    return s->nest->contraction && s->stage->kind != STAGE_SUM;
}
static bool product_sum(const Spot *s)
{
    return s->nest->contraction && s->stage->kind == STAGE_SUM;
}
static bool start(const Spot *s)
{
    return s->nest->contraction && s->nest->contraction->has_init;
}
static bool rows(const Spot *s) { return s->stage->kind == STAGE_ROWS && touched(s); }
static bool next_state(const Spot *s)
{
    return touched(s) && s->instr->kind == I_STORE && s->instr->access.shift == 1;
}
static bool in_block(const Spot *s)
{
    return touched(s) && touched(s)->span == SPAN_BLOCK &&
           touched(s)->home == HOME_WORKSPACE && s->stage->kind == STAGE_TIME;
}
static bool of_params(const Spot *s)
{
    return touched(s) && touched(s)->home == HOME_PARAMS;
}
static bool in_workspace(const Spot *s)
{
    return touched(s) && touched(s)->home == HOME_WORKSPACE &&
           touched(s)->axes == AXES_ALL && touched(s)->span == SPAN_CHUNK;
}
static bool sum_stage(const Spot *s) { return s->stage->kind == STAGE_SUM; }

static Buffer *buffer_at(const Spot *s) { return &s->p->buffer[s->instr->access.buffer]; }

/* ---- breaking it ---- */

static void use_later(Unit *u)
{
    Spot s = find(u, "operand", uses);
    s.instr->arg[0] = (int)(s.instr - s.sweep->instr);
}

static void load_beyond(Unit *u)
{
    Spot s = find(u, "load", load);
    s.instr->access.offset += shape_size(&buffer_at(&s)->shape);
}

static void load_before(Unit *u)
{
    find(u, "negative stride", backwards).instr->access.offset--;
}

static void gather_beyond(Unit *u) { find(u, "gather", gather).instr->gather_n++; }
static void scatter_beyond(Unit *u) { find(u, "scatter", scatter).instr->gather_n++; }

static void reduce_moving(Unit *u)
{
    Spot s = find(u, "reduction", reduce);
    for (int d = 0; d < s.sweep->rank; d++)
        if (s.sweep->reduced >> d & 1) {
            buffer_at(&s)->shape = (Shape){1, {1 << 20}}; /* room enough for it */
            buffer_at(&s)->axes = 0, buffer_at(&s)->bytes = 4 << 20;
            s.instr->access.stride[d] = 1;
        }
}

static Contraction *some(Unit *u, Fits *fits)
{
    return find(u, "product", fits).nest->contraction;
}

static void first_operand_beyond(Unit *u) { some(u, product)->a.stride[2] *= 9; }
static void second_operand_beyond(Unit *u) { some(u, product_sum)->b.stride[1] += 7; }
static void result_beyond(Unit *u) { some(u, product)->c.offset++; }
static void start_before(Unit *u) { some(u, start)->init.offset = -1; }
static void no_panels(Unit *u) { some(u, product)->packed = -1; }
static void panels_in_sum(Unit *u)
{
    some(u, product_sum)->packed = some(u, product)->packed;
}
static Buffer *panels(Unit *u)
{
    return &u->plan->buffer[find(u, "pack", pack).nest->pack];
}
static void narrow_panels(Unit *u) { panels(u)->panel = 4; }
static void wide_panels(Unit *u) { panels(u)->panel = 64, panels(u)->bytes *= 64; }
static bool of_params_filled(const Spot *s)
{
    return product(s) && s->nest->contraction->of_params &&
           s->p->buffer[s->nest->contraction->packed].persistent;
}
static bool in_place(const Spot *s)
{
    return product(s) && s->p->buffer[s->nest->contraction->packed].home == HOME_PARAMS;
}
static void panels_of_nobody(Unit *u)
{
    Contraction *c = some(u, of_params_filled);
    Buffer b = u->plan->buffer[c->packed];
    *PUSH(u->arena, u->plan->buffer, u->plan->n_buffer, u->plan->buffer_capacity) = b;
    c->packed = u->plan->n_buffer - 1;
}
static void panels_of_another(Unit *u)
{
    find(u, "pack", pack).nest->pack_from.stride[2] = 0;
}
static void passing_panels(Unit *u) { some(u, of_params_filled)->of_params = false; }
/* Made the procedure's own, and filled at its end. */
static void panels_too_late(Unit *u)
{
    Spot s = find(u, "product with panels", of_params_filled);
    const Procedure *pack = &u->plan->proc[PROC_PACK];
    s.p->buffer[s.nest->contraction->packed].persistent = false;
    *PUSH(u->arena, s.proc->stage, s.proc->n_stage, s.proc->stage_capacity) =
        pack->stage[pack->n_stage - 1];
}
static void parameter_elsewhere(Unit *u)
{
    u->plan->buffer[some(u, in_place)->packed].offset++;
}
static void parameter_written(Unit *u)
{
    Procedure grad = u->plan->proc[PROC_GRAD];
    some(u, in_place);
    u->plan->proc[PROC_GRAD] = u->plan->proc[PROC_INIT];
    u->plan->proc[PROC_INIT] = grad;
}
static void stale_panels(Unit *u) { u->plan->proc[PROC_UPDATE].n_stage--; }
static void columns_apart(Unit *u) { some(u, product_sum)->c.stride[2] = 0; }

static void other_panels(Unit *u) { u->plan->buffer[some(u, product)->packed].pack_k--; }

static void pack_beyond(Unit *u) { find(u, "pack", pack).nest->pack_from.stride[2]++; }

static void small_panels(Unit *u)
{
    u->plan->buffer[find(u, "pack", pack).nest->pack].bytes -= 4;
}

static void panels_as_plain(Unit *u)
{
    int panels = find(u, "pack", pack).nest->pack;
    find(u, "load", load).instr->access.buffer = panels;
}

static void state_slot(Unit *u) { find(u, "state", next_state).instr->access.shift = 2; }

static void few_slots(Unit *u)
{
    Spot s = find(u, "value of all steps", in_workspace);
    buffer_at(&s)->n_slot = 2;
}

static void long_block(Unit *u)
{
    find(u, "value of a block", in_block).stage->block = 6 + 1;
}

static void many_slots(Unit *u)
{
    Spot s = find(u, "value of a block", in_block);
    buffer_at(&s)->n_slot *= 2, buffer_at(&s)->bytes *= 2;
}

static void block_read_later(Unit *u)
{
    Spot s = find(u, "sum", product_sum);
    s.p->buffer[s.nest->contraction->a.buffer].span = SPAN_BLOCK;
}

/* A value of parameters alone that another procedure reads. */
static void lasting_unmade(Unit *u) { u->plan->proc[PROC_PACK].n_stage = 0; }

static bool two_groups(const Spot *s) { return s->stage->n_group > 1; }
static void group_too_early(Unit *u)
{
    Group *g = find(u, "two groups", two_groups).stage->group;
    const Group first = g[0];
    g[0] = g[1], g[1] = first;
}

static void no_rows(Unit *u) { find(u, "stage of rows", rows).stage->kind = STAGE_ONCE; }

static void few_bytes(Unit *u)
{
    Spot s = find(u, "value", in_workspace);
    buffer_at(&s)->bytes -= 64;
}

static void beyond_block(Unit *u)
{
    Spot s = find(u, "parameter", of_params);
    buffer_at(&s)->offset = 1 << 20;
}

static void many_reductions(Unit *u)
{
    Spot s = find(u, "reduction", reduce);
    Instr in = *s.instr;
    for (int i = 0; i < SWEEP_MAX_REDUCTIONS; i++)
        *PUSH(u->arena, s.sweep->instr, s.sweep->n_instr, s.sweep->instr_capacity) = in;
}

static void sum_of_bytes(Unit *u)
{
    Spot s = find(u, "scatter", scatter);
    buffer_at(&s)->element = ELEMENT_U8;
}

static void scatter_of_high_rank(Unit *u)
{
    Spot s = find(u, "scatter", scatter);
    while (s.sweep->rank < MAX_RANK)
        s.sweep->extent[s.sweep->rank++] = 1;
}

static void sum_of_nothing(Unit *u)
{
    Nest *n = find(u, "sum", product_sum).nest;
    n->contraction = NULL, n->n_sweep = 0;
}

static bool sums(const Spot *s) { return s->instr && instr_sums(s->instr); }
static bool zeros(const Spot *s)
{
    return s->sweep && s->instr->kind == I_STORE && nest_point_sweeps(s->nest).end > 0 &&
           s->sweep < &s->nest->sweep[nest_point_sweeps(s->nest).first];
}

static void zeros_elsewhere(Unit *u) { find(u, "zeros", zeros).instr->access.shift++; }
static void sum_from_one(Unit *u) { find(u, "zeros", zeros).sweep->instr[0].value = 1; }
static void few_zeros(Unit *u)
{
    Spot s = find(u, "scatter", scatter);
    for (int i = 0; i < s.nest->n_sweep; i++)
        if (s.nest->sweep[i].rank == s.sweep->rank + 1)
            s.nest->sweep[i].extent[0]--;
}
static void sum_once(Unit *u) { find(u, "sum", sums).sweep->each_point = false; }
static void points_of_nothing(Unit *u) { find(u, "load", load).sweep->each_point = true; }
static void once_between_points(Unit *u)
{
    Spot s = find(u, "sum", sums);
    Sweep once = *s.sweep, again = *s.sweep;
    once.n_instr = 0, once.each_point = false;
    *PUSH(u->arena, s.nest->sweep, s.nest->n_sweep, s.nest->sweep_capacity) = once;
    *PUSH(u->arena, s.nest->sweep, s.nest->n_sweep, s.nest->sweep_capacity) = again;
}

static Tiling *tiling(Unit *u, Fits *fits) { return &some(u, fits)->tiling; }
static bool over_five(const Spot *s) { return product(s) && s->nest->contraction->k == 5; }

static void three_chains(Unit *u) { tiling(u, product)->chains = 3; }
static void chain_of_nothing(Unit *u) { tiling(u, over_five)->chains = 4; }
static void back_and_forth(Unit *u) { tiling(u, product)->alternate = true; }
static bool in_scan(const Spot *s) { return product(s) && s->group->scan; }
static void one_panel(Unit *u)
{
    Contraction *c = some(u, in_scan);
    c->tiling.alternate = true, c->tiling.chains = 2, c->tiling.panels[0][0] = 1;
    c->tiling.halves = c->n > u->plan->buffer[c->packed].panel;
}
static void down_steps(Unit *u) { tiling(u, in_scan)->along = ALONG_STEPS; }
static void one_half(Unit *u) { tiling(u, product)->halves = true; }
static void many_rows(Unit *u) { tiling(u, product_sum)->rows = TILE_MAX_ROWS; }
static void no_tile(Unit *u) { tiling(u, product)->rows = 0; }
static void narrow_tile(Unit *u) { tiling(u, product)->vectors++; }
static void sum_in_chains(Unit *u) { tiling(u, product_sum)->chains = 2; }
static void chains_ahead(Unit *u)
{
    Tiling *g = tiling(u, product);
    g->chains = 2, g->rows = 1, g->ahead = true;
}
static void chains_in_blocks(Unit *u)
{
    Tiling *g = tiling(u, product);
    g->chains = 2, g->rows = 1, g->block = 1;
}
static void block_of_nothing(Unit *u) { tiling(u, product)->block = 0; }
static void no_block(Unit *u) { tiling(u, product_sum)->block = 0; }
static bool sum_ahead(const Spot *s)
{
    return product_sum(s) && s->nest->contraction->tiling.ahead;
}
static void rows_apart(Unit *u) { some(u, sum_ahead)->a.stride[1] = 0; }
static void odd_panels_of_a(Unit *u) { tiling(u, product_sum)->a_panel = 1; }
static void part_of_a_panel(Unit *u)
{
    Tiling *g = tiling(u, product_sum);
    g->a_panel = g->rows * u->plan->target.vector;
    g->a_rows = g->a_panel + 1;
}
static void no_rows_of_a(Unit *u)
{
    Tiling *g = tiling(u, product_sum);
    g->a_panel = g->rows * u->plan->target.vector;
}
static void panels_of_rows_apart(Unit *u)
{
    Contraction *c = some(u, product_sum);
    c->tiling.a_rows = c->tiling.a_panel = c->tiling.rows * u->plan->target.vector;
    c->tiling.ahead = c->tiling.c_ahead = false;
    c->a.stride[1] = 0;
}
static void ahead_of_panels(Unit *u)
{
    Tiling *g = tiling(u, sum_ahead);
    g->a_rows = g->a_panel = g->rows * u->plan->target.vector;
}
static void panels_of_chains(Unit *u)
{
    Tiling *g = tiling(u, product);
    g->chains = 2, g->rows = 1, g->panels[0][0] = 2, g->panels[0][1] = 1;
}

static void many_panels_at_once(Unit *u)
{
    Tiling *g = tiling(u, product);
    g->chains = 1, g->alternate = false;
    for (int i = 0; i < TILE_WIDTHS; i++)
        g->panels[0][i] = 4;
}
static void no_single_panel(Unit *u)
{
    Tiling *g = tiling(u, product);
    g->panels[0][0] = 4, g->panels[0][1] = 2, g->panels[0][2] = 0;
}
static void last_columns_left(Unit *u) { tiling(u, over_five)->rest ^= 1; }
static void sum_columns_left(Unit *u) { tiling(u, product_sum)->rest++; }

static bool loop(const Spot *s) { return s->sweep && s->sweep->rank > 0; }
static bool number(const Spot *s) { return s->sweep && s->sweep->rank == 0; }
static bool split_loop(const Spot *s)
{
    return loop(s) && s->stage->kind == STAGE_ONCE && s->nest->split == SPLIT_N;
}
static bool summed(const Spot *s)
{
    return scatter(s) && s->sweep->rank == 1 && s->sweep->extent[0] > 1;
}
static bool reduced(const Spot *s)
{
    return reduce(s) && s->stage->kind == STAGE_ONCE && s->sweep->rank == 1;
}

static void half_a_vector(Unit *u) { find(u, "loop", loop).sweep->lanes = 4; }
static void behind_the_point(Unit *u) { find(u, "loop", loop).sweep->ahead = -1; }
static void ahead_of_no_point(Unit *u) { find(u, "loop", split_loop).sweep->ahead = 1; }
static void vector_of_a_number(Unit *u) { find(u, "number", number).sweep->lanes = 8; }
static void vector_of_doubles(Unit *u)
{
    Spot s = find(u, "load", load);
    for (int i = 0; i < s.sweep->n_instr; i++)
        s.sweep->instr[i].wide = true;
}
static void split_vectors(Unit *u) { find(u, "loop", split_loop).nest->unit = 3; }
static void split_tiles(Unit *u)
{
    Nest *n = find(u, "sum", product_sum).nest;
    n->split = SPLIT_N, n->unit = u->plan->target.vector;
}
static void no_parts(Unit *u) { find(u, "loop", split_loop).nest->unit = 0; }
static void no_turn(Unit *u) { find(u, "pack", pack).nest->turn = -1; }
static void split_summed(Unit *u)
{
    Spot s = find(u, "scatter", summed);
    s.nest->split = SPLIT_N, s.nest->unit = 8, s.instr->access.stride[0] = 0;
    for (int i = 0; i < nest_point_sweeps(s.nest).first;
         i++) { /* zeros of the same place */
        Sweep *zero = &s.nest->sweep[i];
        for (int k = 0; k < zero->n_instr; k++)
            if (zero->instr[k].access.buffer == s.instr->access.buffer)
                zero->instr[k].access.stride[zero->rank - 1] = 0;
    }
}
static void split_reduced(Unit *u)
{
    Nest *n = find(u, "reduction", reduced).nest;
    n->split = SPLIT_N, n->unit = 8;
}
static void split_apart(Unit *u)
{
    Nest *sum = find(u, "sum", product_sum).nest;
    sum->n_sweep = 1, sum->split = SPLIT_M;
    sum->sweep = NEW(u->arena, Sweep);
    *sum->sweep = (Sweep){.rank = 1, .lanes = 1, .extent = {sum->contraction->m + 1}};
}

static bool split_zeros(const Spot *s) { return zeros(s) && s->nest->split == SPLIT_N; }
static void zeros_of_others(Unit *u)
{
    Spot s = find(u, "zeros", split_zeros);
    s.sweep->extent[s.sweep->rank++] = 1; /* the same zeros, cut otherwise */
}
static void split_number(Unit *u)
{
    Spot s = find(u, "number", number);
    s.stage->kind = STAGE_ONCE, s.nest->split = SPLIT_N, s.nest->unit = 8;
}

static void no_model(Unit *u) { u->spec->model = NULL; }
static void twice(Unit *u) { u->spec->def[1] = u->spec->def[2]; }
static void library_first(Unit *u) { u->spec->def[u->spec->n_def - 1].library = false; }
static void no_place_in_source(Unit *u) { u->spec->input[0].loc.source = NULL; }
static void classes_of_a_real(Unit *u) { u->spec->input[0].kind = KIND_REAL; }
static void required_default(Unit *u)
{
    for (int i = 0; i < u->spec->n_def; i++)
        if (u->spec->def[i].n_arg > 0)
            u->spec->def[i].arg[0].required = !u->spec->def[i].arg[0].required;
}
static void odd_window(Unit *u) { u->spec->tbptt_window = u->spec->tbptt_step + 1; }

/* A node that is in a cycle, or in none. */
static NodeId node_in_cycle(Unit *u, bool cycle)
{
    NodeId id = u->graph->n_node - 1;
    while (id > 0 && (u->stages->recurrent[id] != cycle || u->graph->node[id].n_arg == 0))
        id--;
    return id;
}

static void no_cycle(Unit *u) { u->stages->recurrent[node_in_cycle(u, true)] = false; }
static void false_cycle(Unit *u) { u->stages->recurrent[node_in_cycle(u, false)] = true; }
static void early(Unit *u) { u->stages->component[node_in_cycle(u, false)] = 0; }
static void nowhere(Unit *u) { u->stages->component[0] = -1; }

/* Two states that know nothing of each other, as one cycle. */
static void joined_cycles(Unit *u)
{
    Graph *g = u->graph = graph_new(u->arena, "two");
    for (int i = 0; i < 2; i++) {
        State *s = PUSH(u->arena, g->state, g->n_state, g->state_capacity);
        *s = (State){.name = "h", .entry = NO_NODE, .carried = NO_NODE};
        s->leaf = graph_add(g, OP_STATE, 0, NULL, &(Attr){.index = i});
        s->next = graph_map1(g, OP_TANH, s->leaf);
    }
    u->stages = stage_pass(g);
    stage_verify(g, u->stages);
    for (NodeId id = 0; id < g->n_node; id++)
        u->stages->component[id] = 0;
}

static void forget_stage(Unit *u) { find(u, "sum", sum_stage).stage->barrier = false; }

/* Two sums of one stage into one place. */
static Nest *sum_twice(Unit *u)
{
    Spot s = find(u, "sum", product_sum);
    for (int n = 0; n < s.stage->group[0].n_nest; n++) {
        Nest *other = &s.stage->group[0].nest[n];
        if (other <= s.nest || !other->contraction)
            continue;
        int *a = &s.nest->contraction->c.buffer, *b = &other->contraction->c.buffer;
        bool larger =
            shape_size(&s.p->buffer[*a].shape) > shape_size(&s.p->buffer[*b].shape);
        *a = *b = larger ? *a : *b;
        return other;
    }
    stop("second sum");
    return NULL;
}

static void sum_without_barrier(Unit *u) { sum_twice(u); }

static void wait_in_rows(Unit *u) { find(u, "stage of rows", rows).nest->barrier = true; }

static void write_together(Unit *u)
{
    Spot s = find(u, "state", next_state);
    buffer_at(&s)->axes = AXIS_TIME;
}

/* Puts a value where another that lives with it stands. */
static void share(Unit *u)
{
    Contraction *c = some(u, product_sum);
    u->plan->buffer[c->a.buffer].offset = u->plan->buffer[c->b.buffer].offset;
}

static void share_with_kept(Unit *u)
{
    Spot s = find(u, "value", in_workspace);
    buffer_at(&s)->offset = u->plan->buffer[find(u, "pack", pack).nest->pack].offset;
}

static void outside(Unit *u)
{
    Spot s = find(u, "value", in_workspace);
    buffer_at(&s)->offset = u->plan->workspace_bytes;
}

static void two_owners(Unit *u)
{
    Graph *g = u->graph;
    for (int i = 0; i < g->n_param; i++)
        for (int k = 0; k < i; k++)
            if (shape_equal(&g->param[i].shape, &g->param[k].shape)) {
                g->param[i].gradient = g->param[k].gradient;
                return;
            }
    stop("two parameters of one shape");
}

static void no_place(Unit *u)
{
    Graph *g = u->graph;
    for (NodeId id = 0; id < g->n_node; id++)
        if (g->node[id].op == OP_CONSTANT && g->node[id].phase == PHASE_FORWARD) {
            g->loss = id;
            return;
        }
    stop("constant");
}

/* ---- a scan by features ---- */

static bool shared_scan(const Spot *s) { return s->stage->features && s->group->scan; }
static bool shared_map(const Spot *s) { return s->stage->features && !s->group->scan; }
static bool shared_store(const Spot *s)
{
    return shared_scan(s) && touched(s) && s->instr->kind == I_STORE;
}

/* What the nest's own product has left, element by element. */
static bool shared_load(const Spot *s)
{
    return shared_scan(s) && load(s) && s->nest->contraction &&
           s->instr->access.buffer == s->nest->contraction->c.buffer;
}

static void rush_into_scan(Unit *u) { find(u, "scan", shared_scan).group->barrier = false; }
static void rush_in_step(Unit *u) { find(u, "scan", shared_scan).nest->barrier = false; }
static void rush_out(Unit *u)
{
    Spot s = find(u, "scan", shared_scan);
    while (s.stage->features)
        s.stage++;
    s.stage->barrier = false;
}

static void split_map(Unit *u) { find(u, "map", shared_map).nest->split = SPLIT_N; }

static void write_one_element(Unit *u)
{
    Spot s = find(u, "store", shared_store);
    s.instr->access.stride[s.sweep->rank - 1] = 0;
}

static void gather_from_others(Unit *u)
{
    Instr *in = find(u, "load", shared_load).instr;
    in->kind = I_GATHER, in->gather_n = 2, in->gather_stride = 1;
}

/* ---- does the verifier see it ---- */

typedef struct {
    const char *pass; /* behind which */
    void (*break_it)(Unit *u);
    const char *sentence; /* a part of it */
} Case;

static const Case cases[] = {
    {"read", no_model, "no cell without arguments"},
    {"read", twice, "is defined twice"},
    {"read", library_first, "behind the library's"},
    {"read", no_place_in_source, "has no place"},
    {"read", classes_of_a_real, "is a real with classes"},
    {"read", required_default, "is required and has a default"},
    {"read", odd_window, "a window of 7 steps"},
    {"stage", no_cycle, "is in a cycle"},
    {"stage", false_cycle, "is in no cycle"},
    {"stage", early, "which it needs"},
    {"stage", nowhere, "is in component -1"},
    {"stage", joined_cycles, "a cycle that it is no part of"},
    {"settle", two_owners, "is someone else's too"},
    {"settle", no_place, "has no place of its own"},
    {"fuse", use_later, "uses"},
    {"fuse", load_beyond, "a load of node"},
    {"fuse", load_before, "reaches elements -1 to"},
    {"fuse", gather_beyond, "a gather of node"},
    {"fuse", scatter_beyond, "a scatter of node"},
    {"fuse", reduce_moving, "moves on along what it sums"},
    {"fuse", first_operand_beyond, "the first operand of node"},
    {"fuse", second_operand_beyond, "the second operand of node"},
    {"fuse", result_beyond, "the result of node"},
    {"fuse", start_before, "the start of node"},
    {"fuse", columns_apart, "are not contiguous"},
    {"fuse", state_slot, "reaches slots 2 to 7"},
    {"fuse", few_slots, "reaches slots"},
    {"fuse", long_block, "reaches slots"},
    {"fuse", many_slots, "steps of blocks of"},
    {"fuse", block_read_later, "does not keep that step"},
    {"fuse", lasting_unmade, "which pack does not make"},
    {"fuse", group_too_early, "of a block of steps before node"},
    {"fuse", no_rows, "at a row where there is none"},
    {"fuse", few_bytes, "too few for"},
    {"fuse", beyond_block, "of a block of"},
    {"fuse", many_reductions, "reductions"},
    {"fuse", sum_of_bytes, "which holds no reals"},
    {"fuse", scatter_of_high_rank, "has a class and"},
    {"fuse", sum_of_nothing, "sums nothing"},
    {"fuse", zeros_elsewhere, "does not begin at zero"},
    {"fuse", sum_from_one, "does not begin at zero"},
    {"fuse", few_zeros, "does not begin at zero"},
    {"fuse", sum_once, "is in a sweep that runs once"},
    {"fuse", points_of_nothing, "has sweeps for each of them"},
    {"fuse", once_between_points, "stand between those of each point"},
    {"panel", no_panels, "has no panels"},
    {"panel", other_panels, "do not fit product"},
    {"panel", pack_beyond, "what is packed of node"},
    {"panel", small_panels, "less than its panels"},
    {"panel", panels_as_plain, "as if they were plain"},
    {"panel", panels_in_sum, "panels in a sum"},
    {"panel", narrow_panels, "are 4 columns wide, in vectors of 8"},
    {"panel", wide_panels, "are 64 columns wide"},
    {"panel", panels_of_nobody, "nobody fills"},
    {"panel", panels_of_another, "are not of what product"},
    {"panel", passing_panels, "last from chunk to chunk"},
    {"panel", panels_too_late, "before they are filled"},
    {"panel", parameter_elsewhere, "does not lie as the panels"},
    {"panel", parameter_written, "where init writes it"},
    {"panel", stale_panels, "does not end with what pack does"},
    {"tile", half_a_vector, "takes 4 lanes"},
    {"tile", behind_the_point, "fetches -1 rows ahead"},
    {"tile", ahead_of_no_point, "fetches 1 rows ahead"},
    {"tile", vector_of_a_number, "takes 8 lanes"},
    {"tile", vector_of_doubles, "takes 8 lanes"},
    {"tile", split_vectors, "vectors of 8"},
    {"tile", split_tiles, "by 8 columns"},
    {"tile", no_parts, "has parts of 0"},
    {"tile", no_turn, "turn -1"},
    {"tile", split_summed, "sums"},
    {"tile", split_reduced, "reduces"},
    {"tile", split_apart, "and its sweep by"},
    {"tile", three_chains, "has 3 chains over"},
    {"tile", chain_of_nothing, "has 4 chains over 5"},
    {"tile", back_and_forth, "outside of a scan"},
    {"tile", one_panel, "by panels with one"},
    {"tile", down_steps, "go down steps alone"},
    {"tile", one_half, "has halves of 1 chains"},
    {"tile", many_rows, "registers of 16"},
    {"tile", no_tile, "has a tile of 0 rows"},
    {"tile", narrow_tile, "has tiles of"},
    {"tile", chains_ahead, "fetches ahead of several chains"},
    {"tile", chains_in_blocks, "several chains in several blocks"},
    {"tile", block_of_nothing, "has blocks of 0 k"},
    {"tile", sum_in_chains, "is 2 chains"},
    {"tile", no_block, "blocks of 0 points"},
    {"tile", rows_apart, "along rows that stand 0 apart"},
    {"tile", odd_panels_of_a, "has panels of 1 rows of a"},
    {"tile", part_of_a_panel, "rows of a into panels of"},
    {"tile", no_rows_of_a, "copies 0 rows of a"},
    {"tile", panels_of_rows_apart, "copies rows of a that stand 0 apart"},
    {"tile", ahead_of_panels, "fetches ahead where a is not read"},
    {"tile", many_panels_at_once, "of 4 panels, then of 4"},
    {"tile", no_single_panel, "of 2 panels, then of 0"},
    {"tile", last_columns_left, "over its last"},
    {"tile", sum_columns_left, "over its last"},
    {"tile", zeros_of_others, "threads split the sweeps of"},
    {"tile", split_number, "is one number"},
    {"tile", panels_of_chains, "panels beside its chains"},
    {"barrier", forget_stage, "no barrier between two nests"},
    {"barrier", sum_without_barrier, "no barrier between two nests"},
    {"barrier", wait_in_rows, "a barrier among nests that are split by rows"},
    {"barrier", write_together, "threads write"},
    {"place", share, "share bytes"},
    {"place", share_with_kept, "share bytes"},
    {"place", outside, "ends at byte"},
};

/* Of a plan whose scans threads share by features. */
static const Case cases_of_one_row[] = {
    {"barrier", rush_into_scan, "no barrier before group 1"},
    {"barrier", rush_in_step, "without a barrier"},
    {"barrier", rush_out, "no barrier on a side"},
    {"barrier", split_map, "not split as its group is"},
    {"barrier", write_one_element, "write one element"},
    {"barrier", gather_from_others, "without a barrier"},
};

static const Pass *find_pass(const char *name)
{
    for (int i = 0; i < n_pass; i++)
        if (strcmp(passes[i].name, name) == 0)
            return &passes[i];
    fprintf(stderr, "there is no pass '%s'\n", name);
    exit(1);
}

/* What the verifier says of the broken plan; "" when it says nothing. In a process of its
   own, since the verifier ends it. */
static const char *said(Unit *u, const Case *c, char *text, size_t size)
{
    int ends[2];
    size_t n = 0;
    ssize_t got;
    fflush(NULL);
    if (pipe(ends) != 0)
        return "no pipe";
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        if (c->break_it)
            c->break_it(u);
        find_pass(c->pass)->verify(u);
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], text + n, size - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    close(ends[0]);
    waitpid(child, NULL, 0);
    return text;
}

static Unit *unit_after(Arena *arena, const char *pass, bool one_row)
{
    Trial t = {.name = "broken",
               .text = one_row ? spec_of_one_row : spec,
               .steps = 6,
               .rows = one_row ? 1 : 4};
    return trial_unit(arena, &t, NULL, true, pass);
}

static void check_cases(const Case *c, int n, bool one_row)
{
    char text[4096];
    for (int i = 0; i < n; i++) {
        Arena *arena = arena_new();
        Unit *u = unit_after(arena, c[i].pass, one_row);
        CHECK(u != NULL, "the spec has mistakes: RNNC_VERBOSE=1 shows them");
        if (!u)
            return;
        const Case sound = {c[i].pass, NULL, ""};
        CHECK_TEXT(said(u, &sound, text, sizeof text), "");
        const char *why = said(u, &c[i], text, sizeof text);
        CHECK(strstr(why, "internal error") && strstr(why, c[i].sentence),
              "case %d: got \"%s\", expected \"%s\"", i, why, c[i].sentence);
        arena_free(arena);
    }
}

static void test_what_is_broken_is_noticed(void)
{
    check_cases(cases, COUNT(cases), false);
    check_cases(cases_of_one_row, COUNT(cases_of_one_row), true);
}

static void test_nests_of_one_stage_wait_where_they_meet(void)
{
    Arena *arena = arena_new();
    Unit *u = unit_after(arena, "barrier", false);
    Nest *second = u ? sum_twice(u) : NULL;
    CHECK(second && !second->barrier, "a barrier where nothing met");
    if (second) {
        barrier_pass(u->plan);
        CHECK(second->barrier, "no barrier between two sums into one place");
        plan_verify_barriers(u->plan);
    }
    arena_free(arena);
}

int main(void)
{
    test_nests_of_one_stage_wait_where_they_meet();
    test_what_is_broken_is_noticed();
    return check_result();
}
