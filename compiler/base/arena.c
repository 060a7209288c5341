/*
 * arena.c — memory of one compilation: taken in blocks, given back all at once.
 *
 * A block is a list node followed by its bytes; an allocation moves a mark along the
 * newest block. A request that does not fit starts a new block, at least twice as large
 * as the one before up to BLOCK_MAX, so that the number of blocks stays small. Blocks
 * come zeroed from calloc and no byte is handed out twice, so all memory is zero.
 *
 * The one place of the compiler that calls malloc, and the one that knows what happens
 * when there is no memory: a line on stderr and exit status 7.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 64 << 10, BLOCK_MAX = 16 << 20 };

typedef struct Block Block;
struct Block {
    Block *next;
    size_t used, size; /* bytes of data */
    max_align_t data[];
};

struct Arena {
    Block *newest;
};

static NORETURN void no_memory(size_t n_bytes)
{
    fprintf(stderr, "rnnc: error: out of memory (%zu more bytes were needed)\n", n_bytes);
    exit(EXIT_MEMORY);
}

void base_bug(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "rnnc: internal error at %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputs("; please report it\n", stderr);
    va_end(args);
    exit(EXIT_BUG);
}

Arena *arena_new(void) { return calloc(1, sizeof(Arena)); }

void arena_free(Arena *arena)
{
    if (!arena)
        return;
    for (Block *b = arena->newest, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(arena);
}

static Block *block_new(Arena *arena, size_t n_bytes)
{
    size_t size = arena->newest ? 2 * arena->newest->size : BLOCK_MIN;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (size < n_bytes)
        size = n_bytes;
    Block *b = size > SIZE_MAX - sizeof *b ? NULL : calloc(1, sizeof *b + size);
    if (!b)
        no_memory(n_bytes);
    b->size = size;
    b->next = arena->newest;
    return arena->newest = b;
}

void *arena_alloc(Arena *arena, size_t n_bytes)
{
    const size_t align = _Alignof(max_align_t);
    if (n_bytes > SIZE_MAX - align)
        no_memory(n_bytes);
    n_bytes = (n_bytes ? n_bytes + align - 1 : align) / align * align;
    Block *b = arena->newest;
    if (!b || b->size - b->used < n_bytes)
        b = block_new(arena, n_bytes);
    void *at = (char *)b->data + b->used;
    b->used += n_bytes;
    return at;
}

void *arena_grow(Arena *arena, const void *from, size_t n_bytes, size_t new_bytes)
{
    void *to = arena_alloc(arena, new_bytes > n_bytes ? new_bytes : n_bytes);
    if (n_bytes)
        memcpy(to, from, n_bytes);
    return to;
}

char *arena_copy(Arena *arena, const char *text, size_t length)
{
    return arena_grow(arena, text, length, length + 1);
}

char *arena_vprint(Arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        BUG("format \"%s\" cannot be printed", format);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

char *arena_print(Arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprint(arena, format, args);
    va_end(args);
    return text;
}

size_t base_array_bytes(int64_t n, size_t size)
{
    if (n < 0 || (uint64_t)n > SIZE_MAX / size)
        BUG("an array of %lld elements of %zu bytes", (long long)n, size);
    return (size_t)n * size;
}

void *base_reserve(Arena *arena, void *array, int needed, int *capacity, size_t size)
{
    enum { FIRST = 8 };
    if (needed <= *capacity)
        return array;
    if (needed > INT32_MAX / 2)
        BUG("an array of %d elements", needed);
    int old = *capacity, grown = old < FIRST ? FIRST : 2 * old;
    *capacity = grown > needed ? grown : needed;
    return arena_grow(arena, array, base_array_bytes(old, size),
                      base_array_bytes(*capacity, size));
}
