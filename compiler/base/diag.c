/*
 * diag.c — the user's mistakes: collected, put in the order of the file, printed.
 *
 * Messages are kept until diag_flush. An error or warning is the head of a group; the
 * notes after it belong to it and travel with it. Groups are sorted by file (in the
 * order in which files first appear), line and column; groups without a place come
 * first, and equal places keep the order in which they were found. A message that
 * repeats one at the same place is dropped with its notes, and does not count.
 *
 * Columns count bytes, as compilers do. The line below is printed with tabs as single
 * blanks, and one blank under each UTF-8 letter, so that the caret stands right.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Severity severity;
    Loc loc;
    const char *text;
    int file;  /* rank of its source; 0 for none */
    int order; /* of finding */
    int first_note, n_note;
} Message;

struct Diag {
    Arena *arena;
    FILE *out;
    Message *group, *note;
    int n_group, cap_group, n_note, cap_note;
    const Source **source;
    int n_source, cap_source;
    int n_error, n_printed;
    bool dropped; /* the last group was a repetition: its notes go too */
};

Diag *diag_new(Arena *arena, FILE *out)
{
    Diag *d = NEW(arena, Diag);
    d->arena = arena;
    d->out = out;
    return d;
}

int diag_errors(const Diag *d) { return d->n_error; }

/* ---- collecting ---- */

static int source_rank(Diag *d, const Source *source)
{
    if (!source)
        return 0;
    for (int i = 0; i < d->n_source; i++)
        if (d->source[i] == source)
            return i + 1;
    *PUSH(d->arena, d->source, d->n_source, d->cap_source) = source;
    return d->n_source;
}

static bool same_place(Loc a, Loc b)
{
    return a.source == b.source && a.line == b.line && a.column == b.column;
}

static bool is_repeated(const Diag *d, Severity severity, Loc loc, const char *text)
{
    for (int i = 0; i < d->n_group; i++) {
        const Message *m = &d->group[i];
        if (m->severity == severity && same_place(m->loc, loc) && str_eq(m->text, text))
            return true;
    }
    return false;
}

static void add_group(Diag *d, Severity severity, Loc loc, const char *text)
{
    d->dropped = is_repeated(d, severity, loc, text);
    if (d->dropped)
        return;
    d->n_error += severity == DIAG_ERROR;
    int file = source_rank(d, loc.source), order = d->n_group;
    *PUSH(d->arena, d->group, d->n_group, d->cap_group) = (Message){
        .severity = severity,
        .loc = loc,
        .text = text,
        .file = file,
        .order = order,
        .first_note = d->n_note,
    };
}

void diag_error(Diag *d, Loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_group(d, DIAG_ERROR, loc, arena_vprint(d->arena, format, args));
    va_end(args);
}

void diag_warning(Diag *d, Loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_group(d, DIAG_WARNING, loc, arena_vprint(d->arena, format, args));
    va_end(args);
}

void diag_note(Diag *d, Loc loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vprint(d->arena, format, args);
    va_end(args);
    if (d->dropped)
        return;
    if (!d->n_group) { /* a note of its own */
        add_group(d, DIAG_NOTE, loc, text);
        return;
    }
    *PUSH(d->arena, d->note, d->n_note, d->cap_note) =
        (Message){.severity = DIAG_NOTE, .loc = loc, .text = text};
    d->group[d->n_group - 1].n_note++;
}

/* ---- printing ---- */

/* Bytes of the UTF-8 letter at s, within its n bytes; 0 when it is none, or not printable.
 */
static int letter_bytes(const unsigned char *s, size_t n)
{
    int length = *s < 0x80                 ? 1
                 : *s >= 0xc2 && *s < 0xe0 ? 2
                 : *s >= 0xe0 && *s < 0xf0 ? 3
                                           : 4;
    if (length == 1)
        return *s >= 0x20 && *s != 0x7f;
    if (*s < 0xc2 || *s > 0xf4 || (size_t)length > n)
        return 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if (*s == 0xc2 && s[1] < 0xa0) /* C1 controls */
        return 0;
    return length;
}

