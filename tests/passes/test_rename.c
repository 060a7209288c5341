/*
 * test_rename.c — the compiler holds no name of a cell or an optimizer: a copy of the
 * library in which `lstm` and `adam` have other names gives the same graph.
 */
#include "check.h"
#include "from_text.h"

#include <ctype.h>
#include <sys/stat.h>

static const char *const renamed[][2] = {
    {"lstm", "willow"}, {"lstm_layer", "willow_layer"}, {"adam", "poplar"}};

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* The text with every whole word of the table replaced. */
static const char *rename_all(Arena *arena, const char *text)
{
    Text out = {.arena = arena};
    text_add(&out, "%s", "");
    for (const char *c = text; *c;) {
        size_t n = 0;
        while (is_word(c[n]))
            n++;
        const char *word = arena_copy(arena, c, n ? n : 1);
        for (int i = 0; i < COUNT(renamed); i++)
            if (strcmp(word, renamed[i][0]) == 0)
                word = renamed[i][1];
        text_add(&out, "%s", word);
        c += n ? n : 1;
    }
    return out.text;
}

/* Writes the renamed library into a new folder, one file beside the other. */
static const char *write_library(Arena *arena, char *folder)
{
    if (!mkdtemp(folder))
        return NULL;
    for (int i = 0; spec_library[i].name; i++) {
        FILE *file = fopen(arena_print(arena, "%s/%02d.yaml", folder, i), "w");
        if (!file)
            return NULL;
        fputs(rename_all(arena, spec_library[i].text), file);
        fclose(file);
    }
    return folder;
}

static void remove_library(Arena *arena, const char *folder)
{
    for (int i = 0; spec_library[i].name; i++)
        unlink(arena_print(arena, "%s/%02d.yaml", folder, i));
    rmdir(folder);
}

static const char *dump(Arena *arena, const char *text, const char *library)
{
    char *out = NULL;
    size_t size = 0;
    Graph *g = build_text(arena, text, library, stderr);
    if (!g)
        return "";
    FILE *file = open_memstream(&out, &size);
    graph_dump(g, file);
    fclose(file);
    const char *kept = arena_copy(arena, out, size);
    free(out);
    return kept;
}

static const char spec[] = "rnnc: 1\n"
                           "name: same\n"
                           "inputs: {x: class(20), y: class(20)}\n"
                           "model: |\n"
                           "  emb = embedding(x, size=8)\n"
                           "  rnn = lstm(emb, hidden=16, layers=2, dropout=0.1)\n"
                           "  head = linear(rnn, size=20)\n"
                           "loss: cross_entropy(head, y)\n"
                           "optimizer: adam(lr=1e-3, amsgrad=true, clip_norm=1)\n" DATA;

static void test_renamed_definitions_give_the_same_graph(Arena *arena)
{
    char folder[] = "/tmp/rnnc_library_XXXXXX";
    CHECK(write_library(arena, folder), "no temporary folder");
    const char *plain = dump(arena, spec, NULL);
    const char *other = dump(arena, rename_all(arena, spec), folder);
    CHECK(strlen(plain) > 1000, "the graph is too small to mean anything");
    CHECK(strcmp(plain, other) == 0, "the graphs differ");
    remove_library(arena, folder);
}

int main(void)
{
    Arena *arena = arena_new();
    test_renamed_definitions_give_the_same_graph(arena);
    arena_free(arena);
    return check_result();
}
