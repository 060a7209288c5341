/*
 * target.c — the instruction sets that rnnc names, and which of them this machine has.
 *
 * A level is one row of a table; code is always compiled for a level, never for
 * the very CPU at hand, so that the JIT and an object file have the same bits.
 *
 * Tiles are the ones measured best without a spill: a tile of MR x NV accumulators,
 * NV vectors of b and one of a must fit: MR * NV + NV + 1 <= registers.
 */
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <string.h>

#include "emit/emit.h"

const Target targets[] = {
    {
        .name = "x86-64-v4",
        .triple = "x86_64-unknown-linux-gnu",
        .cpu = "x86-64-v4",
        .features = "-prefer-256-bit",
        .vector_bytes = 64,
        .registers = 32,
        .tile_rows = 6,
        .tile_vectors = 4,
        .l1_bytes = 32 << 10,
        .l2_bytes = 512 << 10,
        .tlb_bytes = 256 << 10,
        .scalef = true,
    },
    {
        .name = "x86-64-v3",
        .triple = "x86_64-unknown-linux-gnu",
        .cpu = "x86-64-v3",
        .features = "",
        .vector_bytes = 32,
        .registers = 16,
        .tile_rows = 6,
        .tile_vectors = 2,
        .l1_bytes = 32 << 10,
        .l2_bytes = 512 << 10,
        .tlb_bytes = 256 << 10,
    },
    {
        .name = "aarch64",
        .triple = "aarch64-unknown-linux-gnu",
        .cpu = "neoverse-n1",
        .features = "",
        .vector_bytes = 16,
        .registers = 32,
        .tile_rows = 8,
        .tile_vectors = 3,
        .l1_bytes = 32 << 10,
        .l2_bytes = 512 << 10,
        .tlb_bytes = 192 << 10,
    },
};
const int n_target = COUNT(targets);

int target_lanes(const Target *t, enum rnn_dtype dtype)
{
    return t->vector_bytes / (int)rnn_dtype_bytes(dtype);
}

PlanTarget target_facts(const Target *t, enum rnn_dtype dtype)
{
    return (PlanTarget){.name = t->name,
                        .vector = target_lanes(t, dtype),
                        .real_bytes = (int)rnn_dtype_bytes(dtype),
                        .registers = t->registers,
                        .tile_rows = t->tile_rows,
                        .tile_vectors = t->tile_vectors,
                        .l1_bytes = t->l1_bytes,
                        .l2_bytes = t->l2_bytes,
                        .tlb_bytes = t->tlb_bytes};
}

/* What a host must say it has to run a level, one word each; NULL ends the list. */
typedef struct {
    const char *target, *architecture;
    const char *need[12];
} Level;

/* Best first. */
static const Level levels[] = {
    {"x86-64-v4",
     "x86_64",
     {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "bmi2",
      "f16c", "movbe", "lzcnt"}},
    {"x86-64-v3", "x86_64", {"avx2", "fma", "bmi", "bmi2", "f16c", "movbe", "lzcnt"}},
    {"aarch64", "aarch64", {"neon"}},
};

static const Target *find_by_name(const char *name)
{
    for (int i = 0; i < n_target; i++)
        if (str_eq(targets[i].name, name))
            return &targets[i];
    return NULL;
}

/* Does "+a,+b,-c" hold "+word"? */
static bool has_feature(const char *features, const char *word)
{
    size_t length = strlen(word);
    for (const char *p = strchr(features, '+'); p; p = strchr(p + 1, '+'))
        if (strncmp(p + 1, word, length) == 0 &&
            (p[1 + length] == ',' || p[1 + length] == 0))
            return true;
    return false;
}

/* The first feature of the level that the host lacks; NULL: none. */
static const char *missing(const Level *l, const char *features)
{
    for (int i = 0; i < COUNT(l->need) && l->need[i]; i++)
        if (!has_feature(features, l->need[i]))
            return l->need[i];
    return NULL;
}

static const Target *find_host(const char **why)
{
    const Target *best = NULL;
    char *triple = LLVMGetDefaultTargetTriple(), *features = LLVMGetHostCPUFeatures();
    *why = "this machine is neither x86-64 with AVX2 (x86-64-v3) nor aarch64";
    for (int i = 0; i < COUNT(levels) && !best; i++)
        if (strncmp(triple, levels[i].architecture, strlen(levels[i].architecture)) == 0 &&
            !missing(&levels[i], features))
            best = find_by_name(levels[i].target);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(features);
    return best;
}

const Target *target_find(const char *name, const char **why)
{
    if (!name)
        return find_host(why);
    *why = "unknown target";
    return find_by_name(name);
}
