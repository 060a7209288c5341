/*
 * rnn_config.h — what a trainer knows of its spec besides the compiled model, and the
 * trainer itself: the same function serves `rnnc run` and built trainers.
 *
 * `json` is one object, the spec's run-time sections as the spec has them:
 *
 *     {"name": "charlm",
 *      "spec": "specs/charlm.yaml",          as messages name it
 *      "data":  {"train": {"text": "corpus.txt", "part": [0, 0.9], "streams": 32},
 *                "valid": {…}},              or one source, then for training
 *      "train": {"epochs": 10, "seed": 1, "max_iterations": 500, "threads": 2,
 *                "log": {"every": "chunk"},
 *                "handlers": ["progress", {"checkpoint": {…}}, {"log": "false"}]},
 *      "tbptt": {"step": 64, "carry": "batch", "report": "weighted"},
 *      "vocabulary": {"level": "byte", "codes": [10, 32, 33]}}
 *
 * All members may be missing but name. Numbers and flags may be JSON's own or strings
 * ("0.9", "true"): a converter of YAML need not tell them apart. `tbptt.carry` is left
 * out when the spec does not say it; keys of tbptt other than step, window, carry and
 * report are compiled in and ignored here. `vocabulary` is what the compiler scanned to
 * size a class; without it the training text is scanned.
 */
#ifndef RNN_CONFIG_H
#define RNN_CONFIG_H

#include "rnn.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rnn_config {
    const char *json;
    const char *folder;    /* relative data paths start here; NULL: the current folder */
    const char *spec_text; /* kept as spec.yaml in the run's folder; NULL: not kept */
};

/*
 * The command line of a trainer: [train | eval | predict | sample | info] [options];
 * argv[0] is the program's name for messages. Has handlers of signals until it returns, see
 * rnn_trainer_prepare.
 *
 * Returns the exit status: 0 done, 2 command line, 3 spec, 4 data, 5 input or output,
 * 6 not finite, 7 out of memory, 8 the machine lacks something, 9 checkpoint, 70 a bug of
 * ours, 130 and 143 signals.
 */
RNN_API int rnn_trainer_main(int argc, char **argv, const struct rnn_model *model,
                             const struct rnn_config *config);

/*
 * Where a program works long before it calls rnn_trainer_main (`rnnc run` compiles): from
 * here on SIGINT, SIGTERM and SIGHUP end it with the status 130 or 143, SIGUSR1 is kept for
 * the first chunk, and a write into a closed pipe or beyond a limit of size fails, until
 * rnn_trainer_main returns, which puts back what was.
 */
RNN_API void rnn_trainer_prepare(void);

/* Whether such a command line trains, its words without the program's name; a mistake in it
   does not. */
RNN_API bool rnn_trainer_trains(int n_word, char *const *word);

#ifdef __cplusplus
}
#endif

#endif
