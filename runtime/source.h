/*
 * source.h — the library's own data sources, made from the settings.
 *
 *   source_arrays.c  {x: a.npy, y: b.npy}, npz, safetensors, raw, csv: sequences, or one
 *                    series in parallel streams; container.h is where its arrays come from
 *   source_text.c    {text: corpus.txt}         a corpus in streams, which text.c reads
 *   source_random.c  {random: true}             for trying and timing
 *   window.c         batches of files, in memory a window at a time
 *   source.c         which of them: the one table; source_run.c runs over any
 *
 * Each is a function of (pass, position) alone: the data cursor of a run is the two numbers
 * of rnn_source_run, restart and seek set them, and reading goes on from there at once, in
 * the middle of an epoch, with what a run that was never stopped would have read.
 */
#ifndef RNN_SOURCE_H
#define RNN_SOURCE_H

#include "rnn_data.h"
#include "vocabulary.h"

/* A data file that a run was begun with: see kept.c. */
struct rnn__used_file {
    const char *where; /* "data.train" */
    char *path;
    int64_t bytes;
    uint32_t crc;
};
struct rnn__used_files {
    int n;
    struct rnn__used_file *file;
};

int rnn__used_add(struct rnn__used_files *used, const char *where, const char *path,
                  struct rnn__fault *f);
void rnn__used_free(struct rnn__used_files *used);
/* As checkpoints hold them: [{"where": "data.train", "bytes": 9, "crc32c": 1}, …]. */
json_t *rnn__used_json(const struct rnn__used_files *used);
/* 0 when they are the files of a checkpoint, or that does not say; RNN_EDATA. */
int rnn__used_check(const struct rnn__used_files *used, const json_t *known,
                    const char *checkpoint, struct rnn__fault *f);

struct rnn__source_setup {
    const json_t *json; /* must outlive the source */
    const char *where;  /* "data.train", for messages */
    const char *folder; /* of relative paths, or NULL */
    uint64_t seed;
    const char *lengths; /* the input that says how many steps of a row count, or NULL */
    const struct rnn__vocabulary *vocabulary; /* text only; must outlive the source */
    struct rnn__used_files *used;             /* NULL, or filled in by rnn__source_uses */
};

/* The source that the settings' keys ask for; after this, rnn_source_open, or
   source.close. RNN__ESPEC, RNN_ENOMEM. */
int rnn__source_make(rnn_source *out, const struct rnn__source_setup *setup,
                     struct rnn__fault *f);
/* Whether the settings are those of a text, and then its file (the caller frees) and level.
 */
bool rnn__source_is_text(const json_t *json);
int rnn__source_text_file(const struct rnn__source_setup *setup, char **path,
                          enum rnn__level *level, struct rnn__fault *f);

/* How large files make a batch: rows and steps; 0 where they leave it open, as those of
   sequences leave the rows, and text all. And whether they are read in streams. */
struct rnn__extent {
    int64_t rows, steps;
    bool streams;
};
/* Of the inputs only names, and which are given once a sequence, are read. */
int rnn__source_measure(const struct rnn__source_setup *setup,
                        const struct rnn_input *input, int n_input, struct rnn__extent *out,
                        struct rnn__fault *f);

/* One each, for the table in source.c; the settings have been copied by value. `container`
   is the table's, NULL for those that need none. */
struct rnn__container;
int rnn__arrays_source(rnn_source *out, const struct rnn__source_setup *setup,
                       const struct rnn__container *container, struct rnn__fault *f);
int rnn__text_source(rnn_source *out, const struct rnn__source_setup *setup,
                     const struct rnn__container *container, struct rnn__fault *f);
int rnn__random_source(rnn_source *out, const struct rnn__source_setup *setup,
                       const struct rnn__container *container, struct rnn__fault *f);
int rnn__arrays_measure(const struct rnn__source_setup *setup,
                        const struct rnn__container *container,
                        const struct rnn_input *input, int n_input, struct rnn__extent *out,
                        struct rnn__fault *f);
int rnn__text_measure(const struct rnn__source_setup *setup,
                      const struct rnn__container *container, const struct rnn_input *input,
                      int n_input, struct rnn__extent *out, struct rnn__fault *f);
int rnn__random_measure(const struct rnn__source_setup *setup,
                        const struct rnn__container *container,
                        const struct rnn_input *input, int n_input, struct rnn__extent *out,
                        struct rnn__fault *f);

/* ---- shared by the sources ---- */

/* To be called for each file that a source reads, when it is opened: a resumed run is
   refused when one has changed. RNN_EIO, RNN_ENOMEM. */
int rnn__source_uses(const struct rnn__source_setup *setup, const char *path,
                     struct rnn__fault *f);

/* Copies the fault's sentence out; returns its code. */
int rnn__source_failed(const struct rnn__fault *f, char *sentence, size_t capacity);

/* Rows of a batch: the setting `key`, by default as many as the model was compiled for. */
int rnn__source_rows(const struct rnn__source_setup *setup, const char *key,
                     const struct rnn_model *model, int64_t *rows, struct rnn__fault *f);

/* The setting `part`, [from, to] as shares; all of it when there is none. */
int rnn__source_part(const struct rnn__source_setup *setup, double *begin, double *end,
                     struct rnn__fault *f);

/* Index of the first of n values that the input may not hold; n when all are good.
   `values` are reals or int32, as the input's kind says. */
int64_t rnn__first_bad_value(const struct rnn_input *input, enum rnn_dtype dtype,
                             const void *values, int64_t n);
/* "is 12; classes are 0 to 9": that value, as its file has it, to the fault's sentence. */
int rnn__describe_bad_value(const struct rnn_input *input, const char *value,
                            struct rnn__fault *f);
/* "real", "class", … as a spec has it. */
const char *rnn__kind_word(enum rnn_kind kind);
/* Whether the input's values are int32, not reals. */
bool rnn__is_whole(const struct rnn_input *input);

/* A well mixed function of its argument (splitmix64; Steele, Lea, Flood 2014). */
uint64_t rnn__mix(uint64_t x);

#endif
