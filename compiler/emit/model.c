/*
 * model.c — the constant tables of struct rnn_model.
 *
 * Each struct of the ABI is described by a list of its fields, and its constants are
 * read from the tables in memory by that list. LLVM lays them out for the target; that
 * its offsets are the header's is checked for every field.
 */
#include <llvm-c/Target.h>
#include <stddef.h>
#include <string.h>

#include "emit/kernel.h"

typedef enum {
    FIELD_BOOL,
    FIELD_INT32,
    FIELD_INT64,
    FIELD_DOUBLE,
    FIELD_STRING,
    FIELD_DIMS,   /* int64_t[RNN_MAX_RANK] */
    FIELD_POINTER /* given by the caller, in order */
} FieldKind;

typedef struct {
    FieldKind kind;
    size_t offset;
} FieldDef;

typedef struct {
    const char *name;
    size_t size;
    int n_field;
    const FieldDef *field;
} StructDef;

#define F(kind, type, name)                       \
    {                                             \
        FIELD_##kind, offsetof(struct type, name) \
    }
#define STRUCT(type, fields)                              \
    {                                                     \
#type, sizeof(struct type), COUNT(fields), fields \
    }

/* clang-format off */
static const FieldDef input_fields[] = {
    F(STRING, rnn_input, name),
    F(INT32, rnn_input, kind),
    F(BOOL, rnn_input, per_sequence),
    F(BOOL, rnn_input, for_loss_only),
    F(INT32, rnn_input, rank),
    F(DIMS, rnn_input, dim),
    F(INT64, rnn_input, size),
    F(INT64, rnn_input, classes),
    F(BOOL, rnn_input, has_ignore),
    F(INT64, rnn_input, ignore),
    F(BOOL, rnn_input, masked),
};
static const FieldDef tensor_fields[] = {
    F(STRING, rnn_tensor, name),
    F(INT32, rnn_tensor, rank),
    F(DIMS, rnn_tensor, dim),
    F(INT64, rnn_tensor, size),
    F(INT64, rnn_tensor, offset),
    F(BOOL, rnn_tensor, trained),
};
static const FieldDef state_fields[] = {
    F(STRING, rnn_state, name),
    F(INT32, rnn_state, rank),
    F(DIMS, rnn_state, dim),
    F(INT64, rnn_state, size),
    F(INT64, rnn_state, offset),
};
static const FieldDef scalar_fields[] = {
    F(STRING, rnn_scalar, name),
    F(DOUBLE, rnn_scalar, value),
    F(BOOL, rnn_scalar, counter),
    F(BOOL, rnn_scalar, whole),
    F(BOOL, rnn_scalar, limited),
    F(DOUBLE, rnn_scalar, least),
    F(DOUBLE, rnn_scalar, most),
};
static const FieldDef metric_fields[] = {
    F(STRING, rnn_metric, name),
    F(BOOL, rnn_metric, in_training),
};
static const FieldDef kernel_fields[] = {
    F(STRING, rnn_kernel, name),
};
static const FieldDef model_fields[] = {
    F(INT32, rnn_model, abi_version),
    F(INT32, rnn_model, dtype),
    F(STRING, rnn_model, name),
    F(STRING, rnn_model, spec_hash),
    F(STRING, rnn_model, target),
    F(INT64, rnn_model, steps_max),
    F(INT64, rnn_model, rows_max),
    F(INT64, rnn_model, tbptt_step),
    F(INT32, rnn_model, n_input),
    F(INT32, rnn_model, n_param),
    F(INT32, rnn_model, n_optimizer),
    F(INT32, rnn_model, n_state),
    F(INT32, rnn_model, n_scalar),
    F(INT32, rnn_model, n_optimizer_scalar),
    F(INT32, rnn_model, n_metric),
    F(INT32, rnn_model, n_running),
    F(INT32, rnn_model, n_kernel),
    F(POINTER, rnn_model, input),
    F(POINTER, rnn_model, param),
    F(POINTER, rnn_model, optimizer),
    F(POINTER, rnn_model, state),
    F(POINTER, rnn_model, scalar),
    F(POINTER, rnn_model, optimizer_scalar),
    F(POINTER, rnn_model, metric),
    F(POINTER, rnn_model, kernel),
    F(INT64, rnn_model, params_size),
    F(INT64, rnn_model, optimizer_size),
    F(INT64, rnn_model, state_size),
    F(INT64, rnn_model, output_size),
    F(INT32, rnn_model, output_rank),
    F(DIMS, rnn_model, output_dim),
    F(INT64, rnn_model, workspace_bytes),
    F(INT32, rnn_model, threads_max),
    F(POINTER, rnn_model, init),
    F(POINTER, rnn_model, pack),
    F(POINTER, rnn_model, train),
    F(POINTER, rnn_model, grad),
    F(POINTER, rnn_model, update),
    F(POINTER, rnn_model, eval),
    F(POINTER, rnn_model, step),
    F(POINTER, rnn_model, context),
};
/* clang-format on */

static const StructDef input_struct = STRUCT(rnn_input, input_fields);
static const StructDef tensor_struct = STRUCT(rnn_tensor, tensor_fields);
static const StructDef state_struct = STRUCT(rnn_state, state_fields);
static const StructDef scalar_struct = STRUCT(rnn_scalar, scalar_fields);
static const StructDef metric_struct = STRUCT(rnn_metric, metric_fields);
static const StructDef kernel_struct = STRUCT(rnn_kernel, kernel_fields);
static const StructDef model_struct = STRUCT(rnn_model, model_fields);

