/*
 * bench_kernels.c — the work of a plan's kernels beside their time, and the machine's peak.
 *
 * Kernels are the plan's nests, and scans whole. They are timed in a run of their own, in
 * code with marks (emit/kernels.c), on the first thread; medians over chunks. The peak is
 * measured in the same run, on as many threads: nothing but fma, compiled for the same
 * level (emit/peak.c).
 */
#include "bench_room.h"

/* ---- the machine's peak ---- */

/* GFLOP/s of the procedure on the team, the best of several rounds. */
static double best_rate(struct rnn__team *team, int threads, const struct rnn_model *peak,
                        double *out)
{
    double best = 0;
    struct rnn_chunk chunk = {
        .steps = 1 << 20, .params = out, .team = rnn__team_base(team)};
    for (int i = 0; i < 40; i++) {
        double start = rnn__seconds();
        rnn__team_run(team, peak->step, &chunk);
        double rate = (double)peak->output_size * (double)chunk.steps * threads /
                      (rnn__seconds() - start);
        best = rate > best ? rate : best;
    }
    return best / 1e9;
}

double measure_peak(Arena *arena, const Unit *u, int threads)
{
    double peak = 0;
    struct rnn__team *team = NULL;
    const rnn_allocator *a = rnn__allocator_or_default(NULL);
    EmitModule *m = emit_peak(arena, u->diag, u->target, u->graph->dtype);
    Jit *jit = m ? jit_new(m, u->diag) : NULL;
    diag_flush(u->diag);
    if (jit && rnn__team_new(&team, threads, a) == 0)
        peak = best_rate(team, threads, jit_model(jit), NEW_ARRAY(arena, double, threads));
    rnn__team_free(team, a);
    if (jit)
        jit_free(jit);
    emit_free(m);
    return peak;
}

/* ---- the chunk and its parts ---- */

/* Nothing when the part was never seen: a model without a loss has no backward. */
static void add_kernel(Arena *arena, Kernels *k, const char *name, Samples *s, double flops,
                       double peak)
{
    double us = quantile(s, 0.5), gflops = flops / us / 1e3;
    if (s->n > 0)
        *PUSH(arena, k->at, k->n, k->capacity) =
            (Kernel){.name = name,
                     .us = us,
                     .gflops = gflops,
                     .share = peak > 0 ? gflops / peak : 0};
}

/* Of all products of a procedure, in a full chunk. */
static double flops_of(const Plan *p, ProcId proc)
{
    return cost_of_procedure(p, proc, ANY_PHASE).product;
}

Kernels kernels_of(Arena *arena, Variant *v, double peak)
{
    Kernels k = {0};
    const Plan *p = v->unit->plan;
    double grad = flops_of(p, PROC_GRAD), update = flops_of(p, PROC_UPDATE);
    add_kernel(arena, &k, "train", &v->chunk, grad + update, peak);
    add_kernel(arena, &k, "grad", &v->part[PART_GRAD], grad, peak);
    add_kernel(arena, &k, "update", &v->part[PART_UPDATE], update, peak);
    add_kernel(arena, &k, "eval", &v->forward, flops_of(p, PROC_EVAL), peak);
    return k;
}

/* ---- kernels of the plan ---- */

/* The cost of every kernel, numbered as the emitter numbers them (emit/kernels.c): nests,
   or a scan whole; what `update` shares with `pack` once. */
typedef struct {
    const Group *group;
    const Nest *nest; /* NULL: the group, a scan */
    Cost cost;
} Work;

typedef struct {
    Work *at;
    int n, capacity;
} Works;

static void add_work(Arena *arena, Works *w, const Plan *p, const Stage *s,
                     const Group *group, const Nest *nest)
{
    Work work = {.group = group, .nest = nest};
    for (int i = 0; i < w->n; i++)
        if (w->at[i].group == group && w->at[i].nest == nest)
            return;
    for (int i = 0; i < group->n_nest; i++)
        if (!nest || nest == &group->nest[i])
            cost_add(&work.cost, cost_of_nest(p, s, group, &group->nest[i], ANY_PHASE));
    *PUSH(arena, w->at, w->n, w->capacity) = work;
}

static Works works_of(Arena *arena, const Plan *p)
{
    Works w = {0};
    for (int id = 0; id < PROC_COUNT; id++)
        for (int s = 0; s < p->proc[id].n_stage; s++)
            for (int g = 0; g < p->proc[id].stage[s].n_group; g++) {
                const Stage *stage = &p->proc[id].stage[s];
                const Group *group = &stage->group[g];
                for (int n = 0; n < (group->scan ? 1 : group->n_nest); n++)
                    add_work(arena, &w, p, stage, group,
                             group->scan ? NULL : &group->nest[n]);
            }
    return w;
}

/* Over the chunks; what the machine did meanwhile is in a few of them only. */
static double median_us(Arena *arena, const Clock *c, int kernel)
{
    Samples s = {NEW_ARRAY(arena, double, c->n_chunk), c->n_chunk};
    for (int i = 0; i < c->n_chunk; i++)
        s.us[i] = 1e6 * c->spent[(int64_t)i * c->n_kernel + kernel];
    return quantile(&s, 0.5);
}

static void add_times(Arena *arena, const Variant *v, double peak, Kernels *into)
{
    Works works = works_of(arena, v->unit->plan);
    if (works.n != v->clock.n_kernel)
        BUG("%d kernels in the plan, %d in the code", works.n, v->clock.n_kernel);
    for (int i = 0; i < works.n; i++) {
        const Cost *cost = &works.at[i].cost;
        Kernel k = {.name = v->compiled.model->kernel[i].name,
                    .us = median_us(arena, &v->clock, i)};
        if (!(k.us > 0))
            continue;
        k.gflops = cost->product / k.us / 1e3;
        k.gbytes = (cost->read_bytes + cost->written_bytes) / k.us / 1e3;
        k.share = peak > 0 ? k.gflops / peak : 0;
        k.expected_us = peak > 0 ? cost_seconds(*cost, 1e9 * peak) * 1e6 : 0;
        *PUSH(arena, into->at, into->n, into->capacity) = k;
    }
}

/* Behind the slices, the medians: the clock has seen up to MAX_CHUNKS chunks. */
int time_kernels(Arena *arena, Variant *v, double peak, Kernels *into)
{
    clock_open(arena, &v->clock, v->compiled.model->n_kernel);
    int status = time_marked(v);
    if (status == EXIT_DONE)
        add_times(arena, v, peak, into);
    return status;
}
