/*
 * interp_eval.c — what each operation computes, plainly.
 *
 * Elementwise operations have their meaning in the table of operations (ref, complex);
 * here are the others. Those that are linear do the same to both parts of a complex value
 * and are written once for a part.
 *
 * In f32 each operation's result is rounded to float once; sums of features, of time and
 * rows and of products are added in double before that, in order of index. Wide nodes
 * stay double, and see constants as they were written.
 */
#include <math.h>
#include <string.h>

#include "graph/interp_room.h"
#include "rnn_philox.h"

/* One node at one step of one row. */
typedef struct {
    Interp *p;
    const Node *n;
    NodeId id;
    int64_t t, b;
    int64_t size; /* of the result */
} Point;

static const double *operand(const Point *at, int i, int part)
{
    return interp_at(at->p, at->n->arg[i], part, at->t, at->b);
}

static const Shape *operand_shape(const Point *at, int i)
{
    return &at->p->g->node[at->n->arg[i]].shape;
}

/* The coordinates of element i of a shape. */
static void coordinates(const Shape *s, int64_t i, int64_t *at)
{
    for (int d = s->rank - 1; d >= 0; d--) {
        at[d] = i % s->dim[d];
        i /= s->dim[d];
    }
}

static int64_t element(const Shape *s, const int64_t *at)
{
    int64_t i = 0;
    for (int d = 0; d < s->rank; d++)
        i = i * s->dim[d] + at[d];
    return i;
}

/* ---- leaves: the real part; the imaginary one is 0 ---- */

static void leaf_constant(const Point *at, double *out) { out[0] = at->n->attr.value; }

static void leaf_iota(const Point *at, double *out)
{
    for (int64_t i = 0; i < at->size; i++)
        out[i] = (double)i;
}

static void leaf_missing(const Point *at, double *out)
{
    (void)out;
    BUG("%%%d = %s has not been given values", (int)at->id, op_defs[at->n->op]->name);
}

static void leaf_scalar(const Point *at, double *out)
{
    out[0] = at->p->g->scalar[at->n->attr.index].value;
}

static void leaf_optimizer(const Point *at, double *out)
{
    for (int64_t i = 0; i < at->size; i++)
        out[i] = at->p->g->optimizer[at->n->attr.index].value;
}

/* Before the first chunk. */
static void leaf_sofar(const Point *at, double *out)
{
    (void)at;
    out[0] = 0;
}

static void leaf_extent(const Point *at, double *out)
{
    Axes counted = at->n->attr.axes;
    out[0] = (double)((counted & AXIS_TIME ? at->p->steps : 1) *
                      (counted & AXIS_ROW ? at->p->rows : 1));
}

static void leaf_step(const Point *at, double *out)
{
    out[0] = (double)(at->n->attr.index == STEP_OF_LOSS ? at->t - at->p->loss_from
                                                        : at->t + at->p->rng.step0);
}

static void leaf_training(const Point *at, double *out) { out[0] = at->p->training; }

static void leaf_random(const Point *at, double *out)
{
    const struct rnn_rng *r = &at->p->rng;
    int64_t row = at->n->axes & AXIS_ROW ? r->row0 + at->b : 0;
    int64_t step = at->n->axes & AXIS_TIME ? r->step0 + at->t : 0;
    for (int64_t i = 0; i < at->size; i++)
        out[i] = (double)rnn_uniform(r->seed, (uint32_t)at->n->attr.index, r->iteration,
                                     row, step, i);
}

/* ---- linear: one part at a time ---- */

static void copy(const Point *at, double *out, NodeId from, int part, int64_t t)
{
    memcpy(out, interp_at(at->p, from, part, t, at->b), (size_t)at->size * sizeof *out);
}

static void move_state(const Point *at, int part, double *out)
{
    const State *s = &at->p->g->state[at->n->attr.index];
    int64_t before = s->backward ? at->t + 1 : at->t - 1;
    bool first = before < 0 || before >= at->p->steps;
    copy(at, out, first ? s->entry : s->next, part, first ? 0 : before);
}

static void move_final(const Point *at, int part, double *out)
{
    const State *s = &at->p->g->state[at->n->attr.index];
    copy(at, out, s->next, part, s->backward ? 0 : at->p->steps - 1);
}

/* A parameter that no gradient reaches has gradient 0. */
static void move_gradient(const Point *at, int part, double *out)
{
    NodeId from = at->p->g->param[at->n->attr.index].gradient;
    if (from == NO_NODE)
        memset(out, 0, (size_t)at->size * sizeof *out);
    else
        copy(at, out, from, part, 0);
}

