/*
 * scalar.c — the scalar instructions of graph/ops.h as LLVM IR, on reals or vectors.
 *
 * A recipe speaks of reals alone: comparisons give 0 or 1. Behind each handle
 * stands a Real, which keeps the comparison's bit beside its real form, so that a
 * select on it needs no second comparison; the form that nobody asks for is
 * dropped by the code generator.
 *
 * Multiplication by 2^b: one instruction where the target has it, else two exact
 * powers of two made of integers. Two, because the result may be a denormal or
 * infinity where the power alone is neither; the first product is exact, so the
 * result is rounded once.
 */
#include "emit/kernel.h"
#include "graph/ops.h"

typedef struct {
    ScalarEmitter base; /* first: a ScalarEmitter * is a Recipe * */
    Emitter *e;
    LLVMTypeRef type;
} Recipe;

static Val wrap(Recipe *r, Real real)
{
    Real *kept = NEW(r->e->arena, Real);
    *kept = real;
    return (Val){kept};
}

static LLVMValueRef real_of(Val v)
{
    return v.handle ? ((const Real *)v.handle)->real : NULL;
}

static int lanes_of(LLVMTypeRef type)
{
    bool vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    return vector ? (int)LLVMGetVectorSize(type) : 1;
}

static bool is_double(const Ir *ir, LLVMTypeRef type)
{
    return (lanes_of(type) > 1 ? LLVMGetElementType(type) : type) == ir->f64;
}

/* Integers as wide as the reals, in as many lanes. */
static LLVMTypeRef bits_of(const Ir *ir, LLVMTypeRef type)
{
    return ir_lanes(is_double(ir, type) ? ir->i64 : ir->i32, lanes_of(type));
}

/* Small whole numbers as bits, and back. Doubles go through integers of 32 bits: every
   target converts those in vectors. */
static LLVMValueRef whole_bits(Ir *ir, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v), narrow = ir_lanes(ir->i32, lanes_of(type));
    v = LLVMBuildFPToSI(ir->builder, v, narrow, "");
    return is_double(ir, type) ? LLVMBuildSExt(ir->builder, v, bits_of(ir, type), "") : v;
}

static LLVMValueRef whole_real(Ir *ir, LLVMValueRef bits, LLVMTypeRef type)
{
    if (is_double(ir, type))
        bits = LLVMBuildTrunc(ir->builder, bits, ir_lanes(ir->i32, lanes_of(type)), "");
    return LLVMBuildSIToFP(ir->builder, bits, type, "");
}

/* ---- 2^b ---- */

/* b between lo and hi; NaN becomes lo. */
static LLVMValueRef clamp(Ir *ir, LLVMValueRef b, double lo, double hi)
{
    LLVMTypeRef type = LLVMTypeOf(b);
    LLVMValueRef low = ir_real(type, lo), high = ir_real(type, hi);
    LLVMValueRef above = LLVMBuildFCmp(ir->builder, LLVMRealOGT, b, low, "");
    b = LLVMBuildSelect(ir->builder, above, b, low, "");
    LLVMValueRef below = LLVMBuildFCmp(ir->builder, LLVMRealOLT, b, high, "");
    return LLVMBuildSelect(ir->builder, below, b, high, "");
}

/* 2^i as a real, i within the exponents of normal numbers. */
static LLVMValueRef power_of_two(Ir *ir, LLVMTypeRef type, LLVMValueRef i)
{
    LLVMTypeRef bits = LLVMTypeOf(i);
    bool wide = is_double(ir, type);
    LLVMValueRef biased =
        LLVMBuildAdd(ir->builder, i, ir_int_of(bits, wide ? 1023 : 127), "");
    LLVMValueRef shifted =
        LLVMBuildShl(ir->builder, biased, ir_int_of(bits, wide ? 52 : 23), "");
    return LLVMBuildBitCast(ir->builder, shifted, type, "");
}

/* Two powers of two that are normal numbers reach 2 * 126 (f64: 2 * 1022), where a number
   of about 1 has long become 0 or infinity. */
