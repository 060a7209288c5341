/*
 * chart.c — curves as SVG, written by hand: no library, no script, no network.
 *
 * Axes have ticks at 1, 2 or 5 times a power of ten, about five of them. Losses that span
 * more than a factor of 30 get a logarithmic axis. The training curve is drawn pale with
 * its running mean over it, for single batches are noise; validations are few, and drawn as
 * they are. Colours are CSS variables that follow prefers-color-scheme.
 */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 760, HEIGHT = 340, LEFT = 72, RIGHT = 24, TOP = 44, BOTTOM = 52 };
static const double LOG_FROM = 30;
static const double LETTER = 6.6; /* about the width of one, at 12 pixels */

/* ---- curves ---- */

static void halve(struct rnn__curve *c)
{
    for (int i = 0; i < c->n / 2; i++) {
        c->x[i] = c->x[2 * i + 1];
        c->y[i] = (c->y[2 * i] + c->y[2 * i + 1]) / 2;
    }
    c->n /= 2;
    c->stride *= 2;
}

void rnn__curve_add(struct rnn__curve *c, double x, double y)
{
    if (!isfinite(y))
        return;
    c->stride = c->stride ? c->stride : 1;
    if (c->n == RNN__POINTS_MAX && c->n_sum == 0)
        halve(c);
    c->sum += y;
    if (++c->n_sum < c->stride)
        return;
    c->x[c->n] = x;
    c->y[c->n++] = c->sum / (double)c->n_sum;
    c->sum = 0;
    c->n_sum = 0;
}

/* ---- text ---- */

void rnn__put_escaped(struct rnn__string *s, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c == '&')
            rnn__put(s, "&amp;");
        else if (*c == '<')
            rnn__put(s, "&lt;");
        else if (*c == '>')
            rnn__put(s, "&gt;");
        else if (*c == '"')
            rnn__put(s, "&quot;");
        else if (*c == '\'')
            rnn__put(s, "&#39;");
        else if (*c < 0x20 && *c != '\n' && *c != '\t')
            rnn__put(s, "?"); /* no XML may hold it */
        else
            rnn__put(s, "%c", *c);
}

