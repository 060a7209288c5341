/*
 * library_specs.c — specs from declarations.
 *
 * All have the same frame: real inputs u0, u1 … of 4 features; trained matrices or tensors
 * A0, A1 … that make of them what the definition asks for, p0, p1 …, by an expression that
 * says in which range; a call; a loss that every element of its result counts in.
 */
#include "ops/library_specs.h"

#include <stdlib.h>
#include <unistd.h>

enum { FEATURES = 4 };

/* ---- the library as a spec sees it ---- */

static const Spec *read_library(Arena *a)
{
    static const char text[] =
        "rnnc: 1\nname: any\ninputs: {x: [2]}\nmodel: |\n  y = 2 * x\n"
        "tbptt: {step: 2}\n";
    char path[] = "/tmp/rnnc_library_XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    Diag *d = diag_new(a, stderr);
    if (!file)
        exit(1);
    fputs(text, file);
    fclose(file);
    const Spec *spec = spec_read(a, d, path, NULL, NULL, 0);
    diag_flush(d);
    unlink(path);
    if (!spec)
        exit(1);
    return spec;
}

/* The library's first optimizer: what is tested with it is not the optimizer. */
static const char *any_optimizer(const Spec *spec)
{
    for (int i = 0; i < spec->n_def; i++)
        if (spec->def[i].kind == DEF_OPTIMIZER)
            return spec->def[i].name;
    return NULL;
}

/* ---- ranges of what goes in ---- */

/* {of the first input, of the others}: %s is a value of any sign and size around 1. */
typedef struct {
    const char *first, *others;
} Ranges;

#define UNIT "1 / (1 + exp(-%s))"

static const Ranges ranges[] = {
    {"%s", "%s"}, {"%s", UNIT}, {"%s", "where(%s > 0, 1, -1)"},
    {UNIT, "%s"}, {UNIT, UNIT}, {"%s - 2", "exp(%s)"},
};

/* ---- one spec ---- */

typedef struct {
    Arena *arena;
    const Spec *spec;
    const Def *def;
    const char *extra; /* "layers=2", or NULL */
    int width;         /* the first dimension's size; others are unlike it */
    int whole;         /* value of required numbers */
    Ranges ranges;
    bool ignores; /* classes have an ignored value */
} Call;

/* The same name of a dimension is the same size; a whole shape `...` is one vector. */
static int dimension(const Call *c, const Expr *e)
{
    static const char *const known[] = {"I", "C", "N"};
    for (int i = 0; e->kind == EXPR_NAME && i < COUNT(known); i++)
        if (str_eq(e->text, known[i]))
            return c->width;
    return e->kind == EXPR_NAME ? c->width + 1 : c->width;
}

/* Text of the shape: "7" or "5, 6". */
static const char *shape_of(const Call *c, const InputDecl *in)
{
    Text t = {.arena = c->arena};
    text_add(&t, "%s", "");
    for (int i = 0; i < in->shape.n; i++)
        text_add(&t, "%s%d", i ? ", " : "", dimension(c, in->shape.dim[i]));
    return t.text;
}

typedef struct {
    Text inputs, params, lines, arguments;
} Frame;

static void add_class_input(const Call *c, Frame *f, const InputDecl *in, int i)
{
    int n = in->classes ? dimension(c, in->classes) : c->width;
    text_add(&f->inputs,
             c->ignores ? "  u%d: {class: %d, ignore: -100}\n" : "  u%d: class(%d)\n", i,
             n);
    text_add(&f->arguments, "%su%d", i ? ", " : "", i);
}

static void add_real_input(const Call *c, Frame *f, const char *shape, int i)
{
    const char *v = arena_print(c->arena, "v%d", i);
    text_add(&f->inputs, "  u%d: [%d]\n", i, FEATURES);
    text_add(&f->params, "    A%d: {shape: [%s%s%d], init: uniform(0.7)}\n", i, shape,
             *shape ? ", " : "", FEATURES);
    text_add(&f->lines, "    v%d = %s @ u%d\n", i, arena_print(c->arena, "A%d", i), i);
    const char *range = i ? c->ranges.others : c->ranges.first;
    Text with = {.arena = c->arena};
    for (const char *p = range; *p; p++) {
        bool here = p[0] == '%' && p[1] == 's';
        if (here)
            text_add(&with, "%s", v);
        else
            text_add(&with, "%c", *p);
        p += here;
    }
    text_add(&f->lines, "    p%d = %s\n", i, with.text ? with.text : "");
    text_add(&f->arguments, "%sp%d", i ? ", " : "", i);
}

static Frame frame_of(const Call *c)
{
    Frame f = {
        {.arena = c->arena}, {.arena = c->arena}, {.arena = c->arena}, {.arena = c->arena}};
    const Def *d = c->def;
    int n = 0;
    text_add(&f.inputs, "%s", "");
    text_add(&f.params, "    Z: {shape: [2], init: uniform(1)}\n");
    text_add(&f.lines, "    z = sum(Z)\n");
    for (; n < d->n_input; n++) {
        if (d->input[n].kind == KIND_CLASS)
            add_class_input(c, &f, &d->input[n], n);
        else
            add_real_input(c, &f, shape_of(c, &d->input[n]), n);
    }
    for (int i = 0; d->kind == DEF_FUNCTION && i < d->n_arg; i++)
        if (d->arg[i].required)
            add_real_input(c, &f, arena_print(c->arena, "%d", c->width), n++);
    for (int i = 0; d->kind != DEF_FUNCTION && i < d->n_arg; i++)
        if (d->arg[i].required)
            text_add(&f.arguments, "%s%s=%d", n++ ? ", " : "", d->arg[i].name, c->whole);
    if (c->extra)
        text_add(&f.arguments, "%s%s", n ? ", " : "", c->extra);
    return f;
}

