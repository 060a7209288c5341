/*
 * test_io_faults.c — files that cannot be written or read: every call of a run about files
 * fails in turn, by the table that all go through; then a full disk, short counts, a folder
 * that cannot be written, closed standard files. Each time the run ends with a documented
 * exit status and a sentence, what was saved before is sound, and a resumed run ends with
 * the bits of one that nothing happened to.
 */
#include "trainer_run.h"

#include <errno.h>
#include <sys/resource.h>

/* ---- a table that fails ---- */

static int n_call, fail_from, fail_to, fail_errno, n_saved, n_instant;
static bool writes_only;

/* Counts a call; true: it shall fail. */
static bool fails(bool is_write)
{
    if (writes_only && !is_write)
        return false;
    n_call++;
    errno = fail_errno;
    return n_call >= fail_from && n_call <= fail_to;
}

static int bad_open(const char *path, int flags, mode_t mode)
{
    bool writes = (flags & O_CREAT) != 0;
    return fails(writes) ? -1 : rnn__io_system.open(path, flags, mode);
}
/* As the system does: closed all the same. */
static int bad_close(int fd)
{
    bool bad = fails(false);
    int status = rnn__io_system.close(fd);
    errno = fail_errno;
    return bad ? -1 : status;
}
static ssize_t bad_read(int fd, void *out, size_t n)
{
    return fails(false) ? -1 : rnn__io_system.read(fd, out, n);
}
static ssize_t bad_pread(int fd, void *out, size_t n, off_t at)
{
    return fails(false) ? -1 : rnn__io_system.pread(fd, out, n, at);
}
static ssize_t bad_write(int fd, const void *data, size_t n)
{
    return fails(true) ? -1 : rnn__io_system.write(fd, data, n);
}
static int bad_fsync(int fd) { return fails(true) ? -1 : rnn__io_system.fsync(fd); }
static int bad_ftruncate(int fd, off_t n)
{
    return fails(true) ? -1 : rnn__io_system.ftruncate(fd, n);
}
static int bad_fstat(int fd, struct stat *st)
{
    return fails(false) ? -1 : rnn__io_system.fstat(fd, st);
}
static int bad_stat(const char *path, struct stat *st)
{
    return fails(false) ? -1 : rnn__io_system.stat(path, st);
}
static int bad_lock(int fd) { return fails(false) ? -1 : rnn__io_system.lock(fd); }
static int bad_mkdir(const char *path, mode_t mode)
{
    return fails(true) ? -1 : rnn__io_system.mkdir(path, mode);
}
static int bad_rename(const char *from, const char *to)
{
    if (fails(true))
        return -1;
    n_saved += strstr(to, "checkpoint_") && !strstr(to, "best");
    n_instant += strcmp(to, "f/checkpoint_0.safetensors") == 0;
    return rnn__io_system.rename(from, to);
}
static int bad_unlink(const char *path)
{
    return fails(false) ? -1 : rnn__io_system.unlink(path);
}
static DIR *bad_opendir(const char *path)
{
    return fails(false) ? NULL : rnn__io_system.opendir(path);
}

static const struct rnn__io bad_io = {
    bad_open,  bad_close, bad_read, bad_pread, bad_write,  bad_fsync,  bad_ftruncate,
    bad_fstat, bad_stat,  bad_lock, bad_mkdir, bad_rename, bad_unlink, bad_opendir};

/* Runs the trainer in this process, over the given table. */
static int run_over(const struct rnn__io *io, const char *line)
{
    n_call = n_saved = n_instant = 0;
    rnn__io = io;
    int status = run_settings(trainer_settings, line);
    rnn__io = &rnn__io_system;
    return status;
}

/* ---- what must hold after any of them ---- */

static void check_end(int status, const char *what)
{
    bool documented = status == 0 || status == 4 || status == 5 || status == 9;
    CHECK(documented, "%s: exit status %d: %s", what, status, errors);
    CHECK(status == 0 || strstr(errors, "trainer: error: "),
          "%s: status %d without a sentence", what, status);
    CHECK(n_saved == 0 || trainer_has_checkpoint("f"), "%s: no checkpoint is left", what);
    int again = run_over(&rnn__io_system, trainer_line("f"));
    CHECK(again == 0, "%s: resumed: exit status %d: %s", what, again, errors);
    CHECK(same_tensors("f/checkpoint_8.safetensors", "whole/checkpoint_8.safetensors"),
          "%s: the last state differs", what);
    DIR *dir = opendir("f");
    for (struct dirent *d; dir && (d = readdir(dir));)
        CHECK(!strstr(d->d_name, ".tmp"), "%s: %s is left", what, d->d_name);
    if (dir)
        closedir(dir);
}

