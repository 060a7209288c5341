/*
 * test_layers.c — no room includes what compiler/LAYERS does not let it.
 *
 *     test_layers ROOT
 *
 * LAYERS has a line for each room, with the rooms and single headers it may include, and
 * one for each library's header, <name> or <folder/>, with the rooms that may. Headers are
 * named "room/file" in the compiler and "file" in the runtime, so that the #include line
 * alone says where it goes.
 */
#include "check.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>

enum { RULE_MAX = 32, ALLOWED_MAX = 16, NAME_BYTES = 64 };

struct rule {
    char name[NAME_BYTES]; /* a room, or <header> */
    int n_allowed;
    char allowed[ALLOWED_MAX][NAME_BYTES];
};

static struct rule rules[RULE_MAX];
static int n_rule;

static void read_rule(char *line)
{
    char *colon = strchr(line, ':');
    if (line[0] == '#' || !colon || n_rule == RULE_MAX)
        return;
    struct rule *r = &rules[n_rule++];
    *colon = '\0';
    snprintf(r->name, sizeof r->name, "%.63s", line);
    for (char *word = strtok(colon + 1, " \t\n"); word; word = strtok(NULL, " \t\n"))
        if (r->n_allowed < ALLOWED_MAX)
            snprintf(r->allowed[r->n_allowed++], NAME_BYTES, "%.63s", word);
}

static void read_layers(const char *root)
{
    char path[1024], line[512];
    snprintf(path, sizeof path, "%s/compiler/LAYERS", root);
    FILE *file = fopen(path, "r");
    CHECK(file, "%s cannot be read", path);
    while (file && fgets(line, sizeof line, file))
        read_rule(line);
    if (file)
        fclose(file);
}

static bool is_allowed(const struct rule *r, const char *name)
{
    for (int i = 0; i < r->n_allowed; i++)
        if (strcmp(r->allowed[i], name) == 0)
            return true;
    return false;
}

/* "graph/ops.h": the room graph; "rnn_abi.h": that header, or all of the runtime. */
static bool may_include(const struct rule *room, const char *header)
{
    const char *slash = strchr(header, '/');
    char target[NAME_BYTES] = "runtime";
    if (slash)
        snprintf(target, sizeof target, "%.*s", (int)(slash - header), header);
    return strcmp(target, room->name) == 0 || is_allowed(room, target) ||
           (!slash && is_allowed(room, header));
}

/* <llvm-c/Core.h> is under the rule <llvm-c/>; a header without a rule is everyone's. */
static bool may_include_library(const struct rule *room, const char *header)
{
    for (int i = 0; i < n_rule; i++) {
        const struct rule *r = &rules[i];
        size_t n = strlen(r->name);
        if (r->name[0] != '<')
            continue;
        bool folder = r->name[n - 2] == '/';
        if (folder ? strncmp(header, r->name + 1, n - 2) == 0
                   : strlen(header) == n - 2 && strncmp(header, r->name + 1, n - 2) == 0)
            return is_allowed(r, room->name);
    }
    return true;
}

static void check_file(const struct rule *room, const char *path)
{
    char line[1024], header[256];
    FILE *file = fopen(path, "r");
    CHECK(file, "%s cannot be read", path);
    for (int n = 1; file && fgets(line, sizeof line, file); n++) {
        if (sscanf(line, " # include \"%255[^\"]\"", header) == 1)
            CHECK(may_include(room, header), "%s:%d: %s may not include %s", path, n,
                  room->name, header);
        else if (sscanf(line, " # include <%255[^>]>", header) == 1)
            CHECK(may_include_library(room, header), "%s:%d: %s may not include <%s>", path,
                  n, room->name, header);
    }
    if (file)
        fclose(file);
}

static void test_a_room_includes_what_its_layer_allows(const struct rule *room,
                                                       const char *root)
{
    char folder[512], path[1024];
    int n_file = 0;
    snprintf(folder, sizeof folder, "%s/%s%s", root,
             strcmp(room->name, "runtime") == 0 ? "" : "compiler/", room->name);
    DIR *dir = opendir(folder);
    CHECK(dir, "%s: LAYERS names a room that is not there", folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        const char *dot = strrchr(d->d_name, '.');
        if (!dot || (strcmp(dot, ".c") && strcmp(dot, ".h") && strcmp(dot, ".def")))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        check_file(room, path);
        n_file++;
    }
    if (dir)
        closedir(dir);
    CHECK(n_file > 0, "%s holds no source", folder);
}

/* The test can fail: what must not be is refused. */
static void test_rules_refuse(void)
{
    static const struct rule graph = {"graph", 2, {"base", "rnn_abi.h"}};
    CHECK(may_include(&graph, "graph/ops.h") && may_include(&graph, "base/base.h"),
          "own, base");
    CHECK(may_include(&graph, "rnn_abi.h"), "the ABI");
    CHECK(!may_include(&graph, "spec/spec.h"), "spec from graph");
    CHECK(!may_include(&graph, "engine.h"), "the engine from graph");
    CHECK(!may_include_library(&graph, "llvm-c/Core.h"), "LLVM from graph");
    CHECK(!may_include_library(&graph, "yaml.h"), "libyaml from graph");
    CHECK(may_include_library(&graph, "stdio.h"), "the C library from graph");
}

int main(int argc, char **argv)
{
    const char *root = argc > 1 ? argv[1] : ".";
    read_layers(root);
    for (int i = 0; i < n_rule; i++)
        if (rules[i].name[0] != '<')
            test_a_room_includes_what_its_layer_allows(&rules[i], root);
    test_rules_refuse();
    return check_result();
}
