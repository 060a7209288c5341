/*
 * random.c — uniform numbers inline: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011),
 * as runtime/rnn_philox.h names and defines the draws.
 *
 * Words are held in lanes of 64 bits, where the multiplier wants them; what stands in
 * the upper half of a word is never looked at. Where a vector covers whole blocks of
 * four units, a lane computes a block and its four words are four draws; else each lane
 * computes its own block and takes one word of it.
 */
#include <stddef.h>

#include "emit/kernel.h"
#include "rnn_philox.h"

/* The blocks to compute: `lanes` of them side by side. */
typedef struct {
    Ir *ir;
    int lanes;
    LLVMTypeRef type; /* i64 in each lane */
} Blocks;

static LLVMValueRef same(const Blocks *b, LLVMValueRef scalar)
{
    return ir_splat(b->ir, scalar, b->lanes);
}

/* The whole product of the lower half of v and a factor. */
static LLVMValueRef multiply(const Blocks *b, LLVMValueRef v, uint32_t factor)
{
    LLVMValueRef low = LLVMBuildAnd(b->ir->builder, v, ir_int_of(b->type, UINT32_MAX), "");
    return LLVMBuildMul(b->ir->builder, low, ir_int_of(b->type, factor), "");
}

static LLVMValueRef upper(Ir *ir, LLVMValueRef v)
{
    return LLVMBuildLShr(ir->builder, v, ir_int_of(LLVMTypeOf(v), 32), "");
}

static LLVMValueRef xor3(Ir *ir, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    return LLVMBuildXor(ir->builder, LLVMBuildXor(ir->builder, a, b, ""), c, "");
}

/* counter, four words, becomes the four random words. key: i64 scalars. */
static void philox(const Blocks *blocks, LLVMValueRef counter[4], const LLVMValueRef key[2])
{
    Ir *ir = blocks->ir;
    LLVMValueRef *c = counter, k0 = key[0], k1 = key[1];
    for (int round = 0; round < RNN_PHILOX_ROUNDS; round++) {
        LLVMValueRef a = multiply(blocks, c[0], RNN_PHILOX_M0);
        LLVMValueRef b = multiply(blocks, c[2], RNN_PHILOX_M1);
        c[0] = xor3(ir, upper(ir, b), c[1], same(blocks, k0));
        c[2] = xor3(ir, upper(ir, a), c[3], same(blocks, k1));
        c[1] = b;
        c[3] = a;
        k0 = LLVMBuildAdd(ir->builder, k0, ir_int(ir, RNN_PHILOX_W0), "");
        k1 = LLVMBuildAdd(ir->builder, k1, ir_int(ir, RNN_PHILOX_W1), "");
    }
}

/* ---- where a draw stands ---- */

static LLVMValueRef rng_field(Emitter *e, size_t field)
{
    return chunk_field(e, offsetof(struct rnn_chunk, rng) + field, e->ir.i64);
}

/* first + n; 0 where the draw has no such axis. */
static LLVMValueRef place(Emitter *e, size_t field, bool has_axis, LLVMValueRef n)
{
    if (!has_axis)
        return ir_int(&e->ir, 0);
    if (!n)
        BUG("a draw has an axis that the loops around it have not");
    return ir_add(&e->ir, rng_field(e, field), n);
}

/* The words of the blocks with these numbers. */
static void draw(Emitter *e, const Blocks *b, Draw d, LLVMValueRef block,
                 LLVMValueRef word[4])
{
    Ir *ir = &e->ir;
    const Frame *f = &e->frame;
    LLVMValueRef seed = rng_field(e, offsetof(struct rnn_rng, seed));
    LLVMValueRef iteration = rng_field(e, offsetof(struct rnn_rng, iteration));
    uint32_t site = (uint32_t)d.site * RNN_PHILOX_SITE;
    const LLVMValueRef key[2] = {
        LLVMBuildXor(ir->builder, seed, upper(ir, iteration), ""),
        LLVMBuildXor(ir->builder, upper(ir, seed), ir_int(ir, site), ""),
    };
    word[0] = block;
    word[1] = same(b, place(e, offsetof(struct rnn_rng, step0), d.axes & AXIS_TIME, f->t));
    word[2] = same(b, place(e, offsetof(struct rnn_rng, row0), d.axes & AXIS_ROW, f->row));
    word[3] = same(b, iteration);
    philox(b, word, key);
}

/* ---- the draws ---- */