/* ---- the sweeps ---- */

/* The calls of a run in which nothing fails. */
static int calls_of_a_run(void)
{
    fail_from = INT32_MAX;
    scratch_remove("f", 1);
    CHECK(run_over(&bad_io, "--quiet --out f") == 0, "%s", errors);
    return n_call;
}

/* From the n-th call on, `length` calls fail; for each `step`-th n. */
static void sweep(int error, int length, bool only_writes, int step)
{
    writes_only = only_writes;
    int n = calls_of_a_run(), n_failed = 0;
    for (fail_from = 1; fail_from <= n; fail_from += step) {
        char what[64];
        snprintf(what, sizeof what, "%s%s from call %d on", strerror(error),
                 only_writes ? ", writing," : "", fail_from);
        fail_errno = error;
        fail_to = length > INT32_MAX - fail_from ? INT32_MAX : fail_from + length - 1;
        scratch_remove("f", 1);
        int status = run_over(&bad_io, "--quiet --out f");
        n_failed += status != 0;
        check_end(status, what);
    }
    CHECK(n > 80 && n_failed > 0, "%d calls, %d runs failed", n, n_failed);
}

static void test_any_call_may_fail_once(void)
{
    sweep(EIO, 1, false, 1);
    sweep(ENOSPC, 1, true, 1);
    sweep(EMFILE, 1, false, 7);
}

static void test_the_disk_may_be_full_from_any_call_on(void)
{
    sweep(ENOSPC, INT32_MAX, true, 3);
    sweep(EROFS, INT32_MAX, true, 5);
}

/* A run from a checkpoint meets the same. */
static void test_a_resume_may_fail_at_any_call(void)
{
    writes_only = false;
    fail_errno = EIO;
    for (fail_from = 1; fail_from < 60; fail_from++) {
        char what[64];
        snprintf(what, sizeof what, "resume, call %d", fail_from);
        scratch_remove("f", 1);
        fail_to = fail_from;
        CHECK(run_over(&rnn__io_system, "--quiet --out f --max-iterations 5") == 0, "%s",
              errors);
        int status = run_over(&bad_io, "--quiet --resume f");
        n_saved = 1;
        check_end(status, what);
    }
}

static bool spec_is_of_nine(void)
{
    char *spec = scratch_read("f/spec.yaml");
    bool is = strstr(spec, "# --seed 9") != NULL;
    free(spec);
    return is;
}

/* ---- a run that takes another's folder ---- */

/* Which run's last state the folder ends with, gone on in: 9 or 1, 0: neither. */
static int seed_of_the_end(const char *what)
{
    int status = run_over(&rnn__io_system, "--quiet --resume f");
    CHECK(status == 0, "%s: resumed: exit status %d: %s", what, status, errors);
    if (same_tensors("f/checkpoint_8.safetensors", "nine/checkpoint_8.safetensors"))
        return 9;
    return same_tensors("f/checkpoint_8.safetensors", "whole/checkpoint_8.safetensors");
}

/* How runs ended that failed behind the instant. */
static struct {
    int older, newer, undecided;
} n_taken;

/* The spec that is there is that of the run which --resume goes on with, unless the disk
   does not say whether it has it, or does not let the new run's checkpoint go back. The
   older run's are there, set aside or not, while the folder is not all the new one's. */
static void check_taken(int status, const char *what)
{
    bool is_nine = spec_is_of_nine(), is_behind = n_instant > 0,
         may_differ = strstr(errors, "f: folder cannot be") || strstr(errors, "in .aside");
    bool is_left = scratch_exists("f/checkpoint_5_chunk_3.safetensors") ||
                   scratch_exists("f/checkpoint_5_chunk_3.safetensors.aside");
    int end = seed_of_the_end(what);
    CHECK(end != 0, "%s: the last state is no run's", what);
    CHECK(may_differ || is_nine == (end == 9),
          "%s: the spec is not that of the last state, of seed %d", what, end);
    CHECK(is_left || (is_nine && end == 9), "%s: the older run is not left", what);
    if (status == 0 || !is_behind)
        return;
    n_taken.undecided += is_nine != (end == 9);
    *(end == 9 ? &n_taken.newer : &n_taken.older) += 1;
}