/* ---- constants ---- */

/* A constant of the module that only it sees. */
static LLVMValueRef constant_global(Ir *ir, LLVMValueRef value)
{
    LLVMValueRef g = LLVMAddGlobal(ir->module, LLVMTypeOf(value), "");
    LLVMSetInitializer(g, value);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetGlobalConstant(g, true);
    return g;
}

static LLVMValueRef string_constant(Ir *ir, const char *text)
{
    if (!text)
        return LLVMConstNull(ir->ptr);
    LLVMTypeRef type = ir->i8;
    LLVMValueRef bytes[4096];
    int n = 0;
    do {
        if (n == COUNT(bytes))
            BUG("a name of more than %d bytes", COUNT(bytes));
        bytes[n] = ir_int_of(type, text[n]);
    } while (text[n++]);
    return constant_global(ir, LLVMConstArray2(type, bytes, (uint64_t)n));
}

static LLVMValueRef dims_constant(Ir *ir, const int64_t *dim)
{
    LLVMValueRef v[RNN_MAX_RANK];
    for (int i = 0; i < RNN_MAX_RANK; i++)
        v[i] = ir_int(ir, dim[i]);
    return LLVMConstArray2(ir->i64, v, RNN_MAX_RANK);
}

static LLVMValueRef field_constant(Ir *ir, FieldKind kind, const void *at,
                                   const LLVMValueRef **pointer)
{
    switch (kind) {
    case FIELD_BOOL: return ir_int_of(ir->i8, *(const bool *)at);
    case FIELD_INT32: return ir_int_of(ir->i32, *(const int32_t *)at);
    case FIELD_INT64: return ir_int(ir, *(const int64_t *)at);
    case FIELD_DOUBLE: return ir_real(ir->f64, *(const double *)at);
    case FIELD_STRING: return string_constant(ir, *(const char *const *)at);
    case FIELD_DIMS: return dims_constant(ir, at);
    case FIELD_POINTER: return *(*pointer)++;
    }
    BUG("field %d", (int)kind);
}

static void check_layout(Ir *ir, const StructDef *s, LLVMTypeRef type)
{
    LLVMTargetDataRef layout = LLVMGetModuleDataLayout(ir->module);
    if (LLVMABISizeOfType(layout, type) != s->size)
        BUG("struct %s has %d bytes in generated code", s->name,
            (int)LLVMABISizeOfType(layout, type));
    for (int i = 0; i < s->n_field; i++)
        if (LLVMOffsetOfElement(layout, type, (unsigned)i) != s->field[i].offset)
            BUG("field %d of struct %s stands elsewhere in generated code", i, s->name);
}

/* One struct as a constant; pointers are taken from the list in the order of the fields. */
static LLVMValueRef struct_constant(Ir *ir, const StructDef *s, const void *at,
                                    const LLVMValueRef *pointer)
{
    LLVMValueRef v[64];
    for (int i = 0; i < s->n_field; i++)
        v[i] = field_constant(ir, s->field[i].kind, (const char *)at + s->field[i].offset,
                              &pointer);
    LLVMValueRef c = LLVMConstStructInContext(ir->context, v, (unsigned)s->n_field, false);
    check_layout(ir, s, LLVMTypeOf(c));
    return c;
}

/* An array of n structs; NULL for none. */
static LLVMValueRef table(Emitter *e, const StructDef *s, int n, const void *first)
{
    Ir *ir = &e->ir;
    if (n == 0)
        return LLVMConstNull(ir->ptr);
    LLVMValueRef *v = NEW_ARRAY(e->arena, LLVMValueRef, n);
    for (int i = 0; i < n; i++)
        v[i] = struct_constant(ir, s, (const char *)first + (size_t)i * s->size, NULL);
    return constant_global(ir, LLVMConstArray2(LLVMTypeOf(v[0]), v, (uint64_t)n));
}

void model_emit(Emitter *e, const struct rnn_model *t, LLVMValueRef procedure[N_PROCEDURE],
                const char *symbol)
{
    enum { N_TABLE = 8 };
    Ir *ir = &e->ir;
    LLVMValueRef pointer[N_TABLE + N_PROCEDURE + 1] = {
        table(e, &input_struct, t->n_input, t->input),
        table(e, &tensor_struct, t->n_param, t->param),
        table(e, &tensor_struct, t->n_optimizer, t->optimizer),
        table(e, &state_struct, t->n_state, t->state),
        table(e, &scalar_struct, t->n_scalar, t->scalar),
        table(e, &scalar_struct, t->n_optimizer_scalar, t->optimizer_scalar),
        table(e, &metric_struct, t->n_metric, t->metric),
        table(e, &kernel_struct, t->n_kernel, t->kernel),
    };
    for (int i = 0; i < N_PROCEDURE; i++)
        pointer[N_TABLE + i] = procedure[i];
    pointer[N_TABLE + N_PROCEDURE] = LLVMConstNull(ir->ptr);
    LLVMValueRef g = constant_global(ir, struct_constant(ir, &model_struct, t, pointer));
    LLVMSetLinkage(g, LLVMExternalLinkage);
    LLVMSetValueName2(g, symbol, strlen(symbol));
}
