/*
 * trainer.h — the trainer behind the command line: what its files share.
 *
 *   trainer_main.c     options, --set, help, exit status
 *   trainer_settings.c settings read and checked
 *   trainer.c          engine and data put together; train, eval
 *   begin.c            a run begun: all checked before anything is touched
 *   info.c             what the model is
 *   sample.c           text from a trained model
 *   predict.c          outputs for lines or arrays of inputs
 *   checkpoint.c, checkpoint_read.c, checkpoint_resume.c  a checkpoint written and read
 *   kept.c             what handlers put into it
 *   run_files.c        files that grow with the run
 *   signals.c          told to stop
 *   run_folder.c       the folder of a run: its lock, which checkpoints it holds
 *   take_over.c        … which another run takes
 *   checkpoint_sets.c  which of them stay
 *   handlers.c         which handlers, when; the small ones
 *   handler_when.c     when each is called
 *   handler_log.c, handler_progress.c, handler_timer.c, handler_checkpoint.c
 *   report.c, chart.c  report.html and loss.svg
 *   handler_stop.c, handler_ema.c, handler_profile.c   those of rnn.h, from settings
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
    const char *init, *resume, *out, *log, *device, *prompt, *trace_out, *input, *output;
    const char **set; /* [n_set] KEY=VALUE */
    int n_set;
    int64_t threads, seed, max_iterations, length; /* RNN_NONE: not given */
    double temperature;
    bool resumes, overwrite, quiet, no_progress, profile, help;
};

/* A handler's memory, freed with the trainer. */
struct rnn__attached {
    void *user;
    void (*close)(void *user);
    struct rnn__attached *next;
};

/* tbptt.carry, in the order of its words. */
enum rnn__carry {
    RNN__CARRY_NONE,
    RNN__CARRY_BATCH,
    RNN__CARRY_STREAM,
    RNN__CARRY_COUNT,
    RNN__CARRY_AS_DATA = -1
};

struct rnn__log;

/* A tensor of a handler's that checkpoints hold. */
struct rnn__kept {
    struct rnn__tensor tensor; /* its name "handler.NAME", its data the handler's */
    struct rnn__kept *next;
};

/* A file that grows with the run. */
struct rnn__run_file {
    struct rnn__out out; /* fd -1 until rnn__open_files */
    char *path;
    int flags;  /* of rnn__file_flag */
    bool begun; /* cut, or copied: its length is what is the run's */
    bool told;
    struct rnn__run_file *next;
};

/* Sets, as bits, that the checkpoint of a place is in. */
struct rnn__marked {
    int64_t iteration, chunk;
    uint32_t marks;
};
enum { RNN__SETS_MAX = 32, RNN__KEEP_DEFAULT = 2 };

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
    int64_t tbptt_step, tbptt_window; /* 0: the model's */
    int carry;                        /* an rnn__carry */
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
    struct rnn__kept *kept;
    struct rnn__run_file *file;
    struct rnn__used_files used; /* data files, of train and valid */
    json_t *resumed_files;       /* lengths of files at the checkpoint; NULL: not resumed */
    char *source;         /* the folder that a resumed run comes from; NULL: not resumed */
    bool moves;           /* it goes on in another folder than that */
    int lock;             /* of the run's folder; -1: not held */
    int source_lock;      /* of the folder that it moves from, until it has; -1: not held */
    struct rnn__log *log; /* a list */
    int64_t saved_chunks; /* time_iteration of the last checkpoint; RNN_NONE: none */
    int saved_pending;    /* its pending event */
    char *last_checkpoint;
    int n_set;
    int64_t set_keep[RNN__SETS_MAX]; /* checkpoints of each set that stay */
    struct rnn__marked *marked;      /* [n_marked] */
    int n_marked;
    uint32_t marks;      /* sets that the checkpoint being written is of */
    int validated;       /* the event VALIDATION_COMPLETED */
    const char *hanging; /* the handler being made: its name in profiles */
    bool bar_is_drawn;   /* the terminal's line is a progress bar */
    char said[256];      /* the engine's last notice: why the run ended */
    bool prints_profile;
    struct rnn__report *report_of_run;
    struct rnn__out *trace;   /* --trace-out, or NULL */
    struct rnn__spans *spans; /* what is drawn there */
};

/* ---- trainer_settings.c ---- */

/* Reads the settings into t, which is zeroed but for model, config and options. After a
   failure as well: rnn__trainer_close. */
