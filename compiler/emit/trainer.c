/*
 * trainer.c — what a standalone trainer holds besides its model.
 *
 * Two constants of the module, which runtime/trainer_start.c reads:
 *
 *     const struct rnn_config rnn_trainer_config              settings and the spec's text
 *     const struct rnn_model *const rnn_trainer_model         = &rnn_model_NAME
 */
#include <string.h>

#include "emit/kernel.h"
#include "rnn_config.h"

_Static_assert(sizeof(struct rnn_config) == 3 * sizeof(char *), "three texts and no more");
_Static_assert(offsetof(struct rnn_config, json) == 0, "the order that is emitted");
_Static_assert(offsetof(struct rnn_config, folder) == sizeof(char *), "likewise");

static LLVMValueRef define_constant(Ir *ir, const char *name, LLVMValueRef value)
{
    LLVMValueRef g = LLVMAddGlobal(ir->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(g, value);
    LLVMSetGlobalConstant(g, true);
    return g;
}

static LLVMValueRef text_constant(Ir *ir, const char *text)
{
    if (!text)
        return LLVMConstNull(ir->ptr);
    LLVMValueRef bytes = LLVMConstStringInContext2(ir->context, text, strlen(text), false);
    LLVMValueRef g = define_constant(ir, "", bytes);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    return g;
}

void emit_trainer(EmitModule *m, const struct rnn_config *config)
{
    Ir *ir = &m->e.ir;
    LLVMValueRef field[] = {text_constant(ir, config->json),
                            text_constant(ir, config->folder),
                            text_constant(ir, config->spec_text)};
    define_constant(ir, "rnn_trainer_config",
                    LLVMConstStructInContext(ir->context, field, COUNT(field), false));
    define_constant(ir, "rnn_trainer_model", LLVMGetNamedGlobal(ir->module, m->symbol));
}
