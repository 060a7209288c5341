/*
 * vocabulary.c — symbols of texts, scanned, encoded and decoded.
 *
 * One reader takes the symbols of a stretch of text, and serves scanning (what symbols are
 * there) and encoding (which class is each). UTF-8 is checked strictly: overlong
 * forms, surrogates and values past U+10FFFF are mistakes in the data.
 */
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- many symbols ---- */

static int64_t characters(const unsigned char *text, size_t bytes, bool last,
                          uint32_t *code, size_t *used)
{
    int64_t n = 0;
    size_t at = 0;
    while (at < bytes && (last || bytes - at >= UTF8_BYTES_MAX)) {
        int length = 1;
        if (text[at] < 0x80)
            code[n] = text[at];
        else
            length = utf8_read(text + at, bytes - at, &code[n]);
        if (length == 0)
            break;
        at += (size_t)length;
        n++;
    }
    *used = at;
    return n;
}

int64_t rnn__symbols(enum rnn__level level, const unsigned char *text, size_t bytes,
                     bool last, uint32_t *code, size_t *used)
{
    if (level == RNN__CHAR)
        return characters(text, bytes, last, code, used);
    for (size_t i = 0; i < bytes; i++)
        code[i] = text[i];
    *used = bytes;
    return (int64_t)bytes;
}

bool rnn__symbols_broke(size_t used, size_t bytes, bool last)
{
    return used < bytes && (last || bytes - used >= UTF8_BYTES_MAX);
}

int rnn__no_utf8(const char *name, int64_t line, int64_t byte, unsigned char what,
                 struct rnn__fault *f)
{
    return rnn__fault(f, RNN_EDATA,
                      "%s:%lld: byte %lld (0x%02X) is no UTF-8; use level: byte", name,
                      (long long)line, (long long)byte, what);
}

/* ---- scanning ---- */

struct scan {
    const char *path;
    int fd;
    int64_t size, at, line;
    unsigned char *seen; /* [CODE_MAX + 1] */
    unsigned char text[BLOCK_BYTES];
    uint32_t code[BLOCK_BYTES];
};

static int scan_block(struct scan *s, enum rnn__level level, struct rnn__fault *f)
{
    int64_t left = s->size - s->at;
    size_t used, bytes = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
    bool last = (int64_t)bytes == left;
    int code = rnn__read_at(s->fd, s->path, s->at, s->text, bytes, f);
    if (code)
        return code;
    int64_t n = rnn__symbols(level, s->text, bytes, last, s->code, &used);
    for (int64_t i = 0; i < n; i++) {
        s->seen[s->code[i]] = 1;
        s->line += s->code[i] == '\n';
    }
    s->at += (int64_t)used;
    return rnn__symbols_broke(used, bytes, last)
               ? rnn__no_utf8(s->path, s->line, s->at, s->text[used], f)
               : 0;
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
    *v = (struct rnn__vocabulary){.level = level};
    struct scan *s = calloc(1, sizeof *s);
    if (!s)
        return rnn__fault_memory(f);
    s->path = path;
    s->line = 1;
    s->seen = calloc(CODE_MAX + 1, 1);
    s->fd = rnn__open_file(path, &s->size, f);
    int code = s->fd < 0 ? s->fd : s->seen ? 0 : rnn__fault_memory(f);
    while (!code && s->at < s->size)
        code = scan_block(s, level, f);
    if (!code)
        code = collect(v, s->seen, f);
    if (!code && v->n == 0)
        code = rnn__fault(f, RNN_EDATA, "%s: is empty", path);
    if (s->fd >= 0)
        rnn__io->close(s->fd);
    free(s->seen);
    free(s);
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

struct rnn__encoder rnn__encoder_of(const struct rnn__vocabulary *v)
{
    struct rnn__encoder e = {.v = v};
    for (uint32_t code = 0; code < 256; code++)
        e.frequent[code] = (int32_t)rnn__vocabulary_find(v, code);
    return e;
}

int64_t rnn__encode(const struct rnn__encoder *e, const uint32_t *code, int64_t n,
                    int32_t *out)
{
    int64_t i = 0;
    for (; i < n; i++) {
        out[i] = code[i] < 256 ? e->frequent[code[i]]
                               : (int32_t)rnn__vocabulary_find(e->v, code[i]);
        if (out[i] < 0)
            break;
    }
    return i;
}

int rnn__unknown_symbol(const struct rnn__vocabulary *v, uint32_t code, const char *name,
                        int64_t line, int64_t byte, struct rnn__fault *f)
{
    char text[UTF8_BYTES_MAX + 1] = "";
    bool shown = v->level == RNN__CHAR && code > ' ' && code != 0x7F;
    rnn__fault(f, RNN_EDATA, "%s:%lld: byte %lld: %s 0x%02X", name, (long long)line,
               (long long)byte, v->level == RNN__BYTE ? "byte" : "character", code);
    if (shown) {
        text[utf8_write(code, text)] = '\0';
        rnn__fault_add(f, " '%s'", text);
    }
    return rnn__fault_add(f, " is not among the %lld that the model knows",
                          (long long)v->n);
}

/* Line of a place in text. */
static int64_t line_of(const char *text, size_t at)
{
    int64_t line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

/* Says what the first `known` of the text's symbols have behind them. */
static int bad_symbol(const struct rnn__encoder *e, const char *text, const uint32_t *code,
                      int64_t known, const char *name, struct rnn__fault *f)
{
    char room[UTF8_BYTES_MAX];
    size_t at = 0;
    for (int64_t i = 0; i < known; i++)
        at += e->v->level == RNN__BYTE ? 1 : (size_t)utf8_write(code[i], room);
    return rnn__unknown_symbol(e->v, code[known], name, line_of(text, at), (int64_t)at, f);
}

int rnn__vocabulary_encode(const struct rnn__vocabulary *v, const char *text, size_t bytes,
                           const char *name, int32_t **out, int64_t *n,
                           struct rnn__fault *f)
{
    size_t used = 0;
    const struct rnn__encoder e = rnn__encoder_of(v);
    uint32_t *symbol = calloc(bytes + 1, sizeof *symbol);
    *out = calloc(bytes + 1, sizeof **out);
    int code = symbol && *out ? 0 : rnn__fault_memory(f);
    if (!code) {
        *n =
            rnn__symbols(v->level, (const unsigned char *)text, bytes, true, symbol, &used);
        int64_t known = rnn__encode(&e, symbol, *n, *out);
        if (known < *n)
            code = bad_symbol(&e, text, symbol, known, name, f);
        else if (used < bytes)
            code = rnn__no_utf8(name, line_of(text, used), (int64_t)used,
                                (unsigned char)text[used], f);
    }
    free(symbol);
    if (code) {
        free(*out);
        *out = NULL;
    }
    return code;
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