static LLVMValueRef scale_by_products(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = LLVMTypeOf(a), bits = bits_of(ir, type);
    double limit = is_double(ir, type) ? 2044 : 252;
    LLVMValueRef i = whole_bits(ir, clamp(ir, b, -limit, limit));
    LLVMValueRef half = LLVMBuildAShr(ir->builder, i, ir_int_of(bits, 1), "");
    LLVMValueRef rest = LLVMBuildSub(ir->builder, i, half, "");
    a = LLVMBuildFMul(ir->builder, a, power_of_two(ir, type, half), "");
    return LLVMBuildFMul(ir->builder, a, power_of_two(ir, type, rest), "");
}

static LLVMValueRef scale(Recipe *r, LLVMValueRef a, LLVMValueRef b)
{
    Ir *ir = &r->e->ir;
    if (!r->e->target->scalef || r->type != ir->vreal)
        return scale_by_products(ir, a, b);
    enum { ROUND_AS_SET = 4 };
    bool wide = is_double(ir, r->type);
    LLVMValueRef all = ir_int_of(wide ? ir->i8 : ir->i16, -1);
    LLVMValueRef arg[] = {a, b, ir_real(r->type, 0), all, ir_int_of(ir->i32, ROUND_AS_SET)};
    return ir_intrinsic(ir,
                        wide ? "llvm.x86.avx512.mask.scalef.pd.512"
                             : "llvm.x86.avx512.mask.scalef.ps.512",
                        NULL, 5, arg);
}

/* floor(log2 |a|): the exponent's bits, of denormals after a shift into normal numbers. */
static LLVMValueRef exponent(Ir *ir, LLVMValueRef a)
{
    LLVMTypeRef type = LLVMTypeOf(a), bits = bits_of(ir, type);
    bool wide = is_double(ir, type);
    int shift = wide ? 54 : 25, digits = wide ? 52 : 23, bias = wide ? 1023 : 127;
    double smallest = wide ? 0x1p-1022 : 0x1p-126;
    LLVMValueRef size = ir_intrinsic(ir, "llvm.fabs", type, 1, &a);
    LLVMValueRef denormal =
        LLVMBuildFCmp(ir->builder, LLVMRealOLT, size, ir_real(type, smallest), "");
    LLVMValueRef lifted =
        LLVMBuildFMul(ir->builder, size, ir_real(type, wide ? 0x1p54 : 0x1p25), "");
    size = LLVMBuildSelect(ir->builder, denormal, lifted, size, "");
    LLVMValueRef e = LLVMBuildBitCast(ir->builder, size, bits, "");
    e = LLVMBuildLShr(ir->builder, e, ir_int_of(bits, digits), "");
    LLVMValueRef minus = LLVMBuildSelect(
        ir->builder, denormal, ir_int_of(bits, bias + shift), ir_int_of(bits, bias), "");
    e = LLVMBuildSub(ir->builder, e, minus, "");
    return whole_real(ir, e, type);
}

/* ---- the instructions ---- */

static Real compare(Recipe *r, LLVMRealPredicate predicate, LLVMValueRef a, LLVMValueRef b)
{
    Ir *ir = &r->e->ir;
    LLVMValueRef flag = LLVMBuildFCmp(ir->builder, predicate, a, b, "");
    return (Real){
        LLVMBuildSelect(ir->builder, flag, ir_real(r->type, 1), ir_real(r->type, 0), ""),
        flag};
}

static Real choose(Recipe *r, Val c, Val yes, Val no)
{
    Ir *ir = &r->e->ir;
    const Real *condition = c.handle, *a = yes.handle, *b = no.handle;
    LLVMValueRef flag = condition->flag;
    if (!flag)
        flag = LLVMBuildFCmp(ir->builder, LLVMRealUNE, condition->real, ir_real(r->type, 0),
                             "");
    Real result = {.real = LLVMBuildSelect(ir->builder, flag, a->real, b->real, "")};
    if (a->flag && b->flag)
        result.flag = LLVMBuildSelect(ir->builder, flag, a->flag, b->flag, "");
    return result;
}

static LLVMValueRef unary(Recipe *r, const char *intrinsic, LLVMValueRef a)
{
    return ir_intrinsic(&r->e->ir, intrinsic, r->type, 1, &a);
}

static LLVMValueRef copysign_of(Recipe *r, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef arg[] = {a, b};
    return ir_intrinsic(&r->e->ir, "llvm.copysign", r->type, 2, arg);
}

