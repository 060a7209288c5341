/*
 * amp.c — a guitar, and the same guitar through an amplifier.
 *
 * Plucked strings by Karplus and Strong (1983): a delay line as long as the note's period,
 * filled with noise, whose output goes back in through an average of neighbours. The
 * amplifier: a treble boost, a valve that clips one side harder than the other and whose
 * bias sinks while it is driven (that is memory: no curve of the sample alone), and the
 * loudspeaker's low-pass.
 *
 * Writes amp_in.wav and amp_out.wav: 10 seconds, one channel, 44100 Hz, PCM of 16 bits.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { RATE = 44100, FRAMES = 10 * RATE, NOTE = RATE / 4, LINE_MOST = 1024 };

static float in[FRAMES], out[FRAMES];
static uint64_t state = 1;

/* Knuth's MMIX generator, in [-1, 1). */
static float noise(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-23f - 1;
}

static void play(float *at, int frames, double hertz, float loudness)
{
    float line[LINE_MOST];
    int n = (int)(RATE / hertz), i = 0;
    for (int k = 0; k < n; k++)
        line[k] = loudness * noise();
    for (int t = 0; t < frames; t++) {
        float now = line[i], next = line[(i + 1) % n];
        line[i] = 0.498f * (now + next);
        at[t] += now;
        i = (i + 1) % n;
    }
}

static void play_all(void)
{
    static const int scale[] = {0, 3, 5, 7, 10, 12}; /* minor pentatonic, semitones */
    for (int at = 0; at + 2 * NOTE <= FRAMES; at += NOTE) {
        int which = (int)((noise() + 1) * 3);
        float loudness = 0.15f + 0.25f * (noise() + 1) / 2;
        play(in + at, 2 * NOTE, 110 * pow(2, scale[which] / 12.0), loudness);
    }
}

static void amplify(void)
{
    float before = 0, bias = 0, speaker = 0;
    for (int t = 0; t < FRAMES; t++) {
        float driven = 6 * (in[t] - 0.6f * before) + 2 * in[t];
        float valve = tanhf(driven + 0.3f - bias) - tanhf(0.3f - bias);
        if (valve < 0)
            valve *= 0.7f;
        before = in[t];
        bias += 0.001f * (fabsf(valve) - bias);
        speaker += 0.3f * (valve - speaker);
        out[t] = 0.8f * speaker;
    }
}

static unsigned char *put(unsigned char *at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (unsigned char)(value >> 8 * i);
    return at;
}

static int write_wav(const char *path, const float *sound)
{
    static unsigned char wav[44 + 2 * FRAMES];
    unsigned char *at = wav;
    memcpy(at, "RIFF", 4);
    at = put(at + 4, sizeof wav - 8, 4);
    memcpy(at, "WAVEfmt ", 8);
    at = put(at + 8, 16, 4);
    at = put(put(at, 1, 2), 1, 2); /* PCM, one channel */
    at = put(put(at, RATE, 4), 2 * RATE, 4);
    at = put(put(at, 2, 2), 16, 2);
    memcpy(at, "data", 4);
    at = put(at + 4, 2 * FRAMES, 4);
    for (int t = 0; t < FRAMES; t++) {
        float v = fminf(fmaxf(sound[t], -1), 1);
        at = put(at, (uint32_t)(int32_t)lrintf(32767 * v), 2);
    }
    FILE *file = fopen(path, "wb");
    int failed = !file || fwrite(wav, sizeof wav, 1, file) != 1;
    if (file)
        failed |= fclose(file) != 0;
    if (failed)
        perror(path);
    return failed;
}

int main(void)
{
    play_all();
    amplify();
    return write_wav("amp_in.wav", in) | write_wav("amp_out.wav", out);
}