static const char *value_spec(const Call *c)
{
    Frame f = frame_of(c);
    bool is_loss = c->def->kind == DEF_LOSS;
    Text t = {.arena = c->arena};
    text_add(&t, "rnnc: 1\nname: trial\ninputs:\n%smodel:\n  params:\n%s  step: |\n%s",
             f.inputs.text, f.params.text, f.lines.text);
    if (is_loss)
        text_add(&t, "    y = z * %s\n  output: y\nloss: %s(%s) + 0.1 * y^2\n",
                 f.arguments.text[0] == 'p' ? "sum(p0)" : "u0", c->def->name,
                 f.arguments.text);
    else
        text_add(&t,
                 "    r = %s(%s)\n    y = r + 0.1 * z\n  output: y\n"
                 "loss: mean((y - 0.3)^2)\n",
                 c->def->name, f.arguments.text);
    text_add(&t,
             "metrics: {m: average(sum(y)), n: total(max(y^2))}\noptimizer: %s(lr=0.01)\n",
             any_optimizer(c->spec));
    return t.text;
}

/* An optimizer gets one small recurrent model, with parameters of several shapes. */
static const char *optimizer_spec(const Call *c)
{
    const int width = 9;
    Text t = {.arena = c->arena};
    text_add(&t,
             "rnnc: 1\nname: trial\ninputs: {u: [%d], c: class(6)}\nmodel:\n"
             "  params:\n"
             "    A: {shape: [%d, %d], init: uniform(0.7)}\n"
             "    R: {shape: [%d, %d], init: uniform(0.4)}\n"
             "    E: {shape: [6, %d], init: uniform(0.7)}\n"
             "    b: {shape: [%d], init: zeros}\n"
             "    s: {shape: [], init: ones}\n"
             "  state: {h: [%d]}\n"
             "  step: |\n"
             "    h' = tanh(A @ u + R @ h + E[c] + b)\n"
             "    y = s * h'\n"
             "  output: y\n"
             "loss: mean((y - 0.3)^2)\noptimizer: %s(%s)\n",
             FEATURES, width, FEATURES, width, width, width, width, width, c->def->name,
             c->extra ? c->extra : "");
    return t.text;
}

/* ---- cases ---- */

static void add_texts(LibraryCase *to, Call c)
{
    bool ranged = c.def->kind == DEF_LOSS || c.def->kind == DEF_FUNCTION;
    int n = c.def->kind == DEF_OPTIMIZER ? 1 : ranged ? COUNT(ranges) : 2;
    for (int i = 0; i < n; i++) {
        c.ranges = ranges[ranged ? i : 0];
        c.width = ranged ? 11 : 5 + i;
        c.ignores = c.def->kind == DEF_LOSS && i % 2 == 1; /* not all losses let one in */
        c.whole = 6;
        if (to->n_text == LIBRARY_TEXTS)
            BUG("more than %d texts", LIBRARY_TEXTS);
        to->text[to->n_text++] =
            c.def->kind == DEF_OPTIMIZER ? optimizer_spec(&c) : value_spec(&c);
    }
}

static LibraryCase *add_case(LibraryCases *to, const Call *c, const char *argument)
{
    LibraryCase *item = PUSH(c->arena, to->item, to->n, to->capacity);
    *item = (LibraryCase){
        .plain = !argument,
        .every = !argument && c->def->kind == DEF_LOSS,
        .name = argument ? arena_print(c->arena, "%s %s", c->def->name, argument)
                         : c->def->name};
    return item;
}

/* Other values of an argument; which of them fits is found by trying. */
static void add_variant(LibraryCases *to, Call c, const ArgDecl *arg)
{
    static const char *const numbers[] = {"0.25", "2", "3", "0.1 + 0.1 * arange(11)"};
    const char *written = lang_print(c.arena, arg->value);
    bool is_number = arg->kind == KIND_REAL || arg->kind == KIND_INTEGER;
    if (!is_number && arg->kind != KIND_FLAG)
        return;
    LibraryCase *item = add_case(to, &c, arg->name);
    for (int i = 0; i < (is_number ? COUNT(numbers) : 1); i++) {
        const char *value = is_number                 ? numbers[i]
                            : str_eq(written, "true") ? "false"
                                                      : "true";
        c.extra = arena_print(c.arena, "%s=%s", arg->name, value);
        add_texts(item, c);
    }
}

/* What every optimizer takes, told to one. */
static void add_clipping(LibraryCases *to, Call c)
{
    static const char *const arguments[] = {"clip_norm=0.1", "clip_value=0.01"};
    for (int i = 0; i < COUNT(arguments); i++) {
        c.extra = arguments[i];
        add_texts(add_case(to, &c, arguments[i]), c);
    }
}

LibraryCases library_cases(Arena *arena, DefKind kind)
{
    LibraryCases cases = {0};
    const Spec *spec = read_library(arena);
    for (int i = 0; i < spec->n_def; i++) {
        const Def *d = &spec->def[i];
        Call c = {.arena = arena, .spec = spec, .def = d};
        if (d->kind != kind || !d->library)
            continue;
        if (cases.n == 0 && kind == DEF_OPTIMIZER)
            add_clipping(&cases, c);
        add_texts(add_case(&cases, &c, NULL), c);
        for (int j = 0; j < d->n_arg; j++)
            if (!d->arg[j].required)
                add_variant(&cases, c, &d->arg[j]);
    }
    return cases;
}