static void print_safe(FILE *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        int length = letter_bytes((const unsigned char *)text + i, n - i);
        if (length)
            fwrite(text + i, 1, (size_t)length, out);
        else
            fputc(text[i] == '\t' ? ' ' : '?', out);
        i += length ? (size_t)length : 1;
    }
}

/* How many places on the screen the first n bytes of text take. */
static int letters(const char *text, size_t n)
{
    int count = 0;
    for (size_t i = 0; i < n; count++) {
        int length = letter_bytes((const unsigned char *)text + i, n - i);
        i += length ? (size_t)length : 1;
    }
    return count;
}

static const char *find_line(const Source *source, int line)
{
    const char *at = source->text;
    while (at && --line > 0) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return at;
}

/* The line and a caret under its column; long lines show the part around it. */
static void print_line(FILE *out, Loc loc)
{
    enum { BEFORE = 60, WIDTH = 110 };
    const char *line = find_line(loc.source, loc.line);
    if (!line)
        return;
    size_t width = strcspn(line, "\r\n"), at = loc.column > 0 ? (size_t)loc.column - 1 : 0;
    if (at > width)
        at = width;
    if (width > WIDTH && at > BEFORE) {
        size_t cut = at - BEFORE;
        while (cut < at && ((unsigned char)line[cut] & 0xc0) == 0x80)
            cut++;
        line += cut, width -= cut, at -= cut;
    }
    if (width > WIDTH)
        width = WIDTH;
    size_t length = loc.length > 0 ? (size_t)loc.length : 1;
    if (length > width - at)
        length = width > at ? width - at : 1;
    fprintf(out, "%5d | ", loc.line);
    print_safe(out, line, width);
    fprintf(out, "\n      | %*s^", letters(line, at), "");
    for (int i = letters(line + at, at < width ? length : 0); i > 1; i--)
        fputc('~', out);
    fputc('\n', out);
}

static void print_message(FILE *out, const Message *m)
{
    static const char *const word[] = {
        [DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_NOTE] = "note"};
    const Source *source = m->loc.source;
    if (source)
        print_safe(out, source->name, strlen(source->name));
    else
        fputs("rnnc", out);
    if (source && m->loc.line > 0)
        fprintf(out, ":%d:%d", m->loc.line, m->loc.column);
    fprintf(out, ": %s: ", word[m->severity]);
    print_safe(out, m->text, strlen(m->text));
    fputc('\n', out);
    if (source && m->loc.line > 0)
        print_line(out, m->loc);
}

static int by_place(const void *a, const void *b)
{
    const Message *x = a, *y = b;
    int difference[] = {x->file - y->file, x->loc.line - y->loc.line,
                        x->loc.column - y->loc.column};
    for (int i = 0; i < COUNT(difference); i++)
        if (difference[i])
            return difference[i];
    return x->order - y->order;
}

void diag_flush(Diag *d)
{
    int n_hidden = 0;
    if (d->n_group)
        qsort(d->group, (size_t)d->n_group, sizeof *d->group, by_place);
    for (int i = 0; i < d->n_group; i++) {
        const Message *m = &d->group[i];
        if (m->severity == DIAG_ERROR && d->n_printed >= DIAG_MAX_ERRORS) {
            n_hidden++;
            continue;
        }
        d->n_printed += m->severity == DIAG_ERROR;
        print_message(d->out, m);
        for (int j = 0; j < m->n_note; j++)
            print_message(d->out, &d->note[m->first_note + j]);
    }
    if (n_hidden)
        fprintf(d->out, "rnnc: %d more error%s not shown\n", n_hidden,
                n_hidden > 1 ? "s are" : " is");
    d->n_group = d->n_note = 0;
    d->dropped = false;
}

/* ---- suggestions ---- */

const char *diag_nearest(const char *name, const char *const *candidate, int n)
{
    enum { SHORT_NAME = 4 };
    int cap = strlen(name) <= SHORT_NAME ? 1 : 2, best = cap + 1;
    const char *nearest = NULL;
    for (int i = 0; i < n; i++) {
        int distance = candidate[i] ? str_distance(name, candidate[i], cap) : cap + 1;
        if (distance < best) {
            best = distance;
            nearest = candidate[i];
        }
    }
    return nearest;
}
