/*
 * pipeline.c — the table of passes. Read this first: a compilation is these rows, top to
 * bottom, each followed by its verifier; `rnnc explain --after PASS` stops at one and
 * shows what stands then.
 */
#include "pipeline.h"

#include "bytes.h"
#include "extents.h"
#include "passes/build.h"
#include "passes/commute.h"
#include "passes/fuse.h"
#include "passes/grad.h"
#include "passes/merge.h"
#include "passes/panel.h"
#include "passes/settle.h"
#include "passes/share.h"
#include "passes/simplify.h"
#include "passes/stage.h"
#include "passes/stash.h"
#include "passes/tile.h"

/* ---- what each row does ---- */

static void run_read(Unit *u)
{
    const Options *o = &u->options;
    u->spec =
        spec_read(u->arena, u->diag, o->spec_path, o->library, o->override, o->n_override);
    if (u->spec)
        extents_of_spec(u);
}

static void run_build(Unit *u)
{
    u->graph = build_pass(u->arena, u->diag, u->spec);
    if (!u->graph)
        return;
    u->graph->spec_hash = graph_hash(u->graph);
    bytes_check_graph(u);
}

static void run_commute(Unit *u) { commute_pass(u->graph, u->points_max); }

static void run_grad(Unit *u)
{
    if (u->graph->loss != NO_NODE)
        grad_pass(u->graph);
}

/* A parameter that the loss does not reach is not updated: PyTorch skips it. */
static void run_simplify(Unit *u)
{
    Graph *g = u->graph;
    for (int i = 0; i < g->n_param; i++)
        if (g->param[i].gradient == NO_NODE)
            g->param[i].next = NO_NODE;
    simplify_pass(g);
}

static void run_merge(Unit *u) { merge_pass(u->graph); }
static void run_stash(Unit *u) { stash_pass(u->graph); }
static void run_settle(Unit *u) { settle_pass(u->graph); }
static void run_stage(Unit *u) { u->stages = stage_pass(u->graph); }

static void run_fuse(Unit *u)
{
    PlanTarget target = target_facts(u->target, u->graph->dtype);
    u->plan = fuse_pass(u->arena, u->graph, u->stages, &target, u->options.fuse,
                        u->steps_max, u->rows_max);
    u->plan->marks = u->options.marks;
    bytes_check_buffers(u);
}

static void run_share(Unit *u) { share_pass(u->plan); }
static void run_panel(Unit *u)
{
    panel_pass(u->plan);
    bytes_check_buffers(u);
}

static void run_tile(Unit *u) { tile_pass(u->plan); }
static void run_barrier(Unit *u) { barrier_pass(u->plan); }

static void run_place(Unit *u)
{
    place_pass(u->plan);
    bytes_check_plan(u);
}

/* ---- what each row shows ---- */

static void verify_spec(const Unit *u) { spec_verify(u->spec); }
static void dump_graph(const Unit *u, FILE *out) { graph_dump(u->graph, out); }
static void verify_graph(const Unit *u) { graph_verify(u->graph); }
static void verify_settle(const Unit *u)
{
    graph_verify(u->graph);
    settle_verify(u->graph);
}

static void dump_plan(const Unit *u, FILE *out) { plan_dump(u->plan, out); }
static void verify_stages(const Unit *u) { stage_verify(u->graph, u->stages); }
static void verify_plan(const Unit *u) { plan_verify(u->plan); }

static void verify_panels(const Unit *u)
{
    plan_verify(u->plan);
    plan_verify_panels(u->plan);
}

static void verify_tiles(const Unit *u)
{
    verify_panels(u);
    plan_verify_tiles(u->plan);
}

static void verify_barriers(const Unit *u)
{
    verify_tiles(u);
    plan_verify_barriers(u->plan);
}

static void verify_places(const Unit *u)
{
    verify_barriers(u);
    plan_verify_places(u->plan);
}

static void dump_spec(const Unit *u, FILE *out)
{
    Text t = {.arena = u->arena};
    tree_print(&t, u->spec->root);
    fputs(t.text, out);
}

static const char *stage_word(const Graph *g, const Stages *s, NodeId id)
{
    if (s->recurrent[id])
        return "scan";
    return g->node[id].axes & AXIS_TIME ? "map" : g->node[id].axes ? "rows" : "once";
}

static void dump_stages(const Unit *u, FILE *out)
{
    const Graph *g = u->graph;
    for (NodeId id = 0; id < g->n_node; id++)
        fprintf(out, "%-4s  %%%d = %s\n", stage_word(g, u->stages, id), id,
                op_defs[g->node[id].op]->name);
}

const Pass passes[] = {
    {"read", "YAML to typed spec, every mistake reported", run_read, dump_spec,
     verify_spec},
    {"build", "calls inlined, names resolved, shapes inferred: the graph of one step",
     run_build, dump_graph, verify_graph},
    {"commute", "products with rows of a table: the whole table first", run_commute,
     dump_graph, verify_graph},
    {"grad", "backward phase of the same graph", run_grad, dump_graph, verify_graph},
    {"simplify", "algebra: fold and share", run_simplify, dump_graph, verify_graph},
    {"merge", "algebra on the recurrence: products split and joined, sums put in order",
     run_merge, dump_graph, verify_graph},
    {"stash", "what the backward pass reads: kept or recomputed", run_stash, dump_graph,
     verify_graph},
    {"settle", "what must stand in memory of its own gets a node of its own", run_settle,
     dump_graph, verify_settle},
    {"stage", "map or scan: what runs for all steps at once, what step by step", run_stage,
     dump_stages, verify_stages},
    {"fuse", "graph to plan: loop nests, buffers, accesses", run_fuse, dump_plan,
     verify_plan},
    {"share", "what runs in time: threads by rows or by features", run_share, dump_plan,
     verify_plan},
    {"panel", "second operands of products as panels: how wide, who fills them", run_panel,
     dump_plan, verify_panels},
    {"tile", "how nests are cut: register tiles, chains, vectors, parts of threads",
     run_tile, dump_plan, verify_tiles},
    {"barrier", "where threads wait for each other", run_barrier, dump_plan,
     verify_barriers},
    {"place", "buffers get offsets in one workspace", run_place, dump_plan, verify_places},
};
const int n_pass = COUNT(passes);

bool pipeline_run(Unit *u, const char *last)
{
    for (int i = 0; i < n_pass; i++) {
        int before = diag_errors(u->diag);
        passes[i].run(u);
        bool failed = diag_errors(u->diag) > before;
        diag_flush(u->diag);
        if (failed)
            return false;
        if (passes[i].verify)
            passes[i].verify(u);
        if (last && str_eq(last, passes[i].name))
            break;
    }
    return true;
}
