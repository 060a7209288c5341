/*
 * test_containers.c — the same numbers come out of every container that can hold them;
 * what is damaged, hostile or does not fit is told with file and place.
 */
#include "check.h"
#include "npy_bytes.h"
#include "safetensors.h"
#include "sources.h"

#include <locale.h>
#include <zlib.h>

enum { N = 3, T = 4 };

/* x: two reals a step, 10 row + step and that plus a half; y: row + step, a class. */
static float x[N][T][2];
static int32_t y[N][T];

static void make_values(void)
{
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++) {
            x[n][t][0] = (float)(10 * n + t);
            x[n][t][1] = x[n][t][0] + 0.5f;
            y[n][t] = n + t;
        }
}

/* Row `n` of the batch is sequence (or stream) `n`, from step t0 on. */
static void check_rows(const rnn_batch *b, int64_t t0)
{
    for (int64_t n = 0; n < b->rows; n++)
        for (int64_t t = 0; t < b->steps; t++) {
            CHECK(real_at(b, 0, t, n, 1) == x[n][t0 + t][1], "x[%d][%d] is %g", (int)n,
                  (int)t, (double)real_at(b, 0, t, n, 1));
            CHECK(class_at(b, 1, t, n) == y[n][t0 + t], "y[%d][%d] is %d", (int)n, (int)t,
                  class_at(b, 1, t, n));
        }
}

/* The settings' first batch is all sequences, or all streams whole. */
static void check_source(const char *json)
{
    rnn_source_run run;
    int code = open_run(&run, &xy_model, json);
    CHECK(code == 0, "%s: %s", json, run.sentence);
    if (code)
        return;
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b && b->rows == N && b->steps == T, "%s: another shape", json);
    if (b)
        check_rows(b, 0);
    rnn_source_close(&run);
}

/* ---- zip archives, made by hand ---- */

struct zip_member {
    const char *name;
    const void *data;
    size_t bytes;
    bool deflated, zip64, encrypted;
    int method;          /* 0: as deflated says */
    uint32_t crc_change; /* xor into the checksum */
    int64_t size_change; /* added to the length that it says */
};

struct bytes {
    unsigned char at[1 << 18];
    size_t n;
};

static void put(struct bytes *b, const void *data, size_t n)
{
    memcpy(b->at + b->n, data, n);
    b->n += n;
}

static void put_number(struct bytes *b, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        b->at[b->n++] = (unsigned char)(value >> 8 * i);
}

static size_t deflate_raw(const void *data, size_t n, unsigned char *out, size_t capacity)
{
    z_stream s = {0};
    deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    s.next_in = (unsigned char *)(uintptr_t)data;
    s.avail_in = (uInt)n;
    s.next_out = out;
    s.avail_out = (uInt)capacity;
    deflate(&s, Z_FINISH);
    deflateEnd(&s);
    return s.total_out;
}

static void put_header(struct bytes *b, const struct zip_member *m, size_t packed,
                       uint64_t local, bool central)
{
    uint64_t size = m->bytes + (uint64_t)m->size_change;
    int method = m->method ? m->method : m->deflated ? 8 : 0;
    put(b, central ? "PK\1\2" : "PK\3\4", 4);
    if (central)
        put_number(b, 45, 2);
    put_number(b, 45, 2);
    put_number(b, m->encrypted, 2);
    put_number(b, (uint64_t)method, 2);
    put_number(b, 0, 4);
    put_number(b, crc32(0, m->data, (uInt)m->bytes) ^ m->crc_change, 4);
    put_number(b, m->zip64 ? UINT32_MAX : packed, 4);
    put_number(b, m->zip64 ? UINT32_MAX : size, 4);
    put_number(b, strlen(m->name), 2);
    put_number(b, m->zip64 ? 28 : 0, 2);
    if (central) {
        put_number(b, 0, 8); /* comment, disk, */
        put_number(b, 0, 2); /* attributes */
        put_number(b, m->zip64 ? UINT32_MAX : local, 4);
    }
    put(b, m->name, strlen(m->name));
    if (!m->zip64)
        return;
    put_number(b, 1, 2);
    put_number(b, 24, 2);
    put_number(b, size, 8);
    put_number(b, packed, 8);
    put_number(b, local, 8);
}

