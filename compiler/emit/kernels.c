/*
 * kernels.c — the parts of a plan that a profile tells apart, and their names.
 *
 * A kernel is a nest, or a whole scan: its steps are too short for a clock. Compiled with
 * marks (plan->marks), a thread tells the chunk's marker which kernel it begins and when it
 * has ended it; what lies between two kernels of a thread is waiting. Without marks the
 * code is what it would be if this file did not exist.
 *
 * `update` ends with the stages of `pack`; what they share is one kernel.
 */
#include "emit/kernel.h"

#include <stddef.h>
#include <string.h>

typedef struct {
    ProcId proc;
    const Stage *stage;
    const Group *group;
    const Nest *nest; /* NULL: the group, a scan */
} Kernel;

typedef bool KernelVisitor(const Kernel *k, void *user);

/* All kernels, in the order of the plan, those of `update` before `pack`, which runs in it;
   ends when the visitor says so. */
static void visit_kernels(const Plan *p, KernelVisitor *visit, void *user)
{
    for (int id = 0; id < PROC_COUNT; id++)
        for (int s = 0; s < p->proc[id].n_stage; s++)
            for (int g = 0; g < p->proc[id].stage[s].n_group; g++) {
                const Stage *stage = &p->proc[id].stage[s];
                const Group *group = &stage->group[g];
                Kernel k = {(ProcId)id, stage, group, NULL};
                for (int n = 0; n < (group->scan ? 1 : group->n_nest); n++) {
                    k.nest = group->scan ? NULL : &group->nest[n];
                    if (!visit(&k, user))
                        return;
                }
            }
}

static bool same_kernel(const Kernel *a, const Kernel *b)
{
    return a->group == b->group && a->nest == b->nest;
}

/* ---- numbers ---- */

typedef struct Numbering {
    Arena *arena;
    Kernel *list;
    int n, capacity;
} Numbering;

static bool number_kernel(const Kernel *k, void *user)
{
    Numbering *to = user;
    for (int i = 0; i < to->n; i++)
        if (same_kernel(&to->list[i], k))
            return true;
    *PUSH(to->arena, to->list, to->n, to->capacity) = *k;
    return true;
}

static Numbering *number_all(Arena *arena, const Plan *p)
{
    Numbering *all = NEW(arena, Numbering);
    all->arena = arena;
    visit_kernels(p, number_kernel, all);
    return all;
}

int kernel_number(Emitter *e, const Group *group, const Nest *nest)
{
    if (!e->plan->marks)
        return -1;
    Kernel wanted = {.group = group, .nest = group->scan ? NULL : nest};
    if (!e->kernels)
        e->kernels = number_all(e->arena, e->plan);
    for (int i = 0; i < e->kernels->n; i++)
        if (same_kernel(&e->kernels->list[i], &wanted))
            return i;
    BUG("a kernel without a number");
}

/* ---- names ---- */

/* Adds what the nest leaves in memory, up to three names. Sums were set to zero before. */
static const char *add_results(Arena *arena, const Plan *p, const Nest *nest,
                               const char *text, int *n)
{
    int last = -1;
    for (int s = nest_point_sweeps(nest).first; s < nest->n_sweep; s++)
        for (int i = 0; i < nest->sweep[s].n_instr; i++) {
            const Instr *in = &nest->sweep[s].instr[i];
            if (!instr_writes(in) || in->access.buffer < 0 || in->access.buffer == last)
                continue;
            last = in->access.buffer;
            if ((*n)++ < 3)
                text = arena_print(arena, "%s%s%s", text, *n > 1 ? ", " : " ",
                                   p->buffer[last].name);
        }
    int product = nest->contraction ? nest->contraction->c.buffer : nest->pack;
    if (last < 0 && product >= 0 && (*n)++ < 3)
        text = arena_print(arena, "%s%s%s", text, *n > 1 ? ", " : " ",
                           p->buffer[product].name);
    return text;
}

static const char *kernel_name(Arena *arena, const Plan *p, const Kernel *k)
{
    static const char *const kinds[] = {[STAGE_ONCE] = "once",
                                        [STAGE_ROWS] = "rows",
                                        [STAGE_TIME] = "map",
                                        [STAGE_SUM] = "sum"};
    const char *phase = k->proc != PROC_GRAD           ? proc_names[k->proc]
                        : k->stage->backward           ? "backward"
                        : k->stage->kind == STAGE_TIME ? "forward"
                        : k->stage->kind == STAGE_SUM  ? "backward"
                                                       : "train";
    int n = 0;
    bool product = k->nest && k->nest->contraction;
    const char *text = arena_print(arena, "%s %s%s:", phase,
                                   k->group->scan ? "scan" : kinds[k->stage->kind],
                                   product ? " product" : "");
    for (int i = 0; i < k->group->n_nest; i++)
        if (!k->nest || k->nest == &k->group->nest[i])
            text = add_results(arena, p, &k->group->nest[i], text, &n);
    return n > 3 ? arena_print(arena, "%s, ...", text) : text;
}

void kernels_describe(Arena *arena, const Plan *p, struct rnn_model *to)
{
    if (!p->marks)
        return;
    const Numbering *all = number_all(arena, p);
    struct rnn_kernel *list = NEW_ARRAY(arena, struct rnn_kernel, all->n);
    for (int i = 0; i < all->n; i++)
        list[i].name = kernel_name(arena, p, &all->list[i]);
    to->n_kernel = all->n;
    to->kernel = list;
}

/* ---- marks ---- */

void kernel_mark(Emitter *e, int number)
{
    Ir *ir = &e->ir;
    if (!e->plan->marks)
        return;
    LLVMValueRef marker = chunk_field(e, offsetof(struct rnn_chunk, marker), ir->ptr);
    IrIf wanted = ir_if(ir, LLVMBuildIsNotNull(ir->builder, marker, ""));
    LLVMValueRef at =
        ir_at(ir, ir->i8, marker, ir_int(ir, offsetof(struct rnn_marker, mark)));
    LLVMTypeRef param[] = {ir->ptr, ir->i32, ir->i32};
    LLVMValueRef arg[] = {marker, LLVMBuildTrunc(ir->builder, e->frame.thread, ir->i32, ""),
                          ir_int_of(ir->i32, number)};
    LLVMBuildCall2(ir->builder, LLVMFunctionType(ir->none, param, 3, false),
                   ir_load(ir, ir->ptr, at), arg, 3, "");
    ir_endif(ir, &wanted);
}
