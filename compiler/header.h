/* header.h — NAME.h: a compiled model as C sees it. See header.c. */
#ifndef RNNC_HEADER_H
#define RNNC_HEADER_H

#include "base/base.h"
#include "rnn_abi.h"

/* The header's text: the model declared under `symbol`, its shapes and offsets as
   constants. It depends on the model alone. */
const char *header_text(Arena *arena, const struct rnn_model *model, const char *symbol);

#endif
