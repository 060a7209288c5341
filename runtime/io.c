/*
 * io.c — sentences about files, whole reads and writes, and the atomic write.
 *
 * Files are read with pread, never mapped: a file that shrinks under a mapping
 * kills the process with SIGBUS. All calls go on after EINTR and short counts.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sentences ---- */

static int fault_at(struct rnn__fault *f, size_t at, const char *format, va_list args)
{
    if (at < sizeof f->sentence)
        vsnprintf(f->sentence + at, sizeof f->sentence - at, format, args);
    return f->code;
}

int rnn__fault(struct rnn__fault *f, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    f->code = code;
    fault_at(f, 0, format, args);
    va_end(args);
    return code;
}

int rnn__fault_add(struct rnn__fault *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fault_at(f, strlen(f->sentence), format, args);
    va_end(args);
    return f->code;
}

int rnn__fault_errno(struct rnn__fault *f, const char *path, const char *what)
{
    int error = errno;
    char why[128];
    if (strerror_r(error, why, sizeof why) != 0)
        snprintf(why, sizeof why, "error %d", error);
    return rnn__fault(f, RNN_EIO, "%s: %s: %s", path, what, why);
}

int rnn__fault_memory(struct rnn__fault *f)
{
    return rnn__fault(f, RNN_ENOMEM, "out of memory");
}

/* ---- strings ---- */

static bool string_grow(struct rnn__string *s, size_t more)
{
    if (s->failed || more > SIZE_MAX / 4)
        return false;
    size_t need = s->length + more + 1;
    if (need <= s->capacity)
        return true;
    size_t capacity = 2 * need;
    char *text = realloc(s->text, capacity);
    if (!text)
        return false;
    s->text = text;
    s->capacity = capacity;
    return true;
}

void rnn__put(struct rnn__string *s, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0 || !string_grow(s, (size_t)n)) {
        s->failed = true;
    } else {
        vsnprintf(s->text + s->length, (size_t)n + 1, format, again);
        s->length += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

const char *rnn__number_text(double value, char out[static RNN__NUMBER_BYTES])
{
    if (!isfinite(value)) {
        snprintf(out, RNN__NUMBER_BYTES, "null");
        return out;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out, RNN__NUMBER_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    return out;
}

char *rnn__path_join(const char *folder, const char *name)
{
    struct rnn__string s = {0};
    if (!folder || !*folder || name[0] == '/')
        rnn__put(&s, "%s", name);
    else
        rnn__put(&s, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
    if (!s.failed)
        return s.text;
    free(s.text);
    return NULL;
}

/* ---- reading ---- */

int rnn__open_file(const char *path, int64_t *size, struct rnn__fault *f)
{
    /* Without O_NONBLOCK a pipe given as a file would hang until somebody writes. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rnn__fault_errno(f, path, "cannot be opened");
    struct stat st;
    if (fstat(fd, &st) != 0)
        rnn__fault_errno(f, path, "cannot be examined");
    else if (!S_ISREG(st.st_mode))
        rnn__fault(f, RNN_EIO, "%s: is not a regular file", path);
    else {
        *size = (int64_t)st.st_size;
        return fd;
    }
    close(fd);
    return f->code;
}

int rnn__read_at(int fd, const char *path, int64_t offset, void *out, size_t bytes,
                 struct rnn__fault *f)
{
    char *at = out;
    while (bytes > 0) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rnn__fault_errno(f, path, "cannot be read");
        if (n == 0)
            return rnn__fault(f, RNN_EIO, "%s: the file ends at byte %lld; it has changed",
                              path, (long long)offset);
        at += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* ---- folders ---- */

static int make_one(const char *path, struct rnn__fault *f)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return 0;
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    return rnn__fault_errno(f, path, "folder cannot be made");
}

int rnn__make_folder(const char *path, struct rnn__fault *f)
{
    char *copy = rnn__path_join(NULL, path);
    if (!copy)
        return rnn__fault_memory(f);
    int code = 0;
    for (char *slash = strchr(copy + (*copy == '/'), '/'); slash && !code;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        code = make_one(copy, f);
        *slash = '/';
    }
    if (!code)
        code = make_one(copy, f);
    free(copy);
    return code;
}

static int sync_folder_of(const char *path, struct rnn__fault *f)
{
    const char *slash = strrchr(path, '/');
    char *folder = rnn__path_join(NULL, slash ? path : ".");
    if (!folder)
        return rnn__fault_memory(f);
    if (slash)
        folder[slash == path ? 1 : slash - path] = '\0';
    int code = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        code = rnn__fault_errno(f, folder, "folder cannot be opened");
    else if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        code = rnn__fault_errno(f, folder, "folder cannot be synced");
    if (fd >= 0)
        close(fd);
    free(folder);
    return code;
}

/* ---- writing ---- */

static int write_pieces(int fd, const char *path, const struct rnn__piece *piece,
                        int n_piece, struct rnn__fault *f)
{
    for (int i = 0; i < n_piece; i++) {
        const char *at = piece[i].data;
        size_t left = piece[i].bytes;
        while (left > 0) {
            ssize_t n = write(fd, at, left);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return rnn__fault_errno(f, path, "cannot be written");
            at += n;
            left -= (size_t)n;
        }
    }
    return 0;
}

/* What a killed run left under the temporary name is ours to replace. */
static int open_beside(const char *path)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(path, flags, 0666);
    if (fd < 0 && errno == EEXIST && unlink(path) == 0)
        fd = open(path, flags, 0666);
    return fd;
}

static int write_beside(const char *path, const struct rnn__piece *piece, int n_piece,
                        struct rnn__fault *f)
{
    int fd = open_beside(path);
    if (fd < 0)
        return rnn__fault_errno(f, path, "cannot be created");
    int code = write_pieces(fd, path, piece, n_piece, f);
    if (!code && fsync(fd) != 0)
        code = rnn__fault_errno(f, path, "cannot be synced");
    if (close(fd) != 0 && !code)
        code = rnn__fault_errno(f, path, "cannot be closed");
    return code;
}

int rnn__write_file(const char *path, const struct rnn__piece *piece, int n_piece,
                    struct rnn__fault *f)
{
    struct rnn__string beside = {0};
    rnn__put(&beside, "%s.tmp", path);
    if (beside.failed)
        return rnn__fault_memory(f);
    int code = write_beside(beside.text, piece, n_piece, f);
    if (!code && rename(beside.text, path) != 0)
        code = rnn__fault_errno(f, path, "cannot be replaced");
    if (code)
        unlink(beside.text);
    else
        code = sync_folder_of(path, f);
    free(beside.text);
    return code;
}

/* ---- checksum ---- */

/* Reflected polynomial 0x1EDC6F41 of RFC 3720, appendix B.4; one table entry a byte. */
static uint32_t crc_of_byte(uint32_t byte)
{
    for (int bit = 0; bit < 8; bit++)
        byte = (byte >> 1) ^ (byte & 1 ? 0x82F63B78u : 0);
    return byte;
}

uint32_t rnn__crc32c(const void *data, size_t bytes)
{
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++)
        table[i] = crc_of_byte(i);
    const unsigned char *at = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < bytes; i++)
        crc = (crc >> 8) ^ table[(crc ^ at[i]) & 0xFF];
    return ~crc;
}