static void move_broadcast(const Point *at, int part, double *out)
{
    const double *x = operand(at, 0, part);
    const Shape *from = operand_shape(at, 0), *to = &at->n->shape;
    int64_t c[MAX_RANK] = {0};
    for (int64_t i = 0; i < at->size; i++) {
        coordinates(to, i, c);
        int64_t j = 0;
        for (int d = 0; d < from->rank; d++)
            j = j * from->dim[d] + (from->dim[d] == 1 ? 0 : c[to->rank - from->rank + d]);
        out[i] = x[j];
    }
}

static void move_reshape(const Point *at, int part, double *out)
{
    memcpy(out, operand(at, 0, part), (size_t)at->size * sizeof *out);
}

static void move_transpose(const Point *at, int part, double *out)
{
    const double *x = operand(at, 0, part);
    int64_t c[MAX_RANK], from[MAX_RANK];
    for (int64_t i = 0; i < at->size; i++) {
        coordinates(&at->n->shape, i, c);
        for (int d = 0; d < at->n->shape.rank; d++)
            from[at->n->attr.permutation[d]] = c[d];
        out[i] = x[element(operand_shape(at, 0), from)];
    }
}

/* Element i of the small shape is this one of the large. */
static int64_t strided(const Attr *a, const Shape *small, const Shape *large, int64_t i)
{
    int64_t c[MAX_RANK];
    coordinates(small, i, c);
    for (int d = 0; d < small->rank; d++)
        c[d] = a->start[d] + c[d] * a->step[d];
    return element(large, c);
}

static void move_slice(const Point *at, int part, double *out)
{
    const double *x = operand(at, 0, part);
    for (int64_t i = 0; i < at->size; i++)
        out[i] = x[strided(&at->n->attr, &at->n->shape, operand_shape(at, 0), i)];
}

