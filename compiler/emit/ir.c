/* ir.c — see ir.h. */
#include "emit/ir.h"

#include <string.h>

void ir_open(Ir *ir, const char *module, const Target *target, enum rnn_dtype dtype)
{
    LLVMContextRef cx = LLVMContextCreate();
    LLVMContextSetDiscardValueNames(cx, true);
    *ir = (Ir){
        .context = cx,
        .module = LLVMModuleCreateWithNameInContext(module, cx),
        .builder = LLVMCreateBuilderInContext(cx),
        .none = LLVMVoidTypeInContext(cx),
        .i1 = LLVMInt1TypeInContext(cx),
        .i8 = LLVMInt8TypeInContext(cx),
        .i16 = LLVMInt16TypeInContext(cx),
        .i32 = LLVMInt32TypeInContext(cx),
        .i64 = LLVMInt64TypeInContext(cx),
        .f64 = LLVMDoubleTypeInContext(cx),
        .ptr = LLVMPointerTypeInContext(cx, 0),
        .dtype = dtype,
        .real = dtype == RNN_F64 ? LLVMDoubleTypeInContext(cx) : LLVMFloatTypeInContext(cx),
        .vector = target_lanes(target, dtype),
    };
    ir->vreal = ir_lanes(ir->real, ir->vector);
    ir->vi32 = ir_lanes(ir->i32, ir->vector);
    ir->vi1 = ir_lanes(ir->i1, ir->vector);
}

void ir_close(Ir *ir)
{
    LLVMDisposeBuilder(ir->builder);
    LLVMDisposeModule(ir->module);
    LLVMContextDispose(ir->context);
}

/* ---- functions ---- */

