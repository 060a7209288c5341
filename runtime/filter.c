/*
 * filter.c — which values of a counter a handler sees.
 *
 * The rules are PyTorch-Ignite's (Events.X(every=…, once=…, before=…, after=…)),
 * with one that surprises: `every` together with `before` or `after` counts its
 * phase from `after`, not from 0. every 3 alone fires on 3, 6, 9; with before 8 on
 * 1, 4, 7.
 */
#include "engine.h"

static bool has_before(const rnn_filter *f) { return f->has_before || f->before != 0; }
static bool has_after(const rnn_filter *f) { return f->has_after || f->after != 0; }
static bool has_once(const rnn_filter *f)
{
    return f->once != 0 || f->once_list || f->n_once;
}

static const char *once_error(const rnn_filter *f)
{
    if (f->once && (f->once_list || f->n_once))
        return "once and once_list are both given; give one";
    if (f->once < 0)
        return "once is not positive";
    if (!f->once && (!f->once_list || f->n_once < 1))
        return "once_list is empty";
    for (int64_t i = 0; i < f->n_once; i++)
        if (f->once_list[i] < 1)
            return "once_list holds a value that is not positive";
    return NULL;
}

static const char *range_error(const rnn_filter *f)
{
    if (f->every < 0)
        return "every is not positive";
    if (f->before < 0 || f->after < 0)
        return "before or after is negative";
    return NULL;
}

const char *rnn__filter_error(const rnn_filter *f)
{
    bool ranged = f->every != 0 || has_before(f) || has_after(f);
    int groups = (f->function != NULL) + has_once(f) + ranged;
    if (groups != 1)
        return "exactly one of function, once, or every/before/after must be given";
    if (has_once(f))
        return once_error(f);
    return ranged ? range_error(f) : NULL;
}

bool rnn__filter_is_open(const rnn_filter *f)
{
    return f->every == 1 && !has_before(f) && !has_after(f);
}

static bool in_list(const rnn_filter *f, int64_t v)
{
    if (f->once)
        return v == f->once;
    for (int64_t i = 0; i < f->n_once; i++)
        if (f->once_list[i] == v)
            return true;
    return false;
}

static bool in_range(const rnn_filter *f, int64_t v)
{
    bool bounded = has_before(f) || has_after(f);
    if (!bounded)
        return v % f->every == 0;
    if (v <= f->after || (has_before(f) && v >= f->before))
        return false;
    return f->every == 0 || (v - f->after - 1) % f->every == 0;
}

bool rnn__filter_passes(rnn_engine *e, const rnn_filter *f, int64_t v)
{
    if (f->function)
        return f->function(e, v, f->user);
    return has_once(f) ? in_list(f, v) : in_range(f, v);
}
