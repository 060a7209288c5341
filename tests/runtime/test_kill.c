/*
 * test_kill.c — a run that is killed or told to stop at any instant, and gone on with, ends
 * with the same bytes as one that was left alone: parameters, optimizer, state, counters,
 * best scores, and the log.
 *
 * One that takes the folder of another by --overwrite is gone on with, or the other is.
 *
 *     test_kill [N [SEED]]     N kills and N / 2 signals at random instants (50)
 *     test_kill strace         before each system call of the run, by strace; 77 without it
 *     test_kill run …          the trainer itself, for strace
 */
#include "trainer_run.h"

#include <errno.h>

/* ---- at random instants ---- */

static int64_t run_time;

static void run_whole(void)
{
    int64_t begin = trainer_now();
    int status = trainer_wait(trainer_fork("--quiet --out whole"));
    run_time = trainer_now() - begin;
    CHECK(status == 0, "exit status %d", status);
    CHECK(scratch_exists("whole/checkpoint_8.safetensors"), "no last state");
}

/* Ends the run with `number` up to three times, each at a random instant of the time that a
   run takes, then lets it finish. */
static void stop_and_go_on(int trial, int number, int expected, uint64_t *random)
{
    char folder[32], what[64];
    int stops = 1 + (int)(trainer_random(random) % 3), status = -1;
    snprintf(folder, sizeof folder, "k%d_%d", number, trial);
    snprintf(what, sizeof what, "signal %d, trial %d", number, trial);
    for (int i = 0; i < stops && status != 0; i++) {
        pid_t child = trainer_fork(trainer_line(folder));
        trainer_sleep((int64_t)(trainer_random(random) % (uint64_t)run_time));
        kill(child, number);
        status = trainer_wait(child);
        /* minus the number: it came before the program had begun to listen */
        CHECK(status == 0 || status == expected || status == -number, "%s: status %d", what,
              status);
    }
    trainer_finish(folder, "whole", what);
    scratch_remove(folder, 1);
}

static void test_killed_at_random_instants(int n, uint64_t *random)
{
    for (int i = 0; i < n; i++)
        stop_and_go_on(i, SIGKILL, -SIGKILL, random);
}

static void test_told_to_stop_at_random_instants(int n, uint64_t *random)
{
    static const struct {
        int number, status;
    } list[] = {{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 143}};
    for (int i = 0; i < n; i++)
        stop_and_go_on(i, list[i % 3].number, list[i % 3].status, random);
}

/* ---- a run that takes another's folder ---- */

/* The folder is one of a run of another seed, which has not ended. */
static void run_other(const char *folder, const char *end)
{
    char line[96];
    snprintf(line, sizeof line, "--quiet --out %s --seed 9 %s", folder, end);
    int status = trainer_wait(trainer_fork(line));
    CHECK(status == 0, "%s: exit status %d", line, status);
}

/* Goes on with what is there: true if the new run is, which has then ended as it does
   undisturbed; else the other has. */
static bool finish_either(const char *folder, const char *what)
{
    char line[64];
    snprintf(line, sizeof line, "--quiet --resume %s", folder);
    int status = trainer_wait(trainer_fork(line));
    char *said = scratch_read("errors.txt");
    CHECK(status == 0, "%s: exit status %d: %s", what, status, said);
    bool is_new = trainer_same(folder, "whole", trainer_results[0]);
    for (int i = 0; i < 3; i++)
        CHECK(trainer_same(folder, is_new ? "whole" : "nine", trainer_results[i]),
              "%s: %s differs", what, trainer_results[i]);
    free(said);
    scratch_remove(folder, 1);
    return is_new;
}

static void test_taking_a_folder_is_killed_at_random_instants(int n, uint64_t *random)
{
    for (int i = 0; i < n; i++) {
        char what[32];
        snprintf(what, sizeof what, "taking, trial %d", i);
        run_other("t", "--max-iterations 3");
        pid_t child = trainer_fork("--quiet --out t --overwrite");
        trainer_sleep((int64_t)(trainer_random(random) % (uint64_t)run_time));
        kill(child, SIGKILL);
        trainer_wait(child);
        finish_either("t", what);
    }
}

/* ---- before each system call ---- */

static char self[1024];

/* Runs this program's trainer under strace with the given -e; the exit status. */
static int run_traced(char *argument, const char *line)
{
    char words[1024], *own[32];
    char *argv[64] = {"strace", "-f",     "-s", "200", "-o",        "trace.txt",
                      "-e",     argument, self, "run", "--threads", "1"};
    int n = command_words(line, words, own), first = 0;
    while (argv[first])
        first++;
    for (int i = 1; i < n; i++)
        argv[first + i - 1] = own[i];
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int err = open("errors.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(err, 2);
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it cannot where strace traces */
        execvp("strace", argv);
        _exit(127);
    }
    return trainer_wait(child);
}