static void add_attribute(Ir *ir, LLVMValueRef f, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAttributeRef attribute = LLVMCreateEnumAttribute(ir->context, kind, 0);
    LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

LLVMValueRef ir_declare(Ir *ir, const char *name, LLVMTypeRef result, int n_param,
                        const LLVMTypeRef *param)
{
    LLVMTypeRef types[32];
    if (n_param > COUNT(types))
        BUG("%s: %d parameters", name, n_param);
    if (n_param > 0)
        memcpy(types, param, (size_t)n_param * sizeof *types);
    LLVMTypeRef type = LLVMFunctionType(result, types, (unsigned)n_param, false);
    LLVMValueRef f = LLVMAddFunction(ir->module, name, type);
    add_attribute(ir, f, "nounwind");
    if (ir->cold) {
        add_attribute(ir, f, "noinline"); /* optnone asks for it */
        add_attribute(ir, f, "optnone");
    }
    return f;
}

IrPlace ir_begin(Ir *ir, LLVMValueRef f)
{
    IrPlace place = {ir->function, ir->entry, LLVMGetInsertBlock(ir->builder)};
    ir->function = f;
    ir->entry = LLVMAppendBasicBlockInContext(ir->context, f, "");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(ir->context, f, "");
    LLVMPositionBuilderAtEnd(ir->builder, ir->entry);
    LLVMBuildBr(ir->builder, body);
    LLVMPositionBuilderAtEnd(ir->builder, body);
    return place;
}

void ir_end(Ir *ir, IrPlace place, LLVMValueRef result)
{
    if (result)
        LLVMBuildRet(ir->builder, result);
    else
        LLVMBuildRetVoid(ir->builder);
    ir->function = place.function;
    ir->entry = place.entry;
    if (place.block)
        LLVMPositionBuilderAtEnd(ir->builder, place.block);
}

LLVMValueRef ir_param(const Ir *ir, int i)
{
    return LLVMGetParam(ir->function, (unsigned)i);
}

LLVMValueRef ir_call(Ir *ir, LLVMValueRef f, int n, LLVMValueRef *arg)
{
    return LLVMBuildCall2(ir->builder, LLVMGlobalGetValueType(f), f, arg, (unsigned)n, "");
}

LLVMBasicBlockRef ir_enter_entry(Ir *ir)
{
    LLVMBasicBlockRef back = LLVMGetInsertBlock(ir->builder);
    LLVMPositionBuilderBefore(ir->builder, LLVMGetBasicBlockTerminator(ir->entry));
    return back;
}

void ir_leave_entry(Ir *ir, LLVMBasicBlockRef back)
{
    LLVMPositionBuilderAtEnd(ir->builder, back);
}

LLVMValueRef ir_stack(Ir *ir, LLVMTypeRef type, int64_t n)
{
    LLVMBasicBlockRef back = ir_enter_entry(ir);
    LLVMValueRef p = LLVMBuildArrayAlloca(ir->builder, type, ir_int(ir, n), "");
    LLVMSetAlignment(p, 64);
    ir_leave_entry(ir, back);
    return p;
}

/* ---- types and constants ---- */

LLVMTypeRef ir_lanes(LLVMTypeRef element, int n)
{
    return n == 1 ? element : LLVMVectorType(element, (unsigned)n);
}

static bool is_vector_type(LLVMTypeRef t)
{
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind;
}

bool ir_is_vector(LLVMValueRef v) { return is_vector_type(LLVMTypeOf(v)); }

/* The constant in each lane, when `type` is a vector. */
static LLVMValueRef in_each_lane(LLVMTypeRef type, LLVMValueRef scalar)
{
    enum { MAX_LANES = 64 };
    LLVMValueRef lane[MAX_LANES];
    if (!is_vector_type(type))
        return scalar;
    unsigned n = LLVMGetVectorSize(type);
    if (n > MAX_LANES)
        BUG("a vector of %u lanes", n);
    for (unsigned i = 0; i < n; i++)
        lane[i] = scalar;
    return LLVMConstVector(lane, n);
}

static LLVMTypeRef element_of(LLVMTypeRef t)
{
    return is_vector_type(t) ? LLVMGetElementType(t) : t;
}

LLVMValueRef ir_int(Ir *ir, int64_t n) { return LLVMConstInt(ir->i64, (uint64_t)n, true); }

LLVMValueRef ir_int_of(LLVMTypeRef type, int64_t n)
{
    LLVMTypeRef element = element_of(type);
    unsigned width = LLVMGetIntTypeWidth(element);
    uint64_t bits = width == 64 ? (uint64_t)n : (uint64_t)n & ((UINT64_C(1) << width) - 1);
    return in_each_lane(type, LLVMConstInt(element, bits, false));
}

LLVMValueRef ir_real(LLVMTypeRef type, double x)
{
    return in_each_lane(type, LLVMConstReal(element_of(type), x));
}

bool ir_constant(LLVMValueRef v, int64_t *value)
{
    if (!LLVMIsAConstantInt(v))
        return false;
    *value = LLVMConstIntGetSExtValue(v);
    return true;
}

bool ir_is(LLVMValueRef v, int64_t value)
{
    int64_t n;
    return ir_constant(v, &n) && n == value;
}

/* ---- integers ---- */

LLVMValueRef ir_add(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    if (ir_is(a, 0))
        return b;
    if (ir_is(b, 0))
        return a;
    return LLVMBuildNSWAdd(ir->builder, a, b, "");
}

LLVMValueRef ir_sub(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    return ir_is(b, 0) ? a : LLVMBuildNSWSub(ir->builder, a, b, "");
}

LLVMValueRef ir_mul(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    if (ir_is(a, 1) || ir_is(b, 0))
        return b;
    if (ir_is(b, 1) || ir_is(a, 0))
        return a;
    return LLVMBuildNSWMul(ir->builder, a, b, "");
}

LLVMValueRef ir_div(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    return ir_is(b, 1) ? a : LLVMBuildUDiv(ir->builder, a, b, "");
}

LLVMValueRef ir_less(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(ir->builder, LLVMIntSLT, a, b, "");
}

LLVMValueRef ir_select(Ir *ir, LLVMValueRef c, LLVMValueRef yes, LLVMValueRef no)
{
    return yes == no ? yes : LLVMBuildSelect(ir->builder, c, yes, no, "");
}

LLVMValueRef ir_min(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    return ir_select(ir, ir_less(ir, a, b), a, b);
}

LLVMValueRef ir_max(Ir *ir, LLVMValueRef a, LLVMValueRef b)
{
    return ir_select(ir, ir_less(ir, a, b), b, a);
}

/* ---- memory ---- */

LLVMValueRef ir_at(Ir *ir, LLVMTypeRef type, LLVMValueRef p, LLVMValueRef index)
{
    if (ir_is(index, 0))
        return p;
    return LLVMBuildInBoundsGEP2(ir->builder, type, p, &index, 1, "");
}

LLVMValueRef ir_real_at(Ir *ir, LLVMValueRef p, LLVMValueRef index)
{
    return ir_at(ir, ir->real, p, index);
}

/* Bytes of the element: what a load or store may rely on. */
static unsigned bytes_of_element(LLVMTypeRef type)
{
    LLVMTypeRef element = element_of(type);
    switch ((int)LLVMGetTypeKind(element)) {
    case LLVMFloatTypeKind: return 4;
    case LLVMIntegerTypeKind: return (LLVMGetIntTypeWidth(element) + 7) / 8;
    default: return 8;
    }
}

LLVMValueRef ir_load(Ir *ir, LLVMTypeRef type, LLVMValueRef p)
{
    LLVMValueRef v = LLVMBuildLoad2(ir->builder, type, p, "");
    LLVMSetAlignment(v, bytes_of_element(type));
    return v;
}

void ir_store(Ir *ir, LLVMValueRef v, LLVMValueRef p)
{
    LLVMSetAlignment(LLVMBuildStore(ir->builder, v, p), bytes_of_element(LLVMTypeOf(v)));
}

/* An intrinsic overloaded on several types. */
static LLVMValueRef call_overloaded(Ir *ir, const char *name, LLVMTypeRef *overload,
                                    int n_overload, int n, LLVMValueRef *arg)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (id == 0)
        BUG("LLVM has no intrinsic %s", name);
    size_t count = (size_t)n_overload;
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(ir->module, id, overload, count);
    LLVMTypeRef type = LLVMIntrinsicGetType(ir->context, id, overload, count);
    return LLVMBuildCall2(ir->builder, type, f, arg, (unsigned)n, "");
}

