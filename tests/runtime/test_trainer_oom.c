/*
 * test_trainer_oom.c — a whole run of the trainer while one allocation fails, for each of
 * them: the run ends with exit status 7 (or does without what it could not have), says so,
 * and what it has saved is sound: gone on with, it ends with the bits of an undisturbed
 * run.
 *
 * The linker puts the wrappers below in place of malloc and its kin (--wrap), for JSON
 * values too, whose memory the trainer asks for. The engine's own hook has test_oom.c.
 */
#include "trainer_run.h"

#include <errno.h>

/* NOLINTBEGIN: names that the linker gives */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t n);
int __real_posix_memalign(void **out, size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t n);
int __wrap_posix_memalign(void **out, size_t alignment, size_t n);

static int n_made, fail_at; /* fail_at 0: none */

static bool fails(void)
{
    n_made++;
    if (n_made != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *memory, size_t n)
{
    return fails() ? NULL : __real_realloc(memory, n);
}
int __wrap_posix_memalign(void **out, size_t alignment, size_t n)
{
    return fails() ? ENOMEM : __real_posix_memalign(out, alignment, n);
}
/* NOLINTEND */

static char errors[1 << 14];

/* Runs the trainer in this process with the n-th allocation failing. */
static int run(const char *line, int n)
{
    char words[1024], *argv[32] = {(char[]){"trainer"}};
    int argc = 1;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    fflush(NULL);
    int kept = dup(2), file = open("errors.txt", O_RDWR | O_CREAT | O_TRUNC, 0666);
    dup2(file, 2);
    n_made = 0;
    fail_at = n;
    int status = trainer_main(argc, argv);
    fail_at = 0;
    ssize_t got = pread(file, errors, sizeof errors - 1, 0);
    errors[got < 0 ? 0 : got] = '\0';
    close(file);
    dup2(kept, 2);
    close(kept);
    return status;
}

static bool same_tensors(const char *a, const char *b)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s = {.fd = -1}, t = {.fd = -1};
    bool same = rnn__safetensors_open(&s, a, &f) == 0 &&
                rnn__safetensors_open(&t, b, &f) == 0 && s.n_tensor == t.n_tensor;
    for (int i = 0; same && i < s.n_tensor; i++) {
        uint32_t x = 0, y = 1;
        const struct rnn__tensor *other = rnn__safetensors_find(&t, s.tensor[i].name);
        same = other && rnn__safetensors_sum(&s, &s.tensor[i], &x, &f) == 0 &&
               rnn__safetensors_sum(&t, other, &y, &f) == 0 && x == y;
    }
    rnn__safetensors_close(&s);
    rnn__safetensors_close(&t);
    return same;
}

/* `first`: a command line to run before, undisturbed; or NULL. */
static void sweep(const char *first, const char *line, int step)
{
    int n = 0;
    for (int i = 0; i <= n; i += i ? step : 1) {
        scratch_remove("f", 1);
        if (first)
            CHECK(run(first, 0) == 0, "%s", errors);
        int status = run(line, i);
        if (i == 0)
            n = n_made;
        CHECK(status == 7 || status == 0, "%s, allocation %d of %d: status %d: %s", line, i,
              n, status, errors);
        CHECK(status == 0 || strstr(errors, "memory"), "allocation %d of %d: %s", i, n,
              errors);
        CHECK(run(trainer_line("f"), 0) == 0, "allocation %d: resumed: %s", i, errors);
        CHECK(same_tensors("f/checkpoint_8.safetensors", "whole/checkpoint_8.safetensors"),
              "%s, allocation %d: the last state differs", line, i);
    }
    CHECK(n > 500, "only %d allocations", n);
}

int main(void)
{
    scratch_open_in_memory();
    trainer_corpus();
    if (chdir(scratch_folder) != 0)
        return 1;
    CHECK(run("--quiet --out whole", 0) == 0, "%s", errors);
    sweep(NULL, "--quiet --out f", 11);
    sweep("--quiet --out f --max-iterations 5", "--quiet --resume f", 11);
    if (chdir("/") != 0)
        return 1;
    scratch_close();
    return check_result();
}