static const char *zip_write(const char *name, const struct zip_member *member, int n)
{
    static struct bytes b;
    static unsigned char packed[1 << 17];
    size_t local[8], packed_bytes[8], directory;
    b.n = 0;
    for (int i = 0; i < n; i++) {
        const struct zip_member *m = &member[i];
        local[i] = b.n;
        packed_bytes[i] =
            m->deflated ? deflate_raw(m->data, m->bytes, packed, sizeof packed) : m->bytes;
        put_header(&b, m, packed_bytes[i], local[i], false);
        put(&b, m->deflated ? packed : m->data, packed_bytes[i]);
    }
    directory = b.n;
    for (int i = 0; i < n; i++)
        put_header(&b, &member[i], packed_bytes[i], local[i], true);
    size_t bytes = b.n - directory;
    if (member[0].zip64) {
        size_t end = b.n;
        put(&b, "PK\6\6", 4);
        put_number(&b, 44, 8);
        put_number(&b, 45, 2);
        put_number(&b, 45, 2);
        put_number(&b, 0, 8);
        put_number(&b, (uint64_t)n, 8);
        put_number(&b, (uint64_t)n, 8);
        put_number(&b, bytes, 8);
        put_number(&b, directory, 8);
        put(&b, "PK\6\7", 4);
        put_number(&b, 0, 4);
        put_number(&b, end, 8);
        put_number(&b, 1, 4);
    }
    put(&b, "PK\5\6", 4);
    put_number(&b, 0, 4);
    put_number(&b, (uint64_t)n, 2);
    put_number(&b, (uint64_t)n, 2);
    put_number(&b, member[0].zip64 ? UINT32_MAX : bytes, 4);
    put_number(&b, member[0].zip64 ? UINT32_MAX : directory, 4);
    put_number(&b, 0, 2);
    return scratch_write(name, b.at, b.n);
}

/* An npy file's bytes; the caller frees. */
static char *npy_bytes(const char *descr, const char *shape, const void *data, size_t bytes,
                       size_t *n)
{
    struct stat st;
    const char *path = npy_write("bytes.npy", 1, npy_header(descr, shape), data, bytes);
    stat(path, &st);
    *n = (size_t)st.st_size;
    char *text = malloc(*n);
    FILE *file = fopen(path, "rb");
    if (!file || fread(text, 1, *n, file) != *n)
        exit(1);
    fclose(file);
    return text;
}

static struct zip_member good[2];

static void make_members(void)
{
    good[0].name = "x.npy";
    good[0].data = npy_bytes("<f4", "(3, 4, 2)", x, sizeof x, &good[0].bytes);
    good[1].name = "y.npy";
    good[1].data = npy_bytes("<i4", "(3, 4)", y, sizeof y, &good[1].bytes);
}

static void test_npz_stored_deflated_and_zip64(void)
{
    for (int i = 0; i < 4; i++) {
        struct zip_member m[2] = {good[0], good[1]};
        m[0].deflated = m[1].deflated = i & 1;
        m[0].zip64 = m[1].zip64 = i >> 1;
        zip_write("a.npz", m, 2);
        check_source("{\"npz\": \"a.npz\"}");
    }
}

/* Of zeros a few packed bytes give a block and more: the last of them are taken while
   output is still to come. */
static void test_npz_whose_output_outlasts_its_input(void)
{
    static const char zeros[8 * (8192 + 64)];
    for (int steps = 8192 - 64; steps <= 8192 + 64; steps++) {
        struct zip_member m[2] = {good[0], good[1]};
        char shape[32];
        snprintf(shape, sizeof shape, "(1, %d, 2)", steps);
        m[0].data = npy_bytes("<f4", shape, zeros, 8 * (size_t)steps, &m[0].bytes);
        snprintf(shape, sizeof shape, "(1, %d)", steps);
        m[1].data = npy_bytes("<i4", shape, zeros, 4 * (size_t)steps, &m[1].bytes);
        m[0].deflated = m[1].deflated = true;
        zip_write("zeros.npz", m, 2);
        rnn_source_run run;
        int code = open_run(&run, &xy_model, "{\"npz\": \"zeros.npz\"}");
        CHECK(code == 0, "%d steps: %s", steps, run.sentence);
        if (code == 0)
            rnn_source_close(&run);
        free((void *)(uintptr_t)m[0].data);
        free((void *)(uintptr_t)m[1].data);
    }
}

