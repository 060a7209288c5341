/*
 * generate.c — cells line by line, each line one operation on values that are in scope.
 *
 * A value in scope has a shape and a bound of its magnitude. A line is drawn from a table
 * of makers; a maker picks operands and writes an expression, or passes when no operands
 * of the right shapes are there. What may grow beyond LARGE goes through tanh, so that
 * everything stays finite; divisors, logarithms and roots are of positive expressions.
 * Parameters are declared as they are needed, some are used twice; values are used as
 * often as they are drawn, which makes the shared subexpressions.
 *
 * The draws of a line do not depend on how many lines follow.
 */
#include "fuzz/generate.h"

#include <string.h>

enum { SCOPE_MOST = 96, STATES_MOST = 4, CLASSES = 5 };

static const double LARGE = 4;

typedef struct {
    const char *name;
    int rank;
    int64_t dim[2];
    double bound;
} Value;

typedef struct {
    Arena *arena;
    Draw draw;
    Text params, lines;
    int64_t size[3]; /* of dimensions of this cell */
    int n_value, n_param, n_line, n_state;
    Value value[SCOPE_MOST], param[SCOPE_MOST], state[STATES_MOST];
} Cell;

static bool chance(Cell *c, int one_in) { return draw_whole(&c->draw, one_in) == 0; }
static const char *pick_word(Cell *c, const char *const *word, int n)
{
    return word[draw_whole(&c->draw, n)];
}

static int64_t pick_size(Cell *c) { return c->size[draw_whole(&c->draw, COUNT(c->size))]; }

/* ---- scope ---- */

static Value vector(int64_t n) { return (Value){.rank = 1, .dim = {n}}; }
static Value matrix(int64_t m, int64_t n) { return (Value){.rank = 2, .dim = {m, n}}; }
static Value scalar(void) { return (Value){.rank = 0}; }

static bool same_shape(const Value *a, const Value *b)
{
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return a->rank == b->rank;
}

static void bind(Cell *c, Value v)
{
    if (c->n_value < SCOPE_MOST)
        c->value[c->n_value++] = v;
}

/* Any value of the rank; later ones rather. NULL: there is none. */
static const Value *pick(Cell *c, int rank)
{
    const Value *found = NULL;
    int64_t first = draw_whole(&c->draw, c->n_value);
    for (int i = 0; i < c->n_value && !found; i++) {
        const Value *v = &c->value[(first + i) % c->n_value];
        found = v->rank == rank ? v : NULL;
    }
    return found;
}

static const Value *pick_like(Cell *c, const Value *shape)
{
    const Value *found = NULL;
    int64_t first = draw_whole(&c->draw, c->n_value);
    for (int i = 0; i < c->n_value && !found; i++) {
        const Value *v = &c->value[(first + i) % c->n_value];
        found = same_shape(v, shape) ? v : NULL;
    }
    return found;
}

static const Value *pick_any(Cell *c)
{
    return &c->value[draw_whole(&c->draw, c->n_value)];
}

/* A parameter of the shape, new or one that is there. */
static const char *parameter(Cell *c, Value shape)
{
    for (int i = 0; i < c->n_param; i++)
        if (same_shape(&c->param[i], &shape) && chance(c, 3))
            return c->param[i].name;
    if (c->n_param == SCOPE_MOST)
        BUG("more than %d parameters", SCOPE_MOST);
    shape.name = arena_print(c->arena, "W%d", c->n_param);
    c->param[c->n_param++] = shape;
    if (shape.rank == 1)
        text_add(&c->params, "    %s: {shape: [%d], init: uniform(0.5)}\n", shape.name,
                 (int)shape.dim[0]);
    else
        text_add(&c->params, "    %s: {shape: [%d, %d], init: uniform(1 / sqrt(%d))}\n",
                 shape.name, (int)shape.dim[0], (int)shape.dim[1], (int)shape.dim[1]);
    return shape.name;
}

