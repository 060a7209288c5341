/*
 * services.h — what generated code may call; see struct rnn_services.
 */
#ifndef RNN_SERVICES_H
#define RNN_SERVICES_H

#include "rnn_abi.h"

extern const struct rnn_services rnn__services;

#endif
