/* panel.h — where products read their second operands. See panel.c. */
#ifndef RNNC_PANEL_H
#define RNNC_PANEL_H

#include "passes/plan.h"

void panel_pass(Plan *p);

#endif
