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

/* Runs the trainer in this process with the n-th allocation failing. */
static int run(const char *line, int n)
{
    n_made = 0;
    fail_at = n;
    int status = run_settings(trainer_settings, line);
    fail_at = 0;
    return status;
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
    command_begin();
    CHECK(run("--quiet --out whole", 0) == 0, "%s", errors);
    sweep(NULL, "--quiet --out f", 11);
    sweep("--quiet --out f --max-iterations 5", "--quiet --resume f", 11);
    return command_end();
}