/* Writes `name = text` with the value's shape and bound; tames it when it may be large. */
static void line(Cell *c, Value v, const char *text)
{
    bool tame = v.bound > LARGE;
    v.name = arena_print(c->arena, "v%d", c->n_line++);
    text_add(&c->lines, tame ? "    %s = tanh(0.5 * (%s))\n" : "    %s = %s\n", v.name,
             text);
    v.bound = tame ? 1 : v.bound;
    bind(c, v);
}

/* ---- makers: one kind of line each; false: no operands for it ---- */

typedef bool Maker(Cell *c);

static bool make_unary(Cell *c)
{
    static const struct {
        const char *form;
        double bound; /* of its value; 0: as its operand's, at most */
    } forms[] = {
        {"tanh(%s)", 1},
        {"sigmoid(%s)", 1},
        {"sin(%s)", 1},
        {"cos(%s)", 1},
        {"erf(%s)", 1},
        {"abs(%s)", 0},
        {"relu(%s)", 0},
        {"-%s", 0},
        {"silu(%s)", 0},
        {"softplus(%s)", 5},
        {"exp(-abs(%s))", 1},
        {"sqrt(%s^2 + 0.3)", 5},
        {"log(%s^2 + 0.3)", 3},
        {"1 / (%s^2 + 0.7)", 1.5},
        {"0.2 * %s^3", 13},
        {"elu(%s)", 5},
        {"rsqrt(%s^2 + 0.4)", 1.6},
        {"detach(%s)", 0},
        {"hardtanh(%s, -1, 1)", 1},
        {"expm1(tanh(%s))", 2},
        {"gelu(%s)", 5},
        {"log1p(%s^2)", 3},
    };
    Value v = *pick_any(c);
    int i = (int)draw_whole(&c->draw, COUNT(forms));
    const char *text = arena_print(c->arena, "%s", forms[i].form), *at = strstr(text, "%s");
    text = arena_print(c->arena, "%.*s%s%s", (int)(at - text), text, v.name, at + 2);
    v.bound = forms[i].bound > 0 ? forms[i].bound : v.bound;
    line(c, v, text);
    return true;
}

static bool make_binary(Cell *c)
{
    static const char *const forms[] = {"%s + %s",
                                        "%s - %s",
                                        "%s * %s",
                                        "max(%s, %s)",
                                        "min(%s, %s)",
                                        "%s * sigmoid(%s)",
                                        "%s / (1.5 + tanh(%s))"};
    Value a = *pick_any(c);
    const Value *b = chance(c, 4) ? pick(c, 0) : NULL; /* a scalar is broadcast */
    const Value row = vector(a.dim[1]);
    if (!b && a.rank == 2 && chance(c, 3))
        b = pick_like(c, &row);
    if (!b)
        b = pick_like(c, &a);
    int form = (int)draw_whole(&c->draw, COUNT(forms));
    Value v = a;
    v.bound = form == 2 ? a.bound * b->bound : form == 6 ? 2 * a.bound : a.bound + b->bound;
    Text t = {.arena = c->arena};
    const char *part = forms[form];
    for (const char *operand = a.name; *part; part++) {
        if (*part != '%') {
            text_add(&t, "%c", *part);
            continue;
        }
        text_add(&t, "%s", operand);
        operand = b->name;
        part++;
    }
    line(c, v, t.text);
    return true;
}

static bool make_affine(Cell *c)
{
    const Value *x = pick(c, 1);
    if (!x)
        return false;
    Value v = vector(pick_size(c));
    v.bound = 2 * x->bound;
    const char *w = parameter(c, matrix(v.dim[0], x->dim[0]));
    bool biased = chance(c, 2);
    line(c, v,
         arena_print(c->arena, biased ? "%s @ %s + %s" : "%s @ %s", w, x->name,
                     biased ? parameter(c, vector(v.dim[0])) : ""));
    return true;
}

