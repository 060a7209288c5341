/*
 * wav.c — the header of a WAV file: sound as an array [frames, channels].
 *
 *     "RIFF", n, "WAVE"                    12 bytes
 *     id, n, n bytes (and one if n is odd) a chunk; "fmt " stands before "data"
 *
 * Integer samples stand for numbers from -1 to 1, as players and audio libraries take
 * them: a sample of b bits is divided by 2^(b-1). A "data" chunk whose length is 0 or all
 * ones, left so by programs that write into a pipe, goes to the end of the file. Source:
 * Microsoft, "Multimedia Programming Interface and Data Specifications 1.0" (1991), and
 * WAVEFORMATEXTENSIBLE of its "Multiple channel audio data and WAVE files".
 */
#include "array_file.h"

#include <math.h>
#include <string.h>

enum { FORMAT_PCM = 1, FORMAT_FLOAT = 3, FORMAT_EXTENSIBLE = 0xFFFE, FMT_BYTES = 26 };

struct riff {
    int64_t at, size; /* the chunk to come; bytes of the file */
    char id[5];
    int64_t begin, bytes; /* of the chunk's contents */
};

/* Of at most four bytes. */
static int64_t number(const unsigned char *at, int n)
{
    return (int64_t)rnn__little_endian(at, n);
}

/* Takes the header of the next chunk; at the end of the file, id is "". */
static int next_chunk(const struct rnn__ndarray *a, struct riff *r, struct rnn__fault *f)
{
    unsigned char head[8];
    r->id[0] = '\0';
    if (r->at + 8 > r->size)
        return 0;
    int code = rnn__read_at(a->fd, a->name, a->base + r->at, head, sizeof head, f);
    memcpy(r->id, head, 4);
    r->begin = r->at + 8;
    r->bytes = number(head + 4, 4);
    r->at = r->begin + r->bytes + (r->bytes & 1);
    return code;
}

/* NULL or what is wrong. */
static const char *set_samples(struct rnn__ndarray *a, const unsigned char *fmt)
{
    static const struct {
        int tag, bits;
        const char *dtype;
    } list[] = {{FORMAT_PCM, 16, "i16"},
                {FORMAT_PCM, 24, "i24"},
                {FORMAT_PCM, 32, "i32"},
                {FORMAT_FLOAT, 32, "f32"},
                {FORMAT_FLOAT, 64, "f64"}};
    int64_t tag = number(fmt, 2), channels = number(fmt + 2, 2);
    int64_t frame_bytes = number(fmt + 12, 2), bits = number(fmt + 14, 2);
    if (tag == FORMAT_EXTENSIBLE)
        tag = number(fmt + 24, 2);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (list[i].tag != tag || list[i].bits != bits)
            continue;
        rnn__ndarray_set_dtype(a, list[i].dtype);
        a->scale = tag == FORMAT_PCM ? ldexp(1, 1 - (int)bits) : 0;
        a->rank = 2;
        a->dim[1] = channels;
        return channels > 0 && frame_bytes == channels * a->width
                   ? NULL
                   : "its header contradicts itself";
    }
    return "its samples are neither PCM of 16, 24 or 32 bits nor floats; convert it";
}

static int read_format(struct rnn__ndarray *a, const struct riff *r, struct rnn__fault *f)
{
    unsigned char fmt[FMT_BYTES] = {0};
    int64_t n = r->bytes < FMT_BYTES ? r->bytes : FMT_BYTES;
    if (r->bytes < 16 || r->begin + n > r->size)
        return rnn__ndarray_bad(a, f, "is cut short within its header");
    int code = rnn__read_at(a->fd, a->name, a->base + r->begin, fmt, (size_t)n, f);
    const char *wrong = code ? NULL : set_samples(a, fmt);
    return wrong ? rnn__ndarray_bad(a, f, wrong) : code;
}

static int set_frames(struct rnn__ndarray *a, const struct riff *r, struct rnn__fault *f)
{
    bool open_ended = r->bytes == 0 || r->bytes == UINT32_MAX;
    int64_t bytes = open_ended ? r->size - r->begin : r->bytes;
    int64_t frame_bytes = a->dim[1] * a->width;
    if (!open_ended && bytes % frame_bytes != 0)
        return rnn__ndarray_bad(a, f, "its last frame lacks samples");
    a->dim[0] = bytes / frame_bytes;
    a->data = a->base + r->begin;
    a->series = true;
    if (!rnn__ndarray_set_size(a))
        return rnn__ndarray_bad(a, f, "its shape is larger than any file");
    return 0;
}

int rnn__wav_header(struct rnn__ndarray *a, int64_t size, struct rnn__fault *f)
{
    unsigned char head[4];
    struct riff r = {.at = 12, .size = size};
    int code = rnn__read_at(a->fd, a->name, a->base, head, sizeof head, f);
    if (!code && memcmp(head, "RIFF", 4) != 0)
        code = rnn__ndarray_bad(a, f, "is a big-endian or 64-bit kind of WAV; convert it");
    while (!code) {
        code = next_chunk(a, &r, f);
        if (code || !r.id[0])
            break;
        if (strcmp(r.id, "fmt ") == 0)
            code = read_format(a, &r, f);
        else if (strcmp(r.id, "data") == 0 && a->rank)
            return set_frames(a, &r, f);
    }
    return code ? code
                : rnn__ndarray_bad(a, f, "has no format or no data: it is cut short");
}
