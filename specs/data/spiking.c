/*
 * spiking.c — patterns of spikes that differ in nothing but when their spikes come.
 *
 * Each of ten classes is a pattern: every one of twenty channels fires three times in fifty
 * steps, at moments drawn for the class. An example is the pattern with each spike up to
 * two steps early or late, or missing (one in ten), and among spikes of noise (one in a
 * hundred steps of each channel). Every class has as many spikes as every other, on every
 * channel: who counts learns nothing.
 *
 * Writes spiking.raw, unsigned bytes [3000, 50, 21]: the channels, the class (at every
 * step).
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { EXAMPLES = 3000, CLASSES = 10, CHANNELS = 20, STEPS = 50, SPIKES = 3, JITTER = 2 };

static int pattern[CLASSES][CHANNELS][SPIKES];
static uint64_t state = 1;

/* Knuth's MMIX generator; its upper bits, in [0, n). */
static int below(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

static void draw_patterns(void)
{
    for (int k = 0; k < CLASSES; k++)
        for (int c = 0; c < CHANNELS; c++)
            for (int i = 0; i < SPIKES; i++)
                pattern[k][c][i] = JITTER + below(STEPS - 2 * JITTER);
}

static void draw_example(int class, uint8_t step[STEPS][CHANNELS + 1])
{
    memset(step, 0, STEPS * (CHANNELS + 1));
    for (int t = 0; t < STEPS; t++) {
        for (int c = 0; c < CHANNELS; c++)
            step[t][c] = below(100) == 0;
        step[t][CHANNELS] = (uint8_t) class;
    }
    for (int c = 0; c < CHANNELS; c++)
        for (int i = 0; i < SPIKES; i++) {
            int t = pattern[class][c][i] - JITTER + below(2 * JITTER + 1);
            if (below(10) > 0)
                step[t][c] = 1;
        }
}

int main(void)
{
    FILE *file = fopen("spiking.raw", "wb");
    int failed = !file;
    draw_patterns();
    for (int n = 0; n < EXAMPLES && !failed; n++) {
        uint8_t step[STEPS][CHANNELS + 1];
        draw_example(n % CLASSES, step);
        failed = fwrite(step, sizeof step, 1, file) != 1;
    }
    if (file)
        failed |= fclose(file) != 0;
    if (failed)
        perror("spiking.raw");
    return failed;
}
