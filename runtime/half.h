/*
 * half.h — sixteen-bit floats, as files hold them, to float. Every value of either
 * kind is a float exactly.
 */
#ifndef RNN_HALF_H
#define RNN_HALF_H

#include <stdint.h>
#include <string.h>

static inline float rnn__float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float rnn__float_of_bf16(uint16_t bits)
{
    return rnn__float_of_bits((uint32_t)bits << 16);
}

/* IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
static inline float rnn__float_of_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = (bits >> 10) & 31, fraction = bits & 0x3FF;
    if (exponent == 31)
        return rnn__float_of_bits(sign | 0x7F800000u | fraction << 13);
    if (exponent)
        return rnn__float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction * 0x1p-24f; /* subnormal: no hidden bit */
    return sign ? -small : small;
}

#endif
