/*
 * spans.c — spans of time as a file of Chrome's trace events.
 *
 * The format is Google's "Trace Event Format": one JSON object, its traceEvents a list of
 * {"name", "ph": "X", "ts", "dur", "pid", "tid"} with times in microseconds. Written as it
 * goes, ended when the run ends, however that is.
 */
#include "engine.h"
#include "profile.h"

#include <stdlib.h>

enum { MOST = 1000000 };

struct rnn__spans {
    struct rnn__out *out; /* the trainer's */
    double zero;
    int64_t n, lost;
};

int rnn__spans_begin(struct rnn__spans **out, struct rnn__out *file, struct rnn__fault *f)
{
    struct rnn__spans *s = calloc(1, sizeof *s);
    if (!s)
        return rnn__fault_memory(f);
    s->out = file;
    s->zero = rnn__seconds();
    rnn__out_put(s->out, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"
                         "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, "
                         "\"args\": {\"name\": \"rnnc\"}}");
    *out = s;
    return 0;
}

static void put_text(struct rnn__spans *s, const char *text)
{
    rnn__out_put(s->out, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20)
            rnn__out_put(s->out, "\\u%04x", *c);
        else
            rnn__out_put(s->out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    }
    rnn__out_put(s->out, "\"");
}

void rnn__spans_track(struct rnn__spans *s, int track, const char *name)
{
    rnn__out_put(s->out,
                 ",\n{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, "
                 "\"tid\": %d, \"args\": {\"name\": ",
                 track);
    put_text(s, name);
    rnn__out_put(s->out, "}}");
}

void rnn__spans_add(struct rnn__spans *s, int track, const char *name, double begin,
                    double end)
{
    if (s->n == MOST) {
        s->lost++;
        return;
    }
    s->n++;
    rnn__out_put(s->out, ",\n{\"name\": ");
    put_text(s, name);
    rnn__out_put(s->out,
                 ", \"ph\": \"X\", \"pid\": 1, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f}",
                 track, 1e6 * (begin - s->zero), 1e6 * (end - begin));
}

int rnn__spans_end(struct rnn__spans *s, struct rnn__fault *f)
{
    if (!s)
        return 0;
    rnn__out_put(s->out, "\n], \"otherData\": {\"spans_left_out\": \"%lld\"}}\n",
                 (long long)s->lost);
    int code = rnn__out_flush(s->out, false, f);
    free(s);
    return code;
}
