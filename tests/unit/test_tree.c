/*
 * test_tree.c — YAML to trees: places, limits, files, and back to YAML.
 * Mistakes that can be written in a text file are in tests/errors.
 */
#include "check.h"
#include "spec/spec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static Arena *arena;
static Diag *diag;

static Tree *parse_bytes(const char *text, size_t length)
{
    Source *source = NEW(arena, Source);
    *source = (Source){.name = "test.yaml", .text = text, .length = length};
    return tree_parse(arena, diag, source);
}

static Tree *parse(const char *text) { return parse_bytes(text, strlen(text)); }

/* How often `part`, in a text of its own. */
static const char *repeated(const char *part, int n)
{
    Text t = {.arena = arena};
    for (int i = 0; i < n; i++)
        text_add(&t, "%s", part);
    return t.text;
}

static void test_values_have_kinds_and_places(void)
{
    const Tree *t = parse("a: 3\nb: '3'\nc:\nd: [x, \"y\"]\n\xc3\xa4: {e: z}\n");
    CHECK(t && t->kind == TREE_MAP && t->n == 5, "no tree");
    if (!t)
        return;
    const Tree *a = tree_get(t, "a"), *b = tree_get(t, "b"), *d = tree_get(t, "d");
    CHECK(a->kind == TREE_SCALAR && !a->quoted && str_eq(a->text, "3"), "a");
    CHECK(b->kind == TREE_SCALAR && b->quoted && str_eq(b->text, "3"), "b");
    CHECK(tree_get(t, "c")->kind == TREE_NULL, "c");
    CHECK(d->kind == TREE_LIST && d->n == 2 && d->child[1]->quoted, "d");
    CHECK(d->child[1]->loc.line == 4 && d->child[1]->loc.column == 8, "y");
    const Tree *z = tree_get(tree_get(t, "\xc3\xa4"), "e");
    CHECK(z->loc.line == 5 && z->loc.column == 9, "columns count bytes: %d", z->loc.column);
    CHECK(!tree_get(t, "f") && !tree_get(a, "a") && !tree_get(NULL, "a"), "absent");
}

static void test_texts_know_where_each_byte_stands(void)
{
    static const struct {
        const char *yaml;
        int line, column, indent;
        bool exact;
    } cases[] = {
        {"a: x + y\n", 1, 4, 0, true},
        {"a: \"x\"\n", 1, 5, 0, true},
        {"a: \"x\\n\"\n", 1, 4, 0, false},
        {"a: 'it''s'\n", 1, 4, 0, false},
        {"a: |\n  x\n  y\n", 2, 3, 2, true},
        {"a: |   # comment\n\n     x\n", 2, 6, 5, true},
        {"a: |2\n    x\n", 2, 3, 2, true},
        {"a: >\n  x\n  y\n", 2, 3, 2, false},
        {"a: x\n  y\n", 1, 4, 0, false},
        {"a: |\r\n  x\r\n  y\r\n", 2, 3, 2, true},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        const Tree *t = parse(cases[i].yaml);
        const TextPlace *p = t ? &t->child[0]->place : NULL;
        CHECK(p && p->start.line == cases[i].line && p->start.column == cases[i].column,
              "%s: %d:%d", cases[i].yaml, p ? p->start.line : 0, p ? p->start.column : 0);
        CHECK(p && p->exact == cases[i].exact, "%s: exact", cases[i].yaml);
        CHECK(p && (!p->exact || p->indent == cases[i].indent), "%s: indent",
              cases[i].yaml);
    }
}

static void test_what_is_no_clean_text_is_refused(void)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"a: \xff\n", 5},         {"a: \0b\n", 6},        {"a: \xc0\xaf\n", 6},
        {"a: \xed\xa0\x80\n", 7}, {"a: \x01\n", 5},       {"a: 1\rb: 2\n", 10},
        {"\xff\xfe\x61\x00", 4},  {"a: \xe2\x80\xa8", 6}, {"", 0},
        {"# nothing\n", 10},      {"a: \"\\0\"\n", 8},
    };
    for (int i = 0; i < COUNT(bad); i++) {
        int before = diag_errors(diag);
        CHECK(!parse_bytes(bad[i].bytes, bad[i].n), "case %d was read", i);
        CHECK(diag_errors(diag) > before, "case %d has no message", i);
    }
}

