/*
 * test_commute.c — products with rows of a table become rows of a product, and learn alike.
 *
 * One model is built twice, with the pass and without. Where a chunk has more points than
 * the table has classes no product with the table's rows is left among the points; where it
 * has fewer, all stay. Gradients are computed in double and rounded to float: they may
 * differ by one rounding of the largest.
 */
#include "passes/commute.h"

#include "chunk_of.h"
#include "from_text.h"
#include "passes/grad.h"
#include "passes/rewrite.h"

enum { T = 5, B = 2, CLASSES = 4 };

static const char spec[] = "rnnc: 1\n"
                           "inputs: {x: class(4), y: [3]}\n"
                           "model: |\n"
                           "  emb = embedding(x, size=3)\n"
                           "  r = gru(emb, hidden=4)\n"
                           "  too = linear_of(emb)\n"
                           "  head = linear(r + too, size=3)\n"
                           "cells:\n"
                           "  linear_of:\n"
                           "    input: {v: [I]}\n"
                           "    params: {W: [4, I]}\n"
                           "    step: |\n"
                           "      o = W @ v\n"
                           "    output: o\n"
                           "loss: mse(head, y)\n" DATA;

/* Live products at points of which one operand is the row of a table. */
static int products_of_rows(const Graph *g)
{
    int n = 0;
    const bool *live = graph_live(g);
    for (NodeId id = 0; id < g->n_node; id++)
        for (int k = 0; live[id] && g->node[id].op == OP_EINSUM && k < 2; k++)
            n += g->node[graph_unspread(g, g->node[id].arg[k])].op == OP_GATHER;
    return n;
}

static void grads_of(Arena *arena, Graph *g, float *grads)
{
    float y[T * B * 3];
    int32_t x[T * B];
    const uint8_t start[B] = {1, 0};
    const void *input[] = {x, y};
    for (int i = 0; i < T * B; i++)
        x[i] = (i * i + 1) % CLASSES;
    chunk_numbers(y, T * B * 3, 0);
    chunk_fill();
    grad_pass(g);
    const struct rnn_model *m = interp_model(arena, g, INTERP_F64, T, B);
    struct rnn_chunk c = chunk_of(m, T, B, input, start);
    c.grads = grads;
    CHECK(m->grad(&c, 0) == 0, "grad");
}

static void test_rows_of_a_product_learn_as_products_of_rows(void)
{
    Arena *arena = arena_new();
    Graph *before = build_good(arena, spec), *after = build_good(arena, spec);
    float expected[CHUNK_MOST] = {0}, got[CHUNK_MOST] = {0}, largest = 0;
    CHECK(products_of_rows(before) > 0, "the model has no product with an embedding");
    commute_pass(after, T * B);
    graph_verify(after);
    CHECK(products_of_rows(after) == 0, "%d are left", products_of_rows(after));
    grads_of(arena, before, expected);
    grads_of(arena, after, got);
    for (int i = 0; i < CHUNK_MOST; i++)
        largest = fmaxf(largest, fabsf(expected[i]));
    CHECK(largest > 0, "no gradient");
    for (int i = 0; i < CHUNK_MOST; i++)
        CHECK(fabsf(got[i] - expected[i]) <= 0x1p-23f * largest,
              "gradient %d is %.9g, expected %.9g", i, (double)got[i], (double)expected[i]);
    arena_free(arena);
}

static void test_a_table_of_more_classes_than_points_is_left_alone(void)
{
    Arena *arena = arena_new();
    Graph *g = build_good(arena, spec);
    int before = products_of_rows(g);
    commute_pass(g, CLASSES);
    CHECK(products_of_rows(g) == before, "%d of %d are left", products_of_rows(g), before);
    arena_free(arena);
}

int main(void)
{
    test_rows_of_a_product_learn_as_products_of_rows();
    test_a_table_of_more_classes_than_points_is_left_alone();
    return check_result();
}
