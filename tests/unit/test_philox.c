/*
 * test_philox.c — Philox against the known answers of Random123 (kat_vectors,
 * philox4x32 with 10 rounds), and the names of draws.
 */
#include "check.h"
#include "rnn_philox.h"

static const struct {
    uint32_t counter[4], key[2], expected[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void test_known_answers(void)
{
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t word[4];
        memcpy(word, known[i].counter, sizeof word);
        rnn_philox(word, known[i].key);
        for (int j = 0; j < 4; j++)
            CHECK(word[j] == known[i].expected[j], "vector %u word %d: %08x, expected %08x",
                  i, j, (unsigned)word[j], (unsigned)known[i].expected[j]);
    }
}

static void test_every_part_of_a_name_counts(void)
{
    float base = rnn_uniform(1, 2, 3, 4, 5, 6);
    CHECK(base == rnn_uniform(1, 2, 3, 4, 5, 6), "not the same twice");
    const float other[] = {
        rnn_uniform(2, 2, 3, 4, 5, 6),
        rnn_uniform(1, 3, 3, 4, 5, 6),
        rnn_uniform(1, 2, 4, 4, 5, 6),
        rnn_uniform(1, 2, 3, 5, 5, 6),
        rnn_uniform(1, 2, 3, 4, 6, 6),
        rnn_uniform(1, 2, 3, 4, 5, 7),
        rnn_uniform(1, 2, 3, 4, 5, 10),
        rnn_uniform(1 + (1ull << 32), 2, 3, 4, 5, 6),
        rnn_uniform(1, 2, 3 + (1ll << 32), 4, 5, 6),
    };
    for (unsigned i = 0; i < sizeof other / sizeof *other; i++)
        CHECK(other[i] != base, "change %u gives the same draw %g", i, (double)base);
}

static void test_draws_are_uniform(void)
{
    enum { N = 100000 };
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        double u = rnn_uniform(7, 1, 0, i / 64, i % 64, i % 5);
        CHECK(u >= 0 && u < 1, "draw %g", u);
        sum += u, squares += u * u;
    }
    /* four standard deviations of the mean of N draws */
    CHECK(fabs(sum / N - 0.5) < 4 * sqrt(1.0 / 12 / N), "mean %g", sum / N);
    CHECK(fabs(squares / N - 1.0 / 3) < 4 * sqrt(4.0 / 45 / N), "mean square %g",
          squares / N);
}

int main(void)
{
    test_known_answers();
    test_every_part_of_a_name_counts();
    test_draws_are_uniform();
    return check_result();
}
