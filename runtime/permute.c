/*
 * permute.c — a permutation without a table: a cipher whose texts are 0 … n - 1.
 *
 * A Feistel network permutes the numbers of 2k bits, the least power of four that holds
 * n, whatever its round function is (Luby and Rackoff 1988); numbers beyond n are sent on
 * through it until they come back within: that stays a permutation ("cycle walking",
 * Black and Rogaway 2002). Fewer than four turns on average, no memory, and the order of
 * an epoch is a function of its key alone: a resumed run asks for the place where it
 * stopped.
 */
#include "permute.h"

#include "source.h"

enum { ROUNDS = 6 };

static uint64_t encrypt(uint64_t key, int half_bits, uint64_t x)
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1, left = x >> half_bits, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t mixed = left ^ (rnn__mix(key ^ rnn__mix(round << 32 | right)) & mask);
        left = right;
        right = mixed;
    }
    return left << half_bits | right;
}

int64_t rnn__permute(uint64_t key, int64_t n, int64_t i)
{
    int half_bits = 1;
    while (half_bits < 32 && (uint64_t)1 << 2 * half_bits < (uint64_t)n)
        half_bits++;
    uint64_t x = (uint64_t)i;
    do
        x = encrypt(key, half_bits, x);
    while (x >= (uint64_t)n);
    return (int64_t)x;
}
