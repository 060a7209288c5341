/*
 * ops.c — the table of operations, put together from its rooms: ops_leaf.c, ops_map.c,
 * ops_move.c, ops_reduce.c, ops_contract.c.
 */
#include "graph/ops_room.h"

const OpDef *const op_defs[OP_COUNT] = {
#define OP(NAME, name) [OP_##NAME] = &op_##name,
#include "graph/ops.def"
#undef OP
};
