/*
 * rnn_philox.h — the random numbers of models and of whoever must agree with them.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): a counter of four words and a key of
 * two give four random words; there is no state. Every draw is named by what it is for,
 * so it comes out the same after recomputation, after resuming, in chunks of any length
 * and on any number of threads:
 *
 *     key      [0] seed low  ^ iteration high
 *              [1] seed high ^ site * 0x9e3779b9
 *     counter  [0] unit / 4   [1] step   [2] row   [3] iteration low
 *     word     unit % 4
 *
 * unit: the element's number within one step of one row; step in its sequence, row of the
 * data set, iteration since the run began: their low 32 bits. What has no time or rows
 * takes step or row 0. site: one for each place in a model that draws.
 * A uniform draw is the word's upper 24 bits, in [0, 1), exact in float.
 */
#ifndef RNN_PHILOX_H
#define RNN_PHILOX_H

#include <stdint.h>

enum { RNN_PHILOX_ROUNDS = 10 };

#define RNN_PHILOX_M0   UINT32_C(0xd2511f53)
#define RNN_PHILOX_M1   UINT32_C(0xcd9e8d57)
#define RNN_PHILOX_W0   UINT32_C(0x9e3779b9) /* golden ratio */
#define RNN_PHILOX_W1   UINT32_C(0xbb67ae85) /* √3 - 1 */
#define RNN_PHILOX_SITE UINT32_C(0x9e3779b9)

/* counter becomes the four random words. */
static inline void rnn_philox(uint32_t counter[4], const uint32_t key[2])
{
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < RNN_PHILOX_ROUNDS; i++) {
        uint64_t a = (uint64_t)RNN_PHILOX_M0 * counter[0];
        uint64_t b = (uint64_t)RNN_PHILOX_M1 * counter[2];
        counter[0] = (uint32_t)(b >> 32) ^ counter[1] ^ k0;
        counter[1] = (uint32_t)b;
        counter[2] = (uint32_t)(a >> 32) ^ counter[3] ^ k1;
        counter[3] = (uint32_t)a;
        k0 += RNN_PHILOX_W0, k1 += RNN_PHILOX_W1;
    }
}

/* The draw named so, in [0, 1). */
static inline float rnn_uniform(uint64_t seed, uint32_t site, int64_t iteration,
                                int64_t row, int64_t step, int64_t unit)
{
    uint64_t i = (uint64_t)iteration;
    const uint32_t key[2] = {(uint32_t)seed ^ (uint32_t)(i >> 32),
                             (uint32_t)(seed >> 32) ^ site * RNN_PHILOX_SITE};
    uint32_t word[4] = {(uint32_t)(unit / 4), (uint32_t)step, (uint32_t)row, (uint32_t)i};
    rnn_philox(word, key);
    return (float)(word[unit % 4] >> 8) * 0x1p-24f;
}

#endif
