/*
 * test_graph.c — constructors, type rules and their sentences, the dump.
 */
#include "check.h"
#include "graph/ops.h"

static Arena *arena;

static Shape shape(int rank, int64_t a, int64_t b) { return (Shape){rank, {a, b}}; }

static NodeId leaf(Graph *g, Axes axes, Shape s)
{
    int i = g->n_input;
    *PUSH(g->arena, g->input, g->n_input, g->input_capacity) =
        (Input){.name = "x", .shape = s, .leaf = NO_NODE};
    return graph_add(g, OP_INPUT, 0, NULL, &(Attr){.index = i, .axes = axes, .shape = s});
}

static NodeId wide_leaf(Graph *g)
{
    int i = g->n_scalar;
    *PUSH(g->arena, g->scalar, g->n_scalar, g->scalar_capacity) = (Scalar){.name = "lr"};
    return graph_add(g, OP_SCALAR, 0, NULL, &(Attr){.index = i});
}

static void test_maps_broadcast_and_spread_their_operands(void)
{
    Graph *g = graph_new(arena, "t");
    NodeId a = leaf(g, AXES_ALL, shape(2, 3, 1)), b = leaf(g, 0, shape(1, 4, 0));
    NodeId y = graph_map2(g, OP_ADD, a, b);
    Shape expected = shape(2, 3, 4);
    CHECK(shape_equal(&g->node[y].shape, &expected), "shape %s",
          shape_print(arena, &g->node[y].shape));
    CHECK(g->node[y].axes == AXES_ALL, "axes %d", g->node[y].axes);
    CHECK(g->node[g->node[y].arg[1]].op == OP_SPREAD,
          "the broadcast comes before the spread");
    graph_verify(g);
}

static void test_wide_numbers_stay_wide_among_themselves_only(void)
{
    Graph *g = graph_new(arena, "t");
    NodeId lr = wide_leaf(g), half = graph_constant(g, 0.5);
    NodeId still = graph_map2(g, OP_MUL, lr, half);
    NodeId narrow = graph_map2(g, OP_MUL, leaf(g, 0, shape(1, 4, 0)), still);
    CHECK(g->node[still].wide && !g->node[narrow].wide, "wide %d, %d", g->node[still].wide,
          g->node[narrow].wide);
    graph_verify(g);
}

static void test_moves_that_move_nothing_add_nothing(void)
{
    Graph *g = graph_new(arena, "t");
    NodeId a = leaf(g, AXIS_ROW, shape(2, 3, 4));
    const int8_t same[] = {0, 1};
    const int64_t start[] = {0, 0}, step[] = {1, 1};
    CHECK(graph_reshape(g, a, shape(2, 3, 4)) == a, "reshape");
    CHECK(graph_transpose(g, a, same) == a, "transpose");
    CHECK(graph_slice(g, a, start, step, shape(2, 3, 4)) == a, "slice");
    CHECK(graph_spread(g, a, AXIS_ROW) == a, "spread");
    CHECK(graph_total(g, a, AXIS_TIME) == a, "total");
    CHECK(graph_reduce(g, OP_SUM, a, 0) == a, "sum");
}

static void test_the_total_of_a_product_is_one_product(void)
{
    Graph *g = graph_new(arena, "t");
    NodeId a = leaf(g, AXES_ALL, shape(1, 3, 0)), b = leaf(g, AXES_ALL, shape(1, 4, 0));
    NodeId w = graph_total(g, graph_einsum(g, "i,j->ij", a, b), AXES_ALL);
    CHECK(g->node[w].op == OP_EINSUM && g->node[w].axes == 0, "%s",
          op_defs[g->node[w].op]->name);
}

static void test_refusals_say_the_shapes(void)
{
    Graph *g = graph_new(arena, "t");
    const char *why;
    NodeId a = leaf(g, 0, shape(1, 3, 0)), b = leaf(g, 0, shape(2, 4, 5));
    CHECK(graph_try_map(g, OP_ADD, 2, (NodeId[]){a, b}, &why) == NO_NODE, "added");
    CHECK_TEXT(why, "shapes [3] and [4, 5] do not fit together");
    CHECK(graph_try_einsum(g, "ij,j->i", b, a, &why) == NO_NODE, "multiplied");
    CHECK_TEXT(why, "[4, 5] and [3] do not fit: label 'j' is 5 and 3");
    CHECK(graph_try_einsum(g, "ii,j->i", b, a, &why) == NO_NODE, "took a diagonal");
    CHECK_TEXT(why, "label 'i' stands twice in \"ii\"");
    CHECK(graph_try_einsum(g, "ij,j", b, a, &why) == NO_NODE, "without arrow");
    CHECK_TEXT(why, "labels \"ij,j\" want one comma and one arrow");
    CHECK(graph_try(g, OP_ARGMAX, 1, &b, &(Attr){.reduce = 3}, &why) == NO_NODE, "argmax");
    CHECK_TEXT(why, "argmax goes along one axis");
    CHECK(graph_try(g, OP_CONCAT, 2, (NodeId[]){a, b}, NULL, &why) == NO_NODE, "concat");
    CHECK_TEXT(why, "[3] and [4, 5] do not concatenate: other ranks");
}

static void test_the_dump_reads_as_documented(void)
{
    Graph *g = graph_new(arena, "t");
    NodeId x = leaf(g, AXES_ALL, shape(1, 4, 0));
    g->output = graph_map1(g, OP_TANH, graph_reduce(g, OP_SUM, x, 1));
    char text[512] = "";
    FILE *f = tmpfile();
    graph_dump(g, f);
    rewind(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    CHECK_TEXT(text, "graph t\n"
                     "%0 = input x  [4] {time,row}  forward\n"
                     "%1 = sum(%0) over 0  real {time,row}  forward\n"
                     "%2 = tanh(%1)  real {time,row}  forward\n"
                     "input x [4]\n"
                     "roots  output %2\n");
}

int main(void)
{
    arena = arena_new();
    test_maps_broadcast_and_spread_their_operands();
    test_wide_numbers_stay_wide_among_themselves_only();
    test_moves_that_move_nothing_add_nothing();
    test_the_total_of_a_product_is_one_product();
    test_refusals_say_the_shapes();
    test_the_dump_reads_as_documented();
    arena_free(arena);
    return check_result();
}
