/*
 * tree_print.c — a tree as YAML again, so that it reads back equal.
 *
 * Mappings and lists in block form. A text is written plain where YAML reads it back as
 * it is, as a block where it has several lines, else in double quotes with escapes; one
 * that was quoted stays so, since "3" is no number.
 */
#include "spec/spec.h"

#include <string.h>

enum { STEP = 2 };

static void print_quoted(Text *out, const char *text)
{
    text_add(out, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            text_add(out, "\\%c", c);
        else if (c == '\n')
            text_add(out, "\\n");
        else if (c < ' ' || c == 0x7f)
            text_add(out, "\\x%02x", c);
        else
            text_add(out, "%c", c);
    }
    text_add(out, "\"");
}

/* Whether YAML reads the text, written plain on one line, as itself. */
static bool is_plain(const char *text)
{
    size_t length = strlen(text);
    if (!length || strpbrk(text, "\n\t\r") || text[0] == ' ' || text[length - 1] == ' ')
        return false;
    if (strchr(",[]{}#&*!|>'\"%@`", text[0]))
        return false;
    if (strchr("-?:", text[0]) && (!text[1] || text[1] == ' '))
        return false;
    if (!strcmp(text, "~") || !strcmp(text, "null") || !strncmp(text, "---", 3))
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f ||
            (*c == ':' && (c[1] == ' ' || !c[1])) || (*c == ' ' && c[1] == '#'))
            return false;
    return true;
}

static bool is_block(const char *text)
{
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f)
            return false;
    return strchr(text, '\n') && strspn(text, " \n") < strlen(text);
}

/* `|` keeps one line end; `|-` none, `|+` all. A digit says the indentation where the
   first line does not show it. */
static void print_block(Text *out, const char *text, int indent)
{
    size_t length = strlen(text);
    bool ends = text[length - 1] == '\n', ends_twice = ends && text[length - 2] == '\n';
    text_add(out, "|%s%s\n", strchr(" \n\t", text[0]) ? "2" : "",
             !ends        ? "-"
             : ends_twice ? "+"
                          : "");
    while (*text) {
        int width = (int)strcspn(text, "\n");
        text_add(out, "%*s%.*s\n", width ? indent : 0, "", width, text);
        text += width;
        text += *text == '\n';
    }
}

static void print_scalar(Text *out, const Tree *t, int indent)
{
    if (t->kind == TREE_NULL) {
        text_add(out, "null\n");
    } else if (!t->quoted && is_block(t->text)) {
        print_block(out, t->text, indent);
    } else {
        if (!t->quoted && is_plain(t->text))
            text_add(out, "%s", t->text);
        else
            print_quoted(out, t->text);
        text_add(out, "\n");
    }
}

static void print_tree(Text *out, const Tree *t, int indent);

/* What stands after `key:` or `-`. */
static void print_value(Text *out, const Tree *t, int indent)
{
    if (t->kind == TREE_MAP || t->kind == TREE_LIST) {
        text_add(out, t->n ? "\n" : t->kind == TREE_MAP ? " {}\n" : " []\n");
        print_tree(out, t, indent + STEP);
        return;
    }
    text_add(out, " ");
    print_scalar(out, t, indent + STEP);
}

static void print_tree(Text *out, const Tree *t, int indent)
{
    for (int i = 0; i < t->n; i++) {
        text_add(out, "%*s", indent, "");
        if (t->kind == TREE_LIST) {
            text_add(out, "-");
        } else {
            if (is_plain(t->key[i]))
                text_add(out, "%s", t->key[i]);
            else
                print_quoted(out, t->key[i]);
            text_add(out, ":");
        }
        print_value(out, t->child[i], indent);
    }
}

void tree_print(Text *out, const Tree *tree)
{
    text_add(out, "%s", "");
    if (tree->kind == TREE_MAP || tree->kind == TREE_LIST) {
        if (!tree->n)
            text_add(out, tree->kind == TREE_MAP ? "{}\n" : "[]\n");
        print_tree(out, tree, 0);
    } else {
        print_scalar(out, tree, STEP);
    }
}