static void refuse_npz(struct zip_member m0, const char *expected)
{
    struct zip_member m[2] = {m0, good[1]};
    zip_write("bad.npz", m, 2);
    refuse(&xy_model, "{\"npz\": \"bad.npz\"}", "bad.npz");
    refuse(&xy_model, "{\"npz\": \"bad.npz\"}", expected);
}

static void test_hostile_npz_are_refused(void)
{
    struct zip_member m = good[0];
    m.encrypted = true;
    refuse_npz(m, "encrypted");
    m = good[0], m.method = 12;
    refuse_npz(m, "other than deflate");
    m = good[0], m.crc_change = 1;
    refuse_npz(m, "checksum");
    m.deflated = true;
    refuse_npz(m, "checksum");
    m = good[0], m.deflated = true, m.size_change = 8;
    refuse_npz(m, "its entry says");
    m = good[0], m.deflated = true, m.size_change = 1 << 30;
    refuse_npz(m, "cannot come of");
    m = good[0], m.name = "y.npy";
    refuse_npz(m, "entry 'y.npy' is there twice");
    m = good[0], m.name = "../x.npy";
    refuse_npz(m, "has no array 'x'; it has ../x y");
    m = good[0], m.data = "no array at all", m.bytes = 15;
    refuse_npz(m, "not an npy");
}

/* A small archive of zeros whose array says that it is small: no more is unpacked. */
static void test_a_zip_bomb_is_not_unpacked(void)
{
    static char zeros[1 << 17];
    size_t n;
    char *one = npy_bytes("<f4", "(3, 4, 2)", x, sizeof x, &n);
    memcpy(zeros, one, n);
    free(one);
    struct zip_member m = {
        .name = "x.npy", .data = zeros, .bytes = sizeof zeros, .deflated = true};
    refuse_npz(m, "too long: its shape needs 96 bytes, there are");
}

static void test_an_npz_cut_anywhere_is_refused(void)
{
    struct zip_member m[2] = {good[0], good[1]};
    m[0].deflated = true;
    struct stat st;
    const char *path = zip_write("whole.npz", m, 2);
    stat(path, &st);
    for (int64_t n = 0; n < st.st_size; n++) {
        zip_write("bad.npz", m, 2);
        CHECK(truncate(scratch_path("bad.npz"), n) == 0, "truncate");
        refuse(&xy_model, "{\"npz\": \"bad.npz\"}", "bad.npz");
    }
}

/* ---- safetensors ---- */

static void test_safetensors(void)
{
    struct rnn__fault f = {0};
    double wide[N][T] = {{0}};
    struct rnn__tensor list[] = {
        {.name = "x",
         .dtype = RNN__F32,
         .rank = 3,
         .dim = {N, T, 2},
         .data = x,
         .size = 24},
        {.name = "wide",
         .dtype = RNN__F64,
         .rank = 2,
         .dim = {N, T},
         .data = wide,
         .size = 12},
    };
    CHECK(rnn__safetensors_write(scratch_path("f.safetensors"), list, 2, NULL, &f) == 0,
          "%s", f.sentence);
    refuse(&xy_model, "{\"safetensors\": \"f.safetensors\"}",
           "f.safetensors: has no array 'y'; it has wide x");
    /* integers by hand: the runtime writes none */
    static const char header[] =
        "{\"x\":{\"dtype\":\"BF16\",\"shape\":[3,4,2],\"data_offsets\":[0,48]},"
        "\"y\":{\"dtype\":\"U8\",\"shape\":[3,4],\"data_offsets\":[48,60]}}";
    struct bytes b = {.n = 0};
    put_number(&b, sizeof header - 1, 8);
    put(&b, header, sizeof header - 1);
    for (int i = 0; i < 24; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i / 8][i / 2 % 4][i % 2], 4);
        put_number(&b, bits >> 16, 2); /* these values fit bfloat16 */
    }
    for (int i = 0; i < 12; i++)
        put_number(&b, (uint64_t)y[i / 4][i % 4], 1);
    scratch_write("g.safetensors", b.at, b.n);
    check_source("{\"safetensors\": \"g.safetensors\"}");
    scratch_write("cut.safetensors", b.at, b.n - 1);
    refuse(&xy_model, "{\"safetensors\": \"cut.safetensors\"}", "cut short");
}

