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
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the table ---- */

static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int system_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &lock);
}

const struct rnn__io rnn__io_system = {
    .open = system_open,
    .close = close,
    .read = read,
    .pread = pread,
    .write = write,
    .fsync = fsync,
    .ftruncate = ftruncate,
    .fstat = fstat,
    .stat = stat,
    .lock = system_lock,
    .mkdir = mkdir,
    .rename = rename,
    .unlink = unlink,
    .opendir = opendir,
};

const struct rnn__io *rnn__io = &rnn__io_system;

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
    int fd = rnn__io->open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        return rnn__fault_errno(f, path, "cannot be opened");
    struct stat st;
    if (rnn__io->fstat(fd, &st) != 0)
        rnn__fault_errno(f, path, "cannot be examined");
    else if (!S_ISREG(st.st_mode))
        rnn__fault(f, RNN_EIO, "%s: is not a regular file", path);
    else {
        *size = (int64_t)st.st_size;
        return fd;
    }
    rnn__io->close(fd);
    return f->code;
}

int rnn__stamp_of(int fd, const char *path, struct rnn__stamp *out, struct rnn__fault *f)
{
    struct stat st;
    if (rnn__io->fstat(fd, &st) != 0)
        return rnn__fault_errno(f, path, "cannot be examined");
    *out = (struct rnn__stamp){st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    return 0;
}

int rnn__unchanged(int fd, const char *path, const struct rnn__stamp *then,
                   struct rnn__fault *f)
{
    struct rnn__stamp now;
    int code = rnn__stamp_of(fd, path, &now, f);
    if (code)
        return code;
    if (now.bytes != then->bytes)
        return rnn__fault(f, RNN_EDATA,
                          "%s: has changed since it was opened: it had %lld bytes, now it "
                          "has %lld; data must stay as they are while they are read",
                          path, (long long)then->bytes, (long long)now.bytes);
    if (now.seconds != then->seconds || now.nanoseconds != then->nanoseconds)
        return rnn__fault(f, RNN_EDATA,
                          "%s: has been written to since it was opened; data must stay "
                          "as they are while they are read",
                          path);
    return 0;
}

int rnn__scratch_file(struct rnn__fault *f)
{
    const char *folder = getenv("TMPDIR");
    char *path = rnn__path_join(folder && *folder ? folder : "/tmp", "rnn_XXXXXX");
    if (!path)
        return rnn__fault_memory(f);
    int fd = mkstemp(path);
    if (fd < 0)
        rnn__fault_errno(f, path, "no temporary file can be made (TMPDIR says where)");
    else if (rnn__io->unlink(path) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        rnn__fault_errno(f, path, "temporary file");
    else {
        free(path);
        return fd;
    }
    if (fd >= 0)
        rnn__io->close(fd);
    free(path);
    return f->code;
}

int rnn__read_at(int fd, const char *path, int64_t offset, void *out, size_t bytes,
                 struct rnn__fault *f)
{
    char *at = out;
    while (bytes > 0) {
        ssize_t n = rnn__io->pread(fd, at, bytes, (off_t)offset);
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

int rnn__sync_folder(const char *folder, struct rnn__fault *f)
{
    int code = 0;
    int fd = rnn__io->open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        code = rnn__fault_errno(f, folder, "folder cannot be opened");
    else if (rnn__io->fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        code = rnn__fault_errno(f, folder, "folder cannot be synced");
    if (fd >= 0)
        rnn__io->close(fd);
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
    int code = rnn__sync_folder(folder, f);
    free(folder);
    return code;
}

/* What is in it is only safe when its own name is. */
static int make_one(const char *path, struct rnn__fault *f)
{
    struct stat st;
    if (rnn__io->mkdir(path, 0777) == 0)
        return sync_folder_of(path, f);
    if (errno == EEXIST && rnn__io->stat(path, &st) == 0 && S_ISDIR(st.st_mode))
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

/* ---- writing ---- */

int rnn__write_all(int fd, const char *path, const void *data, size_t bytes,
                   struct rnn__fault *f)
{
    for (const char *at = data; bytes > 0;) {
        ssize_t n = rnn__io->write(fd, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return rnn__fault_errno(f, path, "cannot be written");
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int write_pieces(int fd, const char *path, const struct rnn__piece *piece,
                        int n_piece, struct rnn__fault *f)
{
    int code = 0;
    for (int i = 0; i < n_piece && !code; i++)
        code = rnn__write_all(fd, path, piece[i].data, piece[i].bytes, f);
    return code;
}

/* What a killed run left under the temporary name is ours to replace. */
static int open_beside(const char *path)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = rnn__io->open(path, flags, 0666);
    if (fd < 0 && errno == EEXIST && rnn__io->unlink(path) == 0)
        fd = rnn__io->open(path, flags, 0666);
    return fd;
}

static int write_beside(const char *path, const struct rnn__piece *piece, int n_piece,
                        struct rnn__fault *f)
{
    int fd = open_beside(path);
    if (fd < 0)
        return rnn__fault_errno(f, path, "cannot be created");
    int code = write_pieces(fd, path, piece, n_piece, f);
    if (!code && rnn__io->fsync(fd) != 0)
        code = rnn__fault_errno(f, path, "cannot be synced");
    if (rnn__io->close(fd) != 0 && !code)
        code = rnn__fault_errno(f, path, "cannot be closed");
    return code;
}

bool rnn__same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* "PATH.tmp"; NULL: no memory. */
static char *name_beside(const char *path)
{
    struct rnn__string beside = {0};
    rnn__put(&beside, "%s.tmp", path);
    if (!beside.failed)
        return beside.text;
    free(beside.text);
    return NULL;
}

int rnn__stage_file(const char *path, const struct rnn__piece *piece, int n_piece,
                    struct rnn__fault *f)
{
    char *beside = name_beside(path);
    if (!beside)
        return rnn__fault_memory(f);
    int code = write_beside(beside, piece, n_piece, f);
    if (code)
        rnn__io->unlink(beside);
    free(beside);
    return code;
}

int rnn__commit_file(const char *path, struct rnn__fault *f)
{
    char *beside = name_beside(path);
    if (!beside)
        return rnn__fault_memory(f);
    int code = 0;
    if (rnn__io->rename(beside, path) != 0)
        code = rnn__fault_errno(f, path, "cannot be replaced");
    free(beside);
    return code ? code : sync_folder_of(path, f);
}

void rnn__drop_file(const char *path)
{
    char *beside = name_beside(path);
    if (beside)
        rnn__io->unlink(beside);
    free(beside);
}

int rnn__write_file(const char *path, const struct rnn__piece *piece, int n_piece,
                    struct rnn__fault *f)
{
    int code = rnn__stage_file(path, piece, n_piece, f);
    if (!code && (code = rnn__commit_file(path, f)) != 0)
        rnn__drop_file(path);
    return code;
}

int rnn__stage_text(const char *path, struct rnn__string *s, struct rnn__fault *f)
{
    int code = s->failed
                   ? rnn__fault_memory(f)
                   : rnn__stage_file(path, &(struct rnn__piece){s->text, s->length}, 1, f);
    free(s->text);
    *s = (struct rnn__string){0};
    return code;
}

int rnn__write_text(const char *folder, const char *name, struct rnn__string *s,
                    struct rnn__fault *f)
{
    char *path = rnn__path_join(folder, name);
    s->failed = s->failed || !path;
    int code = rnn__stage_text(path, s, f);
    if (!code && (code = rnn__commit_file(path, f)) != 0)
        rnn__drop_file(path);
    free(path);
    return code;
}

/* ---- numbers in bytes, checksum ---- */

uint64_t rnn__little_endian(const unsigned char *at, int n)
{
    uint64_t value = 0;
    for (int i = n - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* Reflected polynomial 0x1EDC6F41 of RFC 3720, appendix B.4. table[k][b] is the remainder
   of byte b with k zero bytes behind it, so that eight bytes are taken at once (Kounavis
   and Berry 2008, "slicing by eight"). */
static uint32_t table[8][256];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t byte = i;
        for (int bit = 0; bit < 8; bit++)
            byte = (byte >> 1) ^ (byte & 1 ? 0x82F63B78u : 0);
        table[0][i] = byte;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++)
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xFF];
}

uint32_t rnn__crc32c(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    pthread_once(&table_made, make_table);
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint32_t next = 0;
        for (int i = 0; i < 8; i++)
            next ^= table[7 - i][at[i] ^ (i < 4 ? crc >> 8 * i & 0xFF : 0)];
        crc = next;
    }
    for (; bytes > 0; bytes--, at++)
        crc = (crc >> 8) ^ table[0][(crc ^ *at) & 0xFF];
    return ~crc;
}
