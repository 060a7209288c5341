/*
 * tree.c — YAML to a tree with places.
 *
 * libyaml's events, not its documents: what a spec may not hold is refused while it
 * passes by. libyaml itself has no limit of depth, lets duplicate keys pass, and shares
 * alias nodes so that a few hundred bytes become billions of leaves (the "billion
 * laughs"); here depth, bytes, scalars and nodes are capped, and aliases, anchors, tags,
 * directives, merge keys and second documents are mistakes.
 *
 * Before libyaml sees the text it is checked to be UTF-8 without NUL and with plain line
 * ends, so that lines and columns counted here and there agree. libyaml counts columns in
 * letters; a Loc counts bytes.
 *
 * Inside { } and [ ] YAML ends a plain scalar at a comma or bracket, so the expression
 * `{init: uniform(-1, 1)}` arrives as the scalar `uniform(-1` and a key `1)`. A plain
 * scalar there whose round brackets do not match is reported as what it is.
 */
#include "spec/spec.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_NODES = 200000, MAX_KEY = 256 };

typedef struct {
    Arena *arena;
    Diag *d;
    const Source *source;
    const char **line; /* where each line of the source begins */
    int n_line, cap_line;
    yaml_parser_t parser;
    int depth, n_flow, n_node;
    bool stopped;  /* libyaml can go on no more, or a cap was reached */
    bool cut_seen; /* in the outermost { } or [ ]: its follow-up mistakes are not told */
} Builder;

/* ---- places ---- */

