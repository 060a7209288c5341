/*
 * test_rnnc_build.c — rnnc build and rnnc bench as commands: what they leave, what they
 * say.
 *
 *     test_rnnc_build RNNC SPEC
 */
#include "check.h"
#include "runtime/npy_bytes.h"
#include "safetensors.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <jansson.h>

extern char **environ;

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { MOST_BYTES = 1000 * 1000 };

static const char *rnnc, *spec;
static char out_path[256], err_path[256]; /* what the last program wrote */
static char trainer[256];                 /* built once, for several tests */

/* ---- running programs ---- */

/* Runs argv (NULL ends it), its output to out.txt and err.txt of the scratch folder; the
   exit status, or -1. */
static int run_in(char **environment, const char *const *argv)
{
    pid_t child;
    int status = -1;
    posix_spawn_file_actions_t to;
    posix_spawn_file_actions_init(&to);
    posix_spawn_file_actions_addopen(&to, 1, out_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&to, 2, err_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (posix_spawnp(&child, argv[0], &to, NULL, (char **)(uintptr_t)argv, environment) ==
        0)
        waitpid(child, &status, 0);
    posix_spawn_file_actions_destroy(&to);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run_in(environ, (const char *const[]){__VA_ARGS__, NULL})

/* A file of the scratch folder; lives until the next call. */
static const char *written(const char *file)
{
    static char *text;
    free(text);
    return text = scratch_read(scratch_path(file));
}

static const char *built(const char *name)
{
    const char *path = scratch_path(name);
    int status = RUN(rnnc, "build", spec, "-o", path);
    CHECK(status == 0, "status %d: %s", status, written("err.txt"));
    return path;
}

/* ---- a trainer ---- */

static void test_a_trainer_is_small_and_needs_libc_and_libm_alone(void)
{
    struct stat st = {0};
    CHECK(stat(trainer, &st) == 0 && st.st_size > 0 && st.st_size < MOST_BYTES,
          "%lld bytes", (long long)st.st_size);
    CHECK(RUN("ldd", trainer) == 0, "%s", written("err.txt"));
    char *text = scratch_read(out_path);
    const char *const needed[] = {"libc.so", "libm.so", "linux-vdso", "ld-linux"};
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        int known = 0;
        for (int i = 0; i < 4; i++)
            known += strstr(line, needed[i]) != NULL;
        CHECK(known, "the trainer needs %s", line);
    }
    free(text);
}

static void test_a_trainer_trains_as_rnnc_run_does(void)
{
    const char *own = scratch_path("own"), *run = scratch_path("run");
    CHECK(RUN(trainer, "--out", own, "--quiet", "--threads", "1") == 0, "%s",
          written("err.txt"));
    CHECK(RUN(rnnc, "run", spec, "--out", run, "--quiet", "--threads", "1") == 0, "%s",
          written("err.txt"));
    char a[1100], b[1100];
    snprintf(a, sizeof a, "%s/checkpoint_1.safetensors", own);
    snprintf(b, sizeof b, "%s/checkpoint_1.safetensors", run);
    CHECK(RUN("cmp", a, b) == 0, "the checkpoints differ: %s", written("out.txt"));
}

/* ---- dtype: f64 ---- */

/* Trains with doubles in two parts and in one; the last checkpoint of each. */
static void train_doubles(const char *program, char *whole, char *parts, size_t n)
{
    snprintf(whole, n, "%s", scratch_path("f64"));
    snprintf(parts, n, "%s", scratch_path("f64_parts"));
    CHECK(RUN(program, "--out", whole, "--quiet") == 0, "%s", written("err.txt"));
    CHECK(RUN(program, "--out", parts, "--quiet", "--max-iterations", "1") == 0, "%s",
          written("err.txt"));
    CHECK(RUN(program, "--resume", parts, "--quiet") == 0, "%s", written("err.txt"));
    strncat(whole, "/checkpoint_3.safetensors", n - strlen(whole) - 1);
    strncat(parts, "/checkpoint_3.safetensors", n - strlen(parts) - 1);
}

static void test_a_trainer_of_doubles_keeps_all_digits_in_its_files(void)
{
    char program[256], whole[1100], parts[1100];
    snprintf(program, sizeof program, "%s", scratch_path("doubles"));
    CHECK(RUN(rnnc, "build", spec, "--set", "dtype=f64", "--set", "data.train.sequences=12",
              "-o", program) == 0,
          "%s", written("err.txt"));
    train_doubles(program, whole, parts, sizeof whole);
    CHECK(RUN("grep", "-a", "-c", "\"dtype\":\"F64\"", whole) == 0, "no F64 in it");
    CHECK(RUN("grep", "-a", "-c", "\"dtype\":\"F32\"", whole) == 1, "F32 in it");
    CHECK(RUN("cmp", whole, parts) == 0, "resumed: %s", written("out.txt"));

    static const double x[3][2] = {{0.1, 0.2}, {0.3, -0.4}, {1, 2}};
    char in[256], out[256];
    snprintf(in, sizeof in, "%s",
             npy_write("x.npy", 1, npy_header("<f8", "(3, 2)"), x, sizeof x));
    snprintf(out, sizeof out, "%s", scratch_path("y.npy"));
    CHECK(RUN(program, "predict", "--init", whole, "--input", in, "--output", out) == 0,
          "%s", written("err.txt"));
    CHECK(RUN("grep", "-a", "-c", "'<f8'.*(3, 1,)", out) == 0, "not three doubles");
}

static void test_check_and_info_count_doubles(void)
{
    CHECK(RUN(rnnc, "check", spec, "--set", "dtype=f64") == 0, "%s", written("err.txt"));
    CHECK(strstr(written("out.txt"), "7.63 KiB"), "977 doubles: %s", written("out.txt"));
    CHECK(RUN(scratch_path("doubles"), "info") == 0, "%s", written("err.txt"));
    CHECK(strstr(written("out.txt"), "dtype      f64\n"), "%s", written("out.txt"));
}

static void test_a_trainer_refuses_keys_that_are_compiled_in(void)
{
    CHECK(RUN(trainer, "--set", "inputs.x=[3]") == 2, "it was taken");
    CHECK(strstr(written("err.txt"), "rnnc build"), "%s", written("err.txt"));
}

/* Which values a number takes is known from its use, and compiled in. */
static void test_a_trainer_refuses_numbers_out_of_their_range(void)
{
    const char *path = scratch_path("ranges");
    int status = RUN(rnnc, "build", spec, "--set", "optimizer.accumulate=2", "--set",
                     "model=rnn = gru(x, hidden=4, layers=2, dropout=0.5)", "--set",
                     "loss=mean(rnn^2) + mean(y^2)", "-o", path);
    CHECK(status == 0, "%s", written("err.txt"));
    status = RUN(path, "--set", "rnn.dropout=1.5");
    CHECK(status == 2 && strstr(written("err.txt"), "'1.5' is not a number from 0 to 1"),
          "status %d: %s", status, written("err.txt"));
    status = RUN(path, "--set", "optimizer.accumulate=2.5");
    CHECK(status == 2 && strstr(written("err.txt"), "'2.5' is not a whole number from 1"),
          "status %d: %s", status, written("err.txt"));
    status = RUN(path, "info", "--set", "rnn.dropout=1", "--set", "optimizer.accumulate=3");
    CHECK(status == 0, "status %d: %s", status, written("err.txt"));
}

/* A number that no key of the spec is: rnnc run takes it as a built trainer does. */
static void test_a_run_sets_numbers_of_the_model(void)
{
    static const char model[] = "model=rnn = gru(x, hidden=4, layers=2, dropout=0.5)";
    const char *loss = "loss=mean(rnn^2) + mean(y^2)", *number = "--set=rnn.dropout=0.25";
    int status = RUN(rnnc, "run", spec, "info", "--set", model, "--set", loss, number);
    CHECK(status == 0, "status %d: %s", status, written("err.txt"));
    status = RUN(rnnc, "run", spec, "info", "--set", model, "--set", loss, "--set",
                 "rnn.dropout=1.5");
    CHECK(status == 2 && strstr(written("err.txt"), "'1.5' is not a number from 0 to 1"),
          "status %d: %s", status, written("err.txt"));
    status = RUN(rnnc, "run", spec, "info", "--set", "rnn.dropout=0.5");
    CHECK(status == 2 && strstr(written("err.txt"), "there is no such key or number"),
          "status %d: %s", status, written("err.txt"));
}

static void test_a_run_without_any_loss_says_so(void)
{
    int status =
        RUN(rnnc, "run", spec, "--out", scratch_path("warm"), "--set", "tbptt.burn_in=100");
    CHECK(status == 0 && strstr(written("err.txt"), "no step of the last batch counted"),
          "status %d: %s", status, written("err.txt"));
}

static void test_the_same_spec_gives_the_same_bytes(void)
{
    const char *again = built("again");
    CHECK(RUN("cmp", trainer, again) == 0, "%s", written("out.txt"));
}

static void test_a_trainer_refuses_a_machine_below_its_level(void)
{
    const char *path = scratch_path("v4");
    struct utsname host;
    if (uname(&host) != 0 || strcmp(host.machine, "x86_64") != 0)
        return;
    int status = RUN(rnnc, "build", spec, "--target", "x86-64-v4", "-o", path);
    CHECK(status == 0, "%s", written("err.txt"));
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx512f"))
        CHECK(RUN(path, "info") == 8 && strstr(written("err.txt"), "avx512f"), "%s",
              written("err.txt"));
#endif
}

/* ---- parts ---- */

static void test_several_kinds_stand_beside_each_other(void)
{
    static const char *const suffixes[] = {"", ".o", ".ll", ".s", ".h", ".a", ".so"};
    const char *path = scratch_path("parts");
    int status = RUN(rnnc, "build", spec, "-o", path, "--emit",
                     "exe,obj,llvm,asm,header,static,lib");
    CHECK(status == 0, "%s", written("err.txt"));
    for (int i = 0; i < 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "parts%s", suffixes[i]);
        CHECK(scratch_exists(scratch_path(name)), "%s is missing", name);
    }
    CHECK(strstr(written("parts.h"), "extern const struct rnn_model rnn_model_"), "%s",
          written("parts.h"));
    CHECK(!strstr(written("parts.h"), "/tmp"), "the header tells a path");
    void *library = dlopen(scratch_path("parts.so"), RTLD_NOW);
    const struct rnn_model *m = library ? dlsym(library, "rnn_model_adder") : NULL;
    CHECK(m && m->abi_version == RNN_ABI_VERSION && strcmp(m->name, "adder") == 0, "%s",
          m ? m->name : "the library does not have the model");
    if (library)
        dlclose(library);
}

