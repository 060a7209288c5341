/*
 * check.h — what a test program needs: CHECK goes on after a failure, the exit
 * status says how it went (0 passed, 1 failed, 77 skipped, as CTest is told).
 *
 * A test is a program: main calls test_… functions and returns check_result().
 * A test's name is the sentence that it proves.
 */
#ifndef RNNC_CHECK_H
#define RNNC_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_n, check_failed;

/* CHECK(a == b, "got %d, expected %d", a, b) */
#define CHECK(condition, ...)                                               \
    do {                                                                    \
        check_n++;                                                          \
        if (!(condition)) {                                                 \
            check_failed++;                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
        }                                                                   \
    } while (0)

#define CHECK_TEXT(got, expected)                                                 \
    do {                                                                          \
        const char *got_ = (got), *expected_ = (expected);                        \
        CHECK(got_ &&strcmp(got_, expected_) == 0, "got \"%s\", expected \"%s\"", \
              got_ ? got_ : "(null)", expected_);                                 \
    } while (0)

static inline int check_result(void)
{
    fprintf(stderr, "%d checks, %d failed\n", check_n, check_failed);
    return check_failed ? 1 : 0;
}

/* Ends the test as skipped, with the reason. */
static inline int check_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    return 77;
}

/* Distance in units of the last place between two floats; big when signs differ. */
static inline int64_t check_ulp(float a, float b)
{
    int32_t x, y;
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    if (isnan(a) || isnan(b))
        return INT64_MAX;
    memcpy(&x, &a, 4), memcpy(&y, &b, 4);
    int64_t i = x < 0 ? (int64_t)INT32_MIN - x : x, j = y < 0 ? (int64_t)INT32_MIN - y : y;
    return i > j ? i - j : j - i;
}

#endif
