/*
 * test_ulp.c — every elementwise operation as compiled, against double precision.
 *
 * The table is walked: an operation is tested because it has a recipe. Operands of
 * one-operand operations are every 997th float in the order of their bits (`long`:
 * every one), so all exponents, denormals, infinities and NaNs are among them; pairs
 * and triples are drawn from the same, with a share of numbers of ordinary size.
 *
 * The bound is the operation's own (OpDef.ulp); 0 means the correctly rounded result.
 * Differences are measured in units of the last place of the exact result's float.
 * An operation whose recipe states a narrower domain is held to it there alone.
 */
#include "check.h"
#include "emit/emit.h"
#include "level.h"
#include "rnn_philox.h"

#include <float.h>
#include <stdlib.h>

enum { BATCH = 1 << 14, MAX_OPERANDS = 3 };

typedef struct {
    EmitModule *module;
    Jit *jit;
    float *data; /* operands one after another, then the result: BATCH each */
} Kernel;

static Instr *add_instr(Arena *arena, Sweep *s, Instr i)
{
    Instr *instr = PUSH(arena, s->instr, s->n_instr, s->instr_capacity);
    *instr = i;
    instr->access.stride[0] = 1;
    return instr;
}

/* result[i] = op(operand 0[i], …), all in the block of parameters. */
static Plan *plan_of(Arena *arena, OpCode op)
{
    int arity = op_defs[op]->arity < 0 ? 1 : op_defs[op]->arity;
    Plan *p = NEW(arena, Plan);
    Sweep *s = NEW(arena, Sweep);
    int *arg = NEW_ARRAY(arena, int, MAX_OPERANDS + 1);
    *p = (Plan){.arena = arena, .steps_max = 1, .rows_max = 1, .threads_max = 1};
    *PUSH(arena, p->buffer, p->n_buffer, p->buffer_capacity) = (Buffer){
        .name = "data", .home = HOME_PARAMS, .shape = {1, {BATCH * (MAX_OPERANDS + 1)}}};
    *s = (Sweep){.rank = 1, .extent = {BATCH}};
    for (int a = 0; a < arity; a++) {
        arg[a] = a;
        add_instr(arena, s, (Instr){.kind = I_LOAD, .access = {.offset = BATCH * a}});
    }
    add_instr(arena, s, (Instr){.kind = I_MAP, .op = op, .n_arg = arity, .arg = arg});
    arg[MAX_OPERANDS] = arity;
    add_instr(arena, s,
              (Instr){.kind = I_STORE,
                      .n_arg = 1,
                      .arg = &arg[MAX_OPERANDS],
                      .access = {.offset = BATCH * MAX_OPERANDS}});
    Nest *nest = NEW(arena, Nest);
    Group *group = NEW(arena, Group);
    Stage *stage = NEW(arena, Stage);
    *nest = (Nest){.n_sweep = 1, .sweep = s, .pack = -1};
    *group = (Group){.n_nest = 1, .nest = nest};
    *stage = (Stage){.kind = STAGE_ONCE, .n_group = 1, .group = group};
    for (int i = 0; i < PROC_COUNT; i++)
        p->proc[i].loss.buffer = p->proc[i].weight.buffer =
            p->proc[i].gradient_norm.buffer = -1;
    p->proc[PROC_STEP].n_stage = 1;
    p->proc[PROC_STEP].stage = stage;
    return p;
}

static Kernel kernel_open(Arena *arena, OpCode op)
{
    const char *why;
    Diag *d = diag_new(arena, stderr);
    struct rnn_model tables = {.name = op_defs[op]->name};
    const Target *target = level_to_run(&why);
    Kernel k = {.data = NEW_ARRAY(arena, float, BATCH *(MAX_OPERANDS + 1))};
    k.module = target ? emit_plan(arena, d, plan_of(arena, op), &tables, target) : NULL;
    k.jit = k.module ? jit_new(k.module, d) : NULL;
    diag_flush(d);
    CHECK(k.jit != NULL, "%s is not compiled", op_defs[op]->name);
    if (!k.jit)
        exit(check_result());
    return k;
}

static void kernel_run(const Kernel *k)
{
    struct rnn_team team = {.n_thread = 1};
    struct rnn_chunk chunk = {.steps = 1, .rows = 1, .params = k->data, .team = &team};
    jit_model(k->jit)->step(&chunk, 0);
}

static void kernel_close(Kernel *k)
{
    jit_free(k->jit);
    emit_free(k->module);
}

/* ---- domains ---- */

typedef struct {
    OpCode op;
    bool (*inside)(const double *arg);
} Domain;

