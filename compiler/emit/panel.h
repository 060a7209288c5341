/*
 * panel.h — filling one panel: what packing and sums over points share.
 */
#ifndef RNNC_EMIT_PANEL_H
#define RNNC_EMIT_PANEL_H

#include "emit/ir.h"

/* to[k][panel] = from[n][k] for n below `columns` (i64, 0 … panel), else 0. Strides in
   elements (i64); k >= 0. A call of a function of the module, made when first needed;
   which one depends on which stride is the constant 1. */
typedef struct {
    LLVMValueRef to, from, k, from_n, from_k, columns;
    int panel;
} Panel;

void panel_emit(Ir *ir, const Panel *p);

#endif
