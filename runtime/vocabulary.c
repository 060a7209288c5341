/*
 * vocabulary.c — symbols of texts, scanned, encoded and decoded.
 *
 * One reader walks a text symbol by symbol and serves scanning (what symbols are
 * there) and encoding (which class is each). UTF-8 is checked strictly: overlong
 * forms, surrogates and values past U+10FFFF are mistakes in the data.
 */
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CODE_MAX = 0x10FFFF, BLOCK_BYTES = 65536, UTF8_BYTES_MAX = 4 };

bool rnn__level_of(const char *word, enum rnn__level *out)
{
    bool is_char = strcmp(word, "char") == 0;
    if (!is_char && strcmp(word, "byte") != 0)
        return false;
    *out = is_char ? RNN__CHAR : RNN__BYTE;
    return true;
}

/* ---- one symbol ---- */

/* Bytes of the UTF-8 character at `at`, of which `there` bytes are in memory: 1 to 4, or 0
   when it is none. */
static int utf8_read(const unsigned char *at, size_t there, uint32_t *code)
{
    static const struct {
        unsigned char mask, value;
        uint32_t least;
    } form[] = {
        {0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    int n = 0;
    while (n < 4 && (at[0] & form[n].mask) != form[n].value)
        n++;
    if (n == 4 || (size_t)n >= there)
        return 0;
    *code = at[0] & (unsigned char)~form[n].mask;
    for (int i = 1; i <= n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (at[i] & 0x3F);
    }
    bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
    return *code < form[n].least || *code > CODE_MAX || surrogate ? 0 : n + 1;
}

static int utf8_write(uint32_t code, char out[static UTF8_BYTES_MAX])
{
    static const unsigned char lead[] = {0x00, 0xC0, 0xE0, 0xF0};
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[more] | code);
    return more + 1;
}

/* ---- walking a text ---- */

/* Called for each symbol; returns 0 or the fault's code. */
typedef int symbol_visitor(void *user, uint32_t code, const char *name, int64_t line,
                           int64_t byte, struct rnn__fault *f);

struct walk {
    enum rnn__level level;
    const char *name;
    int64_t line, byte; /* of the next symbol; lines from 1, bytes from 0 */
    symbol_visitor *visit;
    void *user;
};

/* Visits the symbols in `bytes` of text; *used of them. At the end of the text (`last`)
   half a character is a mistake, before it is left for the next block. */
static int walk_block(struct walk *w, const unsigned char *text, size_t bytes, bool last,
                      size_t *used, struct rnn__fault *f)
{
    size_t at = 0;
    while (at < bytes && (last || w->level == RNN__BYTE || bytes - at >= UTF8_BYTES_MAX)) {
        uint32_t code = text[at];
        int n = w->level == RNN__BYTE ? 1 : utf8_read(text + at, bytes - at, &code);
        if (n == 0)
            return rnn__fault(f, RNN_EDATA,
                              "%s:%lld: byte %lld (0x%02X) is no UTF-8; use level: byte",
                              w->name, (long long)w->line, (long long)w->byte, text[at]);
        int result = w->visit(w->user, code, w->name, w->line, w->byte, f);
        if (result)
            return result;
        at += (size_t)n;
        w->byte += n;
        w->line += code == '\n';
    }
    *used = at;
    return 0;
}

static int walk_file(struct walk *w, int fd, int64_t size, struct rnn__fault *f)
{
    unsigned char *block = malloc(BLOCK_BYTES);
    int code = block ? 0 : rnn__fault_memory(f);
    while (!code && w->byte < size) {
        size_t used = 0;
        int64_t left = size - w->byte;
        size_t bytes = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        code = rnn__read_at(fd, w->name, w->byte, block, bytes, f);
        if (!code)
            code = walk_block(w, block, bytes, (int64_t)bytes == left, &used, f);
    }
    free(block);
    return code;
}

/* ---- scanning ---- */

static int mark(void *user, uint32_t code, const char *name, int64_t line, int64_t byte,
                struct rnn__fault *f)
{
    (void)name, (void)line, (void)byte, (void)f;
    unsigned char *seen = user;
    seen[code] = 1;
    return 0;
}

static int collect(struct rnn__vocabulary *v, const unsigned char *seen,
                   struct rnn__fault *f)
{
    for (uint32_t code = 0; code <= CODE_MAX; code++)
        v->n += seen[code];
    v->code = calloc((size_t)v->n + 1, sizeof *v->code);
    if (!v->code)
        return rnn__fault_memory(f);
    int64_t n = 0;
    for (uint32_t code = 0; code <= CODE_MAX; code++)
        if (seen[code])
            v->code[n++] = code;
    return 0;
}

int rnn__vocabulary_scan(struct rnn__vocabulary *v, const char *path, enum rnn__level level,
                         struct rnn__fault *f)
{
    int64_t size = 0;
    *v = (struct rnn__vocabulary){.level = level};
    int fd = rnn__open_file(path, &size, f);
    if (fd < 0)
        return fd;
    unsigned char *seen = calloc(CODE_MAX + 1, 1);
    struct walk w = {.level = level, .name = path, .line = 1, .visit = mark, .user = seen};
    int code = seen ? walk_file(&w, fd, size, f) : rnn__fault_memory(f);
    if (!code)
        code = collect(v, seen, f);
    if (!code && v->n == 0)
        code = rnn__fault(f, RNN_EDATA, "%s: is empty", path);
    free(seen);
    rnn__io->close(fd);
    if (code)
        rnn__vocabulary_free(v);
    return code;
}

void rnn__vocabulary_free(struct rnn__vocabulary *v)
{
    free(v->code);
    *v = (struct rnn__vocabulary){0};
}

/* ---- encoding ---- */

int64_t rnn__vocabulary_find(const struct rnn__vocabulary *v, uint32_t code)
{
    int64_t low = 0, high = v->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (v->code[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->n && v->code[low] == code ? low : -1;
}

struct encoder {
    const struct rnn__vocabulary *v;
    int32_t *out; /* room for one class a byte */
    int64_t n;
    int32_t ascii[128]; /* class + 1 of frequent codes, 0: look it up */
};

static int encode_one(void *user, uint32_t code, const char *name, int64_t line,
                      int64_t byte, struct rnn__fault *f)
{
    struct encoder *e = user;
    bool frequent = code < 128;
    int64_t class =
        frequent && e->ascii[code] ? e->ascii[code] - 1 : rnn__vocabulary_find(e->v, code);
    if (class < 0)
        return rnn__fault(
            f, RNN_EDATA,
            "%s:%lld: byte %lld: %s 0x%02X is not among the %lld that the model "
            "knows",
            name, (long long)line, (long long)byte,
            e->v->level == RNN__BYTE ? "byte" : "character", code, (long long)e->v->n);
    if (frequent)
        e->ascii[code] = (int32_t) class + 1;
    e->out[e->n++] = (int32_t) class;
    return 0;
}

static int encoded(struct encoder *e, int code, int32_t **out, int64_t *n)
{
    if (code) {
        free(e->out);
        return code;
    }
    *out = e->out;
    *n = e->n;
    return 0;
}

static struct encoder encoder_of(const struct rnn__vocabulary *v, size_t symbols)
{
    struct encoder e = {.v = v};
    if (symbols < SIZE_MAX / sizeof(int32_t))
        e.out = malloc((symbols + 1) * sizeof(int32_t));
    return e;
}

int rnn__vocabulary_encode_file(const struct rnn__vocabulary *v, const char *path,
                                int32_t **out, int64_t *n, struct rnn__fault *f)
{
    int64_t size = 0;
    int fd = rnn__open_file(path, &size, f);
    if (fd < 0)
        return fd;
    struct encoder e = encoder_of(v, (size_t)size);
    struct walk w = {
        .level = v->level, .name = path, .line = 1, .visit = encode_one, .user = &e};
    int code = e.out ? walk_file(&w, fd, size, f) : rnn__fault_memory(f);
    rnn__io->close(fd);
    return encoded(&e, code, out, n);
}

int rnn__vocabulary_encode(const struct rnn__vocabulary *v, const char *text, size_t bytes,
                           const char *name, int32_t **out, int64_t *n,
                           struct rnn__fault *f)
{
    size_t used = 0;
    struct encoder e = encoder_of(v, bytes);
    struct walk w = {
        .level = v->level, .name = name, .line = 1, .visit = encode_one, .user = &e};
    int code = e.out ? walk_block(&w, (const unsigned char *)text, bytes, true, &used, f)
                     : rnn__fault_memory(f);
    return encoded(&e, code, out, n);
}

int rnn__vocabulary_decode(const struct rnn__vocabulary *v, int64_t class,
                           char out[static 4])
{
    if (v->level == RNN__CHAR)
        return utf8_write(v->code[class], out);
    out[0] = (char)v->code[class];
    return 1;
}

/* ---- as JSON ---- */

json_t *rnn__vocabulary_to_json(const struct rnn__vocabulary *v)
{
    json_t *codes = json_array();
    for (int64_t i = 0; i < v->n; i++)
        json_array_append_new(codes, json_integer(v->code[i]));
    return json_pack("{s:s, s:o}", "level", v->level == RNN__BYTE ? "byte" : "char",
                     "codes", codes);
}

int rnn__vocabulary_from_json(struct rnn__vocabulary *v, const json_t *json,
                              struct rnn__fault *f)
{
    const char *level = json_string_value(json_object_get(json, "level"));
    const json_t *codes = json_object_get(json, "codes");
    *v = (struct rnn__vocabulary){.n = (int64_t)json_array_size(codes)};
    if (!level || !rnn__level_of(level, &v->level) || v->n == 0)
        return rnn__fault(f, RNN_EFORMAT, "vocabulary is damaged");
    v->code = calloc((size_t)v->n, sizeof *v->code);
    if (!v->code)
        return rnn__fault_memory(f);
    for (int64_t i = 0; i < v->n; i++) {
        int64_t code = json_integer_value(json_array_get(codes, (size_t)i));
        bool ascending = i == 0 || code > v->code[i - 1];
        if (code < 0 || code > (v->level == RNN__BYTE ? 255 : CODE_MAX) || !ascending) {
            rnn__vocabulary_free(v);
            return rnn__fault(f, RNN_EFORMAT, "vocabulary is damaged");
        }
        v->code[i] = (uint32_t)code;
    }
    return 0;
}
