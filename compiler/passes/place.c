/*
 * place.c — give every buffer of a Plan an offset.
 *
 * The workspace begins with what is kept from chunk to chunk (packed weights,
 * values of parameters alone). Behind it every procedure lays out its own values
 * anew: a buffer lives from the first stage that touches it to the last one, and taking
 * buffers from large to small each gets the lowest offset where it meets
 * no buffer that lives at the same time. Where a stage has no barrier before it, one
 * thread may be in it while another is still in the stage before: such a run of
 * stages counts as one. Buffers begin on cache lines and are
 * staggered by one line each, so that equal shapes do not share cache sets.
 *
 * Scratch, one part for each thread, holds what never leaves a nest; it is small
 * and simply laid end to end, procedure by procedure from the start again.
 */
#include "passes/fuse.h"

#include <stdlib.h>

enum { LINE_BYTES = 64 };

static int64_t align_up(int64_t n)
{
    return (n + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

static int64_t end_of(const Buffer *b)
{
    return b->offset + align_up(b->bytes) + LINE_BYTES;
}

static bool lives_with(const Buffer *a, const Buffer *b)
{
    return a->first_stage <= b->last_stage && b->first_stage <= a->last_stage;
}

static void place_lasting_buffers(Plan *p)
{
    for (int i = 0; i < p->n_buffer; i++) {
        Buffer *b = &p->buffer[i];
        if (b->home != HOME_WORKSPACE || !b->persistent)
            continue;
        b->offset = p->workspace_bytes;
        p->workspace_bytes = end_of(b);
    }
}

static int by_size(const void *a, const void *b)
{
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes)
                                : (x > y) - (x < y);
}

/* The lowest offset at or above `from` where b overlaps none of the n buffers placed
 * already. */
static int64_t lowest_gap(Buffer *const *placed, int n, const Buffer *b, int64_t from)
{
    Buffer trial = *b;
    trial.offset = from;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            bool meets = lives_with(placed[i], b) && trial.offset < end_of(placed[i]) &&
                         placed[i]->offset < end_of(&trial);
            if (meets) {
                trial.offset = end_of(placed[i]);
                moved = true;
            }
        }
    }
    return trial.offset;
}

/* Back and on to the next barriers. */
static void widen_life(const Procedure *proc, Buffer *b)
{
    while (b->first_stage > 0 && b->first_stage < proc->n_stage &&
           !proc->stage[b->first_stage].barrier)
        b->first_stage--;
    while (b->last_stage >= 0 && b->last_stage < proc->n_stage - 1 &&
           !proc->stage[b->last_stage + 1].barrier)
        b->last_stage++;
}

/* From `from` on; returns the end. */
static int64_t place_procedure(Plan *p, ProcId id, int64_t from)
{
    Buffer **order = NEW_ARRAY(p->arena, Buffer *, p->n_buffer + 1);
    int n = 0;
    int64_t end = from;
    for (int i = 0; i < p->n_buffer; i++) {
        Buffer *b = &p->buffer[i];
        if (b->home == HOME_WORKSPACE && !b->persistent && b->proc == id && b->bytes > 0) {
            widen_life(&p->proc[id], b);
            order[n++] = b;
        }
    }
    qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        order[i]->offset = lowest_gap(order, i, order[i], from);
        end = end_of(order[i]) > end ? end_of(order[i]) : end;
    }
    return end;
}

static void place_scratch(Plan *p, ProcId id)
{
    int64_t at = 0;
    for (int i = 0; i < p->n_buffer; i++) {
        Buffer *b = &p->buffer[i];
        if (b->home != HOME_SCRATCH || b->proc != id)
            continue;
        b->offset = at;
        at = end_of(b);
    }
    p->scratch_bytes = at > p->scratch_bytes ? at : p->scratch_bytes;
}

void place_pass(Plan *p)
{
    int64_t end = 0, pack_end = 0;
    place_lasting_buffers(p);
    for (int id = 0; id < PROC_COUNT; id++) {
        /* update ends with pack's stages: their values stand beside each other */
        int64_t from = id == PROC_UPDATE ? pack_end : p->workspace_bytes;
        int64_t bytes = place_procedure(p, (ProcId)id, from);
        pack_end = id == PROC_PACK ? bytes : pack_end;
        end = bytes > end ? bytes : end;
        place_scratch(p, (ProcId)id);
    }
    p->workspace_bytes = align_up(end);
    p->scratch_bytes =
        align_up(p->scratch_bytes) + 2 * LINE_BYTES; /* no line shared by threads */
}
