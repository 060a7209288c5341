/*
 * trainer_main.c — the command line of a trainer, for `rnnc run` and built programs.
 *
 * Options are one table: what is parsed, what --help prints. Messages go to stderr,
 * results to stdout; the exit status tells whose mistake it was.
 */
#include "trainer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- commands ---- */

static const struct command {
    const char *name;
    int (*run)(struct rnn__trainer *t, int *status, struct rnn__fault *f);
    const char *help;
} command_list[] = {
    {"train", rnn__trainer_train, "train, and leave checkpoints and a log (the default)"},
    {"eval", rnn__trainer_eval, "loss and metrics on data.valid, to standard output"},
    {"predict", rnn__trainer_predict, "the model's output for each line, or for an array"},
    {"sample", rnn__trainer_sample, "text from a model of text, to standard output"},
    {"info", rnn__trainer_info, "inputs, parameters, states and numbers of the model"},
};
enum { N_COMMAND = sizeof command_list / sizeof *command_list };

/* ---- options ---- */

enum kind { FLAG, TEXT, COUNT, NUMBER, SET, RESUME };

static const struct option {
    const char *name;
    enum kind kind;
    size_t offset; /* of the field in struct rnn__options */
    int64_t least; /* COUNT */
    const char *argument, *help;
} option_list[] = {
#define FIELD(name) offsetof(struct rnn__options, name)
    {"set", SET, FIELD(set), 0, "KEY=VALUE", "change a key of the spec: optimizer.lr=1e-3"},
    {"init", TEXT, FIELD(init), 0, "FILE", "parameters from a safetensors file"},
    {"resume", RESUME, FIELD(resume), 0, "[DIR]", "go on where a run stopped"},
    {"out", TEXT, FIELD(out), 0, "DIR", "the run's folder (runs/NAME)"},
    {"overwrite", FLAG, FIELD(overwrite), 0, NULL,
     "the folder may hold another run; its checkpoints go"},
    {"log", TEXT, FIELD(log), 0, "FILE", "every chunk as JSON lines"},
    {"threads", COUNT, FIELD(threads), 1, "N", "default: the physical cores"},
    {"device", TEXT, FIELD(device), 0, "NAME", "what computes: cpu, the default"},
    {"seed", COUNT, FIELD(seed), 0, "N", "of parameters, dropout, shuffling, sampling"},
    {"max-iterations", COUNT, FIELD(max_iterations), 1, "N", "stop after N batches"},
    {"input", TEXT, FIELD(input), 0, "FILE",
     "predict: lines or FILE.npy, - for standard input (the default)"},
    {"output", TEXT, FIELD(output), 0, "FILE.npy", "predict: of an array, the outputs"},
    {"length", COUNT, FIELD(length), 0, "N", "sample: symbols to draw (500)"},
    {"temperature", NUMBER, FIELD(temperature), 0, "T",
     "sample: 0 takes the most probable (1)"},
    {"prompt", TEXT, FIELD(prompt), 0, "TEXT", "sample: the text to go on from"},
    {"profile", FLAG, FIELD(profile), 0, NULL,
     "times of kernels, events and handlers at the end"},
    {"trace-out", TEXT, FIELD(trace_out), 0, "FILE", "a trace for chrome://tracing"},
    {"quiet", FLAG, FIELD(quiet), 0, NULL, "errors only"},
    {"no-progress", FLAG, FIELD(no_progress), 0, NULL, "no progress lines"},
    {"help", FLAG, FIELD(help), 0, NULL, "this list"},
#undef FIELD
};
enum { N_OPTION = sizeof option_list / sizeof *option_list };

static const char predict_help[] =
    "\npredict: a line is one step, the values of all inputs as numbers between commas or\n"
    "blanks, or as a JSON array; it is answered at once by a line in the same form. A "
    "class\n"
    "is its number, in a model of text also a JSON string of one character. The hidden "
    "state\n"
    "is carried from line to line; an empty line begins a new sequence. An array\n"
    "[sequences, steps, ...] in a .npy file gives one of outputs, to --output.\n";

