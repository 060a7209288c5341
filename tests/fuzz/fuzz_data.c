/*
 * fuzz_data.c — no file of data crashes, hangs or fills the machine; what is refused is
 * refused with a sentence that names the file.
 *
 * An input is a byte that says which container (of `kinds`) and a file's bytes. In
 * libFuzzer's shape: with clang,
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -DRNNC_LIBFUZZER -Iruntime -Itests \
 *         -D_POSIX_C_SOURCE=200809L tests/fuzz/fuzz_data.c $(ls runtime/[a-z]*.c | grep -v
 * start) \ -ljansson -lz -lpthread -lm -o fuzz_data && ./fuzz_data tests/fuzz/corpus_data
 *
 * Else its own main replays the files of a folder, and `rounds` changes of each: bytes set,
 * runs doubled or dropped, the end cut off, always the same ones.
 *
 *     fuzz_data FOLDER [rounds]
 */
#include "../runtime/sources.h"

static const struct rnn_input text_inputs[] = {
    {.name = "x", .kind = RNN_CLASS, .size = 1, .classes = 0x110000},
    {.name = "y", .kind = RNN_CLASS, .size = 1, .classes = 0x110000, .for_loss_only = true},
};
static const struct rnn_model text_model = {
    .name = "text", .steps_max = 4, .rows_max = 2, .n_input = 2, .input = text_inputs};

static const struct {
    char letter;
    const char *json;
    const struct rnn_model *model;
} kinds[] = {
    {'c', "{\"csv\": \"in\", \"columns\": {\"x\": [\"a\", \"b\"], \"y\": \"c\"}}",
     &xy_model},
    {'f', "{\"x\": \"in\"}", &sound_model},
    {'r', "{\"raw\": \"in\", \"shape\": [0, 2, 3], \"batch\": 2}", &xy_model},
    {'s', "{\"safetensors\": \"in\", \"shuffle\": true}", &xy_model},
    {'t', "{\"text\": \"in\"}", &text_model},
    {'z', "{\"npz\": \"in\"}", &xy_model},
};
enum { N_KIND = sizeof kinds / sizeof *kinds };

/* All batches of a pass, every chunk of them. */
static void read_all(rnn_source_run *run)
{
    void *got = NULL;
    run->iterable.restart(run->iterable.user, 0);
    while (run->iterable.next(run->iterable.user, &got) == 0 && got) {
        rnn_batch *b = got;
        for (int64_t at = 0; at < b->steps && b->load; at += 4)
            if (b->load(b, at, b->steps - at < 4 ? b->steps - at : 4) != 0)
                return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rnn_source_run run;
    int kind = 0;
    if (!scratch_folder[0])
        scratch_open();
    while (kind < N_KIND && size > 0 && kinds[kind].letter != (char)data[0])
        kind++;
    if (size == 0 || kind == N_KIND)
        return 0;
    scratch_write("in", data + 1, size - 1);
    struct rnn__fault ignored;
    rnn__vocabulary_free(&vocabulary);
    if (kinds[kind].model == &text_model)
        rnn__vocabulary_scan(&vocabulary, scratch_path("in"), RNN__CHAR, &ignored);
    if (open_run(&run, kinds[kind].model, kinds[kind].json) == 0) {
        read_all(&run);
        rnn_source_close(&run);
    } else if (!strstr(run.sentence, "/in") && !strstr(run.sentence, "data.train") &&
               !strstr(run.sentence, "out of memory")) {
        fprintf(stderr, "refused without a file's name: \"%s\"\n", run.sentence);
        abort();
    }
    return 0;
}

#ifndef RNNC_LIBFUZZER

enum { INPUT_MOST = 1 << 16 };

static uint64_t state = 1;

static size_t below(size_t n)
{
    state = rnn__mix(state);
    return n ? (size_t)(state % n) : 0;
}

/* One change; the first byte, which says what it is, stays. */
static size_t change(uint8_t *at, size_t n)
{
    static const uint8_t edges[] = {0, 1, 0x7F, 0x80, 0xFF, '"', ',', '\n', '9', '-'};
    size_t from = 1 + below(n - 1), some = 1 + below(8);
    if (n < 2)
        return n;
    switch (below(6)) {
    case 0: return from;
    case 1:
        if (n + some > INPUT_MOST || from + some > n)
            return n;
        memmove(at + from + some, at + from, n - from);
        return n + some;
    case 2:
        if (from + some > n)
            return n;
        memmove(at + from, at + from + some, n - from - some);
        return n - some;
    case 3: at[from] ^= (uint8_t)(1 << below(8)); return n;
    case 4: at[from] = (uint8_t)below(256); return n;
    default:
        for (size_t i = 0; i < some && from + i < n; i++)
            at[from + i] = edges[below(sizeof edges)];
        return n;
    }
}

static int replay(const char *folder, const char *name, int rounds)
{
    static uint8_t seed[INPUT_MOST], input[INPUT_MOST];
    char *path = rnn__path_join(folder, name);
    FILE *file = fopen(path, "rb");
    free(path);
    if (!file)
        return 0;
    size_t n = fread(seed, 1, sizeof seed / 2, file);
    fclose(file);
    LLVMFuzzerTestOneInput(seed, n);
    for (int i = 0; i < rounds; i++) {
        size_t length = n;
        memcpy(input, seed, n);
        for (size_t k = 1 + below(4); k > 0 && length > 1; k--)
            length = change(input, length);
        LLVMFuzzerTestOneInput(input, length);
    }
    return 1;
}

int main(int argc, char **argv)
{
    int n = 0, rounds = argc > 2 ? atoi(argv[2]) : 0;
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (d->d_name[0] != '.')
            n += replay(argv[1], d->d_name, rounds);
    if (dir)
        closedir(dir);
    rnn__vocabulary_free(&vocabulary);
    close_settings();
    if (scratch_folder[0])
        scratch_close();
    CHECK(n > 0, "no corpus");
    return check_result();
}

#endif