static void test_depth_size_and_scalars_are_capped(void)
{
    CHECK(parse(arena_print(arena, "%s%s", repeated("[", 60), repeated("]", 60))),
          "60 deep");
    CHECK(!parse(arena_print(arena, "%s%s", repeated("[", 65), repeated("]", 65))),
          "65 deep");
    CHECK(!parse(repeated("[", 100000)), "100000 deep");
    CHECK(!parse(repeated("{a: ", 10000)), "10000 mappings");
    CHECK(!parse(repeated("- ", 100000)), "100000 lists");
    CHECK(!parse(arena_print(arena, "a: %s", repeated("x", 70000))), "a scalar of 70000");
    CHECK(parse(arena_print(arena, "a: %s", repeated("x", 60000))), "a scalar of 60000");
    CHECK(!parse(repeated("- a\n", (4 << 20) / 4 + 1)), "more than 4 MiB");
    CHECK(!parse(repeated("- a\n", 300000)), "300000 values");
}

static bool equal(const Tree *a, const Tree *b)
{
    bool same = a->kind == b->kind && a->n == b->n && a->quoted == b->quoted &&
                (a->kind != TREE_SCALAR || str_eq(a->text, b->text));
    for (int i = 0; same && i < a->n; i++)
        same = (a->kind == TREE_LIST || str_eq(a->key[i], b->key[i])) &&
               equal(a->child[i], b->child[i]);
    return same;
}

static void test_printed_trees_read_back_equal(void)
{
    static const char *const yaml[] = {
        "a: 1\nb: [x, 'y', [], {}, [1, [2]], {c: d, e: {f: g}}]\nc:\nd: ''\n",
        "model: |\n  a = 1\n  if a:\n    b = 2  # two\n\n  c = 3\n",
        "a: |-\n  x\n  y\nb: |+\n  x\n\nc: |2\n    x\n   y\nd: |\n\n  x\n",
        "a: \"x\\ty\\n\\\"\\\\z\"\nb: ' x '\nc: 'null'\nd: \"# no comment\"\ne: 'a: b'\n",
        "a: -1\nb: - \nc: 'x: '\nd: \"[1]\"\ne: h'\nf: a:b\ng: x#y\nh: -.5\n",
        "\"a b: c\": 1\n'': 2\n",
        "a: \xc3\xa4\xe2\x82\xac\n",
        "- a\n- - b\n  - c\n- d: e\n  f: g\n",
        "{}\n",
        "- ...\n- '...'\n- y\n- no\n",
    };
    for (int i = 0; i < COUNT(yaml); i++) {
        Tree *t = parse(yaml[i]);
        if (!t) /* the ones that are no YAML show that by themselves */
            continue;
        Text out = {.arena = arena};
        tree_print(&out, t);
        Tree *again = parse(out.text);
        CHECK(again && equal(t, again), "case %d:\n%s", i, out.text);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

static void test_only_regular_files_of_some_size_are_read(void)
{
    char folder[] = "/tmp/rnnc_test_XXXXXX", path[64], large[64], fifo[64], gone[64];
    CHECK(mkdtemp(folder), "no folder to test in");
    snprintf(path, sizeof path, "%s/a.yaml", folder);
    snprintf(large, sizeof large, "%s/b.yaml", folder);
    snprintf(fifo, sizeof fifo, "%s/c.yaml", folder);
    snprintf(gone, sizeof gone, "%s/d.yaml", folder);
    write_file(path, "\xef\xbb\xbfrnnc: 1\n");
    write_file(large, repeated("- a\n", (4 << 20) / 4 + 1));
    CHECK(mkfifo(fifo, 0600) == 0, "no FIFO");
    const Source *s = source_read(arena, diag, path);
    CHECK(s && str_eq(s->text, "rnnc: 1\n") && s->length == 8,
          "without its byte order mark");
    const char *const bad[] = {folder, large, fifo, gone, "/dev/null"};
    for (int i = 0; i < COUNT(bad); i++) {
        int before = diag_errors(diag);
        CHECK(!source_read(arena, diag, bad[i]), "%s was read", bad[i]);
        CHECK(diag_errors(diag) == before + 1, "%s has no message", bad[i]);
    }
    unlink(path), unlink(large), unlink(fifo), rmdir(folder);
}

int main(void)
{
    arena = arena_new();
    diag = diag_new(arena, stderr);
    test_values_have_kinds_and_places();
    test_texts_know_where_each_byte_stands();
    test_what_is_no_clean_text_is_refused();
    test_depth_size_and_scalars_are_capped();
    test_printed_trees_read_back_equal();
    test_only_regular_files_of_some_size_are_read();
    arena_free(arena);
    return check_result();
}
