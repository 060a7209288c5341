/*
 * str.c — comparing and building text.
 *
 * str_distance counts the single-letter changes that turn one word into another:
 * insert, delete, replace, swap of neighbours (the restricted Damerau-Levenshtein
 * distance; Lowrance & Wagner 1975 without edits inside a swapped pair). Three rows of
 * the table are enough. Words longer than WORD_MAX are never near anything.
 */
#include "base/base.h"

#include <string.h>

bool str_eq(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static int min3(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

enum { WORD_MAX = 63 };

/* One row of the table: the distances of a[0..i] to every beginning of b. */
static void distance_row(const char *a, int i, const char *b, int length,
                         int row[3][WORD_MAX + 1])
{
    int *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= length; j++) {
        int differs = a[i - 1] != b[j - 1];
        now[j] = min3(before[j] + 1, now[j - 1] + 1, before[j - 1] + differs);
        bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
        if (swapped && earlier[j - 2] + 1 < now[j])
            now[j] = earlier[j - 2] + 1;
    }
}

int str_distance(const char *a, const char *b, int cap)
{
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a > WORD_MAX || length_b > WORD_MAX)
        return strcmp(a, b) == 0 ? 0 : cap + 1;
    int n = (int)length_a, m = (int)length_b, row[3][WORD_MAX + 1];
    for (int j = 0; j <= m; j++)
        row[0][j] = j;
    for (int i = 1; i <= n; i++)
        distance_row(a, i, b, m, row);
    int distance = row[n % 3][m];
    return distance > cap ? cap + 1 : distance;
}

/* Greedy: after a mismatch, the last `*` takes one letter more. */
bool str_match(const char *pattern, const char *text)
{
    const char *star = NULL, *retry = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++, text++;
        } else if (star) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static void text_reserve(Text *t, size_t more)
{
    if (t->length + more + 1 <= t->capacity)
        return;
    size_t capacity = t->capacity ? t->capacity : 128;
    while (capacity < t->length + more + 1)
        capacity *= 2;
    t->text = arena_grow(t->arena, t->text, t->length, capacity);
    t->capacity = capacity;
}

void text_add(Text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        BUG("format \"%s\" cannot be printed", format);
    text_reserve(t, (size_t)length);
    vsnprintf(t->text + t->length, (size_t)length + 1, format, args);
    va_end(args);
    t->length += (size_t)length;
}