static void move_pad(const Point *at, int part, double *out)
{
    const double *x = operand(at, 0, part);
    int64_t n = shape_size(operand_shape(at, 0));
    memset(out, 0, (size_t)at->size * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        out[strided(&at->n->attr, operand_shape(at, 0), &at->n->shape, i)] = x[i];
}

static void move_concat(const Point *at, int part, double *out)
{
    int axis = at->n->attr.axis;
    int64_t first = 0, c[MAX_RANK];
    for (int k = 0; k < at->n->n_arg; k++) {
        const double *x = operand(at, k, part);
        const Shape *s = operand_shape(at, k);
        int64_t n = shape_size(s);
        for (int64_t i = 0; i < n; i++) {
            coordinates(s, i, c);
            c[axis] += first;
            out[element(&at->n->shape, c)] = x[i];
        }
        first += s->dim[axis];
    }
}

/* Out of range: the first or the last row, and no derivative. */
static void move_gather(const Point *at, int part, double *out)
{
    double rows = (double)operand_shape(at, 0)->dim[0], which = operand(at, 1, RE)[0];
    bool inside = which >= 0 && which < rows;
    int64_t row = (int64_t)(which >= rows ? rows - 1 : which > 0 ? which : 0);
    if (inside || part == RE)
        memcpy(out, operand(at, 0, part) + row * at->size, (size_t)at->size * sizeof *out);
    else
        memset(out, 0, (size_t)at->size * sizeof *out);
}

static void move_scatter(const Point *at, int part, double *out)
{
    const Graph *g = at->p->g;
    NodeId value = at->n->arg[0], index = at->n->arg[1];
    Axes summed = at->n->attr.axes;
    int64_t width = shape_size(&g->node[value].shape), rows = at->n->shape.dim[0];
    int64_t t0 = summed & AXIS_TIME ? 0 : at->t,
            t1 = summed & AXIS_TIME ? at->p->steps : t0 + 1;
    int64_t b0 = summed & AXIS_ROW ? 0 : at->b,
            b1 = summed & AXIS_ROW ? at->p->rows : b0 + 1;
    memset(out, 0, (size_t)at->size * sizeof *out);
    for (int64_t t = t0; t < t1; t++)
        for (int64_t b = b0; b < b1; b++) {
            double which = interp_at(at->p, index, RE, t, b)[0];
            const double *v = interp_at(at->p, value, part, t, b);
            if (!(which >= 0 && which < (double)rows))
                continue;
            for (int64_t i = 0; i < width; i++)
                out[(int64_t)which * width + i] += v[i];
        }
}

/* Where element i of the operand goes when the dimensions of the mask are gone. */
static int64_t reduced(const Shape *from, uint32_t mask, int64_t i)
{
    int64_t c[MAX_RANK], j = 0;
    coordinates(from, i, c);
    for (int d = 0; d < from->rank; d++)
        if (!(mask >> d & 1))
            j = j * from->dim[d] + c[d];
    return j;
}

static void reduce_sum(const Point *at, int part, double *out)
{
    const double *x = operand(at, 0, part);
    int64_t n = shape_size(operand_shape(at, 0));
    memset(out, 0, (size_t)at->size * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        out[reduced(operand_shape(at, 0), at->n->attr.reduce, i)] += x[i];
}

static void reduce_total(const Point *at, int part, double *out)
{
    Axes summed = at->n->attr.axes;
    int64_t t0 = summed & AXIS_TIME ? 0 : at->t,
            t1 = summed & AXIS_TIME ? at->p->steps : t0 + 1;
    int64_t b0 = summed & AXIS_ROW ? 0 : at->b,
            b1 = summed & AXIS_ROW ? at->p->rows : b0 + 1;
    memset(out, 0, (size_t)at->size * sizeof *out);
    for (int64_t t = t0; t < t1; t++)
        for (int64_t b = b0; b < b1; b++) {
            const double *x = interp_at(at->p, at->n->arg[0], part, t, b);
            for (int64_t i = 0; i < at->size; i++)
                out[i] += x[i];
        }
}

/* ---- not linear: both parts at once, im NULL where there is none ---- */

static void eval_prod(const Point *at, double *re, double *im)
{
    const double *x = operand(at, 0, RE), *dx = im ? operand(at, 0, IM) : NULL;
    int64_t n = shape_size(operand_shape(at, 0));
    for (int64_t i = 0; i < at->size; i++)
        re[i] = 1;
    for (int64_t i = 0; im && i < at->size; i++)
        im[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = reduced(operand_shape(at, 0), at->n->attr.reduce, i);
        if (im)
            im[j] = im[j] * x[i] + re[j] * dx[i];
        re[j] *= x[i];
    }
}

/* sign 1: the largest; -1: the smallest. Equals share the derivative evenly. */
static void choose(const Point *at, double *re, double *im, int sign)
{
    const double *x = operand(at, 0, RE), *dx = im ? operand(at, 0, IM) : NULL;
    const Shape *from = operand_shape(at, 0);
    uint32_t mask = at->n->attr.reduce;
    int64_t n = shape_size(from);
    double *equals = interp_scratch(at->p, at->size);
    for (int64_t i = 0; i < at->size; i++)
        re[i] = sign > 0 ? -INFINITY : INFINITY, equals[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = reduced(from, mask, i);
        if (isnan(x[i]) || sign * x[i] > sign * re[j])
            re[j] = x[i];
    }
    for (int64_t i = 0; i < at->size && im; i++)
        im[i] = 0;
    for (int64_t i = 0; i < n; i++)
        equals[reduced(from, mask, i)] += x[i] == re[reduced(from, mask, i)];
    for (int64_t i = 0; i < n && im; i++) {
        int64_t j = reduced(from, mask, i);
        if (x[i] == re[j])
            im[j] += dx[i] / equals[j];
    }
}

static void eval_max_of(const Point *at, double *re, double *im) { choose(at, re, im, 1); }
static void eval_min_of(const Point *at, double *re, double *im) { choose(at, re, im, -1); }

static void eval_argmax(const Point *at, double *re, double *im)
{
    const double *x = operand(at, 0, RE);
    const Shape *from = operand_shape(at, 0);
    uint32_t mask = at->n->attr.reduce;
    int64_t n = shape_size(from), c[MAX_RANK];
    double *best = interp_scratch(at->p, at->size);
    int axis = 0;
    while (!(mask >> axis & 1))
        axis++;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = reduced(from, mask, i);
        coordinates(from, i, c);
        if (c[axis] == 0 || x[i] > best[j])
            best[j] = x[i], re[j] = (double)c[axis];
    }
    if (im)
        memset(im, 0, (size_t)at->size * sizeof *im);
}

/* The labels of an einsum, each with its extent and how far one step of it goes in both
   operands and the result (0 where it does not stand). */
typedef struct {
    int n;
    char label[MAX_LABEL + 1];
    int64_t extent[MAX_LABEL], stride[3][MAX_LABEL];
} Labels;

static void add_labels(Labels *l, const char *labels, const Shape *s, int which)
{
    int64_t stride[MAX_RANK];
    shape_strides(s, stride);
    for (int i = 0; labels[i]; i++) {
        const char *at = memchr(l->label, labels[i], (size_t)l->n);
        int j = at ? (int)(at - l->label) : l->n++;
        l->label[j] = labels[i];
        l->extent[j] = s->dim[i];
        l->stride[which][j] = stride[i];
    }
}

/* out[...] += Σ a[...] b[...] */
static void contract(const Labels *l, const double *a, const double *b, double *out)
{
    int64_t at[MAX_LABEL] = {0}, i[3] = {0};
    for (int d = 0; d < l->n; d++)
        if (l->extent[d] == 0)
            return;
    for (;;) {
        out[i[2]] += a[i[0]] * b[i[1]];
        int d = l->n - 1;
        for (; d >= 0; d--) {
            bool wraps = ++at[d] == l->extent[d];
            for (int w = 0; w < 3; w++)
                i[w] += wraps ? -(l->extent[d] - 1) * l->stride[w][d] : l->stride[w][d];
            if (!wraps)
                break;
            at[d] = 0;
        }
        if (d < 0)
            return;
    }
}

static void eval_einsum(const Point *at, double *re, double *im)
{
    const Attr *attr = &at->n->attr;
    NodeId a = at->n->arg[0], b = at->n->arg[1];
    Labels l = {0};
    add_labels(&l, attr->label[2], &at->n->shape, 2);
    add_labels(&l, attr->label[0], operand_shape(at, 0), 0);
    add_labels(&l, attr->label[1], operand_shape(at, 1), 1);
    Axes summed = attr->axes;
    int64_t t0 = summed & AXIS_TIME ? 0 : at->t,
            t1 = summed & AXIS_TIME ? at->p->steps : t0 + 1;
    int64_t b0 = summed & AXIS_ROW ? 0 : at->b,
            b1 = summed & AXIS_ROW ? at->p->rows : b0 + 1;
    memset(re, 0, (size_t)at->size * sizeof *re);
    if (im)
        memset(im, 0, (size_t)at->size * sizeof *im);
    for (int64_t t = t0; t < t1; t++)
        for (int64_t r = b0; r < b1; r++) {
            const Interp *p = at->p;
            contract(&l, interp_at(p, a, RE, t, r), interp_at(p, b, RE, t, r), re);
            if (!im)
                continue;
            contract(&l, interp_at(p, a, IM, t, r), interp_at(p, b, RE, t, r), im);
            contract(&l, interp_at(p, a, RE, t, r), interp_at(p, b, IM, t, r), im);
        }
}

/* v; its derivative by each x is the d that stands behind it. */
static void eval_surrogate(const Point *at, double *re, double *im)
{
    memcpy(re, operand(at, 0, RE), (size_t)at->size * sizeof *re);
    if (im)
        memset(im, 0, (size_t)at->size * sizeof *im);
    for (int k = 1; im && k < at->n->n_arg; k += 2) {
        const double *dx = operand(at, k, IM), *slope = operand(at, k + 1, RE);
        for (int64_t i = 0; i < at->size; i++)
            im[i] += dx[i] == 0 ? 0 : slope[i] * dx[i];
    }
}

/* Rows orthonormal when they are the shorter side, else columns: Gram and Schmidt on those,
   twice, for the second time finds what rounding left. The same as Q of a QR whose R has a
   positive diagonal, which is torch.nn.init.orthogonal_. */
static void orthonormalize(double *m, int64_t n, int64_t length, int64_t step,
                           int64_t along)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t again = 0; again < 2; again++) {
            double norm = 0;
            for (int64_t j = 0; j < i; j++) {
                double dot = 0;
                for (int64_t l = 0; l < length; l++)
                    dot += m[i * step + l * along] * m[j * step + l * along];
                for (int64_t l = 0; l < length; l++)
                    m[i * step + l * along] -= dot * m[j * step + l * along];
            }
            for (int64_t l = 0; l < length; l++)
                norm += m[i * step + l * along] * m[i * step + l * along];
            for (int64_t l = 0; l < length; l++)
                m[i * step + l * along] /= sqrt(norm);
        }
}

