/*
 * used_files.c — which data files a run was begun with, so that it is not resumed with
 * others: their sizes, and checksums of what is read of them here.
 *
 * A file of up to 1 MiB is read whole, of a larger one 64 blocks spread over it, the first
 * and the last among them: a change of a few bytes within a large file goes unnoticed,
 * another file, or one that has grown, does not. Names and times do not count: data may be
 * moved and copied.
 */
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>

enum { USED_BLOCK = 16384, USED_BLOCKS = 64 };

static int checksum_blocks(int fd, const char *path, int64_t bytes, uint32_t *crc,
                           struct rnn__fault *f)
{
    char block[USED_BLOCK];
    int64_t last = bytes > USED_BLOCK ? bytes - USED_BLOCK : 0;
    int64_t n = (bytes + USED_BLOCK - 1) / USED_BLOCK;
    bool whole = n <= USED_BLOCKS;
    int code = 0;
    n = whole ? n : USED_BLOCKS;
    for (int64_t i = 0; i < n && !code; i++) {
        int64_t at =
            whole ? i * USED_BLOCK : (int64_t)((double)last / (double)(n - 1) * (double)i);
        at = at < last || whole ? at : last;
        size_t size = bytes - at < USED_BLOCK ? (size_t)(bytes - at) : USED_BLOCK;
        code = rnn__read_at(fd, path, at, block, size, f);
        if (!code)
            *crc = rnn__crc32c(*crc, block, size);
    }
    return code;
}

int rnn__used_add(struct rnn__used_files *used, const char *where, const char *path,
                  struct rnn__fault *f)
{
    struct rnn__used_file file = {.where = where};
    void *grown = realloc(used->file, ((size_t)used->n + 1) * sizeof file);
    if (!grown)
        return rnn__fault_memory(f);
    used->file = grown;
    int fd = rnn__open_file(path, &file.bytes, f);
    if (fd < 0)
        return fd;
    int code = checksum_blocks(fd, path, file.bytes, &file.crc, f);
    rnn__io->close(fd);
    if (!code && !(file.path = rnn__path_join(NULL, path)))
        code = rnn__fault_memory(f);
    if (!code)
        used->file[used->n++] = file;
    return code;
}

void rnn__used_free(struct rnn__used_files *used)
{
    for (int i = 0; i < used->n; i++)
        free(used->file[i].path);
    free(used->file);
    *used = (struct rnn__used_files){0};
}

json_t *rnn__used_json(const struct rnn__used_files *used)
{
    json_t *list = json_array();
    for (int i = 0; i < used->n; i++) {
        const struct rnn__used_file *file = &used->file[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "where", file->where,
                                              "bytes", (json_int_t)file->bytes, "crc32c",
                                              (json_int_t)file->crc));
    }
    return list;
}

/* Files are compared in their order, by content alone: they may have moved. */
int rnn__used_check(const struct rnn__used_files *used, const json_t *known,
                    const char *checkpoint, struct rnn__fault *f)
{
    int n = (int)json_array_size(known);
    if (!json_is_array(known))
        return 0;
    if (n != used->n)
        return rnn__fault(f, RNN_EDATA,
                          "the run in %s was begun with %d data files, now there are %d; "
                          "--init begins another run from its parameters",
                          checkpoint, n, used->n);
    for (int i = 0; i < n; i++) {
        const json_t *entry = json_array_get(known, (size_t)i);
        const struct rnn__used_file *file = &used->file[i];
        int64_t bytes = json_integer_value(json_object_get(entry, "bytes"));
        if (bytes == file->bytes &&
            json_integer_value(json_object_get(entry, "crc32c")) == (json_int_t)file->crc)
            continue;
        rnn__fault(f, RNN_EDATA,
                   "%s: is not the file that the run was begun with (%s): ", file->path,
                   file->where);
        if (bytes != file->bytes)
            rnn__fault_add(f, "it has %" PRId64 " bytes, then it had %" PRId64, file->bytes,
                           bytes);
        else
            rnn__fault_add(f, "its content has changed");
        return rnn__fault_add(f,
                              "; put the old one back, or begin another run from the "
                              "parameters: --init %s",
                              checkpoint);
    }
    return 0;
}
