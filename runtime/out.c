/*
 * out.c — a file that grows while a run goes on: opened and locked as it is, cut, appended
 * to through a buffer, synced.
 *
 * What could not be written is noted once, with its errno; from then on the file is left
 * alone, and each flush tells of it again. A pipe is such a file too, without a length.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Notes the first failure, and that nothing waits any more. */
static void out_failed(struct rnn__out *o)
{
    o->failed = errno ? errno : EIO;
    o->n = 0;
}

static void out_write(struct rnn__out *o)
{
    const char *at = o->buffer;
    while (o->n > 0 && !o->failed) {
        ssize_t n = rnn__io->write(o->fd, at, o->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out_failed(o);
        } else {
            at += n;
            o->n -= (size_t)n;
        }
    }
}

int rnn__out_cut(struct rnn__out *o, int64_t keep, struct rnn__fault *f)
{
    if (o->bytes <= keep)
        return 0;
    if (rnn__io->ftruncate(o->fd, (off_t)keep) != 0)
        return rnn__fault_errno(f, o->path, "cannot be cut");
    o->bytes = keep;
    return 0;
}

int rnn__out_cut_to_line(struct rnn__out *o, struct rnn__fault *f)
{
    char block[512];
    for (int64_t end = o->bytes; end > 0;) {
        size_t n = end < (int64_t)sizeof block ? (size_t)end : sizeof block;
        int code = rnn__read_at(o->fd, o->path, end - (int64_t)n, block, n, f);
        if (code)
            return code;
        for (; n > 0; n--, end--)
            if (block[n - 1] == '\n')
                return rnn__out_cut(o, end, f);
    }
    return rnn__out_cut(o, 0, f);
}

static int out_measure(struct rnn__out *o, struct rnn__fault *f)
{
    struct stat st;
    if (rnn__io->fstat(o->fd, &st) != 0)
        return rnn__fault_errno(f, o->path, "cannot be examined");
    o->regular = S_ISREG(st.st_mode);
    o->bytes = o->regular ? (int64_t)st.st_size : 0; /* a pipe has no length */
    return 0;
}

/* A pipe that nobody reads would hold the program until somebody does: the reader, who may
   just be starting, is waited for a little, then the user is told. */
static int open_pipe(const char *path, int flags, struct rnn__fault *f)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    enum { TRIES = 100 };
    int fd = -1;
    for (int i = 0; fd < 0 && i < TRIES; i++) {
        fd = rnn__io->open(path, flags | O_NONBLOCK, 0666);
        if (fd < 0 && errno != ENXIO)
            break;
        if (fd < 0)
            nanosleep(&pause, NULL);
    }
    if (fd >= 0)
        fcntl(fd, F_SETFL, flags & O_APPEND); /* a slow reader is waited for */
    else if (errno == ENXIO)
        rnn__fault(f, RNN_EIO,
                   "%s: nobody reads this pipe; start its reader first, as in cat %s &",
                   path, path);
    else
        rnn__fault_errno(f, path, "cannot be written");
    return fd;
}

static int open_to_write(const char *path, struct rnn__fault *f)
{
    struct stat st;
    int flags = O_CREAT | O_APPEND | O_CLOEXEC;
    if (rnn__io->stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        return open_pipe(path, flags | O_WRONLY, f);
    int fd = rnn__io->open(path, flags | O_RDWR, 0666); /* its last line may be read */
    if (fd < 0)
        rnn__fault_errno(f, path, "cannot be written");
    return fd;
}

/* Locked as it is, without truncation: a second trainer is turned away before it harms the
   first one's file. */
int rnn__out_open(struct rnn__out *o, const char *path, struct rnn__fault *f)
{
    *o = (struct rnn__out){.path = rnn__path_join(NULL, path), .fd = -1};
    int code = o->path ? 0 : rnn__fault_memory(f);
    if (!code && (o->fd = open_to_write(path, f)) < 0)
        code = f->code;
    if (!code && rnn__io->lock(o->fd) != 0 && (errno == EACCES || errno == EAGAIN))
        code = rnn__fault(f, RNN_EIO, "%s: another trainer is writing here", path);
    if (!code)
        code = out_measure(o, f);
    if (code && o->fd >= 0)
        rnn__io->close(o->fd);
    if (code) {
        free(o->path);
        *o = (struct rnn__out){.fd = -1};
    }
    return code;
}

void rnn__out_bytes(struct rnn__out *o, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0 && o->fd >= 0 && !o->failed) {
        size_t room = sizeof o->buffer - o->n, n = bytes < room ? bytes : room;
        memcpy(o->buffer + o->n, at, n);
        o->n += n;
        o->bytes += (int64_t)n;
        at += n;
        bytes -= n;
        if (o->n == sizeof o->buffer)
            out_write(o);
    }
}

void rnn__out_put(struct rnn__out *o, const char *format, ...)
{
    char text[1024], *whole = text;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(text, sizeof text, format, args);
    if (n >= (int)sizeof text && (whole = malloc((size_t)n + 1)))
        vsnprintf(whole, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    errno = ENOMEM;
    if (n < 0 || !whole)
        out_failed(o);
    else
        rnn__out_bytes(o, whole, (size_t)n);
    if (whole != text)
        free(whole);
}

int rnn__out_flush(struct rnn__out *o, bool sync, struct rnn__fault *f)
{
    if (o->fd >= 0 && !o->failed)
        out_write(o);
    if (o->fd >= 0 && !o->failed && sync && rnn__io->fsync(o->fd) != 0 && errno != EINVAL &&
        errno != EROFS) /* neither is for pipes */
        out_failed(o);
    if (!o->failed)
        return 0;
    errno = o->failed;
    return rnn__fault_errno(f, o->path, "cannot be written");
}

int rnn__out_close(struct rnn__out *o, struct rnn__fault *f)
{
    int code = rnn__out_flush(o, false, f);
    if (o->fd >= 0 && rnn__io->close(o->fd) != 0 && !code)
        code = rnn__fault_errno(f, o->path, "cannot be closed");
    free(o->path);
    *o = (struct rnn__out){.fd = -1};
    return code;
}