static void eval_orthogonal(const Point *at, double *re, double *im)
{
    int64_t rows = at->n->shape.dim[0], columns = rows ? at->size / rows : 0;
    memcpy(re, operand(at, 0, RE), (size_t)at->size * sizeof *re);
    if (rows <= columns)
        orthonormalize(re, rows, columns, columns, 1);
    else
        orthonormalize(re, columns, rows, 1, columns);
    if (im)
        memset(im, 0, (size_t)at->size * sizeof *im);
}

/* ---- the table ---- */

/* One of three forms; elementwise operations have none, `spread` is read through. */
typedef struct {
    void (*leaf)(const Point *at, double *out);
    void (*linear)(const Point *at, int part, double *out);
    void (*eval)(const Point *at, double *re, double *im);
} Meaning;

static const Meaning meaning[OP_COUNT] = {
    [OP_CONSTANT] = {.leaf = leaf_constant},
    [OP_IOTA] = {.leaf = leaf_iota},
    [OP_INPUT] = {.leaf = leaf_missing},
    [OP_PARAM] = {.leaf = leaf_missing},
    [OP_STATE] = {.linear = move_state},
    [OP_CARRIED] = {.leaf = leaf_missing},
    [OP_FINAL] = {.linear = move_final},
    [OP_START] = {.leaf = leaf_missing},
    [OP_SCALAR] = {.leaf = leaf_scalar},
    [OP_SOFAR] = {.leaf = leaf_sofar},
    [OP_STEP] = {.leaf = leaf_step},
    [OP_EXTENT] = {.leaf = leaf_extent},
    [OP_TRAINING] = {.leaf = leaf_training},
    [OP_GRADIENT] = {.linear = move_gradient},
    [OP_OPTIMIZER] = {.leaf = leaf_optimizer},
    [OP_RANDOM] = {.leaf = leaf_random},
    [OP_SURROGATE] = {.eval = eval_surrogate},
    [OP_BROADCAST] = {.linear = move_broadcast},
    [OP_RESHAPE] = {.linear = move_reshape},
    [OP_TRANSPOSE] = {.linear = move_transpose},
    [OP_SLICE] = {.linear = move_slice},
    [OP_PAD] = {.linear = move_pad},
    [OP_CONCAT] = {.linear = move_concat},
    [OP_GATHER] = {.linear = move_gather},
    [OP_SCATTER] = {.linear = move_scatter},
    [OP_SUM] = {.linear = reduce_sum},
    [OP_PROD] = {.eval = eval_prod},
    [OP_MAX_OF] = {.eval = eval_max_of},
    [OP_MIN_OF] = {.eval = eval_min_of},
    [OP_ARGMAX] = {.eval = eval_argmax},
    [OP_TOTAL] = {.linear = reduce_total},
    [OP_EINSUM] = {.eval = eval_einsum},
    [OP_ORTHOGONAL] = {.eval = eval_orthogonal},
};