static void index_lines(Builder *b)
{
    for (const char *at = b->source->text; at;) {
        *PUSH(b->arena, b->line, b->n_line, b->cap_line) = at;
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
}

/* The text at a mark; libyaml's columns are letters of one or more bytes. */
static const char *text_at(const Builder *b, yaml_mark_t mark)
{
    if (mark.line >= (size_t)b->n_line)
        return b->source->text + b->source->length;
    const char *at = b->line[mark.line];
    for (size_t i = 0; i < mark.column && *at && *at != '\n'; i++)
        for (at++; ((unsigned char)*at & 0xc0) == 0x80;)
            at++;
    return at;
}

static Loc loc_of(const Builder *b, yaml_mark_t mark, int length)
{
    Loc loc = {.source = b->source, .line = b->n_line, .column = 1, .length = length};
    if (mark.line < (size_t)b->n_line) {
        loc.line = (int)mark.line + 1;
        loc.column = (int)(text_at(b, mark) - b->line[mark.line]) + 1;
    }
    return loc;
}

static Loc loc_between(const Builder *b, yaml_mark_t start, yaml_mark_t end)
{
    long length = start.line == end.line ? text_at(b, end) - text_at(b, start) : 1;
    return loc_of(b, start, length > 0 ? (int)length : 1);
}

/* ---- what libyaml must not see ---- */

/* Bytes of the letter at s, 0 when it is not UTF-8 (Unicode 15, table 3-7). */
static int utf8_bytes(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high; /* first byte; second byte */
        int n;
    } row[] = {
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (int i = 0; i < COUNT(row); i++) {
        if (*s < row[i].first || *s > row[i].last)
            continue;
        if (row[i].n > 1 && (s[1] < row[i].low || s[1] > row[i].high))
            return 0;
        for (int j = 2; j < row[i].n; j++)
            if ((s[j] & 0xc0) != 0x80)
                return 0;
        return row[i].n;
    }
    return 0;
}

/* What is wrong with the letter of n bytes at s; NULL when nothing is. */
static const char *bad_letter(const unsigned char *s, int n)
{
    static const char *const line_ends[] = {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    if (!n)
        return "this byte is not UTF-8: save the file in that encoding";
    if (!*s)
        return "a NUL byte: is this a text file?";
    if (*s == '\r' && s[1] != '\n')
        return "a carriage return alone: lines end with a line feed";
    if ((*s < ' ' && *s != '\n' && *s != '\r' && *s != '\t') || *s == 0x7f)
        return "a control character";
    for (int i = 0; i < COUNT(line_ends); i++)
        if (strncmp((const char *)s, line_ends[i], strlen(line_ends[i])) == 0)
            return "a Unicode line separator: lines end with a line feed";
    return NULL;
}

static bool check_text(Diag *d, const Source *source)
{
    Loc loc = {.source = source, .line = 1, .column = 1, .length = 1};
    if (source->length > TREE_MAX_BYTES) {
        diag_error(d, (Loc){.source = source}, "the file is larger than %d bytes",
                   TREE_MAX_BYTES);
        return false;
    }
    const unsigned char *text = (const unsigned char *)source->text;
    for (size_t i = 0; i < source->length;) {
        int n = utf8_bytes(text + i);
        const char *wrong = bad_letter(text + i, n);
        if (wrong) {
            diag_error(d, loc, "%s", wrong);
            return false;
        }
        loc.column = text[i] == '\n' ? 1 : loc.column + n;
        loc.line += text[i] == '\n';
        i += (size_t)n;
    }
    return true;
}

/* ---- events ---- */

static const char *const flow_advice =
    "YAML cuts at commas and brackets inside { } and [ ]: quote the expression";

static void yaml_error(Builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (b->cut_seen) /* has been told */
        return;
    if (p->error == YAML_MEMORY_ERROR) {
        fputs("rnnc: error: out of memory while reading YAML\n", stderr);
        exit(7);
    }
    Loc loc = loc_of(b, p->problem_mark, 1);
    diag_error(b->d, loc, "YAML: %s%s%s", p->problem ? p->problem : "it cannot be read",
               p->context ? " " : "", p->context ? p->context : "");
    if (p->context && p->context_mark.line != p->problem_mark.line)
        diag_note(b->d, loc_of(b, p->context_mark, 1), "it began here");
    if (b->n_flow)
        diag_note(b->d, loc, "%s that holds one", flow_advice);
}

/* false: nothing more to come. The caller deletes the event. */
static bool next_event(Builder *b, yaml_event_t *event)
{
    if (!b->stopped && yaml_parser_parse(&b->parser, event))
        return true;
    if (!b->stopped)
        yaml_error(b);
    b->stopped = true;
    return false;
}

static void stop(Builder *b, Loc loc, const char *what, int limit)
{
    diag_error(b->d, loc, "%s %d", what, limit);
    b->stopped = true;
}

/* ---- scalars ---- */

static const char *skip_line(const char *at)
{
    at += strcspn(at, "\n");
    return *at ? at + 1 : at;
}

/* A block scalar's header is followed by its lines. How many columns YAML removed shows
   where the first line that is not blank stands in the file and in the text. */
static TextPlace block_place(const Builder *b, yaml_mark_t mark, const char *text,
                             bool exact)
{
    TextPlace place = {.start = loc_of(b, mark, 1), .exact = exact};
    const char *line = skip_line(text_at(b, mark));
    size_t file_indent, text_indent;
    place.start.line++;
    while (line[file_indent = strspn(line, " ")] == '\n' || line[file_indent] == '\r')
        line = skip_line(line);
    while (text[text_indent = strspn(text, " ")] == '\n')
        text = skip_line(text);
    place.indent = file_indent > text_indent ? (int)(file_indent - text_indent) : 0;
    place.start.column = place.indent + 1;
    return place;
}

static TextPlace scalar_place(const Builder *b, const yaml_event_t *event, const char *text)
{
    yaml_mark_t start = event->start_mark, end = event->end_mark;
    yaml_scalar_style_t style = event->data.scalar.style;
    if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE)
        return block_place(b, start, text, style == YAML_LITERAL_SCALAR_STYLE);
    bool quoted = style != YAML_PLAIN_SCALAR_STYLE;
    TextPlace place = {.start = loc_of(b, start, 1)};
    size_t written = (size_t)(text_at(b, end) - text_at(b, start)), length = strlen(text);
    place.exact = start.line == end.line && written == length + 2 * quoted; /* no escapes */
    place.start.column += quoted && place.exact;
    return place;
}

/* Open brackets minus closed ones; the first too many closed counts -1. */
static int open_brackets(const char *text)
{
    int open = 0;
    bool in_text = false;
    for (; *text && open >= 0; text++) {
        in_text ^= *text == '"';
        if (!in_text)
            open += (*text == '(') - (*text == ')');
    }
    return open;
}

/* What the writer meant: from `start` to where its brackets are closed again. */
static const char *whole_expression(Builder *b, const char *start)
{
    int open = 0;
    const char *at = start;
    for (; *at && *at != '\n' && *at != '\r'; at++) {
        open += *at == '(' || *at == '[';
        open -= *at == ')' || *at == ']';
        if (open == 0 && (*at == ')' || *at == ']') && !strchr("([", at[1]))
            return arena_copy(b->arena, start, (size_t)(at + 1 - start));
    }
    return NULL;
}

static void check_cut(Builder *b, const yaml_event_t *event, const char *text, Loc loc)
{
    if (!b->n_flow || b->cut_seen || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return;
    int open = open_brackets(text);
    if (!open)
        return;
    const char *whole =
        open > 0 ? whole_expression(b, text_at(b, event->start_mark)) : NULL;
    b->cut_seen = true;
    if (whole && !strchr(whole, '"'))
        diag_error(b->d, loc, "%s: \"%s\"", flow_advice, whole);
    else
        diag_error(b->d, loc, "%s", flow_advice);
}

static bool is_null(const yaml_event_t *event, const char *text)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || str_eq(text, "~") || str_eq(text, "null"));
}

