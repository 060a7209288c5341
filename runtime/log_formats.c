/*
 * log_formats.c — a line of the log as JSON, as a row of a table, as scalars of
 * TensorBoard.
 *
 * TensorBoard reads files of records (TFRecord):
 *
 *     length   uint64         little-endian
 *     crc      uint32         of the length, masked
 *     data     [length]
 *     crc      uint32         of the data, masked
 *
 * where crc is CRC-32C and masked is ((crc >> 15) | (crc << 17)) + 0xa282ead8, so that a
 * checksum of bytes that hold checksums is sound (tensorflow/core/lib/hash/crc32c.h). The
 * data are protocol buffers, tensorflow.Event, of which these fields are written:
 *
 *     1 wall_time double   2 step int64   3 file_version string   5 summary Summary
 *     Summary: 1 repeated Value;   Value: 1 tag string, 2 simple_value float
 */
#include "log.h"

#include <string.h>

/* ---- jsonl ---- */

static void put_number(struct rnn__log *log, double value)
{
    char text[RNN__NUMBER_BYTES];
    rnn__out_put(log->out, "%s", rnn__number_text(value, text));
}

static void put_json(struct rnn__log *log, const struct rnn__line *line)
{
    rnn__out_put(log->out, "{\"event\": \"%s\", \"epoch\": %lld, \"iteration\": %lld",
                 line->event, (long long)line->epoch, (long long)line->iteration);
    if (line->chunk != RNN_NONE)
        rnn__out_put(log->out, ", \"time_iteration\": %lld, \"chunk\": %lld",
                     (long long)line->time_iteration, (long long)line->chunk);
    for (int i = 0; i < line->n_field; i++) {
        rnn__out_put(log->out, ", \"%s\": ", line->field[i].name);
        put_number(log, line->field[i].value);
    }
    rnn__out_put(log->out, "}\n");
}

/* A run's line begins with its loss, "loss" or "output"; a metric of the name "loss" stands
   in its place where a format has one such figure. */
static int loss_of(const struct rnn__line *line)
{
    int i = line->n_field - 1;
    while (i > 0 && strcmp(line->field[i].name, "loss") != 0)
        i--;
    return i;
}

/* ---- csv: empty where a line has no such figure ---- */

static const char *metric_of(const struct rnn__log *log, int i)
{
    return log->t->evaluator ? rnn_metric_at(log->t->evaluator, i, NULL) : NULL;
}

static void begin_csv(struct rnn__log *log)
{
    const char *name;
    rnn__out_put(log->out, "event,epoch,iteration,time_iteration,chunk,loss");
    for (int i = 0; (name = metric_of(log, i)); i++)
        rnn__out_put(log->out, ",valid.%s", name);
    for (int i = 0; (name = rnn__training_metric(log->t, i)); i++)
        if (strcmp(name, "loss") != 0)
            rnn__out_put(log->out, ",%s", name);
    rnn__out_put(log->out, "\n");
}

/* The line's field of this name, from field number `from` on. */
static void put_cell(struct rnn__log *log, const struct rnn__line *line, int from,
                     const char *name)
{
    rnn__out_put(log->out, ",");
    for (int i = from; i < line->n_field; i++)
        if (strcmp(line->field[i].name, name) == 0 && isfinite(line->field[i].value))
            put_number(log, line->field[i].value);
}

/* A validation's fields are all metrics. */
static void put_csv(struct rnn__log *log, const struct rnn__line *line)
{
    const char *name;
    bool valid = strcmp(line->event, "validation") == 0;
    int n = line->n_field;
    rnn__out_put(log->out, "%s,%lld,%lld,%lld,", line->event, (long long)line->epoch,
                 (long long)line->iteration, (long long)line->time_iteration);
    if (line->chunk != RNN_NONE)
        rnn__out_put(log->out, "%lld", (long long)line->chunk);
    put_cell(log, line, valid ? n : 0, line->field[loss_of(line)].name);
    for (int i = 0; (name = metric_of(log, i)); i++)
        put_cell(log, line, valid ? 0 : n, name);
    for (int i = 0; (name = rnn__training_metric(log->t, i)); i++)
        if (strcmp(name, "loss") != 0)
            put_cell(log, line, valid ? n : 1, name);
    rnn__out_put(log->out, "\n");
}

/* ---- tensorboard ---- */

