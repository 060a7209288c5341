/*
 * handler_profile.c — the times of a run (profile.c) as a table at its end and as
 * profile.csv.
 */
#include "engine.h"
#include "profile.h"
#include "trainer.h"

#include <stdio.h>
#include <stdlib.h>

/* In exactly so many columns, cut or filled with blanks: a letter's later bytes (UTF-8)
   take none, but printf counts them. */
static void print_name(FILE *out, const char *name, int columns)
{
    int n = 0;
    for (const char *c = name; *c; c++) {
        n += ((unsigned char)*c & 0xc0) != 0x80;
        if (n > columns)
            break;
        fputc(*c, out);
    }
    fprintf(out, "%*s", n < columns ? columns - n : 0, "");
}

static void print_rows(rnn_engine *e, FILE *out)
{
    rnn_profile_row *row;
    int n_kernel, n = rnn__profile_rows(e, &row, &n_kernel);
    double kernels = 0;
    for (int i = n - n_kernel; i < n; i++)
        kernels += row[i].total;
    if (!rnn__profile_has_kernels(e))
        fprintf(out,
                "kernels are not timed: the model was compiled without marks (rnnc run "
                "--profile, rnnc build --profile)\n");
    for (int i = 0; i < n; i++) {
        bool kernel = i >= n - n_kernel;
        const rnn_profile_row *r = &row[i];
        if (i == 0 || i == n - n_kernel)
            fprintf(out, "\n%-48s %9s %11s %11s %11s %11s %11s\n",
                    kernel ? "kernels, all threads" : "", "times", "total s", "mean ms",
                    "std ms", "min ms", "max ms");
        print_name(out, r->name, 48);
        fprintf(out, " %9lld %11.4f %11.4f %11.4f %11.4f %11.4f", (long long)r->n, r->total,
                1e3 * r->mean, 1e3 * r->std, 1e3 * r->min, 1e3 * r->max);
        if (kernel)
            fprintf(out, " %5.1f %%", 100 * r->total / kernels);
        fputc('\n', out);
    }
    free(row);
}

static int write_csv(struct rnn__trainer *t, struct rnn__fault *f)
{
    struct rnn__string s = {0};
    rnn_profile_row *row;
    int n_kernel, n = rnn__profile_rows(t->engine, &row, &n_kernel);
    rnn__put(&s, "name,times,total_seconds,mean_seconds,std_seconds,min_seconds,min_at,"
                 "max_seconds,max_at\n");
    for (int i = 0; i < n; i++)
        rnn__put(&s, "\"%s\",%lld,%.9g,%.9g,%.9g,%.9g,%lld,%.9g,%lld\n", row[i].name,
                 (long long)row[i].n, row[i].total, row[i].mean, row[i].std, row[i].min,
                 (long long)row[i].min_at, row[i].max, (long long)row[i].max_at);
    free(row);
    return rnn__write_text(t->out, "profile.csv", &s, f);
}

int rnn__profile_report(struct rnn__trainer *t, struct rnn__fault *f)
{
    if (t->prints_profile && !t->options->quiet)
        print_rows(t->engine, stderr);
    return t->prints_profile ? write_csv(t, f) : 0;
}

int rnn__add_profile(struct rnn__trainer *t, const json_t *options, const char *where,
                     struct rnn__fault *f)
{
    (void)options, (void)where;
    t->prints_profile = true;
    int code = rnn_profile(t->engine);
    return code ? rnn__trainer_failed(t, t->engine, code, f) : 0;
}