/* ---- mistakes ---- */

static void test_a_build_that_fails_leaves_what_stood_there(void)
{
    char *nothing[] = {(char[]){"PATH=/nonexistent"}, NULL};
    const char *path = scratch_write("before", "as it was", 9);
    const char *const command[] = {rnnc, "build", spec, "-o", path, NULL};
    CHECK(run_in(nothing, command) == 8, "%s", written("err.txt"));
    CHECK(strstr(written("err.txt"), "'cc'"), "%s", written("err.txt"));
    CHECK_TEXT(written("before"), "as it was");
}

static void test_mistakes_have_their_exit_status(void)
{
    const char *path = scratch_path("x");
    CHECK(RUN(rnnc, "build", spec, "-o", path, "--emit", "elf") == 2, "%s",
          written("err.txt"));
    CHECK(RUN(rnnc, "build", spec) == 2, "%s", written("err.txt"));
    CHECK(RUN(rnnc, "build", scratch_path("none.yaml"), "-o", path) == 3, "%s",
          written("err.txt"));
    CHECK(RUN(rnnc, "build", spec, "-o", scratch_path("no/folder")) == 5, "%s",
          written("err.txt"));
    CHECK(!scratch_exists(path), "a build that failed left a file");
}

/* ---- bench ---- */

static double number_at(const json_t *o, const char *key, const char *inner)
{
    return json_number_value(json_object_get(json_object_get(o, key), inner));
}