static void print_help(const char *program)
{
    printf("usage: %s [", program);
    for (int i = 0; i < N_COMMAND; i++)
        printf("%s%s", i ? " | " : "", command_list[i].name);
    printf("] [options]\n\n");
    for (int i = 0; i < N_COMMAND; i++)
        printf("  %-24s %s\n", command_list[i].name, command_list[i].help);
    putchar('\n');
    for (int i = 0; i < N_OPTION; i++) {
        char text[48];
        const struct option *o = &option_list[i];
        snprintf(text, sizeof text, "--%s %s", o->name, o->argument ? o->argument : "");
        printf("  %-24s %s\n", text, o->help);
    }
    fputs(predict_help, stdout);
}

static const struct option *find_option(const char *name, size_t n)
{
    for (int i = 0; i < N_OPTION; i++)
        if (strlen(option_list[i].name) == n && strncmp(option_list[i].name, name, n) == 0)
            return &option_list[i];
    return NULL;
}

static int unknown_option(const char *name, struct rnn__fault *f)
{
    const char *names[N_OPTION + 1] = {0};
    for (int i = 0; i < N_OPTION; i++)
        names[i] = option_list[i].name;
    const char *near = rnn__nearest(name, names);
    rnn__fault(f, RNN_EINVAL, "unknown option --%s", name);
    return near ? rnn__fault_add(f, "; did you mean --%s?", near)
                : rnn__fault_add(f, "; --help lists them");
}

static int read_count(const struct option *o, const char *value, int64_t *out,
                      struct rnn__fault *f)
{
    char *end;
    long long number = strtoll(value, &end, 10);
    if (!*value || *end || number < o->least || number > INT32_MAX)
        return rnn__fault(f, RNN_EINVAL, "--%s: '%s' is not a whole number from %lld to %d",
                          o->name, value, (long long)o->least, INT32_MAX);
    *out = number;
    return 0;
}

static int read_number(const struct option *o, const char *value, double *out,
                       struct rnn__fault *f)
{
    json_t *text = json_string(value);
    bool good = rnn__is_number(text, out) && *out >= 0;
    json_decref(text);
    return good ? 0
                : rnn__fault(f, RNN_EINVAL, "--%s: '%s' is not a number from 0", o->name,
                             value);
}

static int store(const struct option *o, const char *value, struct rnn__options *out,
                 struct rnn__fault *f)
{
    void *field = (char *)out + o->offset;
    switch (o->kind) {
    case FLAG: *(bool *)field = true; return 0;
    case TEXT: *(const char **)field = value; return 0;
    case COUNT: return read_count(o, value, field, f);
    case NUMBER: return read_number(o, value, field, f);
    case SET: out->set[out->n_set++] = value; return 0;
    case RESUME:
        out->resumes = true;
        out->resume = value;
        return 0;
    }
    return 0;
}

/* Reads the option at argv[at], with the argument that it takes; the index behind it. An
   argument that begins with -- is written --NAME=ARGUMENT. */
static int read_option(int argc, char **argv, int at, struct rnn__options *out,
                       struct rnn__fault *f)
{
    const char *name = argv[at] + 2, *equals = strchr(name, '=');
    const struct option *o =
        find_option(name, equals ? (size_t)(equals - name) : strlen(name));
    const char *value = equals ? equals + 1 : NULL;
    if (!o)
        return unknown_option(name, f);
    if (value && o->kind == FLAG)
        return rnn__fault(f, RNN_EINVAL, "--%s takes no value", o->name);
    bool behind = at + 1 < argc && strncmp(argv[at + 1], "--", 2) != 0;
    if (!value && o->kind != FLAG && behind)
        value = argv[++at];
    if (!value && o->kind != FLAG && o->kind != RESUME)
        return rnn__fault(f, RNN_EINVAL, "--%s needs %s", o->name, o->argument);
    int code = store(o, value, out, f);
    return code ? code : at + 1;
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < N_COMMAND; i++)
        if (strcmp(command_list[i].name, name) == 0)
            return &command_list[i];
    return NULL;
}

