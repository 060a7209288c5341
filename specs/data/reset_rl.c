/*
 * reset_rl.c — episodes of random rewards, and what has been earned since each began.
 *
 * Writes reset_rl.csv: reward (-1, 0 or 1), done (1: an episode begins with this row),
 * earned (a quarter of the sum of the rewards of the episode so far). Episodes last 1 to 60
 * steps. Every 500 rows one begins in any case, so that 64 streams begin with an episode
 * each.
 */
#include <stdint.h>
#include <stdio.h>

enum { ROWS = 32000, STREAM = 500, LONGEST = 60 };

static uint64_t state = 1;

/* Knuth's MMIX generator; its upper bits, in [0, n). */
static int below(int n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)n);
}

int main(void)
{
    FILE *file = fopen("reset_rl.csv", "w");
    int left = 0, sum = 0, failed = !file || fputs("reward,done,earned\n", file) < 0;
    for (int row = 0; row < ROWS && !failed; row++) {
        int begins = left == 0 || row % STREAM == 0, reward = below(3) - 1;
        if (begins)
            left = 1 + below(LONGEST), sum = 0;
        sum += reward;
        left--;
        failed = fprintf(file, "%d,%d,%g\n", reward, begins, sum / 4.0) < 0;
    }
    if (file)
        failed |= fclose(file) != 0;
    if (failed)
        perror("reset_rl.csv");
    return failed;
}
