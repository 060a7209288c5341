/*
 * plan_verify.c — what emitters rely on in a plan, checked behind every pass that makes
 * or changes one: operands before users, of every access that its elements and its slot
 * are its buffer's, at the first and the last turn of all loops around it, and of sums over
 * points that they begin at zero; that `pack` makes what is to last. The order of groups:
 * plan_verify_order.c; panels: plan_verify_panel.c; tilings: plan_verify_tile.c; barriers
 * and offsets: plan_verify_memory.c.
 */
#include "passes/plan_verify_room.h"

/* Where an access stands. */
typedef struct {
    const Plan *p;
    const Stage *stage;
    Axes axes; /* that the loops around the nest run over */
    const char *what;
    NodeId node;
} Site;

/* ---- time and rows ---- */

/* Of a contraction, and of sweeps that run at each point of a sum, or once. */
static Axes axes_of(const Stage *s, const Nest *n, bool each_point)
{
    Axes summed = each_point ? n->sum : 0;
    switch (s->kind) {
    case STAGE_ONCE: return 0;
    case STAGE_ROWS: return AXIS_ROW | summed;
    case STAGE_TIME: return AXES_ALL;
    case STAGE_SUM: return summed;
    }
    BUG("stage %d", (int)s->kind);
}

/* The slots that the access reaches: [first, last]. */
static void slots_of(const Plan *p, const Stage *s, const Access *a, const Buffer *b,
                     int64_t *first, int64_t *last)
{
    *first = *last = a->shift;
    if (a->when == AT_END)
        *first = *last = p->steps_max + a->shift;
    else if (a->when == AT_SAVE)
        *last += p->steps_max;
    else if (a->when == AT_STEP && b->span == SPAN_BLOCK)
        *last += s->block - 1;
    else if (a->when == AT_STEP && b->span == SPAN_CHUNK)
        *last += p->steps_max - 1;
}

static void verify_time(const Site *at, const Access *a, const Buffer *b)
{
    int64_t first, last;
    if (!(b->axes & AXIS_TIME))
        return;
    if (a->when == AT_STEP && !(at->axes & AXIS_TIME))
        BUG("%s of node %d reads %s at a step where there is none", at->what, at->node,
            b->name);
    if (b->span != SPAN_CHUNK && (a->when != AT_STEP || at->stage->kind != STAGE_TIME))
        BUG("%s of node %d reads %s, which does not keep that step", at->what, at->node,
            b->name);
    if (b->span == SPAN_BLOCK && b->home == HOME_WORKSPACE && b->n_slot > at->stage->block)
        BUG("%s of node %d reads %s, which keeps %lld steps of blocks of %lld", at->what,
            at->node, b->name, (long long)b->n_slot, (long long)at->stage->block);
    slots_of(at->p, at->stage, a, b, &first, &last);
    int64_t n = b->home == HOME_WORKSPACE ? b->n_slot : at->p->steps_max;
    if (first < 0 || last >= n)
        BUG("%s of node %d reaches slots %lld to %lld of %s, which has %lld", at->what,
            at->node, (long long)first, (long long)last, b->name, (long long)n);
}

/* ---- elements ---- */

static void add_loop(Loops *l, int64_t extent, int64_t stride)
{
    l->extent[l->n] = extent;
    l->stride[l->n++] = stride;
}

void loops_range(const Loops *l, int64_t offset, int64_t *first, int64_t *last)
{
    *first = *last = offset;
    for (int d = 0; d < l->n; d++)
        *(l->stride[d] < 0 ? first : last) += (l->extent[d] - 1) * l->stride[d];
}

static void verify_access(const Site *at, const Access *a, const Loops *loops)
{
    const Plan *p = at->p;
    if (a->buffer < 0 || a->buffer >= p->n_buffer)
        BUG("%s of node %d names buffer %d of %d", at->what, at->node, a->buffer,
            p->n_buffer);
    const Buffer *b = &p->buffer[a->buffer];
    int64_t first, last;
    for (int d = 0; d < loops->n; d++)
        if (loops->extent[d] < 1)
            BUG("%s of node %d runs over %lld elements", at->what, at->node,
                (long long)loops->extent[d]);
    loops_range(loops, a->offset, &first, &last);
    if (b->panel)
        BUG("%s of node %d reads panels as if they were plain", at->what, at->node);
    if (first < 0 || last >= shape_size(&b->shape))
        BUG("%s of node %d reaches elements %lld to %lld of %s, which has %lld", at->what,
            at->node, (long long)first, (long long)last, b->name,
            (long long)shape_size(&b->shape));
    if (b->axes & AXIS_ROW && !(at->axes & AXIS_ROW))
        BUG("%s of node %d reads %s at a row where there is none", at->what, at->node,
            b->name);
    verify_time(at, a, b);
}

