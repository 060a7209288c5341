/*
 * random_cells.c — random cells, interpreter against unfused against fused.
 *
 *     random_cells [HOW_MANY [FIRST_SEED [LINES]]]
 *
 * A failure prints its seed and the shortest of its specs, over the number of lines drawn,
 * that fails as well. LINES is at most how many lines a cell's step has besides its states:
 * 24 for a long search. Half of the seeds each are taken by two processes.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fuzz/generate.h"

enum { HOW_MANY = 100, LINES = 8, PROCESSES = 2 };

static void report(uint64_t seed, int most)
{
    for (int lines = 1; lines <= most; lines++) {
        Arena *a = arena_new();
        Trial t = generate_trial(a, seed, lines);
        bool failed = differential_run(&t) == TRIAL_FAILED;
        if (failed)
            fprintf(stderr, "seed %llu, %d lines, %lld steps, %lld rows:\n%s\n",
                    (unsigned long long)seed, lines, (long long)t.steps, (long long)t.rows,
                    t.text);
        arena_free(a);
        if (failed)
            return;
    }
}

static void test_cells_agree(uint64_t first, int n, int lines, int process)
{
    int unsuitable = 0;
    for (int i = process; i < n; i += PROCESSES) {
        Arena *a = arena_new();
        uint64_t seed = first + (uint64_t)i;
        Trial t = generate_trial(a, seed, lines);
        Outcome o = differential_run(&t);
        CHECK(o != TRIAL_REFUSED, "seed %llu is not well-typed:\n%s",
              (unsigned long long)seed, t.text);
        CHECK(o != TRIAL_FAILED, "seed %llu", (unsigned long long)seed);
        if (o == TRIAL_FAILED)
            report(seed, lines);
        unsuitable += o == TRIAL_UNSUITABLE;
        arena_free(a);
    }
    fprintf(stderr, "seeds %llu to %llu, process %d: %d without suitable inputs\n",
            (unsigned long long)first, (unsigned long long)(first + (uint64_t)n - 1),
            process, unsuitable);
    CHECK(unsuitable * 5 <= n, "%d of %d have no suitable inputs", unsuitable, n);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : HOW_MANY;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int lines = argc > 3 ? atoi(argv[3]) : LINES;
    if (argc > 1 && n == 0) { /* shows the spec of a seed */
        puts(generate_trial(arena_new(), first, lines).text);
        return 0;
    }
    differential_print_levels();
    pid_t child = fork();
    test_cells_agree(first, n, lines, child == 0);
    if (child == 0)
        _exit(check_result());
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == 0,
          "the other process failed");
    return check_result();
}
