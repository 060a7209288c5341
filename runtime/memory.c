/*
 * memory.c — the engine's allocations, sentences and clock.
 *
 * Every allocation goes through the caller's rnn_allocator, so that a test can
 * fail the n-th one. The hook has no reallocate: arrays double by copying.
 *
 * Large blocks ask for huge pages: kernels walk a workspace of megabytes in strides of
 * kilobytes, and with pages of 4 KiB most of those steps would miss the first-level TLB.
 * Where the system grants none they are ordinary pages.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* The sentence of an engine that could not be made. */
static _Thread_local char orphan_error[RNN__ERROR_BYTES];

enum { HUGE_PAGE_BYTES = 2 << 20 };

static void want_huge_pages(void *memory, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

static void *default_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    void *memory = NULL;
    bool large = bytes >= HUGE_PAGE_BYTES;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    if (large && alignment < HUGE_PAGE_BYTES)
        alignment = HUGE_PAGE_BYTES;
    if (posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    if (large)
        want_huge_pages(memory, bytes);
    return memory;
}

static void default_release(void *user, void *memory)
{
    (void)user;
    free(memory);
}

static const rnn_allocator default_allocator = {default_allocate, default_release, NULL};

const rnn_allocator *rnn__allocator_or_default(const rnn_allocator *a)
{
    return a ? a : &default_allocator;
}

void *rnn__alloc(const rnn_allocator *a, size_t bytes, size_t alignment)
{
    void *memory = a->allocate(a->user, bytes ? bytes : 1, alignment);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void rnn__free(const rnn_allocator *a, void *memory)
{
    if (memory)
        a->release(a->user, memory);
}

bool rnn__grow(const rnn_allocator *a, void **array, int *capacity, int count,
               size_t element_bytes)
{
    if (count < *capacity)
        return true;
    int larger = *capacity ? 2 * *capacity : 4;
    void *memory = rnn__alloc(a, (size_t)larger * element_bytes, _Alignof(max_align_t));
    if (!memory)
        return false;
    if (count)
        memcpy(memory, *array, (size_t)count * element_bytes);
    rnn__free(a, *array);
    *array = memory;
    *capacity = larger;
    return true;
}

struct rnn__owned {
    struct rnn__owned *next;
    max_align_t memory[];
};

void *rnn__own(rnn_engine *e, size_t bytes)
{
    struct rnn__owned *o =
        rnn__alloc(&e->allocator, sizeof *o + bytes, _Alignof(max_align_t));
    if (!o)
        return NULL;
    o->next = e->owned;
    e->owned = o;
    return o->memory;
}

void rnn__owned_free(rnn_engine *e)
{
    while (e->owned) {
        struct rnn__owned *o = e->owned;
        e->owned = o->next;
        rnn__free(&e->allocator, o);
    }
}

char *rnn__copy_text(const rnn_allocator *a, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = rnn__alloc(a, bytes, 1);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

const char *rnn_error_text(int code)
{
    static const struct {
        int code;
        const char *sentence;
    } list[] = {
#define X(name, number, text) {(number), (text)},
        RNN_ERROR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].code == code)
            return list[i].sentence;
    return "error";
}

int rnn__fail(rnn_engine *e, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(e ? e->error : orphan_error, RNN__ERROR_BYTES, format, args);
    va_end(args);
    if (e)
        e->raised = code;
    return code;
}

int rnn_raise(rnn_engine *e, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(e->error, sizeof e->error, format, args);
    va_end(args);
    e->raised = code < 0 ? code : RNN_EINVAL;
    return e->raised;
}

const char *rnn_engine_error(const rnn_engine *e) { return e ? e->error : orphan_error; }

void rnn_set_notice(rnn_engine *e, rnn_notice *notice, void *user)
{
    e->notice = notice;
    e->notice_user = user;
}

void rnn__note(rnn_engine *e, const char *format, ...)
{
    char text[RNN__ERROR_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (e->notice)
        e->notice(e->notice_user, text);
    else
        fprintf(stderr, "note: %s\n", text);
}

double rnn__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
