/*
 * settings.c — values, keys and paths in the settings' JSON.
 */
#include "settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

bool rnn__is_number(const json_t *value, double *out)
{
    if (json_is_number(value)) {
        *out = json_number_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    char *end;
    if (!text || !*text)
        return false;
    double number = strtod(text, &end);
    if (*end || !isfinite(number))
        return false;
    *out = number;
    return true;
}

static int wrong(const json_t *value, const char *where, const char *key,
                 const char *expected, struct rnn__fault *f)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    rnn__fault(f, RNN__ESPEC, "%s.%s: %s is not %s", where, key, text ? text : "it",
               expected);
    rnn__json_free(text);
    return f->code;
}

int rnn__get_integer(const json_t *object, const char *where, const char *key,
                     int64_t least, int64_t *out, struct rnn__fault *f)
{
    const json_t *value = json_object_get(object, key);
    double number;
    if (!value)
        return 0;
    if (!rnn__is_number(value, &number) || number != floor(number) || fabs(number) > 0x1p53)
        return wrong(value, where, key, "a whole number", f);
    if (number < (double)least)
        return rnn__fault(f, RNN__ESPEC, "%s.%s: %.0f is less than %lld", where, key,
                          number, (long long)least);
    *out = (int64_t)number;
    return 0;
}

int rnn__get_number(const json_t *object, const char *where, const char *key, double *out,
                    struct rnn__fault *f)
{
    const json_t *value = json_object_get(object, key);
    if (value && !rnn__is_number(value, out))
        return wrong(value, where, key, "a number", f);
    return 0;
}

int rnn__get_flag(const json_t *object, const char *where, const char *key, bool *out,
                  struct rnn__fault *f)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (!value)
        return 0;
    if (json_is_true(value) || (text && strcmp(text, "true") == 0))
        *out = true;
    else if (json_is_false(value) || (text && strcmp(text, "false") == 0))
        *out = false;
    else
        return wrong(value, where, key, "true or false", f);
    return 0;
}

int rnn__get_text(const json_t *object, const char *where, const char *key,
                  const char **out, struct rnn__fault *f)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_string(value))
        return wrong(value, where, key, "text", f);
    if (value)
        *out = json_string_value(value);
    return 0;
}

int rnn__get_word(const json_t *object, const char *where, const char *key,
                  const char *const *words, int n, int *out, struct rnn__fault *f)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (!value)
        return 0;
    for (int i = 0; i < n; i++)
        if (text && strcmp(text, words[i]) == 0) {
            *out = i;
            return 0;
        }
    wrong(value, where, key, "one of", f);
    for (int i = 0; i < n; i++)
        rnn__fault_add(f, " %s", words[i]);
    return f->code;
}

/* ---- memory ---- */

/* Jansson 2.14 leaves characters out of a text that could not grow, and then copies beyond
   its end. So that it sees no failure it gets of a reserve, until whoever called it has
   asked; the reserve is free again when all that was taken of it is. */
enum { RESERVE_BYTES = 1 << 20, RESERVE_ALIGNMENT = 16 };
static _Alignas(RESERVE_ALIGNMENT) char reserve[RESERVE_BYTES];
static size_t reserve_used, reserve_live;
static bool json_failed;

static void *json_allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory)
        return memory;
    json_failed = true;
    if (bytes > RESERVE_BYTES - RESERVE_ALIGNMENT - reserve_used)
        return NULL;
    memory = reserve + reserve_used;
    reserve_used += (bytes + RESERVE_ALIGNMENT - 1) / RESERVE_ALIGNMENT * RESERVE_ALIGNMENT;
    reserve_live++;
    return memory;
}

void rnn__json_free(void *memory)
{
    uintptr_t at = (uintptr_t)memory, first = (uintptr_t)reserve;
    if (at < first || at >= first + RESERVE_BYTES)
        free(memory);
    else if (--reserve_live == 0)
        reserve_used = 0;
}

void rnn__json_watch(void)
{
    json_set_alloc_funcs(json_allocate, rnn__json_free);
    json_failed = false;
}

bool rnn__json_take_failure(void)
{
    bool failed = json_failed;
    json_failed = false;
    return failed;
}

/* ---- keys ---- */

enum { WORD_MAX = 64 };

/* Levenshtein's distance, row by row; words longer than WORD_MAX are far from all. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], n = strlen(b);
    if (strlen(a) > WORD_MAX || n > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

const char *rnn__nearest(const char *word, const char *const *list)
{
    const char *nearest = NULL;
    size_t least =
        strlen(word) <= 4 ? 2 : 3; /* one mistake in a short word, two in others */
    for (; *list; list++) {
        size_t d = distance(word, *list);
        if (d < least) {
            least = d;
            nearest = *list;
        }
    }
    return nearest;
}

static bool among(const char *key, const char *const *keys)
{
    while (*keys && strcmp(*keys, key) != 0)
        keys++;
    return *keys != NULL;
}

int rnn__check_keys(const json_t *object, const char *where, const char *const *keys,
                    struct rnn__fault *f)
{
    const char *key;
    json_t *value;
    if (object && !json_is_object(object))
        return rnn__fault(f, RNN__ESPEC, "%s: is not a mapping", where);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (among(key, keys))
            continue;
        const char *near = rnn__nearest(key, keys);
        rnn__fault(f, RNN__ESPEC, "%s: unknown key '%s'", where, key);
        if (near)
            return rnn__fault_add(f, "; did you mean '%s'?", near);
        rnn__fault_add(f, "; known are");
        for (int i = 0; keys[i]; i++)
            rnn__fault_add(f, " %s", keys[i]);
        return f->code;
    }
    return 0;
}

/* ---- paths ---- */

/* The object in `list` that has `key`, made when there is none; a plain "key" in the list
   becomes {"key": {}}. */
static json_t *entry_of(json_t *list, const char *key)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *word = json_string_value(entry);
        if (json_object_get(entry, key))
            return entry;
        if (word && strcmp(word, key) == 0) {
            json_array_set_new(list, i, json_pack("{s:{}}", key));
            return json_array_get(list, i);
        }
    }
    json_array_append_new(list, json_object());
    return json_array_get(list, json_array_size(list) - 1);
}

static json_t *value_of(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    return value ? value : json_string(text);
}

int rnn__set_path(json_t *root, const char *path, const char *value, struct rnn__fault *f)
{
    char *copy = rnn__path_join(NULL, path);
    json_t *at = root;
    int code = copy ? 0 : rnn__fault_memory(f);
    for (char *key = copy; !code;) {
        char *dot = strchr(key, '.');
        if (dot)
            *dot = '\0';
        if (json_is_array(at))
            at = entry_of(at, key);
        if (!dot) {
            json_t *leaf = value_of(value);
            if (!leaf || json_object_set_new(at, key, leaf) != 0)
                code = rnn__fault(f, RNN_EINVAL, "--set %s: is no key of the spec", path);
            break;
        }
        json_t *next = json_object_get(at, key);
        if (!json_is_object(next) && !json_is_array(next)) {
            json_object_set_new(at, key, json_object());
            next = json_object_get(at, key);
        }
        if (!next)
            code = rnn__fault(f, RNN_EINVAL, "--set %s: is no key of the spec", path);
        at = next;
        key = dot + 1;
    }
    free(copy);
    return code;
}