/* The command that a line begins with, or the default; NULL: it is none. */
static const struct command *command_of(int n_word, char *const *word)
{
    return find_command(n_word > 0 && word[0][0] != '-' ? word[0] : command_list[0].name);
}

bool rnn_trainer_trains(int n_word, char *const *word)
{
    const struct command *c = command_of(n_word, word);
    return c && c->run == rnn__trainer_train;
}

static int read_options(int argc, char **argv, struct rnn__options *o, struct rnn__fault *f)
{
    int at = 1;
    if (at < argc && argv[at][0] != '-')
        o->command = argv[at++];
    if (!find_command(o->command))
        return rnn__fault(f, RNN_EINVAL, "unknown command '%s'; --help lists them",
                          o->command);
    while (at < argc) {
        if (strncmp(argv[at], "--", 2) != 0)
            return rnn__fault(f, RNN_EINVAL, "'%s' is no option; --help lists them",
                              argv[at]);
        at = read_option(argc, argv, at, o, f);
        if (at < 0)
            return at;
    }
    if (o->resumes && o->init)
        return rnn__fault(f, RNN_EINVAL, "--resume and --init exclude each other");
    return 0;
}

/* ---- exit status ---- */

static int exit_status(int code)
{
    static const struct {
        int code, status;
    } list[] = {
        {RNN_EINVAL, 2},   {RNN__ESPEC, 3},  {RNN_EDATA, 4},   {RNN_EIO, 5},
        {RNN_ENUMERIC, 6}, {RNN_ENOMEM, 7},  {RNN_EDEVICE, 8}, {RNN_ETHREAD, 8},
        {RNN_EABI, 8},     {RNN_EFORMAT, 9},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].code == code)
            return list[i].status;
    return 70;
}

static int finish(const char *program, int code, int status, struct rnn__fault *f)
{
    if (fflush(stdout) != 0 && !code)
        code = rnn__fault_errno(f, "standard output", "cannot be written");
    if (!code)
        return status;
    fprintf(stderr, "%s: error: %s\n", program,
            *f->sentence ? f->sentence : rnn_error_text(code));
    return exit_status(code);
}

/* Where 0, 1 or 2 is closed, the next file opened would take its place: a checkpoint must
   not become standard output. */
static void hold_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static int run_command(const struct rnn_model *model, const struct rnn_config *config,
                       const struct rnn__options *options, int *status,
                       struct rnn__fault *f)
{
    struct rnn__trainer t = {.model = model, .config = config, .options = options};
    int code = rnn__trainer_read(&t, f);
    if (!code)
        code = find_command(options->command)->run(&t, status, f);
    rnn__trainer_close(&t);
    if (code && rnn__json_take_failure()) /* what the sentence blames may only be lacking */
        code = rnn__fault_memory(f);
    return code;
}

int rnn_trainer_main(int argc, char **argv, const struct rnn_model *model,
                     const struct rnn_config *config)
{
    struct rnn__fault f = {0};
    int status = 0;
    struct rnn__options options = {
        .program = argc > 0 ? argv[0] : "trainer",
        .command = "train",
        .threads = RNN_NONE,
        .seed = RNN_NONE,
        .max_iterations = RNN_NONE,
        .length = RNN_NONE,
        .temperature = 1,
    };
    hold_standard_files();
    rnn_trainer_prepare();
    rnn__json_watch();
    options.set = calloc((size_t)argc + 1, sizeof *options.set);
    int code = options.set ? read_options(argc, argv, &options, &f) : rnn__fault_memory(&f);
    if (!code && options.help)
        print_help(options.program);
    else if (!code)
        code = run_command(model, config, &options, &status, &f);
    free(options.set);
    status = finish(options.program, code, status, &f);
    rnn__signals_restore();
    return status;
}