/* From each call on `length` fail, until a run does not come so far. */
static void sweep_taking(int error, int length, bool only_writes)
{
    writes_only = only_writes;
    memset(&n_taken, 0, sizeof n_taken);
    n_call = 1;
    for (fail_from = 1; n_call >= fail_from - 1; fail_from++) {
        char what[64];
        snprintf(what, sizeof what, "taking, %s, %d from call %d on", strerror(error),
                 length, fail_from);
        scratch_remove("f", 1);
        CHECK(run_over(&rnn__io_system, "--quiet --out f --max-iterations 5") == 0, "%s",
              errors);
        fail_errno = error;
        fail_to = length > INT32_MAX - fail_from ? INT32_MAX : fail_from + length - 1;
        int status =
            run_over(&bad_io, "--quiet --out f --overwrite --seed 9 --max-iterations 1");
        int n = n_call;
        check_taken(status, what);
        n_call = n;
    }
}

static void test_taking_a_folder_may_fail_at_any_call(void)
{
    CHECK(run_over(&rnn__io_system, "--quiet --out nine --seed 9") == 0, "%s", errors);
    sweep_taking(EIO, 1, false);
    CHECK(n_taken.older > 0 && n_taken.newer > 0, "%d runs left the older, %d the new one",
          n_taken.older, n_taken.newer);
    sweep_taking(EIO, INT32_MAX, false);
    CHECK(n_taken.undecided > 0, "each was undone");
    sweep_taking(ENOSPC, INT32_MAX, true);
    CHECK(n_taken.undecided > 0, "each was undone");
}

/* ---- the order of a checkpoint's calls, for the sake of power loss ---- */

/* What was written last to each path, and whether it has been synced since. */
static struct {
    char path[256];
    int fd; /* -1: closed */
    bool dirty;
} known[64];
static int n_known, n_renamed, n_removed;
static bool folder_synced;

static int known_path(const char *path)
{
    int i = 0;
    while (i < n_known && strcmp(known[i].path, path) != 0)
        i++;
    if (i == n_known && n_known < 63)
        n_known++;
    snprintf(known[i].path, sizeof known[i].path, "%s", path);
    return i;
}
static int known_fd(int fd)
{
    int i = 0;
    while (i < n_known && known[i].fd != fd)
        i++;
    return i;
}
static int seen_open(const char *path, int flags, mode_t mode)
{
    int fd = rnn__io_system.open(path, flags, mode);
    known[known_path(path)].fd = fd;
    return fd;
}
static int seen_close(int fd)
{
    known[known_fd(fd)].fd = -1;
    return rnn__io_system.close(fd);
}
static ssize_t seen_write(int fd, const void *data, size_t n)
{
    known[known_fd(fd)].dirty = true;
    return rnn__io_system.write(fd, data, n);
}
static int seen_fsync(int fd)
{
    int i = known_fd(fd);
    known[i].dirty = false;
    folder_synced = folder_synced || strcmp(known[i].path, "f") == 0;
    return rnn__io_system.fsync(fd);
}
static int seen_rename(const char *from, const char *to)
{
    CHECK(!known[known_path(from)].dirty, "%s is renamed before it is synced", from);
    if (strstr(to, "checkpoint_")) {
        n_renamed++;
        CHECK(!known[known_path("f/log.jsonl")].dirty || strstr(to, "best"),
              "%s knows lines of the log that are not synced", to);
    }
    folder_synced = false;
    return rnn__io_system.rename(from, to);
}
static int seen_unlink(const char *path)
{
    n_removed++;
    CHECK(folder_synced, "%s is removed before the folder is synced", path);
    return rnn__io_system.unlink(path);
}

/* What a power loss may undo is never what an older checkpoint was given up for. */
static void test_nothing_is_given_up_before_what_replaces_it_is_safe(void)
{
    struct rnn__io seen = rnn__io_system;
    seen.open = seen_open, seen.close = seen_close, seen.write = seen_write;
    seen.fsync = seen_fsync, seen.rename = seen_rename, seen.unlink = seen_unlink;
    scratch_remove("f", 1);
    CHECK(run_over(&seen, "--quiet --out f") == 0, "%s", errors);
    CHECK(n_renamed > 8 && n_removed > 2, "%d renamed, %d removed", n_renamed, n_removed);
}

/* ---- what is read, once ---- */

static int n_opened;

static int count_open(const char *path, int flags, mode_t mode)
{
    n_opened += strstr(path, "f/checkpoint_5") && !strstr(path, ".tmp");
    return rnn__io_system.open(path, flags, mode);
}