/* 24 bits as a real in [0, 1): the same number in float and in double. */
static LLVMValueRef to_real(Ir *ir, LLVMValueRef word, int lanes)
{
    LLVMTypeRef real = ir_lanes(ir->real, lanes), bits = ir_lanes(ir->i32, lanes);
    LLVMValueRef v = LLVMBuildLShr(ir->builder, word, ir_int_of(bits, 8), "");
    return LLVMBuildFMul(ir->builder, LLVMBuildUIToFP(ir->builder, v, real, ""),
                         ir_real(real, 0x1p-24), "");
}

static LLVMValueRef narrow(Ir *ir, LLVMValueRef word, int lanes)
{
    return LLVMBuildTrunc(ir->builder, word, ir_lanes(ir->i32, lanes), "");
}

/* words[unit % 4], lane by lane. */
static LLVMValueRef choose_word(Ir *ir, LLVMValueRef unit, const LLVMValueRef word[4])
{
    LLVMBuilderRef b = ir->builder;
    LLVMTypeRef type = LLVMTypeOf(unit);
    LLVMValueRef zero = ir_int_of(type, 0);
    LLVMValueRef odd = LLVMBuildAnd(b, unit, ir_int_of(type, 1), "");
    LLVMValueRef two = LLVMBuildAnd(b, unit, ir_int_of(type, 2), "");
    odd = LLVMBuildICmp(b, LLVMIntNE, odd, zero, "");
    two = LLVMBuildICmp(b, LLVMIntNE, two, zero, "");
    return LLVMBuildSelect(b, two, LLVMBuildSelect(b, odd, word[3], word[2], ""),
                           LLVMBuildSelect(b, odd, word[1], word[0], ""), "");
}

/* first + lane * stride in each lane. */
static LLVMValueRef count_up(Ir *ir, LLVMValueRef first, int lanes, int64_t stride)
{
    LLVMValueRef lane[64];
    if (lanes == 1)
        return first;
    for (int k = 0; k < lanes; k++)
        lane[k] = ir_int(ir, k * stride);
    return LLVMBuildAdd(ir->builder, ir_splat(ir, first, lanes),
                        LLVMConstVector(lane, (unsigned)lanes), "");
}

/* Lane k of word w becomes lane 4 k + w. */
static LLVMValueRef interleave(Ir *ir, LLVMValueRef word[4], int lanes)
{
    LLVMValueRef v = LLVMGetPoison(ir_lanes(ir->i32, 4 * lanes)), order[64], all[64];
    if (lanes == 1) {
        for (int w = 0; w < 4; w++)
            v = ir_insert(ir, v, narrow(ir, word[w], 1), w);
        return v;
    }
    for (int k = 0; k < 2 * lanes; k++)
        all[k] = ir_int_of(ir->i32, k);
    for (int k = 0; k < 4 * lanes; k++)
        order[k] = ir_int_of(ir->i32, (k % 4) * lanes + k / 4);
    LLVMValueRef both = LLVMConstVector(all, 2U * (unsigned)lanes), half[2];
    for (int h = 0; h < 2; h++)
        half[h] = LLVMBuildShuffleVector(ir->builder, narrow(ir, word[2 * h], lanes),
                                         narrow(ir, word[2 * h + 1], lanes), both, "");
    return LLVMBuildShuffleVector(ir->builder, half[0], half[1],
                                  LLVMConstVector(order, 4U * (unsigned)lanes), "");
}

LLVMValueRef random_emit(Emitter *e, Draw d, LLVMValueRef unit, int lanes, int64_t stride)
{
    Ir *ir = &e->ir;
    bool whole_blocks = d.aligned && stride == 1 && lanes % 4 == 0;
    Blocks b = {ir, whole_blocks ? lanes / 4 : lanes, NULL};
    b.type = ir_lanes(ir->i64, b.lanes);
    LLVMValueRef word[4];
    if (whole_blocks) {
        LLVMValueRef first = LLVMBuildLShr(ir->builder, unit, ir_int(ir, 2), "");
        draw(e, &b, d, count_up(ir, first, b.lanes, 1), word);
        return to_real(ir, interleave(ir, word, b.lanes), lanes);
    }
    LLVMValueRef units = count_up(ir, unit, lanes, stride);
    draw(e, &b, d, LLVMBuildLShr(ir->builder, units, ir_int_of(b.type, 2), ""), word);
    return to_real(ir, narrow(ir, choose_word(ir, units, word), lanes), lanes);
}
