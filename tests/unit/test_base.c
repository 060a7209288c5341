/*
 * test_base.c — memory, sizes, text and messages.
 */
#include "base/base.h"
#include "check.h"

#include <stdlib.h>

static void test_memory_is_zeroed_aligned_and_apart(void)
{
    Arena *a = arena_new();
    char *before = NULL;
    for (size_t n = 0; n < 3000; n += 7) {
        char *p = arena_alloc(a, n);
        CHECK((uintptr_t)p % _Alignof(max_align_t) == 0, "%p", (void *)p);
        for (size_t i = 0; i < n; i++)
            CHECK(p[i] == 0, "byte %zu of %zu", i, n);
        memset(p, 0x5a, n);
        CHECK(p != before, "two allocations share memory");
        before = p;
    }
    char *large = arena_alloc(a, 40u << 20);
    CHECK(large[0] == 0 && large[(40u << 20) - 1] == 0, "a large block is zeroed");
    arena_free(a);
    arena_free(NULL);
}

static void test_vectors_grow_and_keep_their_elements(void)
{
    Arena *a = arena_new();
    int *v = NULL, n = 0, capacity = 0;
    for (int i = 0; i < 1000; i++)
        *PUSH(a, v, n, capacity) = i;
    CHECK(n == 1000, "%d", n);
    for (int i = 0; i < n; i++)
        CHECK(v[i] == i, "element %d is %d", i, v[i]);
    arena_free(a);
}

static void test_sizes_say_when_they_overflow(void)
{
    int64_t out = 7;
    CHECK(size_mul(3, 4, &out) && out == 12, "%lld", (long long)out);
    CHECK(size_mul(INT64_MAX, 1, &out) && out == INT64_MAX, "%lld", (long long)out);
    CHECK(size_mul(INT64_MAX, 0, &out) && out == 0, "%lld", (long long)out);
    out = 7;
    CHECK(!size_mul(INT64_MAX, 2, &out) && out == 7, "%lld", (long long)out);
    CHECK(!size_mul(-1, 2, &out) && !size_mul(2, -1, &out), "negative");
    CHECK(!size_mul((int64_t)1 << 32, (int64_t)1 << 31, &out), "2^63");
    CHECK(size_add(INT64_MAX - 1, 1, &out) && out == INT64_MAX, "%lld", (long long)out);
    CHECK(!size_add(INT64_MAX, 1, &out) && !size_add(-3, 2, &out), "add");
    CHECK(!size_add(INT64_MIN, -1, &out), "INT64_MIN");
    CHECK(size_product(NULL, 0, &out) && out == 1, "%lld", (long long)out);
    CHECK(size_product((int64_t[]){2, 3, 4}, 3, &out) && out == 24, "%lld", (long long)out);
    CHECK(!size_product((int64_t[]){1 << 30, 1 << 30, 1 << 30}, 3, &out), "2^90");
}

static void test_words_are_near_by_edits_and_swaps(void)
{
    CHECK(str_distance("lstm", "lstm", 2) == 0, "equal");
    CHECK(str_distance("lstmm", "lstm", 2) == 1, "insert");
    CHECK(str_distance("hiden", "hidden", 2) == 1, "delete");
    CHECK(str_distance("liner", "lines", 2) == 1, "replace");
    CHECK(str_distance("setp", "step", 2) == 1, "swap");
    CHECK(str_distance("", "ab", 2) == 2, "empty");
    CHECK(str_distance("kitten", "sitting", 2) == 3, "capped");
    static const char *const names[] = {"rnn", "gru", "lstm", "linear"};
    CHECK_TEXT(diag_nearest("lstmm", names, 4), "lstm");
    CHECK_TEXT(diag_nearest("linaer", names, 4), "linear");
    CHECK(!diag_nearest("gpu2", names, 4), "two edits are too far for a short name");
    CHECK(!diag_nearest("transformer", names, 4), "nothing is near");
}

static void test_patterns_match_whole_names(void)
{
    CHECK(str_match("*.bias*", "rnn.bias_ih_l0"), "stars");
    CHECK(!str_match("*.bias*", "rnn.weight"), "no match");
    CHECK(str_match("a?c", "abc") && !str_match("a?c", "ac"), "question mark");
    CHECK(str_match("*", "") && str_match("", "") && !str_match("", "a"), "empty");
    CHECK(str_match("*a*b", "xaxxaxb") && !str_match("*a*b", "ba"), "backtracking");
}

static const char *printed(void (*write)(Diag *, const Source *), int *n_error)
{
    static char text[8192];
    static const Source source = {.name = "a.yaml", .text = "one\n  two = thre(3)\nfour\n"};
    Arena *a = arena_new();
    FILE *out = tmpfile();
    Diag *d = diag_new(a, out);
    write(d, &source);
    *n_error = diag_errors(d);
    diag_flush(d);
    diag_flush(d); /* has nothing left */
    rewind(out);
    text[fread(text, 1, sizeof text - 1, out)] = '\0';
    fclose(out);
    arena_free(a);
    return text;
}

static void write_three(Diag *d, const Source *s)
{
    Loc later = {s, 3, 1, 4}, earlier = {s, 2, 9, 4}, none = {0};
    diag_error(d, later, "no '%s'", "four");
    diag_note(d, none, "it is a note");
    diag_error(d, earlier, "unknown function 'thre'");
    diag_error(d, later, "no '%s'", "four");
    diag_note(d, none, "a note of the repetition");
    diag_warning(d, (Loc){s, 2, 3, 3}, "tab\there, \x01 and \xff");
}

static void test_messages_are_sorted_shown_once_and_have_a_caret(void)
{
    int n_error;
    const char *text = printed(write_three, &n_error);
    CHECK(n_error == 2, "%d", n_error);
    CHECK_TEXT(text, "a.yaml:2:3: warning: tab here, ? and ?\n"
                     "    2 |   two = thre(3)\n"
                     "      |   ^~~\n"
                     "a.yaml:2:9: error: unknown function 'thre'\n"
                     "    2 |   two = thre(3)\n"
                     "      |         ^~~~\n"
                     "a.yaml:3:1: error: no 'four'\n"
                     "    3 | four\n"
                     "      | ^~~~\n"
                     "rnnc: note: it is a note\n");
}

static void write_many(Diag *d, const Source *s)
{
    for (int i = 0; i < 30; i++)
        diag_error(d, (Loc){s, 1 + i % 3, 100 + i, 1}, "number %d", i);
}

static void test_messages_beyond_twenty_are_counted(void)
{
    int n_error;
    const char *text = printed(write_many, &n_error);
    CHECK(n_error == 30, "%d", n_error);
    CHECK(strstr(text, "rnnc: 10 more errors are not shown\n"), "%s", text);
}

static void test_text_grows(void)
{
    Arena *a = arena_new();
    Text t = {.arena = a};
    for (int i = 0; i < 1000; i++)
        text_add(&t, "%d,", i);
    CHECK(t.length == 3890 && strlen(t.text) == t.length, "%zu", t.length);
    CHECK(strncmp(t.text, "0,1,2,", 6) == 0, "%.20s", t.text);
    CHECK_TEXT(arena_print(a, "%s-%d", "x", 3), "x-3");
    arena_free(a);
}

int main(void)
{
    test_memory_is_zeroed_aligned_and_apart();
    test_vectors_grow_and_keep_their_elements();
    test_sizes_say_when_they_overflow();
    test_words_are_near_by_edits_and_swaps();
    test_patterns_match_whole_names();
    test_messages_are_sorted_shown_once_and_have_a_caret();
    test_messages_beyond_twenty_are_counted();
    test_text_grows();
    return check_result();
}
