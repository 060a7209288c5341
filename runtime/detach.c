/*
 * detach.c — a state cut from the graph that made it.
 *
 * In a compiled model the boundary of a chunk is the detach: the backward loop
 * starts with a zero cotangent, and nothing of this is needed. Callers who keep
 * states of their own in a tree (a process of theirs, a binding for another
 * language) get Ignite's _detach_hidden: the same structure, tensors that alias
 * their storage and have no gradient, strings as they are. All else is an error that
 * names the type.
 *
 * The new tree is one allocation: nodes, root first, then the tables of keys.
 */
#include "engine.h"

static bool has_children(enum rnn_tree_kind kind)
{
    switch (kind) {
    case RNN_TREE_MAPPING:
    case RNN_TREE_SEQUENCE:
    case RNN_TREE_NAMED_TUPLE: return true;
    case RNN_TREE_TENSOR:
    case RNN_TREE_STRING:
    case RNN_TREE_OTHER: break;
    }
    return false;
}

static bool has_keys(const rnn_tree *tree)
{
    return has_children(tree->kind) && tree->kind != RNN_TREE_SEQUENCE && tree->key;
}

struct size {
    size_t n_node, n_key;
    const char *offender; /* type of the first node that cannot be detached */
};

static void measure(const rnn_tree *in, struct size *size)
{
    size->n_node++;
    if (in->kind == RNN_TREE_OTHER && !size->offender)
        size->offender = in->type ? in->type : "unknown";
    if (!has_children(in->kind))
        return;
    size->n_key += has_keys(in) ? (size_t)in->n_child : 0;
    for (int32_t i = 0; i < in->n_child; i++)
        measure(&in->child[i], size);
}

struct free_space {
    rnn_tree *node;
    const char **key;
};

static void rebuild(const rnn_tree *in, rnn_tree *out, struct free_space *space)
{
    *out = *in;
    out->grad = NULL;
    if (!has_children(in->kind))
        return;
    out->child = space->node;
    space->node += in->n_child;
    if (has_keys(in)) {
        out->key = space->key;
        space->key += in->n_child;
    }
    for (int32_t i = 0; i < in->n_child; i++) {
        rebuild(&in->child[i], &out->child[i], space);
        if (has_keys(in))
            out->key[i] = in->key[i];
    }
}

int rnn_detach(const rnn_tree *in, rnn_tree **out, const rnn_allocator *allocator,
               const char **offender)
{
    struct size size = {0, 0, NULL};
    measure(in, &size);
    if (size.offender) {
        if (offender)
            *offender = size.offender;
        return RNN_ETYPE;
    }
    size_t node_bytes = size.n_node * sizeof(rnn_tree);
    rnn_tree *tree =
        rnn__alloc(rnn__allocator_or_default(allocator),
                   node_bytes + size.n_key * sizeof(char *), _Alignof(rnn_tree));
    if (!tree)
        return RNN_ENOMEM;
    struct free_space space = {tree + 1, (const char **)(tree + size.n_node)};
    rebuild(in, tree, &space);
    *out = tree;
    return 0;
}

void rnn_tree_free(rnn_tree *tree, const rnn_allocator *allocator)
{
    rnn__free(rnn__allocator_or_default(allocator), tree);
}
