/*
 * trainer_start.c — main() of a standalone trainer: linked in when a program has none of
 * its own and brings the constants that `rnnc build` makes.
 */
#include "machine.h"
#include "rnn_config.h"

#include <stdio.h>

extern const struct rnn_config rnn_trainer_config;
extern const struct rnn_model *const rnn_trainer_model;

enum { EXIT_MACHINE = 8 };

int main(int argc, char **argv)
{
    const struct rnn_model *model = rnn_trainer_model;
    const char *lacks = rnn__machine_lacks(model->target);
    if (lacks) {
        fprintf(
            stderr,
            "%s: error: this program was built for %s, but this machine has no %s; build "
            "it again with rnnc build --target\n",
            argc > 0 ? argv[0] : "trainer", model->target, lacks);
        return EXIT_MACHINE;
    }
    return rnn_trainer_main(argc, argv, model, &rnn_trainer_config);
}