/* ---- IDX, gzip ---- */

static void put_idx(struct bytes *b, int type, const int *dim, int rank)
{
    b->n = 0;
    put_number(b, 0, 2);
    put_number(b, (uint64_t)type, 1);
    put_number(b, (uint64_t)rank, 1);
    for (int i = 0; i < rank; i++)
        for (int k = 3; k >= 0; k--)
            put_number(b, (uint64_t)dim[i] >> 8 * k, 1);
}

static const char *gzip_write(const char *name, const struct bytes *b)
{
    const char *path = scratch_path(name);
    gzFile file = gzopen(path, "wb");
    if (!file || gzwrite(file, b->at, (unsigned)b->n) != (int)b->n || gzclose(file) != Z_OK)
        exit(1);
    return path;
}

static void test_idx_plain_and_packed(void)
{
    struct bytes b = {.n = 0};
    put_idx(&b, 0x0D, (int[]){N, T, 2}, 3);
    for (int i = 0; i < 24; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i / 8][i / 2 % 4][i % 2], 4);
        for (int k = 3; k >= 0; k--)
            put_number(&b, bits >> 8 * k, 1);
    }
    scratch_write("x-idx3", b.at, b.n);
    gzip_write("x-idx3.gz", &b);
    put_idx(&b, 0x08, (int[]){N, T}, 2);
    for (int i = 0; i < 12; i++)
        put_number(&b, (uint64_t)y[i / 4][i % 4], 1);
    scratch_write("y-idx2", b.at, b.n);
    check_source("{\"x\": \"x-idx3\", \"y\": \"y-idx2\"}");
    check_source("{\"x\": \"x-idx3.gz\", \"y\": \"y-idx2\"}");
    scratch_write("cut", b.at, b.n - 1);
    refuse(&xy_model, "{\"x\": \"x-idx3\", \"y\": \"cut\"}",
           "cut short: its shape needs 12 bytes, there are 11");
    b.at[b.n++] = 0;
    gzip_write("long.gz", &b);
    refuse(&xy_model, "{\"x\": \"x-idx3\", \"y\": \"long.gz\"}",
           "too long: its shape needs 12 bytes, there are 13");
    struct stat st;
    stat(scratch_path("x-idx3.gz"), &st);
    CHECK(truncate(scratch_path("x-idx3.gz"), st.st_size - 9) == 0, "truncate");
    refuse(&xy_model, "{\"x\": \"x-idx3.gz\", \"y\": \"y-idx2\"}", "its packed bytes end");
}