/* ---- sweeps ---- */

static const char *instr_word(InstrKind kind)
{
    return kind == I_GATHER    ? "a gather"
           : kind == I_SCATTER ? "a scatter"
           : kind == I_LOAD    ? "a load"
                               : "a store";
}

Loops loops_of_instr(const Sweep *s, const Instr *in)
{
    Loops loops = {0};
    if (in->kind == I_GATHER || in->kind == I_SCATTER)
        add_loop(&loops, in->gather_n, in->gather_stride);
    for (int d = 0; d < s->rank; d++)
        add_loop(&loops, s->extent[d], in->access.stride[d]);
    return loops;
}

static void verify_instr(Site at, const Sweep *s, const Instr *in)
{
    Loops loops = loops_of_instr(s, in);
    if (instr_touches(in->kind) == 0)
        return;
    at.what = instr_word(in->kind), at.node = in->node;
    verify_access(&at, &in->access, &loops);
}

static bool is_real(const Plan *p, const Access *a)
{
    Element e = p->buffer[a->buffer].element;
    return e == ELEMENT_REAL || e == ELEMENT_F64;
}

/* Sums over points, and reductions, of which a loop carries so many. */
static void verify_sums(const Plan *p, const Sweep *s)
{
    int reductions = 0;
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        reductions += in->kind == I_REDUCE;
        if (instr_sums(in) && !is_real(p, &in->access))
            BUG("node %d is summed into %s, which holds no reals", in->node,
                p->buffer[in->access.buffer].name);
        if (in->kind == I_SCATTER && s->rank == MAX_RANK)
            BUG("scatter %d has a class and %d dimensions", in->node, s->rank);
    }
    if (reductions > SWEEP_MAX_REDUCTIONS)
        BUG("a sweep has %d reductions", reductions);
}

static void verify_sweep(Site at, const Sweep *s)
{
    verify_sums(at.p, s);
    for (int i = 0; i < s->n_instr; i++) {
        const Instr *in = &s->instr[i];
        for (int k = 0; k < in->n_arg; k++)
            if (in->arg[k] < 0 || in->arg[k] >= i)
                BUG("instruction %d uses %d", i, in->arg[k]);
        verify_instr(at, s, in);
        for (int d = 0; in->kind == I_REDUCE && d < s->rank; d++)
            if (s->reduced >> d & 1 && in->access.stride[d] != 0)
                BUG("a reduction moves on along what it sums");
        if (in->kind == I_ORTHOGONAL && (s->n_instr != 1 || s->rank != 0))
            BUG("an orthogonal matrix is not alone in its sweep");
    }
}

/* ---- sums over points ---- */

/* The n-th loop that moves, counted from 0; false: there are fewer. */
static bool moving_loop(const Loops *l, int n, int64_t *extent, int64_t *stride)
{
    for (int d = 0; d < l->n; d++)
        if (l->extent[d] > 1 && l->stride[d] != 0 && n-- == 0) {
            *extent = l->extent[d], *stride = l->stride[d];
            return true;
        }
    return false;
}

/* Do both reach the same elements, loop by loop? */
static bool same_elements(const Loops *a, const Loops *b)
{
    int64_t size_a = 0, size_b = 0, stride_a = 0, stride_b = 0;
    for (int n = 0;; n++) {
        bool more = moving_loop(a, n, &size_a, &stride_a);
        if (more != moving_loop(b, n, &size_b, &stride_b) ||
            (more && (size_a != size_b || stride_a != stride_b)))
            return false;
        if (!more)
            return true;
    }
}

static bool stores_zero(const Sweep *s, const Instr *in)
{
    const Instr *value = in->kind == I_STORE ? &s->instr[in->arg[0]] : NULL;
    return value && value->kind == I_CONSTANT && value->value == 0;
}

/* Does a sweep ahead of the points set what `sum` leaves to zero? */
static bool begins_at_zero(const Nest *n, int ahead, const Sweep *of, const Instr *sum)
{
    Loops target = loops_of_instr(of, sum);
    for (int i = 0; i < ahead; i++)
        for (int k = 0; k < n->sweep[i].n_instr; k++) {
            const Instr *in = &n->sweep[i].instr[k];
            Loops loops = loops_of_instr(&n->sweep[i], in);
            const Access *a = &in->access, *b = &sum->access;
            if (stores_zero(&n->sweep[i], in) && a->buffer == b->buffer &&
                a->offset == b->offset && a->when == b->when && a->shift == b->shift &&
                same_elements(&loops, &target))
                return true;
        }
    return false;
}