static bool make_matrix_vector(Cell *c)
{
    const Value *m = pick(c, 2);
    if (!m)
        return false;
    bool transposed = chance(c, 2);
    Value shape = vector(m->dim[transposed ? 0 : 1]);
    const Value *x = pick_like(c, &shape);
    const char *name = x ? x->name : parameter(c, shape);
    Value v = vector(m->dim[transposed ? 1 : 0]);
    v.bound = m->bound * (x ? x->bound : 0.5) * (double)shape.dim[0];
    line(c, v,
         arena_print(c->arena, transposed ? "transpose(%s) @ %s" : "%s @ %s", m->name,
                     name));
    return true;
}

static bool make_outer(Cell *c)
{
    const Value *a = pick(c, 1), *b = pick(c, 1);
    if (!a || !b)
        return false;
    Value v = matrix(a->dim[0], b->dim[0]);
    v.bound = a->bound * b->bound;
    line(c, v, arena_print(c->arena, "outer(%s, %s)", a->name, b->name));
    return true;
}

static bool make_einsum(Cell *c)
{
    const Value *m = pick(c, 2);
    if (!m)
        return false;
    const Value *other = pick_like(c, m);
    Value v = vector(m->dim[0]);
    v.bound = m->bound * other->bound * (double)m->dim[1];
    switch (draw_whole(&c->draw, 4)) {
    case 0:
        line(c, v,
             arena_print(c->arena, "einsum(\"ij,ij->i\", %s, %s)", m->name, other->name));
        return true;
    case 1:
        v = matrix(m->dim[0], m->dim[0]);
        v.bound = m->bound * other->bound * (double)m->dim[1];
        line(c, v,
             arena_print(c->arena, "einsum(\"ij,kj->ik\", %s, %s)", m->name, other->name));
        return true;
    case 2:
        v = *m;
        v.bound = m->bound * 0.7;
        line(c, v,
             arena_print(c->arena, "einsum(\"ij,j->ij\", %s, %s)", m->name,
                         parameter(c, vector(m->dim[1]))));
        return true;
    default:
        v = vector(m->dim[1]);
        v.bound = m->bound * 0.7 * (double)m->dim[0];
        line(c, v,
             arena_print(c->arena, "einsum(\"ij,i->j\", %s, %s)", m->name,
                         parameter(c, vector(m->dim[0]))));
        return true;
    }
}

static bool make_reduction(Cell *c)
{
    static const char *const names[] = {"sum", "mean", "max", "min", "logsumexp"};
    Value x = *pick_any(c);
    if (x.rank == 0)
        return false;
    int name = (int)draw_whole(&c->draw, COUNT(names));
    double n = (double)(x.dim[0] * (x.rank == 2 ? x.dim[1] : 1));
    Value v = scalar();
    const char *axis = "";
    if (x.rank == 2 && chance(c, 2)) {
        bool last = chance(c, 2);
        v = vector(x.dim[last ? 0 : 1]);
        axis = last ? ", axis=1" : ", axis=0";
    }
    v.bound = name == 0 ? x.bound * n : name == 4 ? x.bound + 6 : x.bound;
    line(c, v, arena_print(c->arena, "%s(%s%s)", names[name], x.name, axis));
    return true;
}

static bool make_softmax(Cell *c)
{
    Value v = *pick_any(c);
    if (v.rank == 0)
        return false;
    bool log = chance(c, 3);
    const char *axis = v.rank == 1 ? "" : chance(c, 2) ? ", axis=1" : ", axis=0";
    v.bound = log ? 2 * v.bound + 6 : 1;
    line(c, v,
         arena_print(c->arena, "%s(%s%s)", log ? "log_softmax" : "softmax", v.name, axis));
    return true;
}

static bool make_slice(Cell *c)
{
    const Value *x = pick(c, 1);
    if (!x)
        return false;
    int64_t n = x->dim[0], lo = draw_whole(&c->draw, n),
            size = 1 + draw_whole(&c->draw, n - lo);
    Value v = vector(size);
    v.bound = x->bound;
    const char *text =
        arena_print(c->arena, "%s[%d:%d]", x->name, (int)lo, (int)(lo + size));
    if (chance(c, 3)) {
        v.dim[0] = (n + 1) / 2;
        text = arena_print(c->arena, "%s[::%d]", x->name, chance(c, 2) ? 2 : -2);
    }
    line(c, v, text);
    return true;
}

