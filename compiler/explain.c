/*
 * explain.c — the chunk program in words, each sentence read off the plan: procedures,
 * their stages, the groups that run for all steps at once or step by step, their nests
 * (explain_nest.c), and what is kept for the backward pass.
 */
#include <inttypes.h>

#include "explain_room.h"

/* ---- a stage ---- */

int64_t explain_block_bytes(const Explain *e, int stage)
{
    int64_t bytes = 0;
    for (int i = 0; i < e->p->n_buffer; i++) {
        const Buffer *b = &e->p->buffer[i];
        if (b->home == HOME_WORKSPACE && b->span == SPAN_BLOCK && b->axes & AXIS_TIME &&
            &e->p->proc[b->proc] == e->proc && b->first_stage == stage)
            bytes += b->slot_stride * element_bytes(e->p, b->element);
    }
    return bytes;
}

static const char *why_block(const Plan *p, const Stage *s, int64_t bytes)
{
    if (bytes == 0)
        return "nothing passes from group to group within a block";
    if (s->block >= p->steps_max)
        return "the whole chunk: what passes from group to group fits";
    if (s->block * bytes <= p->target.l2_bytes / 2)
        return "as many as fit";
    return "the fewest there are, although they do not fit";
}

static void print_block(const Explain *e, int stage)
{
    const Plan *p = e->p;
    const Stage *s = &e->proc->stage[stage];
    int64_t bytes = explain_block_bytes(e, stage);
    fprintf(e->out, "     blocks of %" PRId64 " step%s: %s\n", s->block,
            s->block == 1 ? "" : "s", why_block(p, s, bytes));
    if (bytes > 0)
        fprintf(e->out, "     (%s a step; %s is half of a second-level cache)\n",
                bytes_print(p->arena, (double)bytes),
                bytes_print(p->arena, (double)(p->target.l2_bytes / 2)));
}

static const char *stage_words(const Stage *s)
{
    switch (s->kind) {
    case STAGE_ONCE: return "once a chunk, nests dealt out to threads or split by features";
    case STAGE_ROWS: return "once for each row, rows split over threads";
    case STAGE_TIME:
        if (s->features)
            return s->backward ? "backward in time, features split over threads"
                               : "forward in time, features split over threads";
        return s->backward ? "backward in time, rows split over threads"
                           : "forward in time, rows split over threads";
    case STAGE_SUM:
        return "sums over steps and rows, split by features: each element is summed in one "
               "order,\n"
               "     the same for any number of threads";
    }
    BUG("a stage of kind %d", s->kind);
}

static void explain_stage(const Explain *e, int stage)
{
    const Stage *s = &e->proc->stage[stage];
    fprintf(e->out, "\n  %d. %s\n", stage + 1, stage_words(s));
    if (s->barrier)
        fprintf(e->out, "     all threads wait for each other before it\n");
    if (s->kind == STAGE_TIME)
        print_block(e, stage);
    for (int g = 0; g < s->n_group; g++) {
        if (s->kind == STAGE_TIME)
            fprintf(e->out, "    %s\n",
                    s->group[g].scan ? "step by step, since each step needs "
                                       "the one before it:"
                                     : "all steps of a block at once:");
        for (int n = 0; n < s->group[g].n_nest; n++) {
            if (s->group[g].nest[n].barrier)
                fprintf(e->out, "     all threads wait for each other\n");
            explain_nest(e, stage, g, n);
        }
    }
}

/* ---- what is kept ---- */

static bool is_kept(const Explain *e, int buffer)
{
    bool forward = false, backward = false;
    for (int i = e->first_touch[buffer]; i >= 0; i = e->touch[i].next) {
        const Stage *s = stage_of(e, &e->touch[i]);
        bool time = s->kind == STAGE_TIME;
        forward = forward || (e->touch[i].write && time && !s->backward);
        backward = backward || (!e->touch[i].write && time && s->backward) ||
                   (!e->touch[i].write && s->kind == STAGE_SUM);
    }
    const Buffer *b = &e->p->buffer[buffer];
    return forward && backward && b->span == SPAN_CHUNK && b->home == HOME_WORKSPACE;
}

static void print_kept(const Explain *e)
{
    const Plan *p = e->p;
    double sum = 0, elements = 0;
    fprintf(e->out,
            "\nkept of all steps, from the forward pass for the backward pass and the "
            "sums\n");
    for (int i = 0; i < p->n_buffer; i++) {
        const Buffer *b = &p->buffer[i];
        if (!is_kept(e, i))
            continue;
        fprintf(e->out, "  %-28s %14s\n", b->name, bytes_print(p->arena, (double)b->bytes));
        sum += (double)b->bytes, elements += (double)shape_size(&b->shape);
    }
    fprintf(e->out, "  %-28s %14s, %.0f numbers for each step of a row\n", "in all",
            bytes_print(p->arena, sum), elements);
}

/* ---- procedures ---- */

static Explain explain_procedure(const Plan *p, ProcId id, const char *title, FILE *out)
{
    Explain e = explain_open(p, id, out);
    fprintf(out, "\n%s\n", title);
    for (int i = 0; i < e.proc->n_stage; i++)
        explain_stage(&e, i);
    explain_cost(&e, "\n  in all: ", cost_of_procedure(p, id, ANY_PHASE));
    return e;
}

static void print_others(const Plan *p, FILE *out)
{
    static const struct {
        ProcId id;
        const char *text;
    } other[] = {
        {PROC_EVAL, "eval    forward, loss and metrics, nothing kept"},
        {PROC_STEP, "step    forward alone"},
        {PROC_PACK, "pack    panels of weights and values of parameters alone, made anew"},
        {PROC_INIT, "init    first values of parameters and optimizer"},
    };
    fprintf(
        out,
        "\nthe other procedures, made in the same way (--after place shows all, with their "
        "equations)\n");
    for (int i = 0; i < COUNT(other); i++) {
        Explain e = {.p = p, .proc = &p->proc[other[i].id], .out = out};
        fprintf(out, "  %s; stages: %d\n", other[i].text, e.proc->n_stage);
        explain_cost(&e, "          ", cost_of_procedure(p, other[i].id, ANY_PHASE));
    }
}

void explain_plan(const Plan *p, FILE *out)
{
    bool trains = p->graph->loss != NO_NODE;
    fprintf(out, "%s on %s: a chunk of at most %" PRId64 " steps of %" PRId64 " rows.\n",
            p->graph->name, p->target.name, p->steps_max, p->rows_max);
    if (!p->fuse)
        fprintf(out,
                "Fusing is off: every operation is a nest of its own, through memory.\n");
    if (trains) {
        Explain e = explain_procedure(p, PROC_GRAD,
                                      "grad: forward, loss, backward, gradients", out);
        print_kept(&e);
        explain_procedure(p, PROC_UPDATE,
                          "update: parameters from gradients, then what is made "
                          "of parameters alone",
                          out);
    } else {
        explain_procedure(p, PROC_STEP, "step: forward alone; there is no loss to train by",
                          out);
    }
    print_others(p, out);
}
