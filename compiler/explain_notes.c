/*
 * explain_notes.c — what was refused in fusing and placing, and why, as notes on
 * performance at the spec's lines.
 */
#include <inttypes.h>
#include <string.h>

#include "explain_room.h"

typedef struct {
    Loc loc;
    const char *text;
} Note;

typedef struct {
    const Explain *e;
    Diag *d;
    int n, capacity;
    Note *note; /* said already: a cell called twice is one line of the spec */
} Notes;

static void say(Notes *s, NodeId node, const char *text)
{
    Loc loc = node != NO_NODE ? s->e->p->graph->node[node].loc : (Loc){.source = NULL};
    for (int i = 0; i < s->n; i++)
        if (s->note[i].loc.source == loc.source && s->note[i].loc.line == loc.line &&
            s->note[i].loc.column == loc.column && str_eq(s->note[i].text, text))
            return;
    *PUSH(s->e->p->arena, s->note, s->n, s->capacity) = (Note){loc, text};
    diag_note(s->d, loc, "performance: %s", text);
    diag_flush(s->d);
}

/* A value through memory that a register or the nest's own rows might have held. One number
   for the whole chunk costs nothing. */
static void note_store(Notes *s, const Touch *t)
{
    const Plan *p = s->e->p;
    const Buffer *b = &p->buffer[t->access->buffer];
    bool number = b->axes == 0 && shape_size(&b->shape) == 1;
    const char *why =
        t->write && t->node != NO_NODE && !number ? explain_why_stored(s->e, t) : "";
    if (strncmp(why, explain_refused, strlen(explain_refused)) == 0)
        say(s, t->node,
            arena_print(p->arena, "%s goes through memory: %s", b->name,
                        why + strlen(explain_refused)));
}

static void note_vectors(Notes *s, const Sweep *w)
{
    const Plan *p = s->e->p;
    NodeId node = w->n_instr > 0 ? w->instr[w->n_instr - 1].node : NO_NODE;
    if (w->rank > 0 && w->extent[w->rank - 1] < p->target.vector && node != NO_NODE)
        say(s, node,
            arena_print(p->arena,
                        "a loop over %" PRId64 " features does not fill a vector of %d",
                        w->extent[w->rank - 1], p->target.vector));
}

static void note_pack(Notes *s, const Nest *n)
{
    const Plan *p = s->e->p;
    if (n->pack >= 0 && !p->buffer[n->pack].persistent)
        say(s, NO_NODE,
            arena_print(p->arena,
                        "%s are made anew in every chunk: the matrix is not of parameters "
                        "alone",
                        p->buffer[n->pack].name));
}

static void note_stage(Notes *s, int stage)
{
    const Plan *p = s->e->p;
    const Stage *of = &s->e->proc->stage[stage];
    int64_t bytes = of->kind == STAGE_TIME ? explain_block_bytes(s->e, stage) : 0;
    if (of->block * bytes > p->target.l2_bytes / 2)
        say(s, NO_NODE,
            arena_print(
                p->arena,
                "stage %d: even a block of %" PRId64 " steps passes %s between maps "
                "and scans, more than half of a second-level cache",
                stage + 1, of->block, bytes_print(p->arena, (double)(of->block * bytes))));
    for (int g = 0; g < of->n_group; g++)
        for (int n = 0; n < of->group[g].n_nest; n++) {
            const Nest *nest = &of->group[g].nest[n];
            note_pack(s, nest);
            for (int w = 0; w < nest->n_sweep; w++)
                note_vectors(s, &nest->sweep[w]);
        }
}

static void note_procedure(const Plan *p, ProcId id, Diag *d)
{
    Explain e = explain_open(p, id, stderr);
    Notes s = {.e = &e, .d = d};
    for (int i = 0; i < e.n_touch; i++)
        note_store(&s, &e.touch[i]);
    for (int i = 0; i < e.proc->n_stage; i++)
        note_stage(&s, i);
    if (p->threads_max == 1 && id != PROC_UPDATE)
        say(&s, NO_NODE,
            p->rows_max == 1
                ? "one thread: there is one row, and its features are not shared"
                : "one thread: a chunk is less work than a second one costs at barriers");
}

void explain_notes(const Plan *p, Diag *d)
{
    bool trains = p->graph->loss != NO_NODE;
    note_procedure(p, trains ? PROC_GRAD : PROC_STEP, d);
    if (trains)
        note_procedure(p, PROC_UPDATE, d);
}
