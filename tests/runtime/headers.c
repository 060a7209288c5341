/*
 * headers.c — the public headers alone, compiled by each standard of C that a program may
 * be written in: there is nothing to run.
 */
#include "rnn_config.h"
#include "rnn_data.h"

extern const int headers_are_read;
const int headers_are_read = RNN_ABI_VERSION;
