/*
 * bench_report.c — what `rnnc bench` found, as a table and as JSON.
 */
#include "bench_room.h"

static void print_times_json(const char *name, Samples *s)
{
    printf("\"%s\": {\"us_per_chunk\": %.3f, \"p10_us\": %.3f, \"p90_us\": %.3f, "
           "\"chunks\": %d}, ",
           name, quantile(s, 0.5), quantile(s, 0.1), quantile(s, 0.9), s->n);
}

static void print_nests_json(const char *name, const Kernels *k)
{
    printf(", \"%s\": [", name);
    for (int i = 0; i < k->n; i++)
        printf("%s{\"name\": \"%s\", \"us\": %.4f, \"expected_us\": %.4f, "
               "\"gflops\": %.2f, \"share\": %.4f, \"gbytes_per_s\": %.2f}",
               i ? ", " : "", k->at[i].name, k->at[i].us, k->at[i].expected_us,
               k->at[i].gflops, k->at[i].share, k->at[i].gbytes);
    printf("]");
}

void bench_print_json(Variant *v, int threads, double peak, const Kernels *k,
                      const Kernels *nests)
{
    printf("{");
    print_times_json("fused", &v[0].chunk);
    print_times_json("unfused", &v[1].chunk);
    printf("\"peak_gflops\": %.1f, \"threads\": %d, \"target\": \"%s\", \"kernels\": [",
           peak, threads, v->unit->target->name);
    for (int i = 0; i < k->n; i++)
        printf("%s{\"name\": \"%s\", \"us\": %.3f, \"gflops\": %.2f, \"share\": %.4f}",
               i ? ", " : "", k->at[i].name, k->at[i].us, k->at[i].gflops, k->at[i].share);
    printf("]");
    print_nests_json("plan", nests);
    print_nests_json("unfused_plan", nests + 1);
    printf("}\n");
}

static void print_times(const char *name, Samples *s)
{
    printf("%-10s %12.1f %12.1f %12.1f %10d\n", name, quantile(s, 0.5), quantile(s, 0.1),
           quantile(s, 0.9), s->n);
}

/* ---- names in columns ---- */

static bool begins_letter(char c) { return ((unsigned char)c & 0xc0) != 0x80; }

/* The name in exactly so many columns: filled with blanks, or cut and ended with …. printf
   counts bytes, and a letter's later bytes take no column. */
static const char *in_columns(Arena *arena, const char *name, int columns)
{
    int n = 0, end = 0, cut = 0;
    for (; name[end]; end++)
        if (begins_letter(name[end]) && n++ == columns - 1)
            cut = end;
    if (n > columns)
        return arena_print(arena, "%.*s…", cut, name);
    return arena_print(arena, "%s%*s", name, columns - n, "");
}

/* Those that take a hundredth of a chunk, in the order in which they run. */
static void print_nests(Arena *arena, const char *title, const Kernels *k)
{
    double all = 0, shown = 0;
    for (int i = 0; i < k->n; i++)
        all += k->at[i].us;
    if (k->n == 0)
        return;
    printf("\n%-44s %10s %10s %9s %8s %8s\n", title, "us", "expected", "GFLOP/s", "of peak",
           "GB/s");
    for (int i = 0; i < k->n; i++) {
        const Kernel *n = &k->at[i];
        if (n->us < 0.01 * all)
            continue;
        shown += n->us;
        printf("%s %10.2f %10.2f %9.1f %6.1f %% %8.1f\n", in_columns(arena, n->name, 44),
               n->us, n->expected_us, n->gflops, 100 * n->share, n->gbytes);
    }
    printf("%-44s %10.2f\n%-44s %10.2f\n", "all others", all - shown, "all", all);
}

void bench_print_table(Variant *v, int threads, double peak, const Kernels *k,
                       const Kernels *nests)
{
    const Unit *u = v->unit;
    printf("%s: chunks of %lld steps x %lld rows, %d thread%s, %s, peak %.1f GFLOP/s\n\n",
           u->spec->name, (long long)u->steps_max, (long long)u->rows_max, threads,
           threads == 1 ? "" : "s", u->target->name, peak);
    printf("%-10s %12s %12s %12s %10s\n", "us a chunk", "median", "10 %", "90 %", "chunks");
    print_times("fused", &v[0].chunk);
    print_times("unfused", &v[1].chunk);
    printf("\n%-10s %12s %12s %12s\n", "fused", "us", "GFLOP/s", "of peak");
    for (int i = 0; i < k->n; i++)
        printf("%-10s %12.1f %12.1f %10.1f %%\n", k->at[i].name, k->at[i].us,
               k->at[i].gflops, 100 * k->at[i].share);
    print_nests(u->arena, "fused, by kernel (the first thread's time)", nests);
    print_nests(u->arena, "unfused, by kernel", nests + 1);
}