static bool make_row_or_column(Cell *c)
{
    const Value *m = pick(c, 2);
    if (!m)
        return false;
    bool row = chance(c, 2);
    Value v = vector(m->dim[row ? 1 : 0]);
    v.bound = m->bound;
    int at = (int)draw_whole(&c->draw, m->dim[row ? 0 : 1]);
    line(c, v, arena_print(c->arena, row ? "%s[%d]" : "%s[:, %d]", m->name, at));
    return true;
}

static bool make_concat(Cell *c)
{
    const Value *a = pick(c, 1), *b = pick(c, 1);
    if (!a || !b || a->dim[0] + b->dim[0] > 40)
        return false;
    bool stacked = a->dim[0] == b->dim[0] && chance(c, 2);
    Value v = stacked ? matrix(2, a->dim[0]) : vector(a->dim[0] + b->dim[0]);
    v.bound = a->bound > b->bound ? a->bound : b->bound;
    line(c, v,
         arena_print(c->arena, stacked ? "[%s, %s]" : "concat(%s, %s)", a->name, b->name));
    return true;
}

/* Gates: one product, split; the first part gates the second. */
static bool make_split(Cell *c)
{
    const Value *x = pick(c, 1);
    if (!x)
        return false;
    int64_t n = pick_size(c);
    int parts = (int)draw_whole(&c->draw, 3) + 2;
    const char *w = parameter(c, matrix(n * parts, x->dim[0]));
    Text names = {.arena = c->arena};
    for (int i = 0; i < parts; i++) {
        Value v = vector(n);
        v.name = arena_print(c->arena, "v%d", c->n_line++);
        v.bound = x->bound * 2;
        text_add(&names, "%s%s", i ? ", " : "", v.name);
        bind(c, v);
    }
    text_add(&c->lines, "    %s = split(%s @ %s, %d)\n", names.text, w, x->name, parts);
    return true;
}

static bool make_reshape(Cell *c)
{
    const Value *m = pick(c, 2);
    if (!m || m->dim[0] * m->dim[1] > 80)
        return false;
    Value v = chance(c, 2) ? vector(m->dim[0] * m->dim[1]) : matrix(m->dim[1], m->dim[0]);
    v.bound = m->bound;
    if (v.rank == 1)
        line(c, v, arena_print(c->arena, "reshape(%s, [%d])", m->name, (int)v.dim[0]));
    else
        line(c, v,
             arena_print(c->arena, chance(c, 2) ? "transpose(%s)" : "reshape(%s, [%d, %d])",
                         m->name, (int)v.dim[0], (int)v.dim[1]));
    return true;
}

static bool make_choice(Cell *c)
{
    static const char *const conditions[] = {"s", "x == 2", "q > 0.2", "not s or x < 3"};
    Value a = *pick_any(c);
    const Value *b = pick_like(c, &a), *p = pick_like(c, &a);
    const char *condition = pick_word(c, conditions, COUNT(conditions));
    if (chance(c, 2))
        condition = arena_print(c->arena, "%s > %s - 0.1", a.name, p->name);
    a.bound = a.bound > b->bound ? a.bound : b->bound;
    line(c, a,
         arena_print(c->arena, "where(%s, %s, 0.5 * %s)", condition, b->name, a.name));
    return true;
}

static bool make_gather(Cell *c)
{
    Value v = vector(pick_size(c));
    v.bound = 1;
    const Value *x = pick(c, 1);
    if (chance(c, 3)) {
        v.dim[0] = CLASSES;
        line(c, v, "one_hot(x) + 0.1 * arange(5)");
    } else if (x && x->dim[0] == CLASSES && chance(c, 2)) {
        v = scalar();
        v.bound = x->bound;
        line(c, v, arena_print(c->arena, "%s[x]", x->name));
    } else {
        line(c, v, arena_print(c->arena, "%s[x]", parameter(c, matrix(CLASSES, v.dim[0]))));
    }
    return true;
}

