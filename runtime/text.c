/*
 * text.c — symbols of a text by their number.
 *
 * Where all symbols have one byte, a symbol's number is its place. Else marks tell where
 * every spacing-th symbol begins, and what lies between is stepped over. There are at most
 * MARKS of them: when they are full, every second one goes and the spacing doubles.
 *
 *     spacing 4    |a b c d|e f g h|i j k l|
 *     mark         0       5       9
 */
#include "text.h"

#include <stdlib.h>

enum { BLOCK_BYTES = 16384, MARKS = 65536 };

/* A stretch of the file, decoded. */
struct rnn__text_block {
    unsigned char text[BLOCK_BYTES];
    uint32_t code[BLOCK_BYTES];
    int32_t class[BLOCK_BYTES];
    int64_t n;      /* symbols */
    size_t used;    /* their bytes */
    bool is_broken; /* what stands behind them is none */
};

static int read_block(const struct rnn__text *t, int64_t at, struct rnn__text_block *b,
                      struct rnn__fault *f)
{
    int64_t left = t->bytes - at;
    size_t bytes = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
    bool last = (int64_t)bytes == left;
    int code = rnn__read_at(t->fd, t->path, at, b->text, bytes, f);
    if (code)
        return code;
    b->n = rnn__symbols(t->encoder.v->level, b->text, bytes, last, b->code, &b->used);
    b->is_broken = rnn__symbols_broke(b->used, bytes, last);
    return 0;
}

/* Bytes of the symbol that begins there. */
static int64_t length_at(const struct rnn__text *t, const unsigned char *at)
{
    if (t->encoder.v->level == RNN__BYTE || *at < 0xC0)
        return 1;
    return *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
}

/* ---- opening ---- */

/* Line of a place in the file, for a message. */
static int64_t line_of(const struct rnn__text *t, int64_t byte)
{
    unsigned char block[BLOCK_BYTES];
    struct rnn__fault ignored;
    int64_t line = 1;
    for (int64_t at = 0; at < byte; at += BLOCK_BYTES) {
        int64_t bytes = byte - at < BLOCK_BYTES ? byte - at : BLOCK_BYTES;
        if (rnn__read_at(t->fd, t->path, at, block, (size_t)bytes, &ignored) != 0)
            break;
        for (int64_t i = 0; i < bytes; i++)
            line += block[i] == '\n';
    }
    return line;
}

/* Symbol t->n, the first without one of its own, begins there. */
static void set_mark(struct rnn__text *t, int64_t byte)
{
    if (t->n_mark == MARKS) {
        for (int64_t i = 0; i < MARKS / 2; i++)
            t->mark[i] = t->mark[2 * i];
        t->n_mark = MARKS / 2;
        t->spacing *= 2;
    }
    t->mark[t->n_mark++] = byte;
}

/* Counts the block's symbols, and looks each up. */
static int take_block(struct rnn__text *t, int64_t at, struct rnn__text_block *b,
                      struct rnn__fault *f)
{
    const struct rnn__vocabulary *v = t->encoder.v;
    int64_t known = rnn__encode(&t->encoder, b->code, b->n, b->class);
    const unsigned char *symbol = b->text;
    for (int64_t i = 0; i < known; i++) {
        if (t->n == t->n_mark * t->spacing)
            set_mark(t, at + (symbol - b->text));
        symbol += length_at(t, symbol);
        t->n++;
    }
    int64_t byte = at + (symbol - b->text);
    if (known < b->n)
        return rnn__unknown_symbol(v, b->code[known], t->path, line_of(t, byte), byte, f);
    return b->is_broken ? rnn__no_utf8(t->path, line_of(t, byte), byte, *symbol, f) : 0;
}

static int take_text(struct rnn__text *t, struct rnn__fault *f)
{
    struct rnn__text_block *b = t->block = malloc(sizeof *b);
    t->mark = malloc(MARKS * sizeof *t->mark);
    t->spacing = 1;
    int code = b && t->mark ? 0 : rnn__fault_memory(f);
    for (int64_t at = 0; at < t->bytes && !code; at += (int64_t)b->used) {
        code = read_block(t, at, b, f);
        if (!code)
            code = take_block(t, at, b, f);
    }
    return code;
}

int rnn__text_open(struct rnn__text *t, const char *path, const struct rnn__vocabulary *v,
                   struct rnn__fault *f)
{
    *t = (struct rnn__text){.fd = -1, .encoder = rnn__encoder_of(v)};
    t->path = rnn__path_join(NULL, path);
    if (!t->path)
        return rnn__fault_memory(f);
    t->fd = rnn__open_file(path, &t->bytes, f);
    if (t->fd < 0)
        return t->fd;
    int code = rnn__stamp_of(t->fd, path, &t->stamp, f);
    return code ? code : take_text(t, f);
}

void rnn__text_close(struct rnn__text *t)
{
    if (t->fd >= 0)
        rnn__io->close(t->fd);
    free(t->path);
    free(t->mark);
    free(t->block);
    *t = (struct rnn__text){.fd = -1};
}

/* ---- reading ---- */

/* A place from which the symbol is not far: its byte; *at is its number. */
static int64_t place_before(const struct rnn__text *t, int64_t symbol, int64_t *at)
{
    *at = symbol;
    if (t->n == t->bytes)
        return symbol;
    *at = symbol / t->spacing * t->spacing;
    return t->mark[symbol / t->spacing];
}

static int read_symbols(const struct rnn__text *t, int64_t first, int64_t n, int32_t *out,
                        struct rnn__fault *f)
{
    struct rnn__text_block *b = t->block;
    int64_t number, byte = place_before(t, first, &number);
    while (n > 0) {
        if (byte >= t->bytes)
            return rnn__fault(f, RNN_EDATA, "%s: has changed: it has fewer symbols",
                              t->path);
        int code = read_block(t, byte, b, f);
        if (code)
            return code;
        int64_t skip = first - number < b->n ? first - number : b->n;
        int64_t take = b->n - skip < n ? b->n - skip : n;
        if (b->is_broken || rnn__encode(&t->encoder, b->code + skip, take, out) < take)
            return rnn__fault(f, RNN_EDATA, "%s: has changed: it has other symbols",
                              t->path);
        out += take, first += take, n -= take;
        byte += (int64_t)b->used, number += b->n;
    }
    return 0;
}

int rnn__text_read(const struct rnn__text *t, int64_t first, int64_t n, int32_t *out,
                   struct rnn__fault *f)
{
    struct rnn__fault changed;
    int code = read_symbols(t, first, n, out, f);
    if (rnn__unchanged(t->fd, t->path, &t->stamp, &changed) != 0) {
        *f = changed;
        code = f->code;
    }
    return code;
}
