/*
 * test_parity.c — a trainer does what PyTorch-Ignite's recorded run did.
 *
 *     test_parity CASE TRAINER [ARGUMENT…]
 *
 * CASE is a folder that make_reference.py, make_more.py or make_variants.py wrote. The
 * trainer starts from its parameters and must reach, chunk by chunk, its losses (null where
 * no step counts) and batch by batch their means; in the end its parameters; and fire its
 * events in its order.
 */
#include "recorded.h"

/* ---- events ---- */

static void test_events_fire_in_the_recorded_order(const struct trained *t,
                                                   const json_t *expected)
{
    const json_t *events = json_object_get(expected, "events");
    char path[1024], name[128];
    snprintf(path, sizeof path, "%s/trace.txt", t->out);
    FILE *file = fopen(path, "r");
    CHECK(file, "%s cannot be read", path);
    size_t i = 0, n = json_array_size(events);
    for (; file && fscanf(file, "%127s", name) == 1; i++) {
        const char *e = json_string_value(json_array_get(events, i));
        CHECK(e && strcmp(name, e) == 0, "event %zu: %s, expected %s", i, name,
              e ? e : "none");
        if (!e || strcmp(name, e) != 0)
            break;
    }
    CHECK(i == n, "%zu events agree, expected %zu", i, n);
    if (file)
        fclose(file);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: test_parity CASE TRAINER [ARGUMENT…]\n");
        return 2;
    }
    char init[1024];
    struct trained t;
    scratch_open();
    snprintf(init, sizeof init, "%s/init.safetensors", argv[1]);
    json_t *expected = read_expected(argv[1]);
    if (expected && train(&t, "run", argv + 2, argc - 2, init)) {
        test_every_chunk_has_the_recorded_loss(&t, expected);
        test_every_batch_has_the_recorded_mean(&t, expected);
        test_training_ends_at_the_recorded_parameters(&t, argv[1]);
        test_events_fire_in_the_recorded_order(&t, expected);
    }
    json_decref(expected);
    scratch_close();
    return check_result();
}