/* A protocol buffer that grows in place. A value that does not fit is left out whole. */
struct message {
    size_t n;
    unsigned char bytes[32768];
};

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_byte(struct message *m, unsigned byte)
{
    if (m->n < sizeof m->bytes)
        m->bytes[m->n++] = (unsigned char)byte;
}

static void put_little(struct message *m, uint64_t value, int n_byte)
{
    for (int i = 0; i < n_byte; i++)
        put_byte(m, (unsigned)(value >> (8 * i)) & 0xff);
}

static void put_varint(struct message *m, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        put_byte(m, (unsigned)(value & 0x7f) | 0x80);
    put_byte(m, (unsigned)value);
}

static void put_key(struct message *m, unsigned field, unsigned wire)
{
    put_varint(m, field << 3 | wire);
}

static void put_bytes(struct message *m, unsigned field, const void *data, size_t n)
{
    put_key(m, field, WIRE_BYTES);
    put_varint(m, n);
    for (size_t i = 0; i < n; i++)
        put_byte(m, ((const unsigned char *)data)[i]);
}

static uint32_t masked(const void *data, size_t n)
{
    uint32_t crc = rnn__crc32c(0, data, n);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static void put_record(struct rnn__log *log, const struct message *m)
{
    struct message head = {0}, tail = {0};
    put_little(&head, m->n, 8);
    put_little(&head, masked(head.bytes, 8), 4);
    put_little(&tail, masked(m->bytes, m->n), 4);
    rnn__out_bytes(log->out, head.bytes, head.n);
    rnn__out_bytes(log->out, m->bytes, m->n);
    rnn__out_bytes(log->out, tail.bytes, tail.n);
}

static void put_time(struct message *m)
{
    struct timespec now;
    uint64_t bits;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    memcpy(&bits, &seconds, sizeof bits);
    put_key(m, 1, WIRE_64);
    put_little(m, bits, 8);
}

static void begin_tensorboard(struct rnn__log *log)
{
    static const char version[] = "brain.Event:2";
    struct message m = {0};
    put_time(&m);
    put_bytes(&m, 3, version, sizeof version - 1);
    put_record(log, &m);
}

static void put_value(struct message *summary, const char *prefix, const char *name,
                      double value)
{
    struct message v = {0};
    char tag[256];
    float single = (float)value;
    uint32_t bits;
    snprintf(tag, sizeof tag, "%s%s", prefix, name);
    memcpy(&bits, &single, sizeof bits);
    put_bytes(&v, 1, tag, strlen(tag));
    put_key(&v, 2, WIRE_32);
    put_little(&v, bits, 4);
    if (summary->n + v.n + 64 < sizeof summary->bytes) /* 64: what stands around it */
        put_bytes(summary, 1, v.bytes, v.n);
}

/* chunk/loss by chunks, iteration/loss, epoch/… and valid/… by iterations. */
static void put_tensorboard(struct rnn__log *log, const struct rnn__line *line)
{
    static const struct {
        const char *event, *prefix;
        const char *loss; /* the name of its loss; NULL: all are metrics */
    } tags[] = {
        {"time_iteration_completed", "chunk/", "loss"},
        {"iteration_completed", "iteration/", "loss"},
        {"epoch_completed", "epoch/", "loss"},
        {"validation", "valid/", NULL},
    };
    struct message m = {0}, summary = {0};
    size_t at = 0;
    while (at + 1 < sizeof tags / sizeof *tags && strcmp(tags[at].event, line->event) != 0)
        at++;
    put_time(&m);
    put_key(&m, 2, WIRE_VARINT);
    put_varint(
        &m, (uint64_t)(line->chunk != RNN_NONE ? line->time_iteration : line->iteration));
    const char *loss_name = tags[at].loss;
    int loss = loss_of(line);
    for (int i = loss_name && loss > 0 ? 1 : 0; i < line->n_field; i++)
        if (!isnan(line->field[i].value))
            put_value(&summary, tags[at].prefix,
                      loss_name && i == loss ? loss_name : line->field[i].name,
                      line->field[i].value);
    put_bytes(&m, 5, summary.bytes, summary.n);
    put_record(log, &m);
}

const struct rnn__log_format rnn__log_formats[RNN__LOG_FORMATS] = {
    [RNN__LOG_JSONL] = {"jsonl", "log.jsonl", NULL, put_json},
    [RNN__LOG_CSV] = {"csv", "log.csv", begin_csv, put_csv},
    [RNN__LOG_TENSORBOARD] = {"tensorboard", "events.out.tfevents.rnnc", begin_tensorboard,
                              put_tensorboard},
};