static Real apply_real(Recipe *r, ScalarOp op, Val x, Val y, Val z)
{
    LLVMBuilderRef builder = r->e->ir.builder;
    LLVMValueRef a = real_of(x), b = real_of(y), c = real_of(z);
    switch (op) {
    case S_ADD: return (Real){.real = LLVMBuildFAdd(builder, a, b, "")};
    case S_SUB: return (Real){.real = LLVMBuildFSub(builder, a, b, "")};
    case S_MUL: return (Real){.real = LLVMBuildFMul(builder, a, b, "")};
    case S_DIV: return (Real){.real = LLVMBuildFDiv(builder, a, b, "")};
    case S_FMA: return (Real){.real = ir_fma(&r->e->ir, a, b, c)};
    case S_NEG: return (Real){.real = LLVMBuildFNeg(builder, a, "")};
    case S_ABS: return (Real){.real = unary(r, "llvm.fabs", a)};
    case S_SQRT: return (Real){.real = unary(r, "llvm.sqrt", a)};
    case S_FLOOR: return (Real){.real = unary(r, "llvm.floor", a)};
    case S_ROUND: return (Real){.real = unary(r, "llvm.roundeven", a)};
    case S_LT: return compare(r, LLVMRealOLT, a, b);
    case S_LE: return compare(r, LLVMRealOLE, a, b);
    case S_EQ: return compare(r, LLVMRealOEQ, a, b);
    case S_NE: return compare(r, LLVMRealUNE, a, b);
    case S_SELECT: return choose(r, x, y, z);
    case S_COPYSIGN: return (Real){.real = copysign_of(r, a, b)};
    case S_SCALE2: return (Real){.real = scale(r, a, b)};
    case S_EXPONENT: return (Real){.real = exponent(&r->e->ir, a)};
    case S_COUNT: break;
    }
    BUG("scalar instruction %d", (int)op);
}

static Val recipe_apply(ScalarEmitter *s, ScalarOp op, Val a, Val b, Val c)
{
    Recipe *r = (Recipe *)s;
    return wrap(r, apply_real(r, op, a, b, c));
}

static Val recipe_constant(ScalarEmitter *s, double value)
{
    Recipe *r = (Recipe *)s;
    return wrap(r, (Real){.real = ir_real(r->type, value)});
}

/* libm's double functions of one or two numbers; of vectors lane by lane. */
static Val recipe_call(ScalarEmitter *s, const char *name, Val a, Val b)
{
    Recipe *r = (Recipe *)s;
    Ir *ir = &r->e->ir;
    LLVMValueRef arg[] = {real_of(a), real_of(b)};
    int n = arg[1] ? 2 : 1, lanes = lanes_of(r->type);
    if (!is_double(ir, r->type))
        BUG("a recipe calls %s on what is not double", name);
    LLVMValueRef f = LLVMGetNamedFunction(ir->module, name);
    if (!f)
        f = ir_declare(ir, name, ir->f64, n, (LLVMTypeRef[]){ir->f64, ir->f64});
    if (lanes == 1)
        return wrap(r, (Real){.real = ir_call(ir, f, n, arg)});
    LLVMValueRef v = LLVMGetPoison(r->type), one[2];
    for (int k = 0; k < lanes; k++) {
        for (int i = 0; i < n; i++)
            one[i] = ir_extract(ir, arg[i], k);
        v = ir_insert(ir, v, ir_call(ir, f, n, one), k);
    }
    return wrap(r, (Real){.real = v});
}

Real scalar_emit(Emitter *e, OpCode op, bool wide, int n, const Real *arg)
{
    const OpDef *def = op_defs[op];
    LLVMTypeRef type = LLVMTypeOf(arg[0].real);
    ScalarEmitter base = {recipe_constant, recipe_apply, recipe_call,
                          is_double(&e->ir, type), wide};
    Recipe r = {base, e, type};
    Val operand[8] = {{NULL}};
    if (!def->emit || n > COUNT(operand))
        BUG("no recipe for %s of %d operands", def->name, n);
    for (int i = 0; i < n; i++)
        operand[i] = wrap(&r, arg[i]);
    return *(const Real *)def->emit(&r.base, operand).handle;
}