int rnn__trainer_read(struct rnn__trainer *t, struct rnn__fault *f);
/* Steps that a chunk may look back over, its own among them; 0: as the model says. */
int64_t rnn__window_of(const struct rnn__trainer *t);

/* ---- trainer.c ---- */

void rnn__trainer_close(struct rnn__trainer *t);

/* Each is a command: 0 or a negative code. *status, 0 when called, is for what is no
   fault but no success: 130 and 143. */
int rnn__trainer_train(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_eval(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_predict(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_sample(struct rnn__trainer *t, int *status, struct rnn__fault *f);
int rnn__trainer_info(struct rnn__trainer *t, int *status, struct rnn__fault *f);

/* Makes the engine, sets its numbers and fills its parameters for use without training:
   from --init, or from the newest checkpoint of the run's folder. */
int rnn__trainer_load(struct rnn__trainer *t, struct rnn__fault *f);
/* Opens what is read before the first chunk: data, engine, evaluator. */
int rnn__trainer_open(struct rnn__trainer *t, struct rnn__fault *f);
/* The engine's last error as a fault. */
int rnn__trainer_failed(struct rnn__trainer *t, rnn_engine *e, int code,
                        struct rnn__fault *f);

/* Runs the evaluator over data.valid and sets the metrics valid.NAME of the engine. 0, a
   negative code, or, if it may be interrupted by a signal, RNN_PAUSED. */
int rnn__validate(struct rnn__trainer *t, bool interruptible, struct rnn__fault *f);

/* ---- signals.c ---- */

/* Everything back as it was before rnn_trainer_prepare. */
void rnn__signals_restore(void);
/* From here on the first signal to stop is noted, the second ends the process. */
void rnn__signals_listen(void);
void rnn__signals_stop_listening(void);
/* The engines that a signal interrupts, at once when there was one; NULL: none. */
void rnn__signals_reach(rnn_engine *trainer, rnn_engine *evaluator);
/* The exit status of the first signal, 0 while there was none. */
int rnn__signals_status(void);
/* Whether SIGUSR1 has come since this was last asked: a checkpoint is wanted. */
bool rnn__signals_take_wish(void);

/* ---- checkpoint.c ---- */

/* Writes everything that a run goes on from. */
int rnn__checkpoint_save(struct rnn__trainer *t, const char *path, struct rnn__fault *f);
/* RNN_ENUMERIC when a trained parameter is not finite: nothing is to be gone on with. */
int rnn__checkpoint_sound(struct rnn__trainer *t, struct rnn__fault *f);
/* Parameters alone, by name, every mismatch told; the vocabulary when t has none. */
int rnn__checkpoint_init(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f);
/* The averages that a run with ema has left in its checkpoint, in place of the parameters:
   what its validations saw. Nothing when there are none. */
int rnn__checkpoint_averages(struct rnn__trainer *t, const struct rnn__safetensors *s,
                             struct rnn__fault *f);
/* Everything, into a trainer of the same spec and seed. */
int rnn__checkpoint_resume(struct rnn__trainer *t, const struct rnn__safetensors *s,
                           struct rnn__fault *f);
/* What must be known before data and log are opened: the vocabulary, when t has none, and
   of a run to be resumed seed and lengths of files. */
int rnn__checkpoint_peek(struct rnn__trainer *t, const struct rnn__safetensors *s,
                         struct rnn__fault *f);
/* The newest sound checkpoint of a folder, open, the caller closes; a damaged newer one is
   told of on stderr. RNN_EFORMAT when there is none. */
int rnn__checkpoint_newest(struct rnn__trainer *t, const char *folder,
                           struct rnn__safetensors *out, struct rnn__fault *f);
/* The sets that it says it is in; 0 when it does not. */
uint32_t rnn__checkpoint_marks(const struct rnn__safetensors *s);
/* Where the run is, as a checkpoint's name tells it. */
struct rnn__place {
    int64_t iteration; /* done; -1: the name has no number */
    int64_t chunk;     /* done of it; INT64_MAX: all */
    int pending;       /* event still to be fired; not part of the name */
};
int rnn__checkpoint_place(struct rnn__trainer *t, struct rnn__place *place,
                          struct rnn__fault *f);

/* ---- kept.c ---- */

/*
 * Has a tensor of a handler's own memory written to each checkpoint, and filled from the
 * one that a run is resumed from, before its first event. To be called when the handler is
 * made.
 *
 * name  unique among handlers: "ema.rnn.weight_hh_l0"
 * data  dtype[dim…], must live until the trainer is closed
 */
int rnn__keep(struct rnn__trainer *t, const char *name, enum rnn__dtype dtype, int rank,
              const int64_t *dim, void *data, struct rnn__fault *f);
void rnn__kept_free(struct rnn__trainer *t);

/* ---- run_files.c ---- */

enum rnn__file_flag {
    RNN__FILE_ANEW = 1,   /* a resumed run begins it anew */
    RNN__FILE_OPTION = 2, /* the command line names it, not the settings */
    RNN__FILE_RECORDS = 4 /* not of lines */
};
/* The option `file`, *name by default: a plain name, for a file of the run's folder.
   RNN__ESPEC. */
int rnn__get_file_name(const json_t *options, const char *where, const char **name,
                       struct rnn__fault *f);
/*
 * Names a file that grows with the run. *out is the trainer's, which opens, flushes and
 * closes it; it can be written to when the run begins, and not before. path NULL: no
 * memory.
 */
int rnn__run_file(struct rnn__trainer *t, const char *path, int flags,
                  struct rnn__out **out, struct rnn__fault *f);
const struct rnn__run_file *rnn__file_of(const struct rnn__trainer *t,
                                         const struct rnn__out *out);
/* Bytes that the checkpoint of a resumed run knows of; 0 of a new run. */
int64_t rnn__file_known(const struct rnn__trainer *t, const struct rnn__run_file *file);
/* Where a resumed run had the file; the caller frees. NULL: no memory. */
char *rnn__file_before(const struct rnn__trainer *t, const struct rnn__run_file *file);
/* Opens all, and leaves what they hold. RNN_EIO; where two are one, RNN__ESPEC or
   RNN_EINVAL. */
int rnn__open_files(struct rnn__trainer *t, struct rnn__fault *f);
/* Cuts all to what the run begins with: nothing, or, resumed, what the checkpoint knows of
   them. RNN_EIO. */
int rnn__begin_files(struct rnn__trainer *t, struct rnn__fault *f);
void rnn__flush_files(struct rnn__trainer *t, bool sync);
/* Their lengths, for a checkpoint. NULL: no memory. */
json_t *rnn__files_json(const struct rnn__trainer *t);
void rnn__files_free(struct rnn__trainer *t);

/* ---- begin.c ---- */

/* Checks and opens everything that the run needs; a failure leaves the folder of an older
   run as it was. */
int rnn__begin(struct rnn__trainer *t, struct rnn__fault *f);

/* ---- run_folder.c ---- */

/* Locks a folder against other trainers, unless *lock holds it already. RNN_EIO when
   another process has it, or, if it `writes`, nothing can be written there. */
int rnn__folder_lock(const char *folder, bool writes, int *lock, struct rnn__fault *f);
void rnn__folder_unlock(int *lock);
/* Whether both are there, and one. */
bool rnn__folder_same(const char *a, const char *b);

/* What stands behind ".safetensors" in a checkpoint's name while a folder changes hands. */
#define RNN__NEW ".incoming"
#define RNN__OLD ".aside"
enum rnn__standing { RNN__IN_PLACE, RNN__INCOMING, RNN__ASIDE };

struct rnn__found {
    struct rnn__place place;
    char *path;
    bool is_run; /* a run's, not what a user has put there */
    enum rnn__standing standing;
};
/* The checkpoints of a folder by their names, oldest first, those without a number before
   all; an absent folder has none. Those set aside are among them while the run whose they
   are still has the folder. */
int rnn__folder_list(const char *folder, struct rnn__found **list, int *n,
                     struct rnn__fault *f);
/* Also those that are none of the folder's yet, or no more. */
int rnn__folder_list_all(const char *folder, struct rnn__found **list, int *n,
                         struct rnn__fault *f);
/* Whether one of all of them waits to be put in its place. */
bool rnn__found_incoming(const struct rnn__found *list, int n);
void rnn__found_free(struct rnn__found *list, int n);
/* NULL: no memory. */
char *rnn__checkpoint_path(const struct rnn__trainer *t, struct rnn__place place);
/* Whether the run itself writes a file of this name: none that a handler may choose. */
bool rnn__is_own_file(const char *name);
/* Removes what killed runs left half written of such files. */
void rnn__folder_sweep(const char *folder);

/* ---- take_over.c ---- */

/* Ends what a killed run left undone of taking the locked folder. RNN_EIO. */
int rnn__folder_settle(const char *folder, struct rnn__fault *f);
/* The present state, and the staged file `spec` (NULL: none), in place of the n checkpoints
   of another run: both are there, or the folder is as it was. */
int rnn__take_over(struct rnn__trainer *t, const struct rnn__found *list, int n,
                   const char *spec, struct rnn__fault *f);

/* ---- checkpoint_sets.c ---- */

/* A set of checkpoints, of which the newest `keep` stay: its number. RNN__ESPEC: too many.
 */
int rnn__set_add(struct rnn__trainer *t, int64_t keep, int *set, struct rnn__fault *f);
/* The sets, as bits, that this run has put the checkpoint of a place into. RNN_ENOMEM. */
uint32_t rnn__marks_at(const struct rnn__trainer *t, struct rnn__place place);
int rnn__marks_set(struct rnn__trainer *t, struct rnn__place place, uint32_t marks);
/* Removes what is in no set any more, behind `newest`. */
void rnn__sets_prune(struct rnn__trainer *t, const char *newest);

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

/* The same without `on`, for handlers where it names something else. */
int rnn__read_filter(const json_t *options, const char *where, struct rnn__when *when,
                     struct rnn__fault *f);

/* Metric number i of those that training's epochs have; NULL past the last. */
const char *rnn__training_metric(const struct rnn__trainer *t, int i);
/* RNN__ESPEC, with a suggestion, when the run has no figure `name`: "loss", "METRIC",
   "valid.loss", "valid.METRIC". */
int rnn__check_figure(struct rnn__trainer *t, const char *where, const char *key,
                      const char *name, struct rnn__fault *f);
/* The value of a metric, NaN where nothing counted, or without one of that name of "loss",
   the last output; false while there is none. */
bool rnn__watched(struct rnn__trainer *t, const char *name, double *value);
/* Whether a watched number is better when larger: settings' mode, min or max; without it
   only of a loss, which is better small, is that known. RNN__ESPEC. */
int rnn__read_mode(const json_t *options, const char *where, const char *watched,
                   bool *larger, struct rnn__fault *f);

/* One each for the table in handlers.c; options may be NULL. */
int rnn__add_log(struct rnn__trainer *t, const json_t *options, const char *where,
                 struct rnn__fault *f);
int rnn__add_progress(struct rnn__trainer *t, const json_t *options, const char *where,
                      struct rnn__fault *f);
int rnn__add_early_stopping(struct rnn__trainer *t, const json_t *options,
                            const char *where, struct rnn__fault *f);
int rnn__add_time_limit(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f);
int rnn__add_terminate_on_nan(struct rnn__trainer *t, const json_t *options,
                              const char *where, struct rnn__fault *f);
int rnn__add_ema(struct rnn__trainer *t, const json_t *options, const char *where,
                 struct rnn__fault *f);
int rnn__add_timer(struct rnn__trainer *t, const json_t *options, const char *where,
                   struct rnn__fault *f);
int rnn__add_profile(struct rnn__trainer *t, const json_t *options, const char *where,
                     struct rnn__fault *f);
int rnn__add_checkpoint(struct rnn__trainer *t, const json_t *options, const char *where,
                        struct rnn__fault *f);

/* Leaves ema.safetensors in the run's folder when there are averages. */
int rnn__save_ema(struct rnn__trainer *t, struct rnn__fault *f);
/* Prints the times and leaves profile.csv when the settings or --profile ask for it. */
int rnn__profile_report(struct rnn__trainer *t, struct rnn__fault *f);

/* What tells of the run when it has ended: profile, trace, report. (trainer.c) */
int rnn__reports_add(struct rnn__trainer *t, struct rnn__fault *f);
/* Curves are gathered from here on, for report.html and loss.svg. */
int rnn__report_begin(struct rnn__trainer *t, struct rnn__fault *f);
/* Writes both; `end` says how the run ended. */
int rnn__report_end(struct rnn__trainer *t, const char *end, struct rnn__fault *f);

/* The lines of a validation, to every log. */
void rnn__log_validation(struct rnn__trainer *t);
/* Leaves the run's last state as a checkpoint unless it is one already. */
int rnn__save_last(struct rnn__trainer *t, struct rnn__fault *f);
/* Writes a checkpoint behind each chunk in which one was asked for by a signal. */
int rnn__hang_wish(struct rnn__trainer *t, struct rnn__fault *f);
/* Writes the run's present state beside its place, as *path + RNN__NEW; *path is NULL or
   freed by the caller. */
int rnn__write_first(struct rnn__trainer *t, char **path, struct rnn__fault *f);
/* That is in its place, and the run's newest; `path` is taken over. */
void rnn__first_written(struct rnn__trainer *t, char *path);

#endif
