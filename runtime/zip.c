/*
 * zip.c — reading a zip archive's directory.
 *
 *     [local header, bytes] …  [directory: central header …]  [its end]
 *
 * The end is looked for from the file's last bytes, since a comment may follow it; it says
 * where the directory stands. Only the directory is believed; a local header is read for
 * its length alone, and must have the directory's name. Archives beyond 4 GiB, or written
 * as if they were (NumPy's savez), have a second end record and 64-bit fields (Zip64).
 * Nothing is ever written under an entry's name. Source: PKWARE, .ZIP File Format
 * Specification (APPNOTE.TXT) 6.3.10, sections 4.3 and 4.5.3.
 */
#include "zip.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR64_BYTES = 20,
    COMMENT_MOST = 65535,
    DIRECTORY_MOST = 1 << 26,
    ENTRIES_MOST = 4096,
    FLAG_ENCRYPTED = 1,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    EXTRA_ZIP64 = 1,
};

static int64_t number(const unsigned char *at, int n)
{
    uint64_t value = rnn__little_endian(at, n);
    return value > INT64_MAX ? -1 : (int64_t)value;
}

static bool is_record(const unsigned char *at, char a, char b)
{
    return at[0] == 'P' && at[1] == 'K' && at[2] == a && at[3] == b;
}

static int bad(const struct rnn__zip *z, struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s: %s", z->path, what);
}

static int bad_entry(const struct rnn__zip *z, const struct rnn__zip_entry *e,
                     struct rnn__fault *f, const char *what)
{
    return rnn__fault(f, RNN_EDATA, "%s: entry '%s' %s", z->path, e->name, what);
}

/* ---- the end ---- */

struct directory {
    int64_t at, bytes, n_entry;
};

/* The Zip64 end record, if its locator stands before the end at `end`. */
static int read_end64(const struct rnn__zip *z, int64_t end, struct directory *d,
                      struct rnn__fault *f)
{
    unsigned char locator[LOCATOR64_BYTES], record[END64_BYTES];
    if (end < LOCATOR64_BYTES)
        return 0;
    int code =
        rnn__read_at(z->fd, z->path, end - LOCATOR64_BYTES, locator, sizeof locator, f);
    if (code || !is_record(locator, 6, 7))
        return code;
    int64_t at = number(locator + 8, 8);
    if (at < 0 || at > end - LOCATOR64_BYTES - END64_BYTES)
        return bad(z, f, "its Zip64 directory lies outside: it is damaged");
    code = rnn__read_at(z->fd, z->path, at, record, sizeof record, f);
    if (code)
        return code;
    if (!is_record(record, 6, 6))
        return bad(z, f, "its Zip64 directory is damaged");
    *d = (struct directory){number(record + 48, 8), number(record + 40, 8),
                            number(record + 32, 8)};
    return 0;
}

static int find_directory(const struct rnn__zip *z, struct directory *d,
                          struct rnn__fault *f)
{
    int64_t n = z->size < END_BYTES + COMMENT_MOST ? z->size : END_BYTES + COMMENT_MOST;
    if (n < END_BYTES)
        return bad(z, f, "is not a zip archive, or cut short");
    unsigned char *tail = malloc((size_t)n);
    if (!tail)
        return rnn__fault_memory(f);
    int code = rnn__read_at(z->fd, z->path, z->size - n, tail, (size_t)n, f);
    int64_t i = n - END_BYTES;
    while (!code && i >= 0 &&
           !(is_record(tail + i, 5, 6) && number(tail + i + 20, 2) == n - END_BYTES - i))
        i--;
    if (!code && i < 0)
        code = bad(z, f, "is not a zip archive, or cut short: it has no directory");
    if (!code && (number(tail + i + 4, 2) != 0 || number(tail + i + 6, 2) != 0))
        code = bad(z, f, "is a part of an archive of several files");
    if (!code) {
        *d = (struct directory){number(tail + i + 16, 4), number(tail + i + 12, 4),
                                number(tail + i + 10, 2)};
        code = read_end64(z, z->size - n + i, d, f);
    }
    free(tail);
    return code;
}

/* ---- entries ---- */

/* Sizes and place that do not fit 32 bits stand in an extra field, in this order. */
static bool read_extra64(const unsigned char *extra, int64_t bytes,
                         struct rnn__zip_entry *e)
{
    int64_t *const wide[] = {&e->size, &e->bytes, &e->at};
    bool any = e->size == UINT32_MAX || e->bytes == UINT32_MAX || e->at == UINT32_MAX;
    while (any && bytes >= 4) {
        int64_t n = number(extra + 2, 2);
        if (n > bytes - 4)
            return false;
        if (number(extra, 2) != EXTRA_ZIP64) {
            extra += 4 + n, bytes -= 4 + n;
            continue;
        }
        const unsigned char *at = extra + 4, *end = at + n;
        for (int i = 0; i < 3; i++)
            if (*wide[i] == UINT32_MAX) {
                if (end - at < 8)
                    return false;
                *wide[i] = number(at, 8);
                at += 8;
            }
        return true;
    }
    return !any;
}