/* Kernels are parts of the chunk: together about as long. Taking times costs some, and the
   machine may be slower while they run; ten times is a wrong unit or a wrong count. */
static void check_kernels(const json_t *kernels, double chunk_us)
{
    double us = 0, products = 0;
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const json_t *kernel = json_array_get(kernels, i);
        us += json_number_value(json_object_get(kernel, "us"));
        products += json_number_value(json_object_get(kernel, "gflops"));
        CHECK(json_number_value(json_object_get(kernel, "expected_us")) >= 0, "kernel %zu",
              i);
        CHECK(json_string_length(json_object_get(kernel, "name")) > 0, "kernel %zu", i);
    }
    CHECK(us > 0.1 * chunk_us && us < 10 * chunk_us, "kernels %g us, a chunk %g us", us,
          chunk_us);
    CHECK(products > 0, "no product among them");
}

static void test_bench_tells_times_of_both_in_one_line(void)
{
    int status = RUN(rnnc, "bench", spec, "--json", "--threads", "1", "--secs", "0.2");
    CHECK(status == 0, "status %d: %s", status, written("err.txt"));
    json_t *o = json_loads(written("out.txt"), 0, NULL);
    CHECK(o, "not JSON: %s", written("out.txt"));
    const char *const variants[] = {"fused", "unfused"};
    for (int i = 0; i < 2; i++) {
        double p10 = number_at(o, variants[i], "p10_us");
        double median = number_at(o, variants[i], "us_per_chunk");
        double p90 = number_at(o, variants[i], "p90_us");
        CHECK(0 < p10 && p10 <= median && median <= p90, "%s: %g, %g, %g", variants[i], p10,
              median, p90);
    }
    CHECK(json_number_value(json_object_get(o, "peak_gflops")) > 0, "no peak");
    CHECK(json_array_size(json_object_get(o, "kernels")) > 0, "no kernels");
    check_kernels(json_object_get(o, "plan"), number_at(o, "fused", "p90_us"));
    check_kernels(json_object_get(o, "unfused_plan"), number_at(o, "unfused", "p90_us"));
    json_decref(o);
}