/*
 * Masked loads and stores. In LLVM 19 the alignment is an operand of the intrinsic, in 22
 * an attribute of the pointer: the declaration's number of parameters tells which.
 */
typedef struct {
    const char *name;
    LLVMTypeRef type;
    int pointer; /* which operand */
} MaskedAccess;

static LLVMValueRef call_masked(Ir *ir, MaskedAccess m, int n, LLVMValueRef *arg)
{
    LLVMTypeRef overload[] = {m.type, ir->ptr};
    LLVMValueRef with_align[5];
    unsigned id = LLVMLookupIntrinsicID(m.name, strlen(m.name)),
             align = bytes_of_element(m.type);
    LLVMTypeRef type = LLVMIntrinsicGetType(ir->context, id, overload, 2);
    if ((int)LLVMCountParamTypes(type) == n + 1) {
        for (int i = 0; i <= n; i++)
            with_align[i] = i <= m.pointer      ? arg[i]
                            : i > m.pointer + 1 ? arg[i - 1]
                                                : ir_int_of(ir->i32, align);
        return call_overloaded(ir, m.name, overload, 2, n + 1, with_align);
    }
    LLVMValueRef call = call_overloaded(ir, m.name, overload, 2, n, arg);
    unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
    LLVMAttributeRef attribute = LLVMCreateEnumAttribute(ir->context, kind, align);
    LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)m.pointer + 1, attribute);
    return call;
}

LLVMValueRef ir_load_masked(Ir *ir, LLVMTypeRef type, LLVMValueRef p, LLVMValueRef mask)
{
    LLVMValueRef arg[] = {p, mask, LLVMConstNull(type)};
    return call_masked(ir, (MaskedAccess){"llvm.masked.load", type, 0}, 3, arg);
}

void ir_store_masked(Ir *ir, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask)
{
    LLVMValueRef arg[] = {v, p, mask};
    call_masked(ir, (MaskedAccess){"llvm.masked.store", LLVMTypeOf(v), 1}, 3, arg);
}

LLVMValueRef ir_mask_first(Ir *ir, int lanes, int n)
{
    LLVMValueRef lane[64];
    for (int i = 0; i < lanes; i++)
        lane[i] = ir_int_of(ir->i1, i < n);
    return LLVMConstVector(lane, (unsigned)lanes);
}

LLVMValueRef ir_mask_below(Ir *ir, int lanes, LLVMValueRef n)
{
    LLVMValueRef lane[64];
    for (int i = 0; i < lanes; i++)
        lane[i] = ir_int_of(ir->i32, i);
    LLVMValueRef clamped = ir_min(ir, n, ir_int(ir, lanes));
    LLVMValueRef n32 = LLVMBuildTrunc(ir->builder, clamped, ir->i32, "");
    return LLVMBuildICmp(ir->builder, LLVMIntSLT, LLVMConstVector(lane, (unsigned)lanes),
                         ir_splat(ir, n32, lanes), "");
}

void ir_prefetch(Ir *ir, LLVMValueRef p, int locality)
{
    LLVMValueRef arg[] = {p, ir_int_of(ir->i32, 0), ir_int_of(ir->i32, locality),
                          ir_int_of(ir->i32, 1)};
    ir_intrinsic(ir, "llvm.prefetch", ir->ptr, 4, arg);
}

void ir_zero(Ir *ir, LLVMValueRef p, LLVMValueRef n_bytes)
{
    LLVMBuildMemSet(ir->builder, p, ir_int_of(ir->i8, 0), n_bytes, 4);
}

/* ---- reals ---- */

LLVMValueRef ir_splat(Ir *ir, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1)
        return scalar;
    LLVMTypeRef type = ir_lanes(LLVMTypeOf(scalar), lanes);
    if (LLVMIsConstant(scalar))
        return in_each_lane(type, scalar);
    LLVMValueRef poison = LLVMGetPoison(type);
    LLVMValueRef first =
        LLVMBuildInsertElement(ir->builder, poison, scalar, ir_int_of(ir->i32, 0), "");
    LLVMValueRef zeros = LLVMConstNull(ir_lanes(ir->i32, lanes));
    return LLVMBuildShuffleVector(ir->builder, first, poison, zeros, "");
}

