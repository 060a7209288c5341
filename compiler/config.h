/* config.h — the run-time sections of a spec as the trainer's settings. See config.c. */
#ifndef RNNC_CONFIG_H
#define RNNC_CONFIG_H

#include "pipeline.h"

/* The JSON object that runtime/rnn_config.h documents. */
const char *config_json(const Unit *u);
/* The spec as run, overrides included. */
const char *config_spec_text(const Unit *u);
/* The spec's folder, for relative data paths; NULL: the current one. */
const char *config_folder(const Unit *u);

#endif