/* What runs at each point of a sum, and what once. */
static void verify_points(const Stage *stage, const Nest *n)
{
    PointSweeps points = nest_point_sweeps(n);
    bool sums = n->sum && (stage->kind == STAGE_SUM || stage->kind == STAGE_ROWS);
    if (points.end > 0 && !sums)
        BUG("a nest that sums over no points has sweeps for each of them");
    for (int i = 0; i < n->n_sweep; i++) {
        if (n->sweep[i].each_point && i >= points.end)
            BUG("sweeps that run once stand between those of each point");
        if (!n->sweep[i].each_point && sweep_has_sums(&n->sweep[i]))
            BUG("a sum is in a sweep that runs once");
    }
}

static void verify_beginnings(const Nest *n)
{
    PointSweeps points = nest_point_sweeps(n);
    for (int i = points.first; i < points.end; i++)
        for (int k = 0; k < n->sweep[i].n_instr; k++) {
            const Instr *in = &n->sweep[i].instr[k];
            if (instr_sums(in) && !begins_at_zero(n, points.first, &n->sweep[i], in))
                BUG("the sum of node %d does not begin at zero", in->node);
        }
}

/* ---- contractions ---- */

Loops loops_of_matrix(const Access *a, int64_t batch, int64_t rows, int64_t columns)
{
    return (Loops){3, {batch, rows, columns}, {a->stride[0], a->stride[1], a->stride[2]}};
}

static void verify_matrix(Site at, const char *what, const Access *a, int64_t batch,
                          int64_t rows, int64_t columns)
{
    Loops loops = loops_of_matrix(a, batch, rows, columns);
    at.what = what;
    verify_access(&at, a, &loops);
    if (at.p->buffer[a->buffer].element != ELEMENT_REAL)
        BUG("%s of product %d does not hold reals", what, at.node);
}

static void verify_contraction(Site at, const Contraction *c)
{
    at.node = c->node;
    verify_matrix(at, "the first operand", &c->a, c->n_batch, c->m, c->k);
    if (c->packed < 0)
        verify_matrix(at, "the second operand", &c->b, c->n_batch, c->n, c->k);
    verify_matrix(at, "the result", &c->c, c->n_batch, c->m, c->n);
    if (c->c.stride[2] != 1 && c->n > 1)
        BUG("columns of product %d are not contiguous", c->node);
    if (!c->has_init)
        return;
    verify_matrix(at, "the start", &c->init, c->n_batch, c->m, c->n);
    if (c->init.stride[2] != 1 && c->init.stride[2] != 0 && c->n > 1)
        BUG("columns of what product %d starts from are not contiguous", c->node);
}

static void verify_pack(Site at, const Nest *n)
{
    const Buffer *b = &at.p->buffer[n->pack];
    if (n->pack >= at.p->n_buffer || b->panel == 0)
        BUG("a nest packs into buffer %d, which has no panels", n->pack);
    if (n->contraction || n->n_sweep > 0)
        BUG("a nest that packs %s does something else too", b->name);
    int64_t panels = (b->pack_n + b->panel - 1) / b->panel;
    if (b->bytes <
        element_bytes(at.p, b->element) * b->pack_batch * panels * b->panel * b->pack_k)
        BUG("%s has %lld bytes, less than its panels", b->name, (long long)b->bytes);
    verify_matrix(at, "what is packed", &n->pack_from, b->pack_batch, b->pack_n, b->pack_k);
}

/* ---- buffers ---- */

/* Elements of a block of the chunk; states: of one row. -1: no block. */
static int64_t block_size(const Graph *g, Home home)
{
    int64_t size = 0;
    switch (home) {
    case HOME_PARAMS:
    case HOME_GRADS:
        for (int i = 0; i < g->n_param; i++)
            size += shape_size(&g->param[i].shape);
        return size;
    case HOME_OPTIMIZER:
    case HOME_OPTIMIZER_SCALARS:
        for (int i = 0; i < g->n_optimizer; i++)
            if (g->optimizer[i].wide == (home == HOME_OPTIMIZER_SCALARS))
                size += shape_size(&g->optimizer[i].shape);
        return size;
    case HOME_STATE_IN:
    case HOME_STATE_OUT:
    case HOME_STATE_SAVED:
        for (int i = 0; i < g->n_state; i++)
            size += g->state[i].backward ? 0 : shape_size(&g->state[i].shape);
        return size;
    case HOME_WORKSPACE:
    case HOME_SCRATCH:
    case HOME_SCALARS:
    case HOME_INPUT:
    case HOME_START:
    case HOME_RUNNING:
    case HOME_OUTPUTS: return -1;
    }
    BUG("home %d", (int)home);
}