/* Small integers are reals exactly: pixels need no conversion. */
static void test_bytes_feed_reals(void)
{
    struct bytes b = {.n = 0};
    put_idx(&b, 0x08, (int[]){N, T, 2}, 3);
    for (int i = 0; i < 24; i++)
        put_number(&b, 255 - (uint64_t)i, 1);
    scratch_write("pixels", b.at, b.n);
    rnn_source_run run;
    CHECK(open_run(&run, &xy_model, "{\"x\": \"pixels\", \"y\": \"y-idx2\"}") == 0, "%s",
          run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    CHECK(real_at(next_batch(&run), 0, 0, 0, 0) == 255, "not 255");
    rnn_source_close(&run);
}

/* ---- WAV ---- */

static const char *wav_write(const char *name, int tag, int bits, int channels,
                             const void *samples, size_t bytes)
{
    static struct bytes b;
    b.n = 0;
    put(&b, "RIFF", 4);
    put_number(&b, 36 + 8 + 3 + 1 + bytes, 4);
    put(&b, "WAVEfmt ", 8);
    put_number(&b, 16, 4);
    put_number(&b, (uint64_t)tag, 2);
    put_number(&b, (uint64_t)channels, 2);
    put_number(&b, 44100, 4);
    put_number(&b, (uint64_t)(44100 * channels * bits / 8), 4);
    put_number(&b, (uint64_t)(channels * bits / 8), 2);
    put_number(&b, (uint64_t)bits, 2);
    put(&b, "LIST", 4); /* an odd chunk to be skipped */
    put_number(&b, 3, 4);
    put(&b, "abc", 4);
    put(&b, "data", 4);
    put_number(&b, bytes, 4);
    put(&b, samples, bytes);
    return scratch_write(name, b.at, b.n);
}

static void check_wav(const char *name, const float *expected)
{
    char json[128];
    rnn_source_run run;
    snprintf(json, sizeof json, "{\"x\": \"%s\"}", name);
    CHECK(open_run(&run, &sound_model, json) == 0, "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->rows == 1 && b->steps == 2, "%s: %d steps", name, (int)b->steps);
    for (int i = 0; i < 4; i++)
        CHECK(real_at(b, 0, i / 2, 0, i % 2) == expected[i], "%s: sample %d is %g", name, i,
              (double)real_at(b, 0, i / 2, 0, i % 2));
    rnn_source_close(&run);
}

static void test_wav_of_each_kind(void)
{
    static const float expected[] = {0, 0.5f, -1, -0.25f};
    static const int16_t pcm16[] = {0, 16384, -32768, -8192};
    static const unsigned char pcm24[] = {0, 0, 0, 0, 0, 0x40, 0, 0, 0x80, 0, 0, 0xE0};
    static const int32_t pcm32[] = {0, 1 << 30, INT32_MIN, -(1 << 29)};
    static const double f64[] = {0, 0.5, -1, -0.25};
    wav_write("16.wav", 1, 16, 2, pcm16, sizeof pcm16);
    check_wav("16.wav", expected);
    wav_write("24.wav", 1, 24, 2, pcm24, sizeof pcm24);
    check_wav("24.wav", expected);
    wav_write("32.wav", 1, 32, 2, pcm32, sizeof pcm32);
    check_wav("32.wav", expected);
    wav_write("f.wav", 3, 32, 2, expected, sizeof expected);
    check_wav("f.wav", expected);
    wav_write("d.wav", 3, 64, 2, f64, sizeof f64);
    check_wav("d.wav", expected);
    wav_write("8.wav", 1, 8, 2, "abcd", 4);
    refuse(&sound_model, "{\"x\": \"8.wav\"}", "8.wav: its samples are neither");
    wav_write("mono.wav", 1, 16, 1, pcm16, sizeof pcm16);
    refuse(&sound_model, "{\"x\": \"mono.wav\"}",
           "has shape [4, 1], but input 'x' needs [T, 2]");
    refuse(&sound_model, "{\"x\": \"16.wav\", \"batch\": 1}", "batch: is for sequences");
    CHECK(truncate(scratch_path("16.wav"), 60) == 0, "truncate");
    refuse(&sound_model, "{\"x\": \"16.wav\"}", "cut short");
}

/* ---- raw ---- */

static void test_raw_holds_inputs_beside_each_other(void)
{
    double raw[N][T][3];
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++) {
            raw[n][t][0] = (double)x[n][t][0], raw[n][t][1] = (double)x[n][t][1];
            raw[n][t][2] = y[n][t];
        }
    scratch_write("a.raw", raw, sizeof raw);
    check_source("{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [3, 4, 3]}");
    check_source("{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [\"0\", \"4\", 3]}");
    check_source(
        "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [12, 3], \"streams\": 3}");
    refuse(&xy_model, "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [4, 4, 3]}",
           "a.raw: is cut short: its shape needs 384 bytes, there are 288");
    refuse(&xy_model, "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [2, 4, 3]}",
           "too long");
    refuse(&xy_model,
           "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [3, 4, 1, 3, 2]}",
           "cut short");
    refuse(&xy_model, "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [3, 6, 2]}",
           "has 2 numbers a step, the inputs need 3");
    refuse(&xy_model,
           "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [0, 1e12, 1e12]}",
           "larger than any");
    refuse(&xy_model, "{\"raw\": \"a.raw\"}", "needs its dimensions");
    raw[1][2][2] = 2.5;
    scratch_write("b.raw", raw, sizeof raw);
    refuse(&xy_model, "{\"raw\": \"b.raw\", \"dtype\": \"f64\", \"shape\": [3, 4, 3]}",
           "b.raw: row 1, step 2, feature 2: is 2.5; classes are 0 to 9");
    raw[1][2][2] = 1e300;
    scratch_write("b.raw", raw, sizeof raw);
    refuse(&xy_model, "{\"raw\": \"b.raw\", \"dtype\": \"f64\", \"shape\": [3, 4, 3]}",
           "is 1e+300; classes are");
}

/* ---- csv ---- */

static const char columns[] = "\"columns\": {\"x\": [\"a\", \"b\"], \"y\": \"c\"}";

static void write_csv(const char *text) { scratch_write("f.csv", text, strlen(text)); }

/* All the rows as one series cut in N streams of T steps. */
static void test_csv_is_one_series(void)
{
    struct rnn__string s = {0};
    char json[256];
    rnn__put(&s, "\xEF\xBB\xBF"
                 "\"c\", time ,a,b\r\n");
    for (int i = 0; i < N * T; i++)
        rnn__put(&s, "+%d,\"a \"\"day\"\",\nor two\",%g,\"%ge0\"\r\n", y[i / T][i % T],
                 (double)x[i / T][i % T][0], (double)x[i / T][i % T][1]);
    write_csv(s.text);
    free(s.text);
    snprintf(json, sizeof json, "{\"csv\": \"f.csv\", %s, \"streams\": 3}", columns);
    check_source(json);
}

static void refuse_csv(const char *text, const char *expected)
{
    char json[256];
    write_csv(text);
    snprintf(json, sizeof json, "{\"csv\": \"f.csv\", %s}", columns);
    refuse(&xy_model, json, expected);
}

static void test_bad_csv_is_told_with_line_and_column(void)
{
    refuse_csv("a,b,c\n1,2,3\n1,2\n", "f.csv:3: has 2 cells, the header has 3");
    refuse_csv("a,b,c\n1,2,3,\n", "f.csv:2: has 4 or more cells, the header has 3");
    refuse_csv("a,b,c\n1,1e999,3\n", "f.csv:2: column 'b': is 1e999; reals must be finite");
    refuse_csv("a,b,c\n1,0x10,3\n", "f.csv:2: column 'b': '0x10' is no number");
    refuse_csv("a,b,c\n1,nan,3\n", "f.csv:2: column 'b': is nan; reals must be finite");
    refuse_csv("a,b,c\n1,,3\n", "f.csv:2: column 'b': is empty");
    refuse_csv("a,b,c\n1,2,3\n\n1,2,3\n", "f.csv:3: is an empty line");
    refuse_csv("a,b,c\n1,2,10\n", "f.csv:2: column 'c': is 10; classes are 0 to 9");
    refuse_csv("a,b,c\n1,2,1.5\n", "f.csv:2: column 'c': is 1.5; classes are 0 to 9");
    refuse_csv("a,b,c\n1,2,99999999999\n", "f.csv:2: column 'c': is 99999999999; classes");
    refuse_csv("a,b,c\n1,\"2,5\",3\n", "'2,5' is no number; decimals have a point");
    refuse_csv("a,b,c\n1,2 3,3\n", "'2 3' is no number");
    refuse_csv("a,b,c\n\"x\ny\",2,3\n", "f.csv:2: column 'a'");
    refuse_csv("a,b,c\n1,\"2,3\n", "f.csv:2: a quote is left open");
    refuse_csv("a,b,c\n1,2\"3\",3\n", "f.csv:2: a quote stands within a cell");
    refuse_csv("a,b\n1,2\n",
               "f.csv: has no column 'c' (data.train.columns.y); it has a, b");
    refuse_csv("a,b,c,a\n1,2,3,4\n", "f.csv: has two columns 'a'");
    refuse_csv("a,b,c\n", "f.csv: has no line behind the header");
    refuse_csv("", "f.csv: needs a first line of names");
    refuse_csv("\n1,2,3\n", "f.csv: needs a first line of names");
    scratch_write("f.csv", "a,b,c\n1,\0002,3\n", 14);
    refuse(&xy_model,
           "{\"csv\": \"f.csv\", \"columns\": {\"x\": [\"a\", \"b\"], \"y\": \"c\"}}",
           "f.csv:2: holds a byte 0");
    refuse(&xy_model, "{\"csv\": \"f.csv\", \"columns\": {\"x\": \"a\", \"y\": \"c\"}}",
           "columns.x: names 1 columns, the input has 2");
    refuse(&xy_model, "{\"csv\": \"f.csv\", \"columns\": {\"x\": [\"a\", \"b\"]}}",
           "no columns for input 'y'");
    char *line = malloc(5001);
    memset(line, '1', 5000);
    line[5000] = '\0';
    refuse_csv(line, "a cell has more than 4096 bytes");
    free(line);
}

/* A last line without its end, another delimiter, and cells that may be missing. */
static void test_csv_options(void)
{
    rnn_source_run run;
    write_csv("a;b;c\n1;2;3\n-.5e1;;4");
    CHECK(open_run(&run, &xy_model,
                   "{\"csv\": \"f.csv\", \"delimiter\": \";\", \"nan\": \"allow\", "
                   "\"columns\": {\"x\": [\"a\", \"b\"], \"y\": \"c\"}}") == 0,
          "%s", run.sentence);
    run.iterable.restart(run.iterable.user, 0);
    rnn_batch *b = next_batch(&run);
    CHECK(b->steps == 2 && real_at(b, 0, 1, 0, 0) == -5 && class_at(b, 1, 1, 0) == 4,
          "another line");
    CHECK(isnan(real_at(b, 0, 1, 0, 1)), "an empty cell is %g",
          (double)real_at(b, 0, 1, 0, 1));
    rnn_source_close(&run);
}

/* A file may know itself to be one long series; others are by their settings. */
static void test_what_is_in_streams(void)
{
    static const struct {
        const struct rnn_model *model;
        const char *json;
        bool streams;
    } list[] = {
        {&sound_model, "{\"csv\": \"f.csv\", \"columns\": {\"x\": [\"a\", \"b\"]}}", true},
        {&sound_model, "{\"x\": \"f.wav\"}", true},
        {&sound_model, "{\"x\": \"x-idx3\"}", false},
        {&xy_model, "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [3, 4, 3]}",
         false},
        {&xy_model,
         "{\"raw\": \"a.raw\", \"dtype\": \"f64\", \"shape\": [12, 3], \"streams\": 3}",
         true},
        {&sound_model, "{\"random\": true}", false},
    };
    write_csv("a,b\n1,2\n3,4\n");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        rnn_source_run run;
        CHECK(open_run(&run, list[i].model, list[i].json) == 0, "%s", run.sentence);
        CHECK(run.info.streams == list[i].streams && !run.info.continues, "%s",
              list[i].json);
        rnn_source_close(&run);
    }
}

/* Where the machine has such a language, numbers of its own programs have commas. */
static void test_csv_has_points_in_every_language(void)
{
    static const char *const list[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        setlocale(LC_ALL, list[i]);
    test_csv_options();
    setlocale(LC_ALL, "C");
}

int main(void)
{
    scratch_open();
    make_values();
    make_members();
    test_npz_stored_deflated_and_zip64();
    test_npz_whose_output_outlasts_its_input();
    test_hostile_npz_are_refused();
    test_a_zip_bomb_is_not_unpacked();
    test_an_npz_cut_anywhere_is_refused();
    test_safetensors();
    test_idx_plain_and_packed();
    test_bytes_feed_reals();
    test_wav_of_each_kind();
    test_raw_holds_inputs_beside_each_other();
    test_csv_is_one_series();
    test_bad_csv_is_told_with_line_and_column();
    test_csv_options();
    test_csv_has_points_in_every_language();
    test_what_is_in_streams();
    free((void *)(uintptr_t)good[0].data);
    free((void *)(uintptr_t)good[1].data);
    close_settings();
    scratch_close();
    return check_result();
}
