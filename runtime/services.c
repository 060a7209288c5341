/*
 * services.c — what generated code may call.
 *
 * (Semi-)orthogonal initialisation, as torch.nn.init.orthogonal_ (Saxe, McClelland
 * and Ganguli 2013): the Q of a QR decomposition of normal draws, each column with
 * the sign that makes R's diagonal positive. Gram-Schmidt gives just this Q. Done
 * twice it is orthogonal to rounding (Giraud, Langou and Rozložník 2005: "twice is
 * enough"); inner products are summed in double, vectors stay in place.
 */
#include "services.h"

#include <math.h>

/* n vectors of `length` elements: element j of vector i at i * stride + j * step. */
struct vectors {
    void *at;
    enum rnn_dtype dtype;
    int64_t n, length, stride, step;
};

static double get(const struct vectors *v, int64_t i, int64_t j)
{
    return rnn_real_at(v->at, v->dtype, i * v->stride + j * v->step);
}

static void set(struct vectors *v, int64_t i, int64_t j, double value)
{
    rnn_real_set(v->at, v->dtype, i * v->stride + j * v->step, value);
}

static double inner(const struct vectors *v, int64_t a, int64_t b)
{
    double sum = 0;
    for (int64_t j = 0; j < v->length; j++)
        sum += get(v, a, j) * get(v, b, j);
    return sum;
}

/* Takes vector b's share out of vector a. */
static void project_out(struct vectors *v, int64_t a, int64_t b)
{
    double share = inner(v, a, b);
    for (int64_t j = 0; j < v->length; j++)
        set(v, a, j, get(v, a, j) - share * get(v, b, j));
}

static void normalise(struct vectors *v, int64_t a)
{
    double norm = sqrt(inner(v, a, a));
    for (int64_t j = 0; j < v->length && norm > 0; j++)
        set(v, a, j, get(v, a, j) / norm);
}

static void orthogonal(void *matrix, enum rnn_dtype dtype, int64_t rows, int64_t columns,
                       double *scratch)
{
    (void)scratch; /* Gram-Schmidt needs none */
    struct vectors v = rows <= columns
                           ? (struct vectors){matrix, dtype, rows, columns, columns, 1}
                           : (struct vectors){matrix, dtype, columns, rows, 1, columns};
    for (int64_t a = 0; a < v.n; a++)
        for (int pass = 0; pass < 2; pass++) {
            for (int64_t b = 0; b < a; b++)
                project_out(&v, a, b);
            normalise(&v, a);
        }
}

const struct rnn_services rnn__services = {.orthogonal = orthogonal};
