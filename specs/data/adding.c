/*
 * adding.c — the adding problem (Hochreiter and Schmidhuber 1997, section 5.4): of a
 * sequence of numbers in [0, 1), two are marked, one in each half; the answer is their sum.
 *
 * Writes adding.raw, float32 [5000, 50, 3]: the number, whether it is marked, the answer
 * (at every step, though only the last asks for it).
 */
#include <stdint.h>
#include <stdio.h>

enum { SEQUENCES = 5000, STEPS = 50 };

static uint64_t state = 1;

/* Knuth's MMIX generator; its upper bits, in [0, 1). */
static float uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-24f;
}

int main(void)
{
    FILE *file = fopen("adding.raw", "wb");
    int failed = !file;
    for (int n = 0; n < SEQUENCES && !failed; n++) {
        float step[STEPS][3];
        int first = (int)(uniform() * STEPS / 2),
            second = STEPS / 2 + (int)(uniform() * STEPS / 2);
        for (int t = 0; t < STEPS; t++) {
            step[t][0] = uniform();
            step[t][1] = t == first || t == second;
        }
        for (int t = 0; t < STEPS; t++)
            step[t][2] = step[first][0] + step[second][0];
        failed = fwrite(step, sizeof step, 1, file) != 1;
    }
    if (file)
        failed |= fclose(file) != 0;
    if (failed)
        perror("adding.raw");
    return failed;
}