/* ---- kernels that tell of themselves ---- */

/* In columns: a letter's later bytes take none. */
static int width_of(const char *line, size_t bytes)
{
    int n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)line[i] & 0xc0) != 0x80;
    return n;
}

static void test_kernels_are_timed_where_they_were_compiled_for_it(void)
{
    const char *marked = scratch_path("marked"), *folder = scratch_path("profiled");
    const char *trace = scratch_path("trace.json");
    CHECK(RUN(rnnc, "build", spec, "--profile", "-o", marked) == 0, "%s",
          written("err.txt"));
    CHECK(RUN(marked, "--out", folder, "--profile", "--trace-out", trace) == 0, "%s",
          written("err.txt"));
    const char *said = written("err.txt");
    CHECK(strstr(said, "kernels, all threads") && strstr(said, "forward ") &&
              strstr(said, "backward ") && strstr(said, "update "),
          "%s", said);
    CHECK(strstr(written("trace.json"), "\"name\": \"forward ") != NULL,
          "no kernel is drawn");
    CHECK(RUN(trainer, "--out", folder, "--overwrite", "--profile") == 0, "%s",
          written("err.txt"));
    said = written("err.txt");
    CHECK(strstr(said, "compiled without marks") && !strstr(said, "kernels, all"), "%s",
          said);
}

/* Of a table whose names may have letters of several bytes, as of Wᵀ. */
static void test_a_profile_stands_in_columns(void)
{
    static const char text[] =
        "rnnc: 1\ninputs: {x: [3]}\nmodel: h = gru(x, hidden=3)\nloss: sum(h)\n"
        "optimizer: sgd(lr=1)\ndata: {train: {random: true, batch: 2, steps: 3}}\n";
    scratch_write("columns.yaml", text, sizeof text - 1);
    const char *path = scratch_path("columns.yaml"), *folder = scratch_path("columns");
    CHECK(RUN(rnnc, "run", path, "--profile", "--out", folder) == 0, "%s",
          written("err.txt"));
    const char *said = written("err.txt"), *table = strstr(said, "kernels, all threads");
    CHECK(table && strstr(table, "ᵀ"), "no such name: %s", said);
    const char *line = table ? strchr(table, '\n') + 1 : "";
    int width = width_of(line, strcspn(line, "\n"));
    for (; *line; line += strcspn(line, "\n") + 1) {
        size_t bytes = strcspn(line, "\n");
        if (memchr(line, '%', bytes))
            CHECK(width_of(line, bytes) == width, "%.*s", (int)bytes, line);
    }
}

/* ---- an update of several chunks ---- */

/* Sixteen steps in chunks of four, two chunks an update. The row starts anew within the
   third chunk: the initial state that it learns has its part in the second update, though
   the chunk that the update comes with has no start. */