static bool make_odds(Cell *c)
{
    Value v = *pick_any(c);
    const char *x = v.name;
    v.bound *= 1.5;
    switch (draw_whole(&c->draw, 4)) {
    case 0: line(c, v, arena_print(c->arena, "%s * q", x)); return true;
    case 1: line(c, v, arena_print(c->arena, "dropout(%s, 0.3)", x)); return true;
    case 2: line(c, v, arena_print(c->arena, "%s * (1 + 0.1 * training)", x)); return true;
    default:
        line(c, v, arena_print(c->arena, "%s / (1 + norm(%s + 0.1))", x, x));
        return true;
    }
}

static Maker *const makers[] = {
    make_unary,  make_unary,         make_unary,         make_binary, make_binary,
    make_binary, make_affine,        make_affine,        make_affine, make_outer,
    make_einsum, make_matrix_vector, make_softmax,       make_slice,  make_row_or_column,
    make_concat, make_split,         make_reduction,     make_choice, make_reshape,
    make_gather, make_odds,          make_matrix_vector,
};

/* ---- states ---- */

/* An expression of the state's shape. */
static const char *made_like(Cell *c, const Value *state)
{
    const Value *v = pick_like(c, state);
    if (v && !str_eq(v->name, state->name))
        return v->name;
    const Value *x = pick(c, 1), *y = pick(c, 1);
    if (state->rank == 0)
        return arena_print(c->arena, "mean(%s)", x->name);
    if (state->rank == 1)
        return arena_print(c->arena, "%s @ %s",
                           parameter(c, matrix(state->dim[0], x->dim[0])), x->name);
    return arena_print(c->arena, "outer(%s @ %s, %s @ %s)",
                       parameter(c, matrix(state->dim[0], x->dim[0])), x->name,
                       parameter(c, matrix(state->dim[1], y->dim[0])), y->name);
}

/* What the step has made besides, so small that the state stays within its bound, or a
   parameter, the same at all steps. Such a state need not be one of the recurrence. */
static bool keep_value(Cell *c, const Value *state)
{
    if (state->rank > 0 && chance(c, 4)) {
        text_add(&c->lines, "    %s' = %s\n", state->name, parameter(c, *state));
        return true;
    }
    const Value *v = pick_like(c, state);
    if (!v || str_eq(v->name, state->name))
        return false;
    text_add(&c->lines, "    %s' = %.3f * %s\n", state->name,
             v->bound > 1 ? 0.99 / v->bound : 0.5, v->name);
    return true;
}

static void make_next(Cell *c, const Value *state)
{
    const char *h = state->name, *v = made_like(c, state);
    switch (draw_whole(&c->draw, 3)) {
    case 0: text_add(&c->lines, "    %s' = tanh(%s)\n", h, v); break;
    case 1: text_add(&c->lines, "    %s' = 0.6 * %s + 0.4 * tanh(%s)\n", h, h, v); break;
    default:
        text_add(&c->lines, "    %s' = %s + sigmoid(%s) * (tanh(%s) - %s)\n", h, h,
                 made_like(c, state), v, h);
        break;
    }
}

static void assign_state(Cell *c, int i)
{
    Value next = c->state[i];
    if (!chance(c, 4) || !keep_value(c, &next))
        make_next(c, &next);
    next.name = arena_print(c->arena, "%s'", next.name);
    next.bound = 1;
    bind(c, next);
}

static void draw_states(Cell *c, Text *declared)
{
    c->n_state = 1 + (int)draw_whole(&c->draw, STATES_MOST);
    for (int i = 0; i < c->n_state; i++) {
        Value v = chance(c, 4)   ? matrix(pick_size(c), pick_size(c))
                  : chance(c, 8) ? scalar()
                                 : vector(pick_size(c));
        v.name = arena_print(c->arena, "h%d", i);
        v.bound = 1;
        c->state[i] = v;
        bind(c, v);
        text_add(declared, "    %s: [", v.name);
        for (int j = 0; j < v.rank; j++)
            text_add(declared, "%s%d", j ? ", " : "", (int)v.dim[j]);
        text_add(declared, "]\n");
    }
}