LLVMValueRef ir_extract(Ir *ir, LLVMValueRef vector, int lane)
{
    return LLVMBuildExtractElement(ir->builder, vector, ir_int_of(ir->i32, lane), "");
}

LLVMValueRef ir_insert(Ir *ir, LLVMValueRef vector, LLVMValueRef scalar, int lane)
{
    return LLVMBuildInsertElement(ir->builder, vector, scalar, ir_int_of(ir->i32, lane),
                                  "");
}

LLVMValueRef ir_fma(Ir *ir, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMValueRef arg[] = {a, b, c};
    return ir_intrinsic(ir, "llvm.fma", LLVMTypeOf(a), 3, arg);
}

LLVMValueRef ir_intrinsic(Ir *ir, const char *name, LLVMTypeRef overload, int n,
                          LLVMValueRef *arg)
{
    return call_overloaded(ir, name, &overload, overload != NULL, n, arg);
}

/* ---- loops and branches ---- */

static LLVMBasicBlockRef new_block(Ir *ir)
{
    return LLVMAppendBasicBlockInContext(ir->context, ir->function, "");
}

static LLVMValueRef phi(Ir *ir, LLVMTypeRef type, LLVMValueRef a, LLVMBasicBlockRef from)
{
    LLVMValueRef p = LLVMBuildPhi(ir->builder, type, "");
    LLVMAddIncoming(p, &a, &from, 1);
    return p;
}

IrLoop ir_loop(Ir *ir, LLVMValueRef begin, LLVMValueRef end, int64_t step, int n,
               LLVMValueRef *init)
{
    if (n > IR_MAX_CARRIED)
        BUG("%d values carried by a loop", n);
    int64_t first, limit;
    bool runs = ir_constant(begin, &first) && ir_constant(end, &limit) && first < limit;
    IrLoop l = {.end = end, .step = step, .n = n, .guarded = !runs};
    l.from = LLVMGetInsertBlock(ir->builder);
    l.head = new_block(ir);
    l.exit = new_block(ir);
    if (l.guarded)
        LLVMBuildCondBr(ir->builder, ir_less(ir, begin, end), l.head, l.exit);
    else
        LLVMBuildBr(ir->builder, l.head);
    LLVMPositionBuilderAtEnd(ir->builder, l.head);
    l.i = phi(ir, ir->i64, begin, l.from);
    for (int k = 0; k < n; k++) {
        l.init[k] = init[k];
        l.carried[k] = phi(ir, LLVMTypeOf(init[k]), init[k], l.from);
    }
    return l;
}

void ir_loop_end(Ir *ir, IrLoop *l, LLVMValueRef *next)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(ir->builder);
    LLVMValueRef i = ir_add(ir, l->i, ir_int(ir, l->step));
    LLVMBuildCondBr(ir->builder, ir_less(ir, i, l->end), l->head, l->exit);
    LLVMAddIncoming(l->i, &i, &here, 1);
    LLVMPositionBuilderAtEnd(ir->builder, l->exit);
    for (int k = 0; k < l->n; k++) {
        LLVMAddIncoming(l->carried[k], &next[k], &here, 1);
        l->carried[k] = phi(ir, LLVMTypeOf(next[k]), next[k], here);
        if (l->guarded)
            LLVMAddIncoming(l->carried[k], &l->init[k], &l->from, 1);
    }
}

IrIf ir_if(Ir *ir, LLVMValueRef condition)
{
    IrIf c = {.other = new_block(ir), .after = new_block(ir)};
    LLVMBasicBlockRef yes = new_block(ir);
    LLVMBuildCondBr(ir->builder, condition, yes, c.other);
    LLVMPositionBuilderAtEnd(ir->builder, yes);
    return c;
}

void ir_else(Ir *ir, IrIf *c)
{
    c->has_else = true;
    c->yes_end = LLVMGetInsertBlock(ir->builder);
    LLVMBuildBr(ir->builder, c->after);
    LLVMPositionBuilderAtEnd(ir->builder, c->other);
}

void ir_endif(Ir *ir, IrIf *c)
{
    if (!c->has_else)
        ir_else(ir, c);
    c->no_end = LLVMGetInsertBlock(ir->builder);
    LLVMBuildBr(ir->builder, c->after);
    LLVMPositionBuilderAtEnd(ir->builder, c->after);
}

LLVMValueRef ir_merge(Ir *ir, const IrIf *c, LLVMValueRef yes, LLVMValueRef no)
{
    LLVMValueRef p = phi(ir, LLVMTypeOf(yes), yes, c->yes_end);
    LLVMBasicBlockRef no_end = c->no_end;
    LLVMAddIncoming(p, &no, &no_end, 1);
    return p;
}
