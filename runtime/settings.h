/*
 * settings.h — reading the JSON of rnn_config: values that may be JSON's own or
 * strings, keys that must be known, paths of --set.
 */
#ifndef RNN_SETTINGS_H
#define RNN_SETTINGS_H

#include "io.h"
#include "rnn_abi.h"

#include <jansson.h>

/*
 * Each reads object[key] to *out; a key that is missing leaves *out. `where` names the
 * section in messages ("data.train"). RNN__ESPEC.
 */
int rnn__get_integer(const json_t *object, const char *where, const char *key,
                     int64_t least, int64_t *out, struct rnn__fault *f);
int rnn__get_number(const json_t *object, const char *where, const char *key, double *out,
                    struct rnn__fault *f);
int rnn__get_flag(const json_t *object, const char *where, const char *key, bool *out,
                  struct rnn__fault *f);
/* *out lives as long as the object. */
int rnn__get_text(const json_t *object, const char *where, const char *key,
                  const char **out, struct rnn__fault *f);
/* One of words[0 … n): its index. */
int rnn__get_word(const json_t *object, const char *where, const char *key,
                  const char *const *words, int n, int *out, struct rnn__fault *f);
/* A number, or text that is one; false otherwise. */
bool rnn__is_number(const json_t *value, double *out);

/*
 * Not every function of the JSON library tells of memory that it did not get, and some
 * leave a value out. From rnn__json_watch on such failures are noted, for the whole
 * process; rnn__json_take_failure says whether there was one since it was last asked.
 */
void rnn__json_watch(void);
bool rnn__json_take_failure(void);
/* Releases what json_dumps has given. */
void rnn__json_free(void *memory);

/* Every key must be among keys (ends with NULL); the nearest known one is suggested. */
int rnn__check_keys(const json_t *object, const char *where, const char *const *keys,
                    struct rnn__fault *f);
/* The word of the NULL-ended list nearest to `word`; NULL when none is near. */
const char *rnn__nearest(const char *word, const char *const *list);

/*
 * Sets the value at a dotted path ("data.train.text"), making objects on the way; in a
 * list ("train.handlers.checkpoint.keep") the entry is the object with that key, added
 * when there is none. The value is JSON when it parses as such, else text.
 */
int rnn__set_path(json_t *root, const char *path, const char *value, struct rnn__fault *f);

#endif