/* block: elements of the block that its home names; -1: none. */
static void verify_buffer(const Plan *p, const Buffer *b, int64_t block)
{
    int64_t size = shape_size(&b->shape);
    if (block >= 0 && (b->offset < 0 || b->offset + size > block))
        BUG("%s ends at %lld of a block of %lld", b->name, (long long)(b->offset + size),
            (long long)block);
    if ((b->home != HOME_WORKSPACE && b->home != HOME_SCRATCH) || b->panel)
        return;
    int64_t row = b->axes & AXIS_ROW ? b->row_stride : size;
    int64_t all = b->axes & AXIS_ROW ? p->rows_max * row : size;
    int64_t slots = b->axes & AXIS_TIME ? b->n_slot : 1;
    if (row < size || (slots > 1 && b->slot_stride < all))
        BUG("rows or steps of %s share elements", b->name);
    if (b->bytes < ((slots - 1) * b->slot_stride + all) * element_bytes(p, b->element))
        BUG("%s has %lld bytes, too few for %lld steps", b->name, (long long)b->bytes,
            (long long)slots);
}

/* ---- the plan ---- */

static void verify_nest(const Plan *p, const Stage *stage, const Nest *n)
{
    Site at = {.p = p, .stage = stage, .axes = axes_of(stage, n, true), .node = NO_NODE};
    if (n->pack >= 0)
        verify_pack(at, n);
    if (n->contraction)
        verify_contraction(at, n->contraction);
    bool sums = n->contraction;
    verify_points(stage, n);
    for (int i = 0; i < n->n_sweep; i++) {
        at.axes = axes_of(stage, n, n->sweep[i].each_point);
        verify_sweep(at, &n->sweep[i]);
        sums = sums || sweep_has_sums(&n->sweep[i]);
    }
    verify_beginnings(n);
    if (stage->kind == STAGE_SUM && !sums)
        BUG("a nest of a sum sums nothing");
}

static void verify_stage(const Plan *p, const Stage *stage)
{
    if (stage->kind != STAGE_TIME && stage->n_group != 1)
        BUG("a stage without time has %d groups", stage->n_group);
    if (stage->kind == STAGE_TIME && stage->block < 1)
        BUG("a stage has blocks of %lld steps", (long long)stage->block);
    for (int i = 0; i < stage->n_group; i++)
        for (int k = 0; k < stage->group[i].n_nest; k++)
            verify_nest(p, stage, &stage->group[i].nest[k]);
    if (stage->kind == STAGE_TIME)
        plan_verify_order(p, stage);
}

static void verify_result(const Plan *p, const char *what, const Access *a)
{
    Site at = {.p = p, .what = what, .node = NO_NODE};
    if (a->buffer >= 0)
        verify_access(&at, a, &(Loops){0});
}

/* What its nests do to each buffer. */
static Touched touches_of(const Plan *p, const Procedure *proc)
{
    Touched t = touched_new(p);
    for (int i = 0; i < proc->n_stage; i++)
        stage_touches(p, &proc->stage[i], &t);
    return t;
}

/* Values of parameters alone that stand from chunk to chunk are `pack`'s to make. */
static void verify_persistent(const Plan *p)
{
    const Touched made = touches_of(p, &p->proc[PROC_PACK]);
    for (int id = 0; id < PROC_COUNT; id++) {
        const Touched t = touches_of(p, &p->proc[id]);
        for (int i = 0; i < t.n; i++) {
            const Buffer *b = &p->buffer[t.buffer[i]];
            if (b->persistent && !b->panel && !(made.how[t.buffer[i]] & TOUCH_WRITE))
                BUG("%s reads %s, which pack does not make", proc_names[id], b->name);
        }
    }
}

void plan_verify(const Plan *p)
{
    int64_t block[HOME_OUTPUTS + 1];
    for (int i = 0; i <= HOME_OUTPUTS; i++)
        block[i] = block_size(p->graph, (Home)i);
    for (int i = 0; i < p->n_buffer; i++)
        verify_buffer(p, &p->buffer[i], block[p->buffer[i].home]);
    for (int i = 0; i < PROC_COUNT; i++) {
        const Procedure *proc = &p->proc[i];
        for (int k = 0; k < proc->n_stage; k++)
            verify_stage(p, &proc->stage[k]);
        verify_result(p, "the loss", &proc->loss);
        verify_result(p, "the weight", &proc->weight);
        verify_result(p, "the gradient's norm", &proc->gradient_norm);
        for (int k = 0; k < proc->n_metric; k++)
            verify_result(p, "a metric", &proc->metric[k]);
        for (int k = 0; k < proc->n_running; k++)
            verify_result(p, "a running sum", &proc->running[k]);
    }
    verify_persistent(p);
}
