/* share.h — how threads share what runs in time, and how many pay. See share.c. */
#ifndef RNNC_SHARE_H
#define RNNC_SHARE_H

#include "passes/plan.h"

void share_pass(Plan *p);

#endif