enum { CALLS_MAX = 2000, NAME_MAX_BYTES = 24 };

/* A system call of the run, and the how many-th of its name it is. */
struct call {
    char name[NAME_MAX_BYTES];
    int number;
};

/* The calls from the run's folder being made to the last that names `last` (NULL: to the
   end). */
static int read_calls(struct call *call, const char *last)
{
    FILE *file = fopen("trace.txt", "r");
    char line[4096];
    static struct call seen[256];
    int n = 0, n_seen = 0, end = 0;
    bool begun = false;
    memset(seen, 0, sizeof seen);
    while (file && fgets(line, sizeof line, file) && n < CALLS_MAX) {
        char name[NAME_MAX_BYTES];
        if (sscanf(line, "%*d %23[a-z0-9_](", name) != 1)
            continue;
        int i = 0;
        while (i < n_seen && strcmp(seen[i].name, name) != 0)
            i++;
        if (i == n_seen && n_seen < 255)
            memcpy(seen[n_seen++].name, name, sizeof name);
        seen[i].number++;
        begun = begun || strstr(line, "mkdir");
        if (begun)
            call[n++] = seen[i];
        end = !last || strstr(line, last) ? n : end;
    }
    if (file)
        fclose(file);
    return end;
}

/* Kills the run before the call; true: it was killed. */
static bool run_killed_before(const struct call *call, const char *line)
{
    char inject[96];
    snprintf(inject, sizeof inject, "inject=%.23s:signal=KILL:when=%d", call->name,
             call->number);
    return run_traced(inject, line) != 0;
}

static void test_killed_before_each_system_call(void)
{
    static struct call call[CALLS_MAX];
    CHECK(run_traced("trace=all", "--quiet --out traced") == 0, "the traced run failed");
    int n = read_calls(call, NULL), killed = 0;
    for (int i = 0; i < n; i++) {
        char what[96];
        snprintf(what, sizeof what, "killed before call %d of %d, %.23s number %d", i, n,
                 call[i].name, call[i].number);
        killed += run_killed_before(&call[i], "--quiet --out cut");
        trainer_finish("cut", "whole", what);
        scratch_remove("cut", 1);
    }
    printf("%d calls, killed before %d of them\n", n, killed);
    CHECK(n > 60 && killed > n / 2, "%d of %d", killed, n);
}

static void test_taking_a_folder_is_killed_before_each_system_call(void)
{
    static struct call call[CALLS_MAX];
    static const char line[] = "--quiet --out cut --overwrite";
    run_other("cut", "--max-iterations 3");
    CHECK(run_traced("trace=all", line) == 0, "the traced run failed");
    scratch_remove("cut", 1);
    int n = read_calls(call, ".aside"), n_new = 0;
    for (int i = 0; i < n; i++) {
        char what[96];
        snprintf(what, sizeof what, "taking, killed before call %d of %d, %.23s number %d",
                 i, n, call[i].name, call[i].number);
        run_other("cut", "--max-iterations 3");
        run_killed_before(&call[i], line);
        n_new += finish_either("cut", what);
    }
    printf("%d calls while a folder changes hands, %d behind the instant\n", n, n_new);
    CHECK(n_new > 5 && n - n_new > 5, "%d of %d", n_new, n);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return trainer_main(argc - 1, argv + 1);
    bool strace = argc > 1 && strcmp(argv[1], "strace") == 0;
    if (strace && (system("strace -o /dev/null true >/dev/null 2>&1") != 0))
        return check_skip("strace is not there, or may not trace");
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        return 1;
    scratch_open_in_memory();
    command_begin();
    run_whole();
    run_other("nine", "");
    int n = argc > 1 && !strace ? atoi(argv[1]) : 50;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)trainer_now();
    fprintf(stderr, "seed %llu, a run takes %.1f ms\n", (unsigned long long)seed,
            (double)run_time * 1e-6);
    if (strace) {
        test_killed_before_each_system_call();
        test_taking_a_folder_is_killed_before_each_system_call();
    } else {
        test_killed_at_random_instants(n, &seed);
        test_told_to_stop_at_random_instants(n / 2, &seed);
        test_taking_a_folder_is_killed_at_random_instants(n / 2, &seed);
    }
    return command_end();
}
