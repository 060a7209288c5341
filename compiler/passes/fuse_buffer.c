/*
 * fuse_buffer.c — buffers: how large, how padded, what they are called; the leaves' and the
 * states' own.
 */
#include "passes/fuse_room.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* ---- buffers ---- */

/* No row stride is a multiple of 1 KB: a sum over points reads a line of each of some
   hundred rows, which then would fall into a quarter of the first level's sets, or less. */
static int64_t padded_row(const Plan *p, int64_t size, int64_t element_bytes)
{
    if (size < p->target.vector)
        return size;
    int64_t stride = round_up(size, p->target.vector);
    return stride * element_bytes % 1024 == 0 ? stride + 64 / element_bytes : stride;
}

int buffer_add(Plan *p, Buffer b)
{
    int64_t element = element_bytes(p, b.element);
    int64_t size = shape_size(&b.shape);
    bool own = b.home == HOME_WORKSPACE || b.home == HOME_SCRATCH;
    if (own && b.axes & AXIS_ROW)
        b.row_stride = padded_row(p, size, element);
    if (own && b.axes & AXIS_TIME)
        b.slot_stride = round_up(capped((double)p->rows_max * (double)b.row_stride), 16);
    if (b.n_slot == 0)
        b.n_slot = 1;
    if (own) {
        double one = (double)b.row_stride * (double)p->rows_max;
        double elements = b.axes & AXIS_TIME  ? (double)b.n_slot * (double)b.slot_stride
                          : b.axes & AXIS_ROW ? one
                                              : (double)size;
        b.bytes = capped(elements * (double)element);
    }
    *PUSH(p->arena, p->buffer, p->n_buffer, p->buffer_capacity) = b;
    return p->n_buffer - 1;
}

/* ---- names, for a person who looks at dumps ---- */

static const char *word_start(const char *line)
{
    while (*line == ' ' || *line == '-')
        line++;
    return line;
}

static int word_length(const char *word)
{
    int n = 0;
    while (n < 30 && (isalpha((unsigned char)word[n]) || word[n] == '_' || word[n] == '\''))
        n++;
    return n;
}

/* Behind the key: `{…}`, or lines of its own. */
static bool is_key_of_mapping(const char *colon)
{
    const char *value = colon + 1 + strspn(colon + 1, " ");
    return *value == '{' || *value == '\n';
}

/* `value: …` names nothing: it is what the definition gives. `weight: {shape: …}` is the
   name of a parameter. */
static bool is_key_of_definition(const char *word, int length)
{
    static const char *const keys[] = {"value", "derivative", "output", "weight"};
    for (int i = 0; i < COUNT(keys); i++)
        if ((int)strlen(keys[i]) == length && strncmp(word, keys[i], (size_t)length) == 0)
            return word[length] == ':' && !is_key_of_mapping(&word[length]);
    return false;
}

static const char *line_above(const char *text, const char *line)
{
    const char *at = line > text ? line - 1 : text;
    while (at > text && at[-1] != '\n')
        at--;
    return at;
}

/* The word left on the line, or on the one that a key of a definition stands under. */
static const char *word_of_line(const char *text, int line)
{
    const char *at = text;
    for (int i = 1; i < line; i++) {
        at = strchr(at, '\n');
        if (!at)
            return "";
        at++;
    }
    const char *word = word_start(at);
    while (at > text && is_key_of_definition(word, word_length(word))) {
        ptrdiff_t indent = word - at;
        do
            at = line_above(text, at), word = word_start(at);
        while (at > text && (word_length(word) == 0 || word - at >= indent));
    }
    return word;
}

/* The name that the node's line of the spec gives. */
const char *value_name(const Fuse *f, NodeId id)
{
    const Node *n = &f->g->node[id];
    const char *word = n->loc.source ? word_of_line(n->loc.source->text, n->loc.line) : "";
    int length = word_length(word);
    if (length == 0)
        word = op_defs[n->op]->name, length = (int)strlen(word);
    return arena_print(f->p->arena, "%s%.*s.%d", n->phase == PHASE_BACKWARD ? "d_" : "",
                       length, word, id);
}

Element value_element(const Fuse *f, NodeId id)
{
    const Node *n = &f->g->node[id];
    bool total = n->op == OP_TOTAL && n->shape.rank == 0 && n->axes == 0;
    return n->wide || total ? ELEMENT_F64 : ELEMENT_REAL;
}

