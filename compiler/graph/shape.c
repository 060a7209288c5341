/*
 * shape.c — shapes: equal, sizes, strides, NumPy's broadcasting, how they print.
 */
#include "graph/graph.h"

#include <string.h>

bool shape_equal(const Shape *a, const Shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

int64_t shape_size(const Shape *s)
{
    int64_t n;
    if (!size_product(s->dim, s->rank, &n))
        BUG("a shape whose size overflows");
    return n;
}

const char *shape_print(Arena *arena, const Shape *s)
{
    if (s->rank == 0)
        return "real";
    Text t = {.arena = arena};
    for (int i = 0; i < s->rank; i++)
        text_add(&t, "%s%lld", i ? ", " : "[", (long long)s->dim[i]);
    text_add(&t, "]");
    return t.text;
}

/* Shapes are laid one under the other at their last dimensions; a missing one counts 1. */
bool shape_broadcast(const Shape *a, const Shape *b, Shape *out)
{
    Shape s = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (int i = 0; i < s.rank; i++) {
        int ia = i - (s.rank - a->rank), ib = i - (s.rank - b->rank);
        int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
        if (da != db && da != 1 && db != 1)
            return false;
        s.dim[i] = da == 1 ? db : da;
    }
    *out = s;
    return true;
}

void shape_strides(const Shape *s, int64_t *stride)
{
    int64_t n = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = n;
        n *= s->dim[i];
    }
}
