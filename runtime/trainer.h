/*
 * trainer.h — the trainer behind the command line: what its files share.
 *
 *   trainer_main.c     options, --set, help, exit status
 *   trainer.c          engine, data and parameters put together; train, eval, info
 *   sample.c           text from a trained model
 *   checkpoint.c       a checkpoint written and read
 *   handlers.c         which handlers, when; the small ones
 *   handler_log.c, handler_progress.c, handler_checkpoint.c
 */
#ifndef RNN_TRAINER_H
#define RNN_TRAINER_H

#include "rnn_config.h"
#include "safetensors.h"
#include "settings.h"
#include "source.h"

/* The command line, read. Texts are argv's. */
struct rnn__options {
    const char *program, *command;
    const char *init, *resume, *out, *log, *prompt;
    const char **set; /* [n_set] KEY=VALUE */
    int n_set;
    int64_t threads, seed, max_iterations, length; /* RNN_NONE: not given */
    double temperature;
    bool resumes, quiet, no_progress, help;
};

/* A handler's memory, freed with the trainer. */
struct rnn__attached {
    void *user;
    void (*close)(void *user);
    struct rnn__attached *next;
};

struct rnn__log;

struct rnn__trainer {
    const struct rnn_model *model;
    const struct rnn_config *config;
    const struct rnn__options *options;

    json_t *json; /* the settings, --set included */
    const char *name;
    char *out;                      /* the run's folder */
    int64_t epochs, max_iterations; /* RNN_NONE: no such limit */
    int64_t threads;                /* 0: the physical cores */
    uint64_t seed;
    int64_t tbptt_step; /* 0: the model's */
    int carry;          /* of carry_words in trainer.c; -1: as the data ask */
    int report;
    struct {
        const char *name;
        double value;
    } * number; /* scalars that --set gives: [n_number] */
    int n_number;

    struct rnn__vocabulary vocabulary; /* n 0: none */
    rnn_source_run train, valid;
    bool has_train, has_valid;
    rnn_engine *engine, *evaluator; /* evaluator NULL: nothing to validate with */

    struct rnn__attached *attached;
    struct rnn__log *log;                      /* a list */
    int64_t resumed_iteration, resumed_chunks; /* done before --resume */
    int64_t saved_chunks; /* time_iteration of the last checkpoint; RNN_NONE: none */
    char *last_checkpoint;
    bool diverged;
};

/* ---- trainer.c ---- */

/* Reads the settings into t, which is zeroed but for model, config and options. After a
   failure as well: rnn__trainer_close. */
int rnn__trainer_read(struct rnn__trainer *t, struct rnn__fault *f);
void rnn__trainer_close(struct rnn__trainer *t);

/* Each is a command: 0 or a negative code. *status, 0 when called, is for what is no
   fault but no success: 130 and 143. */
int rnn__trainer_train(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_eval(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_sample(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_info(struct rnn__trainer *t, int *status, struct rnn__fault *f);

/* Makes the engine, sets its numbers and fills its parameters for use without training:
   from --init, or from the newest checkpoint of the run's folder. */
int rnn__trainer_load(struct rnn__trainer *t, struct rnn__fault *f);
/* The engine's last error as a fault. */
int rnn__trainer_failed(struct rnn__trainer *t, rnn_engine *e, int code,
                        struct rnn__fault *f);

/* Runs the evaluator over data.valid and sets the metrics valid.NAME of the engine. 0,
   RNN_PAUSED, or a negative code. */
int rnn__validate(struct rnn__trainer *t, struct rnn__fault *f);

/* ---- checkpoint.c ---- */

/* Writes everything that a run goes on from. */
int rnn__checkpoint_save(struct rnn__trainer *t, const char *path, struct rnn__fault *f);
/* Parameters alone, by name, every mismatch told; the vocabulary when t has none. */
int rnn__checkpoint_init(struct rnn__trainer *t, const char *path, struct rnn__fault *f);
/* Everything, into a trainer of the same spec and seed. */
int rnn__checkpoint_resume(struct rnn__trainer *t, const char *path, struct rnn__fault *f);
/* What must be known before data and log are opened: the vocabulary, when t has none, and
   of a run to be resumed seed and progress. */
int rnn__checkpoint_peek(struct rnn__trainer *t, const char *path, struct rnn__fault *f);
/* The newest readable checkpoint of a folder, the caller frees; a damaged newer one is told
   of on stderr. RNN_EFORMAT when there is none. */
int rnn__checkpoint_newest(const char *folder, char **path, struct rnn__fault *f);

/* ---- handlers.c ---- */

/* Hangs the standard handlers and those of train.handlers on the engine. */
int rnn__handlers_add(struct rnn__trainer *t, struct rnn__fault *f);
/* Has `close(user)` called with the trainer's end; calls it at once when that fails. */
int rnn__attach(struct rnn__trainer *t, void *user, void (*close)(void *user),
                struct rnn__fault *f);
/* rnn_on, its failure as a fault. */
int rnn__hang(struct rnn__trainer *t, int event, const rnn_filter *filter, rnn_handler *fn,
              void *user, struct rnn__fault *f);

/* When a handler is called: on, every, once, before, after of its settings. */
struct rnn__when {
    int event;
    rnn_filter filter;
    bool filtered;
    int64_t once_list[16];
};
#define RNN__WHEN_KEYS "on", "every", "once", "before", "after"
/* `when` comes with the event of handlers whose settings name none. */
int rnn__read_when(struct rnn__trainer *t, const json_t *options, const char *where,
                   struct rnn__when *when, struct rnn__fault *f);
int rnn__hang_when(struct rnn__trainer *t, const struct rnn__when *when, rnn_handler *fn,
                   void *user, struct rnn__fault *f);

/* The value of "loss" (the last output) or of a metric; false while there is none. */
bool rnn__watched(struct rnn__trainer *t, const char *name, double *value);
/* Whether a watched number is better when larger: settings' mode, min or max; by default
   losses are better small, all else large. */
int rnn__read_mode(const json_t *options, const char *where, const char *watched,
                   bool *larger, struct rnn__fault *f);

/* One each for the table in handlers.c; options may be NULL. */
int rnn__add_log(struct rnn__trainer *t, const json_t *options, const char *where,
                 struct rnn__fault *f);
int rnn__add_progress(struct rnn__trainer *t, const json_t *options, const char *where,
                      struct rnn__fault *f);
int rnn__add_checkpoint(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f);

/* The lines of a validation, to every log. */
void rnn__log_validation(struct rnn__trainer *t);
/* Leaves the run's last state as a checkpoint unless it is one already. */
int rnn__save_last(struct rnn__trainer *t, struct rnn__fault *f);

#endif