void buffer_touch(Fuse *f, int buffer, int stage)
{
    Buffer *b = &f->p->buffer[buffer];
    if (stage < b->first_stage)
        b->first_stage = stage;
    if (stage > b->last_stage)
        b->last_stage = stage;
}

/* ---- leaves ---- */

static const struct {
    Home home;
    Element element;
    bool in_memory;
} leaf_homes[OP_COUNT] = {
    [OP_INPUT] = {HOME_INPUT, ELEMENT_REAL, true},
    [OP_PARAM] = {HOME_PARAMS, ELEMENT_REAL, true},
    [OP_GRADIENT] = {HOME_GRADS, ELEMENT_REAL, true},
    [OP_OPTIMIZER] = {HOME_OPTIMIZER, ELEMENT_REAL, true},
    [OP_SCALAR] = {HOME_SCALARS, ELEMENT_F64, true},
    [OP_SOFAR] = {HOME_RUNNING, ELEMENT_F64, true},
    [OP_START] = {HOME_START, ELEMENT_U8, true},
    [OP_CARRIED] = {HOME_STATE_IN, ELEMENT_REAL, true},
};

const char *gradient_name(const Graph *g, int param)
{
    return arena_print(g->arena, "d_%s", g->param[param].name);
}

static const char *leaf_name(const Graph *g, const Node *n)
{
    int i = n->attr.index;
    return n->op == OP_INPUT       ? g->input[i].name
           : n->op == OP_PARAM     ? g->param[i].name
           : n->op == OP_GRADIENT  ? gradient_name(g, i)
           : n->op == OP_OPTIMIZER ? g->optimizer[i].name
           : n->op == OP_SCALAR    ? g->scalar[i].name
           : n->op == OP_CARRIED   ? g->state[i].name
                                   : op_defs[n->op]->name;
}

static Buffer leaf_buffer(const Fuse *f, const Node *n)
{
    if (!leaf_homes[n->op].in_memory)
        BUG("%s is no leaf in memory", op_defs[n->op]->name);
    Buffer b = {.name = leaf_name(f->g, n),
                .loc = n->loc,
                .home = leaf_homes[n->op].home,
                .element = leaf_homes[n->op].element,
                .index = n->attr.index,
                .axes = n->axes,
                .shape = n->shape,
                .span = SPAN_CHUNK,
                .proc = f->id};
    int kind = n->op == OP_INPUT ? f->g->input[n->attr.index].kind : INPUT_REAL;
    if (kind == INPUT_CLASS || kind == INPUT_INTEGER)
        b.element = ELEMENT_I32;
    if (n->op == OP_OPTIMIZER && n->wide)
        b.home = HOME_OPTIMIZER_SCALARS, b.element = ELEMENT_F64;
    if (n->axes == AXIS_ROW && n->op != OP_INPUT)
        b.row_stride = shape_size(&n->shape);
    return b;
}

/* Where a parameter (or optimizer state) begins in its block. */
int64_t block_offset(const Graph *g, OpCode op, int index)
{
    int64_t at = 0;
    bool wide = op == OP_OPTIMIZER && g->optimizer[index].wide;
    for (int i = 0; i < index; i++)
        if (op == OP_PARAM || op == OP_GRADIENT)
            at += shape_size(&g->param[i].shape);
        else if (op == OP_CARRIED)
            at += g->state[i].backward ? 0 : shape_size(&g->state[i].shape);
        else if (op == OP_OPTIMIZER && g->optimizer[i].wide == wide)
            at += wide ? 1 : shape_size(&g->optimizer[i].shape);
    return at;
}

int leaf_buffer_of(Fuse *f, NodeId id)
{
    if (!f->leaf[id]) {
        const Node *n = &f->g->node[id];
        Buffer b = leaf_buffer(f, n);
        b.offset = block_offset(f->g, n->op, n->attr.index);
        f->leaf[id] = buffer_add(f->p, b) + 1;
    }
    return f->leaf[id] - 1;
}

int state_buffer_of(Fuse *f, int state)
{
    if (!f->state_buffer[state]) {
        const State *s = &f->g->state[state];
        Buffer b = {.name = s->name,
                    .loc = f->g->node[s->leaf].loc,
                    .home = HOME_WORKSPACE,
                    .axes = AXES_ALL,
                    .shape = s->shape,
                    .span = SPAN_CHUNK,
                    .n_slot = f->p->steps_max + 1,
                    .first_stage = INT32_MAX,
                    .proc = f->id};
        f->state_buffer[state] = buffer_add(f->p, b) + 1;
    }
    return f->state_buffer[state] - 1;
}