/* The file that was found whole is the one that is read. */
static void test_a_resumed_run_opens_its_checkpoint_once(void)
{
    struct rnn__io counts = rnn__io_system;
    counts.open = count_open;
    scratch_remove("f", 1);
    CHECK(run_over(&rnn__io_system, "--quiet --out f --max-iterations 5") == 0, "%s",
          errors);
    CHECK(run_over(&counts, "--quiet --resume f") == 0, "%s", errors);
    CHECK(n_opened == 1, "opened %d times", n_opened);
}

/* ---- counts that are short, calls that are interrupted ---- */

static ssize_t few_write(int fd, const void *data, size_t n)
{
    errno = EINTR;
    return n_call++ % 3 == 0 ? -1 : rnn__io_system.write(fd, data, n > 7 ? 7 : n);
}
static ssize_t few_pread(int fd, void *out, size_t n, off_t at)
{
    errno = EINTR;
    return n_call++ % 3 == 0 ? -1 : rnn__io_system.pread(fd, out, n > 11 ? 11 : n, at);
}

static void test_short_counts_are_gone_on_from(void)
{
    struct rnn__io few = rnn__io_system;
    few.write = few_write;
    few.pread = few_pread;
    scratch_remove("f", 1);
    CHECK(run_over(&few, "--quiet --out f --max-iterations 4") == 0, "%s", errors);
    CHECK(run_over(&few, "--quiet --resume f") == 0, "%s", errors);
    for (int i = 0; i < 3; i++)
        CHECK(trainer_same("f", "whole", trainer_results[i]), "%s", trainer_results[i]);
}

/* ---- the process's own limits ---- */

static void limit_file_size(void)
{
    struct rlimit limit = {1500, 1500};
    setrlimit(RLIMIT_FSIZE, &limit);
}
static void close_standard_files(void)
{
    for (int fd = 0; fd < 3; fd++)
        close(fd);
}

/* In a child, behind `prepare`; its exit status. Messages come through a pipe, which no
   limit of files cuts off. */
static int run_behind(void (*prepare)(void), const char *line)
{
    int ends[2];
    size_t n = 0;
    fflush(NULL);
    CHECK(pipe(ends) == 0, "no pipe");
    pid_t child = fork();
    if (child == 0) {
        char words[1024], *argv[32];
        int argc = command_words(line, words, argv);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        prepare();
        _exit(trainer_main(argc, argv));
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], errors + n, sizeof errors - 1 - n)) > 0;)
        n += (size_t)got;
    errors[n] = '\0';
    close(ends[0]);
    return trainer_wait(child);
}

static void test_a_file_size_limit_is_an_error(void)
{
    scratch_remove("f", 1);
    CHECK(run_behind(limit_file_size, "--quiet --out f") == 5, "%s", errors);
    CHECK(strstr(errors, "File too large"), "%s", errors);
    check_end(5, "file size limit");
}

static void test_closed_standard_files_do_not_become_checkpoints(void)
{
    scratch_remove("f", 1);
    CHECK(run_behind(close_standard_files, "--quiet --out f") == 0, "%s", errors);
    for (int i = 0; i < 3; i++)
        CHECK(trainer_same("f", "whole", trainer_results[i]), "%s", trainer_results[i]);
}

static void close_reader(void)
{
    int fd[2];
    if (pipe(fd) == 0) {
        dup2(fd[1], 1);
        close(fd[0]);
        close(fd[1]);
    }
}
static void full_output(void)
{
    int fd = open("/dev/full", O_WRONLY);
    dup2(fd, 1);
}

static void test_standard_output_that_cannot_be_written_is_an_error(void)
{
    static const char *const line[] = {"info", "eval --out whole", "--help"};
    for (int i = 0; i < 3; i++) {
        CHECK(run_behind(close_reader, line[i]) == 5, "%s: %s", line[i], errors);
        CHECK(strstr(errors, "standard output: cannot be written: Broken pipe"), "%s",
              errors);
        CHECK(run_behind(full_output, line[i]) == 5, "%s: %s", line[i], errors);
    }
}

int main(void)
{
    scratch_open_in_memory();
    command_begin();
    CHECK(run_over(&rnn__io_system, "--quiet --out whole") == 0, "%s", errors);
    test_any_call_may_fail_once();
    test_the_disk_may_be_full_from_any_call_on();
    test_a_resume_may_fail_at_any_call();
    test_taking_a_folder_may_fail_at_any_call();
    test_nothing_is_given_up_before_what_replaces_it_is_safe();
    test_a_resumed_run_opens_its_checkpoint_once();
    test_short_counts_are_gone_on_from();
    test_a_file_size_limit_is_an_error();
    test_closed_standard_files_do_not_become_checkpoints();
    test_standard_output_that_cannot_be_written_is_an_error();
    return command_end();
}
