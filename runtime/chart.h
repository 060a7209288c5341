/*
 * chart.h — curves over iterations, as a picture of its own (SVG).
 */
#ifndef RNN_CHART_H
#define RNN_CHART_H

#include "io.h"

enum { RNN__POINTS_MAX = 2048 };

/* A curve of bounded length: when it is full, neighbours become their mean, and each
   further point is the mean of twice as many. */
struct rnn__curve {
    const char *name;
    int n;
    int64_t stride, n_sum; /* values in a point; in the sum */
    double sum;
    double x[RNN__POINTS_MAX], y[RNN__POINTS_MAX];
};

void rnn__curve_add(struct rnn__curve *c, double x, double y);

struct rnn__chart {
    const char *title, *x_label, *y_label; /* any text */
    const struct rnn__curve *curve[2];     /* either may be NULL */
    const char *legend[2];
};

/* An <svg> element, alone or within HTML; follows the reader's light or dark. */
void rnn__chart_put(struct rnn__string *s, const struct rnn__chart *chart);

/* Text for XML and HTML: & < > " ' escaped, what is not allowed there replaced. */
void rnn__put_escaped(struct rnn__string *s, const char *text);

#endif