static void fill_scalar(Builder *b, Tree *t, const yaml_event_t *event)
{
    yaml_scalar_style_t style = event->data.scalar.style;
    size_t length = event->data.scalar.length;
    t->text = arena_copy(b->arena, (const char *)event->data.scalar.value, length);
    t->kind = is_null(event, t->text) ? TREE_NULL : TREE_SCALAR;
    t->quoted = style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
                style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    t->place = scalar_place(b, event, t->text);
    if (strlen(t->text) != length)
        diag_error(b->d, t->loc, "a text with a NUL character");
    if (length > TREE_MAX_SCALAR)
        diag_error(b->d, t->loc, "a text of %zu bytes; at most %d are allowed", length,
                   TREE_MAX_SCALAR);
    check_cut(b, event, t->text, t->loc);
}

/* ---- collections ---- */

static Tree *build(Builder *b, const yaml_event_t *event);

/* Reads the next event and what it begins; NULL at `end` or when nothing more comes. */
static Tree *build_next(Builder *b, yaml_event_type_t end)
{
    yaml_event_t event;
    if (!next_event(b, &event))
        return NULL;
    Tree *t = event.type == end ? NULL : build(b, &event);
    yaml_event_delete(&event);
    return t;
}

static void fill_list(Builder *b, Tree *t)
{
    int capacity = 0;
    for (Tree *child; (child = build_next(b, YAML_SEQUENCE_END_EVENT));)
        *PUSH(b->arena, t->child, t->n, capacity) = child;
}

static const char *key_text(Builder *b, const Tree *key)
{
    if (key->kind == TREE_LIST || key->kind == TREE_MAP)
        diag_error(b->d, key->loc, "a key must be a name");
    else if (!*key->text)
        diag_error(b->d, key->loc, "a key is missing before ':'");
    else if (strlen(key->text) > MAX_KEY)
        diag_error(b->d, key->loc, "a key of more than %d bytes", MAX_KEY);
    else if (str_eq(key->text, "<<") && !key->quoted)
        diag_error(b->d, key->loc,
                   "merge keys (<<) are not part of specs: write the keys out");
    else
        return key->text;
    return "";
}

typedef struct {
    const char *text;
    int child;
} KeyAt;

static int by_text(const void *a, const void *b)
{
    const KeyAt *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : x->child - y->child;
}

/* Sorted, so that a mapping of many keys costs no square of their number. */
static void check_duplicates(Builder *b, const Tree *t)
{
    if (t->n < 2)
        return;
    KeyAt *key = NEW_ARRAY(b->arena, KeyAt, t->n);
    for (int i = 0; i < t->n; i++)
        key[i] = (KeyAt){t->key[i], i};
    qsort(key, (size_t)t->n, sizeof *key, by_text);
    for (int i = 1, first = 0; i < t->n; i++) {
        if (!str_eq(key[i].text, key[first].text)) {
            first = i;
        } else if (*key[i].text) {
            diag_error(b->d, t->key_loc[key[i].child], "key '%s' is given twice",
                       key[i].text);
            diag_note(b->d, t->key_loc[key[first].child], "it was given here first");
        }
    }
}

