/* machine.h — whether this machine can run a model. See machine.c. */
#ifndef RNN_MACHINE_H
#define RNN_MACHINE_H

/* What this machine lacks for code of the level `target` (rnn_model.target), such as
   "avx2"; NULL: nothing, or a level without needs (the interpreter's). */
const char *rnn__machine_lacks(const char *target);

#endif