static void put_label(struct rnn__string *s, double x, double y, const char *attributes,
                      const char *text)
{
    rnn__put(s, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    rnn__put_escaped(s, text);
    rnn__put(s, "</text>\n");
}

/* 1500 as "1.5k": iterations grow long. */
static void number_text(double v, bool counts, char out[32])
{
    if (counts && v >= 1e6)
        snprintf(out, 32, "%gM", v / 1e6);
    else if (counts && v >= 1e4)
        snprintf(out, 32, "%gk", v / 1e3);
    else
        snprintf(out, 32, "%.6g", v);
}

/* ---- axes ---- */

struct axis {
    double low, high; /* in log10 when `log` */
    bool log;
    double from, to; /* on the page */
};

static double place(const struct axis *a, double v)
{
    double at = a->log ? log10(v) : v;
    return a->from + (a->to - a->from) * (at - a->low) / (a->high - a->low);
}

/* 1, 2 or 5 times a power of ten, so that about `parts` of it fill the range. */
static double nice_step(double range, double parts)
{
    double power = pow(10, floor(log10(range / parts))), rest = range / parts / power;
    return power * (rest > 5 ? 10 : rest > 2 ? 5 : rest > 1 ? 2 : 1);
}

static void widen(struct axis *a, const struct rnn__curve *c, bool x)
{
    for (int i = 0; c && i < c->n; i++) {
        double v = x ? c->x[i] : c->y[i];
        a->low = v < a->low ? v : a->low;
        a->high = v > a->high ? v : a->high;
    }
}

static struct axis axis_of(const struct rnn__chart *chart, bool x, double from, double to)
{
    struct axis a = {INFINITY, -INFINITY, false, from, to};
    for (int i = 0; i < 2; i++)
        widen(&a, chart->curve[i], x);
    if (!(a.low <= a.high))
        a.low = 0, a.high = 1;
    if (x)
        a.low = 0;
    a.log = !x && a.low > 0 && a.high / a.low > LOG_FROM;
    if (a.log)
        a.low = log10(a.low), a.high = log10(a.high);
    double margin = x ? 0 : (a.high - a.low) * 0.05;
    if (a.high == a.low)
        margin = a.high != 0 ? fabs(a.high) * 0.1 : 1;
    a.high += margin;
    a.low -= x ? 0 : margin;
    return a;
}

static void put_tick(struct rnn__string *s, const struct axis *a, bool x, double v)
{
    char text[32];
    double at = place(a, v);
    number_text(v, x, text);
    if (x) {
        rnn__put(s, "<path class=\"tick\" d=\"M%.1f %dv5\"/>\n", at, HEIGHT - BOTTOM);
        put_label(s, at, HEIGHT - BOTTOM + 19, "class=\"t\" text-anchor=\"middle\"", text);
    } else {
        rnn__put(s, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", LEFT, at, WIDTH - RIGHT);
        put_label(s, LEFT - 8, at + 4, "class=\"t\" text-anchor=\"end\"", text);
    }
}

static void put_log_ticks(struct rnn__string *s, const struct axis *a)
{
    static const double digits[] = {1, 2, 5};
    bool few = a->high - a->low > 3;
    for (double p = floor(a->low); p <= a->high; p++)
        for (int i = 0; i < (few ? 1 : 3); i++) {
            double v = digits[i] * pow(10, p);
            if (log10(v) >= a->low && log10(v) <= a->high)
                put_tick(s, a, false, v);
        }
}

static void put_ticks(struct rnn__string *s, const struct axis *a, bool x)
{
    if (a->log) {
        put_log_ticks(s, a);
        return;
    }
    double step = nice_step(a->high - a->low, x ? 8 : 5);
    if (x && step < 1)
        step = 1;                             /* there are no half iterations */
    double first = ceil(a->low / step) + 0.0; /* no -0 */
    for (double i = first; i * step <= a->high + step * 1e-9; i++)
        put_tick(s, a, x, i * step);
}

/* ---- lines ---- */

static void put_line(struct rnn__string *s, const char *class, const struct axis *x,
                     const struct axis *y, int n, const double *at, const double *v)
{
    rnn__put(s, "<polyline class=\"%s\" points=\"", class);
    for (int i = 0; i < n; i++)
        rnn__put(s, "%s%.1f,%.1f", i ? " " : "", place(x, at[i]), place(y, v[i]));
    rnn__put(s, "\"/>\n");
}

/* Means over a window of a 40th of the curve around each point. */
static void smooth(const struct rnn__curve *c, double out[RNN__POINTS_MAX])
{
    int half = c->n / 80;
    for (int i = 0; i < c->n; i++) {
        int reach = i < half ? i : half;
        reach = c->n - 1 - i < reach ? c->n - 1 - i : reach;
        double sum = 0;
        for (int k = i - reach; k <= i + reach; k++)
            sum += c->y[k];
        out[i] = sum / (2 * reach + 1);
    }
}

static void put_curves(struct rnn__string *s, const struct rnn__chart *chart,
                       const struct axis *x, const struct axis *y)
{
    static const char *const classes[] = {"a", "b"};
    const struct rnn__curve *first = chart->curve[0], *second = chart->curve[1];
    double mean[RNN__POINTS_MAX];
    if (first && first->n >= 160) {
        smooth(first, mean);
        put_line(s, "a pale", x, y, first->n, first->x, first->y);
        put_line(s, "a", x, y, first->n, first->x, mean);
    } else if (first) {
        put_line(s, "a", x, y, first->n, first->x, first->y);
    }
    if (second)
        put_line(s, "b", x, y, second->n, second->x, second->y);
    for (int k = 0; k < 2; k++)
        for (int i = 0;
             chart->curve[k] && chart->curve[k]->n <= 60 && i < chart->curve[k]->n; i++)
            rnn__put(s, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                     classes[k], place(x, chart->curve[k]->x[i]),
                     place(y, chart->curve[k]->y[i]));
}

static void put_legend(struct rnn__string *s, const struct rnn__chart *chart)
{
    static const char *const classes[] = {"a", "b"};
    double at = WIDTH - RIGHT;
    for (int k = 1; k >= 0; k--) {
        const struct rnn__curve *c = chart->curve[k];
        if (!c || c->n == 0)
            continue;
        at -= LETTER * (double)strlen(chart->legend[k]);
        put_label(s, at, 24, "class=\"t\"", chart->legend[k]);
        rnn__put(s, "<path class=\"%s\" d=\"M%.1f 20h-18\"/>\n", classes[k], at - 6);
        at -= 40;
    }
}

static const char style[] =
    "<style>\n"
    ".rc{--paper:#fff;--ink:#1f2937;--soft:#6b7280;--line:#e5e7eb;--a:#2563eb;--b:#dd5a12;"
    "font-family:system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif}\n"
    "@media "
    "(prefers-color-scheme:dark){.rc{--paper:#111827;--ink:#e5e7eb;--soft:#9ca3af;--line:#"
    "374151;"
    "--a:#6ea8fe;--b:#fb9a5b}}\n"
    ".rc .paper{fill:var(--paper)} .rc text{fill:var(--ink)} .rc "
    ".t{font-size:12px;fill:var(--soft)} "
    ".rc .h{font-size:15px;font-weight:600}\n"
    ".rc .grid{stroke:var(--line);stroke-width:1} .rc .axis,.rc .tick{stroke:var(--soft);"
    "fill:none}\n"
    ".rc polyline{fill:none;stroke-width:1.8;stroke-linejoin:round} "
    ".rc path.a,.rc path.b{stroke-width:2.5}\n"
    ".rc .a{stroke:var(--a)} .rc .b{stroke:var(--b)} .rc circle.a{fill:var(--a)} "
    ".rc circle.b{fill:var(--b)}\n"
    ".rc .pale{stroke-width:1;opacity:.35}\n"
    "</style>\n";

void rnn__chart_put(struct rnn__string *s, const struct rnn__chart *chart)
{
    struct axis x = axis_of(chart, true, LEFT, WIDTH - RIGHT);
    struct axis y = axis_of(chart, false, HEIGHT - BOTTOM, TOP);
    rnn__put(s,
             "<svg class=\"rc\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
             "role=\"img\">\n%s<title>",
             WIDTH, HEIGHT, style);
    rnn__put_escaped(s, chart->title);
    rnn__put(s, "</title>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", WIDTH,
             HEIGHT);
    put_label(s, LEFT, 24, "class=\"h\"", chart->title);
    put_ticks(s, &y, false);
    put_ticks(s, &x, true);
    rnn__put(s, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, HEIGHT - BOTTOM,
             WIDTH - RIGHT);
    put_label(s, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10,
              "class=\"t\" text-anchor=\"middle\"", chart->x_label);
    char turned[80];
    snprintf(turned, sizeof turned,
             "class=\"t\" text-anchor=\"middle\" transform=\"rotate(-90 16 %d)\"",
             (TOP + HEIGHT - BOTTOM) / 2);
    put_label(s, 16, (TOP + HEIGHT - BOTTOM) / 2.0, turned, chart->y_label);
    put_curves(s, chart, &x, &y);
    put_legend(s, chart);
    rnn__put(s, "</svg>\n");
}