/* The entry's bytes stand behind its local header. */
static int skip_local(const struct rnn__zip *z, struct rnn__zip_entry *e, int64_t limit,
                      struct rnn__fault *f)
{
    static const char outside[] = "lies outside the archive: it is damaged";
    unsigned char head[LOCAL_BYTES];
    char name[COMMENT_MOST];
    if (e->at < 0 || e->bytes < 0 || e->size < 0 || e->at > limit - LOCAL_BYTES)
        return bad_entry(z, e, f, outside);
    int code = rnn__read_at(z->fd, z->path, e->at, head, sizeof head, f);
    if (code)
        return code;
    int64_t n_name = number(head + 26, 2), n_extra = number(head + 28, 2);
    int64_t begin = e->at + LOCAL_BYTES + n_name + n_extra;
    if (begin > limit || e->bytes > limit - begin)
        return bad_entry(z, e, f, outside);
    code = rnn__read_at(z->fd, z->path, e->at + LOCAL_BYTES, name, (size_t)n_name, f);
    if (code)
        return code;
    if (!is_record(head, 3, 4) || (size_t)n_name != strlen(e->name) ||
        memcmp(name, e->name, (size_t)n_name) != 0)
        return bad_entry(z, e, f, "is another one by its own header: it is damaged");
    e->at = begin;
    return 0;
}

static int check_entry(const struct rnn__zip *z, const unsigned char *head,
                       const struct rnn__zip_entry *e, struct rnn__fault *f)
{
    int64_t method = number(head + 10, 2);
    if (number(head + 8, 2) & FLAG_ENCRYPTED)
        return bad_entry(z, e, f, "is encrypted; save it without a password");
    if (method != METHOD_STORED && method != METHOD_DEFLATED)
        return bad_entry(z, e, f,
                         "is packed by a method other than deflate; numpy.savez_compressed "
                         "writes what can be read");
    if (method == METHOD_STORED && e->bytes != e->size)
        return bad_entry(z, e, f, "has two lengths: it is damaged");
    return rnn__zip_find(z, e->name) ? bad_entry(z, e, f, "is there twice") : 0;
}

/* The entry of the central header at `head`; *taken is how many bytes that has. */
static int read_entry(struct rnn__zip *z, const unsigned char *head, int64_t left,
                      int64_t limit, int64_t *taken, struct rnn__fault *f)
{
    static const char damaged[] = "its directory is damaged";
    if (left < CENTRAL_BYTES || !is_record(head, 1, 2))
        return bad(z, f, damaged);
    int64_t n_name = number(head + 28, 2), n_extra = number(head + 30, 2);
    *taken = CENTRAL_BYTES + n_name + n_extra + number(head + 32, 2);
    if (*taken > left || memchr(head + CENTRAL_BYTES, 0, (size_t)n_name))
        return bad(z, f, damaged);
    struct rnn__zip_entry e = {.deflated = number(head + 10, 2) == METHOD_DEFLATED,
                               .at = number(head + 42, 4),
                               .bytes = number(head + 20, 4),
                               .size = number(head + 24, 4),
                               .crc = (uint32_t)number(head + 16, 4)};
    e.name = calloc(1, (size_t)n_name + 1);
    if (!e.name)
        return rnn__fault_memory(f);
    memcpy(e.name, head + CENTRAL_BYTES, (size_t)n_name);
    int code = 0;
    if (!read_extra64(head + CENTRAL_BYTES + n_name, n_extra, &e))
        code = bad_entry(z, &e, f, "lacks its 64-bit sizes: it is damaged");
    if (!code)
        code = check_entry(z, head, &e, f);
    if (!code)
        code = skip_local(z, &e, limit, f);
    if (code)
        free(e.name);
    else
        z->entry[z->n_entry++] = e;
    return code;
}

static int read_directory(struct rnn__zip *z, const struct directory *d,
                          struct rnn__fault *f)
{
    if (d->at < 0 || d->bytes < 0 || d->n_entry < 0 || d->bytes > DIRECTORY_MOST ||
        d->at > z->size - d->bytes || d->n_entry > d->bytes / CENTRAL_BYTES)
        return bad(z, f, "its directory lies outside: it is damaged");
    if (d->n_entry > ENTRIES_MOST)
        return bad(z, f, "has more than 4096 entries");
    unsigned char *bytes = malloc((size_t)d->bytes + 1);
    z->entry = calloc((size_t)d->n_entry + 1, sizeof *z->entry);
    int code = bytes && z->entry ? 0 : rnn__fault_memory(f);
    if (!code)
        code = rnn__read_at(z->fd, z->path, d->at, bytes, (size_t)d->bytes, f);
    int64_t at = 0, taken = 0;
    while (!code && z->n_entry < d->n_entry) {
        code = read_entry(z, bytes + at, d->bytes - at, d->at, &taken, f);
        at += taken;
    }
    free(bytes);
    return code;
}

int rnn__zip_open(struct rnn__zip *z, const char *path, struct rnn__fault *f)
{
    struct directory d = {0};
    *z = (struct rnn__zip){.fd = -1, .path = rnn__path_join(NULL, path)};
    int code = z->path ? 0 : rnn__fault_memory(f);
    if (!code) {
        z->fd = rnn__open_file(path, &z->size, f);
        code = z->fd < 0 ? z->fd : 0;
    }
    if (!code)
        code = find_directory(z, &d, f);
    if (!code)
        code = read_directory(z, &d, f);
    if (code)
        rnn__zip_close(z);
    return code;
}

void rnn__zip_close(struct rnn__zip *z)
{
    if (z->fd >= 0)
        rnn__io->close(z->fd);
    for (int i = 0; i < z->n_entry; i++)
        free(z->entry[i].name);
    free(z->entry);
    free(z->path);
    *z = (struct rnn__zip){.fd = -1};
}

const struct rnn__zip_entry *rnn__zip_find(const struct rnn__zip *z, const char *name)
{
    for (int i = 0; i < z->n_entry; i++)
        if (strcmp(z->entry[i].name, name) == 0)
            return &z->entry[i];
    return NULL;
}
