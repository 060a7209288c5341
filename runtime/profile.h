/*
 * profile.h — times of events and handlers, and the spans that --trace-out draws.
 *
 *   profile.c   sums by span, event and handler
 *   spans.c     a file of Chrome's trace events
 */
#ifndef RNN_PROFILE_H
#define RNN_PROFILE_H

#include "io.h"

struct rnn__profile;
struct rnn__spans;

/* The engine's, around an event's handlers; called when it has a profile. The first returns
   when it was called, for the second: handlers may fire events themselves. */
double rnn__profile_fires(struct rnn__profile *p, int event);
void rnn__profile_fired(struct rnn__profile *p, int event, bool had_handlers, double begin);
void rnn__profile_handler(struct rnn__profile *p, const char *name, double seconds);

/* One more time in a row: Welford's mean and deviation. */
void rnn__profile_add(rnn_profile_row *row, double seconds);

/* Whether the engine's profile, which is there, sees kernels: the model has marks. */
bool rnn__profile_has_kernels(const rnn_engine *e);
/* The rows that have anything to tell, the kernels last, the longest first; the caller
   frees out. How many. */
int rnn__profile_rows(const rnn_engine *e, rnn_profile_row **out, int *n_kernel);

/* Draws what the engine's profile, which is there, sees. */
void rnn__profile_draw(rnn_engine *e, struct rnn__spans *spans, int track);

/*
 * A file of complete events ("ph": "X") in Chrome's trace format, as chrome://tracing and
 * Perfetto read it. At most a million spans; what follows is counted and told of.
 */
int rnn__spans_begin(struct rnn__spans **out, struct rnn__out *file, struct rnn__fault *f);
/* track: a line of the picture; seconds are of rnn__seconds. */
void rnn__spans_add(struct rnn__spans *s, int track, const char *name, double begin,
                    double end);
void rnn__spans_track(struct rnn__spans *s, int track, const char *name);
/* Ends the JSON; the file is its owner's to close. NULL is fine. */
int rnn__spans_end(struct rnn__spans *s, struct rnn__fault *f);

#endif
