/*
 * verify.c — what build relies on in a spec that was read without a mistake.
 *
 * Whatever a file says, the readers either reported it or left this: a model, no two
 * definitions to choose between, an argument that has a default or is required, a place in
 * the source for whatever a message may have to point at.
 */
#include "spec/spec.h"

static void verify_place(const char *what, const char *name, Loc loc)
{
    if (!name || !loc.source)
        BUG("%s '%s' has no %s", what, name ? name : "", name ? "place" : "name");
}

static void verify_shape(const char *name, const ShapeExpr *shape)
{
    for (int i = 0; i < shape->n; i++)
        if (!shape->dim[i])
            BUG("dimension %d of '%s' is nothing", i, name);
}

static void verify_input(const InputDecl *in)
{
    verify_place("input", in->name, in->loc);
    verify_shape(in->name, &in->shape);
    if (in->kind == KIND_FUNCTION || (in->kind != KIND_CLASS && in->classes))
        BUG("input '%s' is a %s with classes", in->name, kind_word(in->kind));
    if (in->shape.n > 0 && in->kind != KIND_REAL)
        BUG("input '%s' is a %s of a shape", in->name, kind_word(in->kind));
}

static void verify_variables(const VarDecl *v, int n)
{
    for (int i = 0; i < n; i++) {
        verify_place("variable", v[i].name, v[i].loc);
        verify_shape(v[i].name, &v[i].shape);
    }
}

static void verify_definition(const Def *d)
{
    verify_place("definition", d->name, d->loc);
    for (int i = 0; i < d->n_arg; i++) {
        const ArgDecl *a = &d->arg[i];
        verify_place("argument", a->name, a->loc);
        if (a->required == (a->value != NULL))
            BUG("argument '%s' of '%s' is required and has a default, or neither", a->name,
                d->name);
    }
    for (int i = 0; i < d->n_input; i++)
        verify_input(&d->input[i]);
    verify_variables(d->state, d->n_state);
    verify_variables(d->start, d->n_start);
    verify_variables(d->param, d->n_param);
    if (d->kind == DEF_FUNCTION && (!d->value || d->n_input > 0))
        BUG("function '%s' has inputs or no value", d->name);
}

/* The spec's own come first: spec_find takes the first that it meets. */
static void verify_definitions(const Spec *s)
{
    for (int i = 0; i < s->n_def; i++) {
        const Def *a = &s->def[i];
        verify_definition(a);
        if (i > 0 && s->def[i - 1].library && !a->library)
            BUG("'%s' stands behind the library's definitions", a->name);
        for (int k = 0; k < i; k++)
            if (s->def[k].kind == a->kind && s->def[k].library == a->library &&
                str_eq(s->def[k].name, a->name))
                BUG("'%s' is defined twice", a->name);
    }
}

void spec_verify(const Spec *s)
{
    if (!s->model || s->model->kind != DEF_CELL || s->model->n_arg > 0)
        BUG("the model is no cell without arguments");
    verify_definition(s->model);
    verify_definitions(s);
    if (s->tbptt_window < s->tbptt_step ||
        (s->tbptt_step > 0 && s->tbptt_window % s->tbptt_step))
        BUG("a window of %lld steps, %lld at a time", (long long)s->tbptt_window,
            (long long)s->tbptt_step);
}