/* ---- the spec ---- */

/* Around vectors of 4, 8 and 16. */
static void draw_sizes(Cell *c)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 18, 19};
    for (int i = 0; i < COUNT(c->size); i++)
        c->size[i] = sizes[draw_whole(&c->draw, COUNT(sizes))];
}

static void draw_lines(Cell *c, int most)
{
    int n = 3 + (int)draw_whole(&c->draw, LINES_MOST - 2);
    for (int i = 0; i < n && i < most; i++) {
        Maker *make = makers[draw_whole(&c->draw, COUNT(makers))];
        if (!make(c))
            make_unary(c);
    }
}

/* A variant of truncated BPTT for half of the specs; "" for the others. */
static const char *draw_variant(Cell *c, int64_t steps, bool *lengths)
{
    Text t = {.arena = c->arena};
    *lengths = false;
    if (!chance(c, 2))
        return "";
    text_add(&t, "tbptt: {step: 2");
    if (chance(c, 2))
        text_add(&t, ", window: 4, loss_window: %s", chance(c, 2) ? "all" : "new");
    if (chance(c, 2))
        text_add(&t, ", reset: s");
    if (chance(c, 3) && steps > 3) /* in a short chunk nothing would count */
        text_add(&t, ", burn_in: 2");
    if ((*lengths = chance(c, 3)))
        text_add(&t, ", lengths: n");
    text_add(&t, "}\n");
    return t.text;
}

Trial generate_trial(Arena *arena, uint64_t seed, int lines)
{
    static const char *const optimizers[] = {"sgd(lr=0.1)", "sgd(lr=0.1, momentum=0.9)",
                                             "adam(lr=0.01)",
                                             "rmsprop(lr=0.01, clip_norm=1)"};
    Cell *c = NEW(arena, Cell);
    Text declared = {.arena = arena}, t = {.arena = arena};
    *c = (Cell){.arena = arena,
                .draw = {seed},
                .params = {.arena = arena},
                .lines = {.arena = arena}};
    draw_sizes(c);
    int64_t steps = 1 + draw_whole(&c->draw, 9), rows = 1 + draw_whole(&c->draw, 7);
    const char *optimizer = pick_word(c, optimizers, COUNT(optimizers));
    Value u = vector(1 + draw_whole(&c->draw, 9));
    u.name = "u", u.bound = 1.5;
    bind(c, u);
    draw_states(c, &declared);
    draw_lines(c, lines);
    for (int i = 0; i < c->n_state; i++)
        assign_state(c, i);
    bool lengths;
    const char *variant = draw_variant(c, steps, &lengths);
    const Value *y = &c->value[c->n_value - c->n_state - 1], *z = &c->value[c->n_value - 1];
    text_add(&c->params, "    b: {shape: [], init: ones}\n");
    text_add(&t,
             "rnnc: 1\n%sname: random\n"
             "inputs: {u: [%d], x: class(%d), s: flag, q: {kind: real, per: sequence}%s}\n"
             "model:\n  params:\n%s  state:\n%s  step: |\n%s"
             "    y = b * (%s) + %s[0]\n    z = %s\n"
             "  output: y\nloss: mean((y - 0.3)^2) + 0.1 * mean(z^2)\n"
             "metrics: {m: average(sum(y)), n: total(max(z))}\noptimizer: %s\n%s",
             seed % 4 ? "" : "dtype: f64\n", (int)u.dim[0], CLASSES,
             lengths ? ", n: {kind: integer, per: sequence}" : "", c->params.text,
             declared.text, c->lines.text, y->name, "u", z->name, optimizer, variant);
    return (Trial){.name = arena_print(arena, "seed %llu", (unsigned long long)seed),
                   .text = t.text,
                   .steps = steps,
                   .rows = rows,
                   .seed = seed,
                   .cramped = seed % 2 == 0};
}