static void fill_map(Builder *b, Tree *t)
{
    int cap_key = 0, cap_loc = 0, cap_child = 0, n_key = 0, n_loc = 0;
    for (Tree *key; (key = build_next(b, YAML_MAPPING_END_EVENT));) {
        bool had_cut = b->cut_seen;
        Tree *child = build_next(b, YAML_NO_EVENT);
        if (!child)
            break;
        const char *text = had_cut ? key->text : key_text(b, key);
        *PUSH(b->arena, t->key, n_key, cap_key) = text ? text : "";
        *PUSH(b->arena, t->key_loc, n_loc, cap_loc) = key->loc;
        *PUSH(b->arena, t->child, t->n, cap_child) = child;
    }
    if (!b->cut_seen)
        check_duplicates(b, t);
}

static void fill_collection(Builder *b, Tree *t, bool flow)
{
    if (++b->depth > TREE_MAX_DEPTH) {
        stop(b, t->loc, "mappings and lists nest deeper than", TREE_MAX_DEPTH);
    } else {
        b->n_flow += flow;
        if (t->kind == TREE_LIST)
            fill_list(b, t);
        else
            fill_map(b, t);
        b->n_flow -= flow && !b->stopped; /* kept where libyaml stumbled */
        b->cut_seen = b->cut_seen && b->n_flow;
    }
    b->depth--;
}

static void refuse_properties(Builder *b, Loc loc, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (anchor)
        diag_error(b->d, loc, "anchors (&%s) are not part of specs", (const char *)anchor);
    if (tag)
        diag_error(b->d, loc, "tags (%s) are not part of specs", (const char *)tag);
}

static Tree *build(Builder *b, const yaml_event_t *event)
{
    Tree *t = NEW(b->arena, Tree);
    t->loc = loc_between(b, event->start_mark, event->end_mark);
    t->place.start = t->loc;
    t->text = "";
    if (++b->n_node > MAX_NODES) {
        stop(b, t->loc, "the file has more values than", MAX_NODES);
        return t;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        refuse_properties(b, t->loc, event->data.scalar.anchor, event->data.scalar.tag);
        fill_scalar(b, t, event);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        t->kind = TREE_LIST;
        refuse_properties(b, t->loc, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
        fill_collection(b, t, event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        t->kind = TREE_MAP;
        refuse_properties(b, t->loc, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
        fill_collection(b, t, event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
    } else if (event->type == YAML_ALIAS_EVENT) {
        diag_error(b->d, t->loc, "aliases (*%s) are not part of specs: write the value out",
                   (const char *)event->data.alias.anchor);
    } else {
        BUG("YAML event of type %d", (int)event->type);
    }
    return t;
}

/* ---- the document ---- */

static void check_directives(Builder *b, const yaml_event_t *event)
{
    bool tags = event->data.document_start.tag_directives.start !=
                event->data.document_start.tag_directives.end;
    if (event->data.document_start.version_directive || tags)
        diag_error(b->d, loc_of(b, event->start_mark, 1),
                   "directives (%%YAML, %%TAG) are not part of specs");
}

static Tree *build_document(Builder *b)
{
    yaml_event_t event;
    Tree *root = NULL;
    for (bool more = true; more && next_event(b, &event); yaml_event_delete(&event)) {
        more = event.type != YAML_STREAM_END_EVENT;
        if (event.type != YAML_DOCUMENT_START_EVENT)
            continue;
        check_directives(b, &event);
        if (root) {
            diag_error(b->d, loc_between(b, event.start_mark, event.end_mark),
                       "a second document: a file holds one spec");
            more = false;
        } else {
            root = build_next(b, YAML_NO_EVENT);
        }
    }
    return root;
}

Tree *tree_parse(Arena *arena, Diag *d, const Source *source)
{
    int before = diag_errors(d);
    if (!check_text(d, source))
        return NULL;
    Builder b = {.arena = arena, .d = d, .source = source};
    index_lines(&b);
    if (!yaml_parser_initialize(&b.parser)) {
        fputs("rnnc: error: out of memory while reading YAML\n", stderr);
        exit(7);
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)source->text,
                                 source->length);
    Tree *root = build_document(&b);
    yaml_parser_delete(&b.parser);
    if (diag_errors(d) == before && !root)
        diag_error(d, (Loc){.source = source}, "the file is empty");
    return diag_errors(d) == before ? root : NULL;
}

const Tree *tree_get(const Tree *map, const char *key)
{
    if (!map || map->kind != TREE_MAP)
        return NULL;
    for (int i = 0; i < map->n; i++)
        if (str_eq(map->key[i], key))
            return map->child[i];
    return NULL;
}
