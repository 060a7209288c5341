/*
 * array_file.c — which format a file is of, and opening one, packed or not.
 *
 * A packed file is unpacked as far as a header can reach; the header says how long it
 * ought to be, and only so much of it is unpacked.
 */
#include "array_file.h"

#include <string.h>

enum { HEAD_BYTES = 12, HEADER_REACH = (1 << 20) + 16 };

/* ---- formats ---- */

static bool is_npy(const unsigned char head[static HEAD_BYTES])
{
    return memcmp(head, "\x93NUMPY", 6) == 0;
}

static bool is_idx(const unsigned char head[static HEAD_BYTES])
{
    return head[0] == 0 && head[1] == 0 && head[2] >= 8 && head[2] <= 14 && head[3] > 0;
}

/* RIFX, big-endian, and RF64, beyond 4 GiB, are told by the reader. */
static bool is_wav(const unsigned char head[static HEAD_BYTES])
{
    return (head[0] == 'R' && (head[1] == 'I' || head[1] == 'F')) &&
           memcmp(head + 8, "WAVE", 4) == 0;
}

static const struct format {
    bool (*is)(const unsigned char head[static HEAD_BYTES]);
    int (*header)(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f);
    bool exact; /* the data end with the file */
} format_list[] = {
    {is_npy, rnn__npy_header, true},
    {is_idx, rnn__idx_header, true},
    {is_wav, rnn__wav_header, false},
};
enum { N_FORMAT = sizeof format_list / sizeof *format_list };

/* NULL after a fault. */
static const struct format *format_of(const struct rnn__ndarray *a, int64_t size,
                                      struct rnn__fault *f)
{
    unsigned char head[HEAD_BYTES] = {0};
    size_t there = size < HEAD_BYTES ? (size_t)size : HEAD_BYTES;
    if (rnn__read_at(a->fd, a->name, a->base, head, there, f) != 0)
        return NULL;
    for (int i = 0; i < N_FORMAT; i++)
        if (format_list[i].is(head))
            return &format_list[i];
    rnn__ndarray_bad(a, f, "is not an npy, IDX or WAV file by how it begins");
    return NULL;
}

/* ---- opening ---- */

int rnn__array_file_within(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f)
{
    const struct format *format = format_of(a, size, f);
    int code = format ? format->header(a, size, f) : f->code;
    return code ? code : rnn__ndarray_check_length(a, size, format->exact, f);
}

/* `a` takes the unpacker's file. */
static int read_packed(struct rnn__ndarray *a, struct rnn__unpacker *u, int fd,
                       struct rnn__fault *f)
{
    int64_t there = 0;
    int code = rnn__ndarray_share(a, fd, f);
    if (!code)
        code = rnn__unpack_to(u, HEADER_REACH, &there, f);
    const struct format *format = code ? NULL : format_of(a, there, f);
    if (!format)
        return f->code;
    code = format->header(a, there, f);
    if (!code) /* one byte more shows a file that is too long */
        code = rnn__unpack_to(u, a->data + a->size * a->width + 1, &there, f);
    if (!code)
        code = rnn__ndarray_check_length(a, there, format->exact, f);
    return code ? code : rnn__stamp_of(a->fd, a->name, &a->stamp, f);
}

int rnn__array_file_unpack(struct rnn__ndarray *a, const struct rnn__packed *packed,
                           struct rnn__fault *f)
{
    struct rnn__unpacker *u = NULL;
    int fd;
    int code = rnn__unpack_open(&u, packed, &fd, f);
    if (!code)
        code = read_packed(a, u, fd, f);
    rnn__unpack_close(u);
    return code;
}

/* Whether it begins as gzip does. */
static bool is_gzip(const struct rnn__ndarray *a, int64_t size)
{
    unsigned char head[2];
    struct rnn__fault ignored;
    return size > 2 && rnn__read_at(a->fd, a->name, 0, head, 2, &ignored) == 0 &&
           head[0] == 0x1F && head[1] == 0x8B;
}

static int open_gzip(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f)
{
    struct rnn__ndarray outer = *a;
    a->fd = -1;
    int code = rnn__array_file_unpack(
        a, &(struct rnn__packed){outer.fd, a->name, .bytes = size, .gzip = true}, f);
    outer.name = NULL; /* still a's */
    rnn__ndarray_close(&outer);
    return code;
}

int rnn__array_file_open(struct rnn__ndarray *a, const char *path, struct rnn__fault *f)
{
    int64_t size = 0;
    int code = rnn__ndarray_begin(a, path, f);
    if (!code)
        code = rnn__ndarray_open(a, path, &size, f);
    if (!code)
        code =
            is_gzip(a, size) ? open_gzip(a, size, f) : rnn__array_file_within(a, size, f);
    if (code)
        rnn__ndarray_close(a);
    return code;
}