static void test_a_learned_start_is_updated_by_any_of_the_chunks(void)
{
    float x[16] = {0.5f, -1, 2, 0.25f, 1, -0.5f, 0.75f, 1, -1, 0.5f, 1, 2, 1, 1, 0, -1};
    float done[16] = {[9] = 1};
    static const char text[] =
        "rnnc: 1\nname: starts\ninputs: {x: [1], y: [1], done: flag}\n"
        "model:\n  params: {h0: [2]}\n  step: |\n    rnn = gru(x, hidden=2, h=h0)\n"
        "    head = linear(rnn, size=1)\nloss: mse(head, y)\n"
        "optimizer: adam(lr=1e-2, accumulate=2)\n"
        "tbptt: {step: 4, carry: batch, reset: done}\n"
        "data: {train: {x: x.npy, y: x.npy, done: done.npy}}\n";
    npy_write("x.npy", 1, npy_header("<f4", "(1, 16, 1)"), x, sizeof x);
    npy_write("done.npy", 1, npy_header("<f4", "(1, 16)"), done, sizeof done);
    scratch_write("starts.yaml", text, sizeof text - 1);
    const char *path = scratch_path("starts.yaml"), *folder = scratch_path("starts");
    CHECK(RUN(rnnc, "run", path, "--quiet", "--out", folder) == 0, "%s",
          written("err.txt"));
    struct rnn__fault f = {0};
    struct rnn__safetensors s = {.fd = -1};
    double k = 0, k_h0 = 0;
    const char *last = scratch_path("starts/checkpoint_1.safetensors");
    CHECK(rnn__safetensors_open(&s, last, &f) == 0, "%s", f.sentence);
    const struct rnn__tensor *all = rnn__safetensors_find(&s, "optimizer.k");
    const struct rnn__tensor *own = rnn__safetensors_find(&s, "optimizer.k.h0");
    CHECK(all && own && rnn__safetensors_read_double(&s, all, &k, &f) == 0 &&
              rnn__safetensors_read_double(&s, own, &k_h0, &f) == 0,
          "counts of updates: %s", f.sentence);
    CHECK(k == 2 && k_h0 == 2, "%g updates, %g of the initial state", k, k_h0);
    rnn__safetensors_close(&s);
}

/* Marks are the only difference: without them there is no word of a marker. */
static void test_code_without_marks_knows_no_kernels(void)
{
    const char *path = scratch_path("model");
    CHECK(RUN(rnnc, "build", spec, "--emit", "llvm", "-o", path) == 0, "%s",
          written("err.txt"));
    const char *text = written("model");
    CHECK(*text && !strstr(text, "forward map") && !strstr(text, "forward scan"), "%.200s",
          text);
    CHECK(RUN(rnnc, "build", spec, "--profile", "--emit", "llvm", "-o", path) == 0, "%s",
          written("err.txt"));
    text = written("model");
    CHECK(strstr(text, "forward map") || strstr(text, "forward scan"), "%.200s", text);
}

/* From where the system can just load it to where it has enough: with any of it rnnc comes
   to an end that it says itself. */
static void test_too_little_memory_has_its_exit_status(void)
{
    int n_short = 0, status = -1;
    for (int megabytes = 100; megabytes < 2000 && status != 0; megabytes += 25) {
        char line[512];
        snprintf(line, sizeof line, "ulimit -v %d; exec %s build %s --emit obj -o %s",
                 megabytes * 1024, rnnc, spec, scratch_path("short.o"));
        status = RUN("sh", "-c", line);
        bool not_loaded = strstr(written("err.txt"), "while loading shared libraries");
        CHECK(status == 0 || status == 7 || not_loaded, "%d MB: status %d: %s", megabytes,
              status, written("err.txt"));
        n_short += status == 7;
    }
    CHECK(status == 0 && n_short > 0, "%d runs had too little", n_short);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_rnnc_build RNNC SPEC\n");
        return 2;
    }
    rnnc = argv[1];
    spec = argv[2];
    scratch_open();
    snprintf(out_path, sizeof out_path, "%s/out.txt", scratch_folder);
    snprintf(err_path, sizeof err_path, "%s/err.txt", scratch_folder);
    snprintf(trainer, sizeof trainer, "%s", built("trainer"));
    if (!SANITIZED) /* whose shadow takes terabytes */
        test_too_little_memory_has_its_exit_status();
    if (!SANITIZED)
        test_a_trainer_is_small_and_needs_libc_and_libm_alone();
    test_a_trainer_trains_as_rnnc_run_does();
    test_a_learned_start_is_updated_by_any_of_the_chunks();
    test_a_trainer_of_doubles_keeps_all_digits_in_its_files();
    test_a_trainer_refuses_numbers_out_of_their_range();
    test_a_run_sets_numbers_of_the_model();
    test_a_run_without_any_loss_says_so();
    test_check_and_info_count_doubles();
    test_a_trainer_refuses_keys_that_are_compiled_in();
    test_the_same_spec_gives_the_same_bytes();
    test_a_trainer_refuses_a_machine_below_its_level();
    test_several_kinds_stand_beside_each_other();
    test_a_build_that_fails_leaves_what_stood_there();
    test_mistakes_have_their_exit_status();
    test_bench_tells_times_of_both_in_one_line();
    test_kernels_are_timed_where_they_were_compiled_for_it();
    test_a_profile_stands_in_columns();
    test_code_without_marks_knows_no_kernels();
    scratch_close();
    return check_result();
}