/* Beyond, the quotient of two floats has no digits left to be right. */
static bool mod_inside(const double *arg) { return fabs(arg[0]) < 0x1p22 * fabs(arg[1]); }

static const Domain domains[] = {{OP_MOD, mod_inside}};

static bool is_inside(OpCode op, const double *arg)
{
    for (int i = 0; i < COUNT(domains); i++)
        if (domains[i].op == op)
            return domains[i].inside(arg);
    return true;
}

/* ---- distances ---- */

/* How far `got` is from the exact result, in units of the last place; 0 when it is the
   exact result rounded. */
static double distance_ulp(float got, double exact)
{
    float rounded = (float)exact;
    if ((isnan(got) && isnan(rounded)) || got == rounded)
        return 0;
    if (isnan(got) || isnan(rounded))
        return INFINITY;
    /* Infinity counts as the number that would follow the largest one. */
    double value = isinf(got) ? copysign(0x1p128, (double)got) : (double)got;
    double target = fabs(exact) > 0x1p128 ? copysign(0x1p128, exact) : exact;
    int exponent;
    frexp(fabs(target) < (double)FLT_MIN ? (double)FLT_MIN : target, &exponent);
    return fabs(value - target) / ldexp(1, exponent - FLT_MANT_DIG);
}

typedef struct {
    double ulp;
    float arg[MAX_OPERANDS], got;
    double exact;
} Worst;

static void compare(OpCode op, const Kernel *k, int arity, int n, Worst *worst)
{
    for (int i = 0; i < n; i++) {
        double arg[MAX_OPERANDS];
        for (int a = 0; a < arity; a++)
            arg[a] = (double)k->data[BATCH * a + i];
        float got = k->data[BATCH * MAX_OPERANDS + i];
        double exact = op_defs[op]->ref(arg), ulp = distance_ulp(got, exact);
        if (ulp > worst->ulp && is_inside(op, arg)) {
            *worst = (Worst){.ulp = ulp, .got = got, .exact = exact};
            for (int a = 0; a < arity; a++)
                worst->arg[a] = (float)arg[a];
        }
    }
}

/* ---- operands ---- */

static float from_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Any float; one in two of ordinary size, one in four of those whole. */
static float any_float(uint32_t i, uint32_t operand)
{
    uint32_t word[4] = {i, operand};
    const uint32_t key[2] = {0};
    rnn_philox(word, key);
    float size = ldexpf((float)(word[0] >> 8) * 0x1p-24F + 1, (int)(word[1] % 14) - 6);
    float v = word[2] & 1 ? -size : size;
    return word[3] & 1 ? from_bits(word[0]) : (word[3] & 6) ? v : roundf(v);
}

/* One-operand operations see the floats of bits first, first + step, …; returns how many.
 */
static int fill(const Kernel *k, int arity, uint64_t first, uint64_t step)
{
    int n = 0;
    for (; n < BATCH && first + (uint64_t)n * step <= UINT32_MAX; n++) {
        uint32_t at = (uint32_t)(first + (uint64_t)n * step);
        for (int a = 0; a < arity; a++)
            k->data[BATCH * a + n] =
                arity == 1 ? from_bits(at) : any_float(at, (uint32_t)a);
    }
    return n;
}

static void test_operation_is_within_its_bound(OpCode op, uint64_t step)
{
    const OpDef *def = op_defs[op];
    int arity = def->arity < 0 ? 1 : def->arity;
    Arena *arena = arena_new();
    Kernel k = kernel_open(arena, op);
    Worst worst = {.ulp = 0};
    for (uint64_t first = 0; first <= UINT32_MAX; first += step * BATCH) {
        int n = fill(&k, arity, first, step);
        kernel_run(&k);
        compare(op, &k, arity, n, &worst);
    }
    CHECK(worst.ulp <= def->ulp, "%s(%a, %a, %a) = %a, exactly %a: %.3g ulp, promised %g",
          def->name, (double)worst.arg[0], (double)worst.arg[1], (double)worst.arg[2],
          (double)worst.got, worst.exact, worst.ulp, def->ulp);
    printf("%-10s %.3f ulp of %g\n", def->name, worst.ulp, def->ulp);
    kernel_close(&k);
    arena_free(arena);
}

int main(int argc, char **argv)
{
    const char *why;
    if (!level_to_run(&why))
        return check_skip(why);
    uint64_t step = argc > 1 && strcmp(argv[1], "long") == 0 ? 1 : 997;
    for (int op = 0; op < OP_COUNT; op++)
        if (op_defs[op]->emit)
            test_operation_is_within_its_bound((OpCode)op, step);
    return check_result();
}
