/*
 * source.c — a file into memory: regular files only, whole, at most TREE_MAX_BYTES.
 *
 * Opened without blocking, so that a FIFO without a writer is refused and not waited
 * for. A byte order mark at the start is left out.
 */
#include "spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static Source *read_all(Arena *arena, Diag *d, int file, const char *path, size_t size)
{
    const Loc nowhere = {0};
    char *text = arena_alloc(arena, size + 1);
    size_t length = 0;
    while (length < size) {
        ssize_t n = read(file, text + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            diag_error(d, nowhere, "%s: cannot be read: %s", path, strerror(errno));
            return NULL;
        }
        if (n == 0) /* it became shorter meanwhile */
            break;
        length += (size_t)n;
    }
    text[length] = '\0';
    size_t mark = length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    Source *source = NEW(arena, Source);
    source->name = arena_copy(arena, path, strlen(path));
    source->text = text + mark;
    source->length = length - mark;
    return source;
}

const Source *source_read(Arena *arena, Diag *d, const char *path)
{
    const Loc nowhere = {0};
    struct stat info;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (file < 0) {
        diag_error(d, nowhere, "%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    const Source *source = NULL;
    if (fstat(file, &info) < 0)
        diag_error(d, nowhere, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        diag_error(d, nowhere, "%s: is %s; a spec is a file", path, kind_of(info.st_mode));
    else if (info.st_size > TREE_MAX_BYTES)
        diag_error(d, nowhere, "%s: has %lld bytes; a spec has at most %d", path,
                   (long long)info.st_size, TREE_MAX_BYTES);
    else
        source = read_all(arena, d, file, path, (size_t)info.st_size);
    close(file);
    return source;
}