static double read_operand(const Point *at, int k, int64_t i)
{
    const Node *a = &at->p->g->node[at->n->arg[k]];
    return at->n->wide && a->op == OP_CONSTANT ? a->attr.value : operand(at, k, RE)[i];
}

static void eval_map(const Point *at, double *re, double *im)
{
    enum { MOST = 3 };
    const OpDef *def = op_defs[at->n->op];
    for (int64_t i = 0; i < at->size; i++) {
        double x[MOST] = {0};
        Complex z[MOST] = {{0, 0}};
        for (int k = 0; k < at->n->n_arg; k++) {
            x[k] = read_operand(at, k, i);
            z[k] = (Complex){x[k], im ? operand(at, k, IM)[i] : 0};
        }
        re[i] = def->ref(x);
        if (im)
            im[i] = def->complex ? def->complex(z).im : 0;
    }
}

static void eval_point(const Point *at, double *re, double *im)
{
    const Meaning *m = &meaning[at->n->op];
    if (m->leaf) {
        m->leaf(at, re);
        if (im)
            memset(im, 0, (size_t)at->size * sizeof *im);
    } else if (m->linear) {
        m->linear(at, RE, re);
        if (im)
            m->linear(at, IM, im);
    } else if (m->eval) {
        m->eval(at, re, im);
    } else if (op_defs[at->n->op]->family == FAMILY_MAP) {
        eval_map(at, re, im);
    } else {
        BUG("%s has no meaning", op_defs[at->n->op]->name);
    }
}

void interp_eval(Interp *p, NodeId node, int64_t t)
{
    const Node *n = &p->g->node[node];
    if (n->op == OP_SPREAD)
        return;
    for (int64_t b = 0; b < (n->axes & AXIS_ROW ? p->rows : 1); b++) {
        Point at = {p, n, node, t, b, p->cell[node].size};
        double *re = interp_cell(p, node, RE, t, b);
        eval_point(&at, re, p->n_part > 1 ? interp_cell(p, node, IM, t, b) : NULL);
        for (int64_t i = 0; p->precision == INTERP_F32 && !n->wide && i < at.size; i++)
            re[i] = (float)re[i];
    }
}
