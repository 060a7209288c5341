/*
 * base.h — what every room of the compiler stands on, and nothing of the domain.
 *
 * Memory: one Arena per compilation, freed once. There is no free() of a single
 * object; growing arrays leave their old copy behind in the arena, which costs at
 * most as much again as the final array.
 *
 * Sizes: everything that is computed from numbers in a spec goes through
 * size_mul / size_add, which say so when they overflow.
 *
 * Mistakes of the user: Diag collects them with file, line and column and prints
 * each with its line and a caret; a pass goes on after a mistake and the pipeline
 * stops at the end of the pass.
 */
#ifndef RNNC_BASE_H
#define RNNC_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NORETURN     __attribute__((noreturn))
/* How any room may end the process; the commands have more (commands.h). */
enum { EXIT_MEMORY = 7, EXIT_BUG = 70 };

/* A bug of ours: says where, and ends the process with status 70. */
#define BUG(...) base_bug(__FILE__, __LINE__, __VA_ARGS__)

NORETURN void base_bug(const char *file, int line, const char *format, ...) PRINTF(3, 4);

/* ---- arena ---- */

typedef struct Arena Arena;

/* Returns NULL when there is no memory. The caller ends it with arena_free. */
Arena *arena_new(void);
void arena_free(Arena *arena); /* NULL is fine */
/* Zeroed memory, aligned for any type; lives until arena_free. When memory runs
   out: one line to stderr and exit(7). */
void *arena_alloc(Arena *arena, size_t n_bytes);
/* A copy of n_bytes of `from`, and room up to new_bytes, zeroed. */
void *arena_grow(Arena *arena, const void *from, size_t n_bytes, size_t new_bytes);
char *arena_copy(Arena *arena, const char *text, size_t length); /* NUL-terminated */
char *arena_print(Arena *arena, const char *format, ...) PRINTF(2, 3);
char *arena_vprint(Arena *arena, const char *format, va_list args);

#define NEW(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define NEW_ARRAY(arena, Type, n) \
    ((Type *)arena_alloc((arena), base_array_bytes((n), sizeof(Type))))
size_t base_array_bytes(int64_t n, size_t size); /* BUG on overflow or n < 0 */

/* Makes room for one more element of a vector kept as (pointer, count, capacity)
   and yields a pointer to it, zeroed, the count already raised. */
#define PUSH(arena, array, n, capacity)                                               \
    ((array) = base_reserve((arena), (array), (n) + 1, &(capacity), sizeof *(array)), \
     &(array)[(n)++])
void *base_reserve(Arena *arena, void *array, int needed, int *capacity, size_t size);

/* ---- checked sizes ---- */

/* false on overflow of int64_t or a negative result; *out is then untouched. */
bool size_mul(int64_t a, int64_t b, int64_t *out);
bool size_add(int64_t a, int64_t b, int64_t *out);
/* The product of n dims; false on overflow. The product of none is 1. */
bool size_product(const int64_t *dim, int n, int64_t *out);

/* ---- strings ---- */

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
/* Damerau-Levenshtein distance, capped at `cap` + 1. */
int str_distance(const char *a, const char *b, int cap);
/* Shell-like match of `*` and `?` only. */
bool str_match(const char *pattern, const char *text);

/* A growing text buffer in an arena. */
typedef struct {
    Arena *arena;
    char *text; /* NUL-terminated, never NULL after the first text_add */
    size_t length, capacity;
} Text;
void text_add(Text *t, const char *format, ...) PRINTF(2, 3);

/* ---- places and mistakes ---- */

/* One file as read, kept for carets. Embedded library files have names such as
   "std/lstm.yaml". */
typedef struct {
    const char *name;
    const char *text; /* NUL-terminated */
    size_t length;
} Source;

/* Where something stands: line and column from 1, length in bytes for the
   underline (0 counts as 1). source NULL: no place (command line, generated). */
typedef struct {
    const Source *source;
    int line, column, length;
} Loc;

typedef enum { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } Severity;

typedef struct Diag Diag;
enum { DIAG_MAX_ERRORS = 20 }; /* printed; the rest is counted */

Diag *diag_new(Arena *arena, FILE *out);
void diag_error(Diag *d, Loc loc, const char *format, ...) PRINTF(3, 4);
void diag_warning(Diag *d, Loc loc, const char *format, ...) PRINTF(3, 4);
/* Belongs to the message before it: "called from here", "declared here". */
void diag_note(Diag *d, Loc loc, const char *format, ...) PRINTF(3, 4);
int diag_errors(const Diag *d); /* how many so far */
/* Prints what was collected, ordered by file and line within the pass, each as
       specs/a.yaml:9:10: error: unknown cell or function 'lstmm'; did you mean 'lstm'?
           9 |   rnn  = lstmm(emb, hidden=128)
             |          ^~~~~
   and forgets it. The same message at the same place is printed once. Bytes
   that are not printable ASCII or UTF-8 are shown as ?. */
void diag_flush(Diag *d);
/* The candidate nearest to `name` within distance 2 (1 for names up to 4
   letters), or NULL. */
const char *diag_nearest(const char *name, const char *const *candidate, int n);

#endif
