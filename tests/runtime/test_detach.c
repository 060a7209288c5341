/*
 * test_detach.c — a state's tree detached: same structure, aliased storage, no
 * gradient; the rows are those that Ignite's _detach_hidden was seen to take.
 */
#include "harness.h"

static float storage[4], gradient[4];

static rnn_tree tensor(void)
{
    return (rnn_tree){.kind = RNN_TREE_TENSOR,
                      .type = "Tensor",
                      .data = storage,
                      .grad = gradient,
                      .size = 4};
}

static void test_a_tensor_aliases_and_loses_its_gradient(void)
{
    rnn_tree in = tensor(), *out = NULL;
    CHECK(rnn_detach(&in, &out, NULL, NULL) == 0, "failed");
    CHECK(out->data == storage && out->size == 4, "not an alias");
    CHECK(out->grad == NULL, "has a gradient");
    CHECK(in.grad == gradient, "the original lost its gradient");
    rnn_tree_free(out, NULL);
}

static void test_the_structure_is_rebuilt(void)
{
    rnn_tree pair[] = {tensor(), tensor()};
    const char *keys[] = {"h", "note", "none"};
    rnn_tree members[] = {
        {.kind = RNN_TREE_SEQUENCE, .type = "tuple", .n_child = 2, .child = pair},
        {.kind = RNN_TREE_STRING, .type = "str", .text = "kept"},
        {.kind = RNN_TREE_SEQUENCE, .type = "list", .n_child = 0},
    };
    rnn_tree in = {.kind = RNN_TREE_MAPPING,
                   .type = "OrderedDict",
                   .n_child = 3,
                   .child = members,
                   .key = keys};
    rnn_tree *out = NULL;
    CHECK(rnn_detach(&in, &out, NULL, NULL) == 0, "failed");
    CHECK(out->kind == RNN_TREE_MAPPING && out->n_child == 3, "kind %d", (int)out->kind);
    CHECK(out->child != members && out->key != keys, "not rebuilt");
    CHECK_TEXT(out->type, "OrderedDict");
    CHECK_TEXT(out->key[1], "note");
    CHECK_TEXT(out->child[1].text, "kept");
    CHECK(out->child[0].n_child == 2 && out->child[0].child != pair, "the tuple");
    CHECK(out->child[0].child[1].data == storage, "not an alias");
    CHECK(out->child[0].child[1].grad == NULL, "has a gradient");
    CHECK(out->child[2].n_child == 0, "the empty list");
    CHECK_TEXT(out->child[2].type, "list");
    rnn_tree_free(out, NULL);
}

static void test_named_tuples_and_empty_containers_keep_their_type(void)
{
    static const enum rnn_tree_kind kinds[] = {RNN_TREE_MAPPING, RNN_TREE_SEQUENCE,
                                               RNN_TREE_NAMED_TUPLE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        rnn_tree in = {.kind = kinds[i], .type = "T"}, *out = NULL;
        CHECK(rnn_detach(&in, &out, NULL, NULL) == 0, "kind %d", (int)kinds[i]);
        CHECK(out->kind == kinds[i] && out->n_child == 0, "kind %d", (int)out->kind);
        rnn_tree_free(out, NULL);
    }
    rnn_tree fields[] = {tensor()};
    const char *names[] = {"c"};
    rnn_tree in = {.kind = RNN_TREE_NAMED_TUPLE,
                   .type = "State",
                   .n_child = 1,
                   .child = fields,
                   .key = names},
             *out = NULL;
    CHECK(rnn_detach(&in, &out, NULL, NULL) == 0, "failed");
    CHECK_TEXT(out->type, "State");
    CHECK_TEXT(out->key[0], "c");
    rnn_tree_free(out, NULL);
}

static void test_what_cannot_be_detached_is_named(void)
{
    static const char *const types[] = {"NoneType", "int", "float", "set", "generator"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        rnn_tree members[] = {tensor(), {.kind = RNN_TREE_OTHER, .type = types[i]}};
        rnn_tree in = {
            .kind = RNN_TREE_SEQUENCE, .type = "tuple", .n_child = 2, .child = members};
        rnn_tree *out = NULL;
        const char *offender = NULL;
        CHECK(rnn_detach(&in, &out, NULL, &offender) == RNN_ETYPE, "%s accepted", types[i]);
        CHECK_TEXT(offender, types[i]);
        CHECK(out == NULL, "%s: output was written", types[i]);
        CHECK(rnn_detach(&members[1], &out, NULL, NULL) == RNN_ETYPE, "%s alone", types[i]);
    }
}

static void test_no_memory_is_an_error_and_nothing_leaks(void)
{
    struct budget b = {.fail_at = 1};
    rnn_allocator a = budget_allocator(&b);
    rnn_tree in = tensor(), *out = NULL;
    CHECK(rnn_detach(&in, &out, &a, NULL) == RNN_ENOMEM && !out, "no error");
    CHECK(rnn_detach(&in, &out, &a, NULL) == 0, "failed");
    rnn_tree_free(out, &a);
    CHECK(b.live == 0, "%d live", b.live);
}

int main(void)
{
    test_a_tensor_aliases_and_loses_its_gradient();
    test_the_structure_is_rebuilt();
    test_named_tuples_and_empty_containers_keep_their_type();
    test_what_cannot_be_detached_is_named();
    test_no_memory_is_an_error_and_nothing_leaks();
    return check_result();
}
