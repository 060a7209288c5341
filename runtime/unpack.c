/*
 * unpack.c — inflating, by zlib, a block at a time.
 */
#include "unpack.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    BLOCK_BYTES = 65536,
    DEFLATE_MOST = 1032 /* bytes out of one in: zlib's algorithm.txt */
};

struct rnn__unpacker {
    struct rnn__packed packed;
    z_stream stream;
    int fd;
    int64_t taken, given; /* bytes in, bytes out */
    uint32_t crc;
    bool ended;
    unsigned char in[BLOCK_BYTES], out[BLOCK_BYTES];
};

static int bad(const struct rnn__unpacker *u, struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s: %s", u->packed.name, what);
}

int rnn__unpack_open(struct rnn__unpacker **out, const struct rnn__packed *packed, int *fd,
                     struct rnn__fault *f)
{
    if (!packed->gzip && packed->size / DEFLATE_MOST > packed->bytes)
        return rnn__fault(f, RNN_EDATA,
                          "%s: %lld bytes cannot come of %lld packed ones: it is damaged",
                          packed->name, (long long)packed->size, (long long)packed->bytes);
    struct rnn__unpacker *u = calloc(1, sizeof *u);
    if (!u)
        return rnn__fault_memory(f);
    u->packed = *packed;
    /* 15: the largest window; + 16 reads gzip's header, - reads none */
    if (inflateInit2(&u->stream, packed->gzip ? 15 + 16 : -15) != Z_OK) {
        free(u);
        return rnn__fault_memory(f);
    }
    *fd = u->fd = rnn__scratch_file(f);
    *out = u;
    if (u->fd >= 0)
        return 0;
    rnn__unpack_close(u);
    return f->code;
}

void rnn__unpack_close(struct rnn__unpacker *u)
{
    if (!u)
        return;
    inflateEnd(&u->stream);
    if (u->fd >= 0)
        rnn__io->close(u->fd);
    free(u);
}

static int more_input(struct rnn__unpacker *u, struct rnn__fault *f)
{
    int64_t left = u->packed.bytes - u->taken;
    int64_t n = left < BLOCK_BYTES ? left : BLOCK_BYTES;
    if (n == 0)
        return bad(u, f, "is cut short: its packed bytes end too early");
    int code = rnn__read_at(u->packed.fd, u->packed.name, u->packed.at + u->taken, u->in,
                            (size_t)n, f);
    u->taken += n;
    u->stream.next_in = u->in;
    u->stream.avail_in = (uInt)n;
    return code;
}

static int finish(struct rnn__unpacker *u, struct rnn__fault *f)
{
    const struct rnn__packed *p = &u->packed;
    u->ended = true;
    if (u->stream.avail_in > 0 || u->taken < p->bytes)
        return bad(u, f, "has bytes behind the end of what is packed");
    if (p->gzip)
        return 0;
    if (u->given != p->size)
        return rnn__fault(f, RNN_EDATA, "%s: unpacks to %lld bytes, its entry says %lld",
                          p->name, (long long)u->given, (long long)p->size);
    return u->crc == p->crc ? 0 : bad(u, f, "its checksum is wrong: it is damaged");
}

/* At most n bytes more. */
static int step(struct rnn__unpacker *u, int64_t n, struct rnn__fault *f)
{
    /* A block filled to its end may have left output within inflate: that comes first. */
    bool more = u->stream.avail_in == 0 && u->stream.avail_out > 0;
    int code = more ? more_input(u, f) : 0;
    if (code)
        return code;
    u->stream.next_out = u->out;
    u->stream.avail_out = (uInt)(n < BLOCK_BYTES ? n : BLOCK_BYTES);
    int status = inflate(&u->stream, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR)
        return rnn__fault_memory(f);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return bad(u, f, "its packed bytes are damaged");
    size_t some = (size_t)(u->stream.next_out - u->out);
    u->crc = (uint32_t)crc32(u->crc, u->out, (uInt)some);
    u->given += (int64_t)some;
    code = rnn__write_all(u->fd, "temporary file (TMPDIR says where)", u->out, some, f);
    return code || status != Z_STREAM_END ? code : finish(u, f);
}

int rnn__unpack_to(struct rnn__unpacker *u, int64_t most, int64_t *there,
                   struct rnn__fault *f)
{
    int code = 0;
    while (!u->ended && u->given < most && !code)
        code = step(u, most - u->given, f);
    *there = u->given;
    return code;
}

int rnn__check_crc(const struct rnn__packed *stored, struct rnn__fault *f)
{
    unsigned char block[BLOCK_BYTES];
    uint32_t crc = 0;
    for (int64_t at = 0; at < stored->bytes; at += BLOCK_BYTES) {
        int64_t left = stored->bytes - at;
        size_t n = (size_t)(left < BLOCK_BYTES ? left : BLOCK_BYTES);
        int code = rnn__read_at(stored->fd, stored->name, stored->at + at, block, n, f);
        if (code)
            return code;
        crc = (uint32_t)crc32(crc, block, (uInt)n);
    }
    if (crc == stored->crc)
        return 0;
    return rnn__fault(f, RNN_EDATA, "%s: its checksum is wrong: it is damaged",
                      stored->name);
}
