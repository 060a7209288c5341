/*
 * test_safetensors.c — files are written so that they read back, and nothing but a
 * well-formed file is read.
 */
#include "check.h"
#include "safetensors.h"
#include "scratch.h"

/* Writes a file: length of the header unless given, header, `bytes` of zeros. */
static const char *write_raw(const char *header, long long length, size_t bytes)
{
    char file[4096] = {0};
    size_t n = strlen(header);
    if (length < 0)
        length = (long long)n;
    for (int i = 0; i < 8; i++)
        file[i] = (char)(length >> 8 * i);
    memcpy(file + 8, header, n);
    return scratch_write("raw.safetensors", file, 8 + n + bytes);
}

static void test_a_written_file_reads_back(void)
{
    float a[] = {1, -2.5f, 3e-30f}, b[] = {7, 8, 9, 10};
    double k = 1.0 / 3;
    struct rnn__tensor list[] = {
        {.name = "z.bias", .dtype = RNN__F32, .rank = 1, .dim = {3}, .size = 3, .data = a},
        {.name = "a.weight",
         .dtype = RNN__F32,
         .rank = 2,
         .dim = {2, 2},
         .size = 4,
         .data = b},
        {.name = "k", .dtype = RNN__F64, .size = 1, .data = &k},
    };
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    json_t *metadata = json_pack("{s:s}", "who", "test \"quoted\"");
    const char *path = scratch_path("out.safetensors");
    CHECK(rnn__safetensors_write(path, list, 3, metadata, &f) == 0, "%s", f.sentence);
    json_decref(metadata);
    CHECK(!scratch_exists(scratch_path("out.safetensors.tmp")), "temporary file left");
    CHECK(rnn__safetensors_open(&s, path, &f) == 0, "%s", f.sentence);
    CHECK(s.n_tensor == 3, "%d tensors", s.n_tensor);
    CHECK(s.data % 8 == 0, "data at %lld", (long long)s.data);
    CHECK_TEXT(rnn__safetensors_metadata(&s, "who"), "test \"quoted\"");
    CHECK_TEXT(s.tensor[0].name, "k"); /* widest first, then by name */
    CHECK_TEXT(s.tensor[1].name, "a.weight");
    float got[4];
    double got_k = 0;
    const struct rnn__tensor *z = rnn__safetensors_find(&s, "z.bias");
    CHECK(z && z->rank == 1 && z->dim[0] == 3, "shape");
    CHECK(rnn__safetensors_read_float(&s, z, got, &f) == 0, "%s", f.sentence);
    CHECK(memcmp(got, a, sizeof a) == 0, "values");
    CHECK(rnn__safetensors_read_double(&s, rnn__safetensors_find(&s, "k"), &got_k, &f) == 0,
          "%s", f.sentence);
    CHECK(got_k == k, "got %.17g", got_k);
    CHECK(rnn__safetensors_find(&s, "nothing") == NULL, "found");
    rnn__safetensors_close(&s);
}

static void test_sixteen_bit_floats_are_converted(void)
{
    static const char header[] =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[6,8]},"
        "\"i\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
    /* 1.5, smallest subnormal, -inf; -2 */
    static const unsigned char data[] = {0x00, 0x3E, 0x01, 0x00, 0x00, 0xFC,
                                         0x00, 0xC0, 1,    0,    0,    0};
    char file[512];
    size_t n = strlen(header);
    memset(file, 0, 8);
    file[0] = (char)n;
    memcpy(file + 8, header, n);
    memcpy(file + 8 + n, data, sizeof data);
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    float got[3];
    const char *path = scratch_write("half.safetensors", file, 8 + n + sizeof data);
    CHECK(rnn__safetensors_open(&s, path, &f) == 0, "%s", f.sentence);
    CHECK(rnn__safetensors_read_float(&s, rnn__safetensors_find(&s, "h"), got, &f) == 0,
          "%s", f.sentence);
    CHECK(got[0] == 1.5f && got[1] == 0x1p-24f && isinf(got[2]) && got[2] < 0, "%g %g %g",
          (double)got[0], (double)got[1], (double)got[2]);
    CHECK(rnn__safetensors_read_float(&s, rnn__safetensors_find(&s, "b"), got, &f) == 0,
          "%s", f.sentence);
    CHECK(got[0] == -2, "%g", (double)got[0]);
    CHECK(rnn__safetensors_read_float(&s, rnn__safetensors_find(&s, "i"), got, &f) ==
              RNN_EFORMAT,
          "integers read as floats");
    rnn__safetensors_close(&s);
}

#define T(name, dtype, shape, offsets)                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape \
    "],\"data_offsets\":[" offsets "]}"

static void test_malformed_headers_are_refused(void)
{
    static const struct {
        const char *header;
        long long length;
        size_t bytes;
        const char *expected; /* in the sentence */
    } list[] = {
        {"{" T("a", "F32", "2", "0,8") "}", 0, 8, "not a safetensors"},
        {"{" T("a", "F32", "2", "0,8") "}", 1LL << 62, 8, "cut short"},
        {"{" T("a", "F32", "2", "0,8") "}", 9999, 8, "cut short"},
        {"[1, 2, 3, 4]", -1, 0, "no JSON header"},
        {"{\"a\": }", -1, 0, "not JSON"},
        {"{" T("a", "F32", "2", "0,8") "," T("a", "F32", "2", "0,8") "}", -1, 8,
         "not JSON"},
        {"{" T("a", "F32", "2", "0,8") "}", -1, 7, "cut short"},
        {"{" T("a", "F32", "2", "0,8") "}", -1, 9, "behind the last"},
        {"{" T("a", "F32", "2", "0,4") "}", -1, 4, "do not fit"},
        {"{" T("a", "F32", "-2", "0,8") "}", -1, 8, "no count"},
        {"{" T("a", "F32", "2.5", "0,8") "}", -1, 8, "no count"},
        {"{" T("a", "Q8", "8", "0,8") "}", -1, 8, "dtype is unknown"},
        {"{" T("a", "F32", "2", "8,0") "}", -1, 8, "backwards"},
        {"{" T("a", "F32", "2", "-8,0") "}", -1, 8, "backwards"},
        {"{" T("a", "F32", "2", "0") "}", -1, 8, "two integers"},
        {"{" T("a", "F32", "2", "0,8") "," T("b", "F32", "2", "4,12") "}", -1, 12,
         "overlap"},
        {"{" T("a", "F32", "2", "0,8") "," T("b", "F32", "2", "0,8") "}", -1, 8, "overlap"},
        {"{" T("a", "F32", "2", "0,8") "," T("b", "F32", "2", "12,20") "}", -1, 20, "hole"},
        {"{" T("a", "F32", "4294967296,4294967296", "0,8") "}", -1, 8, "larger than any"},
        {"{" T("a", "F32", "1,1,1,1,1,1,1,1,1", "0,4") "}", -1, 4, "more than 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", -1, 4, "entry is not"},
        {"{\"a\":5}", -1, 4, "entry is not"},
        {"{\"__metadata__\":{\"k\":5}}", -1, 0, "not an object of strings"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct rnn__fault f = {0};
        struct rnn__safetensors s;
        const char *path = write_raw(list[i].header, list[i].length, list[i].bytes);
        int code = rnn__safetensors_open(&s, path, &f);
        CHECK(code == RNN_EFORMAT, "row %zu: %d", i, code);
        CHECK(strstr(f.sentence, list[i].expected) && strstr(f.sentence, "raw.safetensors"),
              "row %zu: \"%s\" lacks \"%s\"", i, f.sentence, list[i].expected);
    }
}

static void test_a_file_cut_anywhere_is_refused(void)
{
    static const char header[] = "{" T("a", "F32", "2", "0,8") "}";
    size_t whole = 8 + sizeof header - 1 + 8;
    for (size_t n = 0; n < whole; n++) {
        struct rnn__fault f = {0};
        struct rnn__safetensors s;
        const char *path = write_raw(header, -1, 8);
        CHECK(truncate(path, (off_t)n) == 0, "truncate");
        CHECK(rnn__safetensors_open(&s, path, &f) == RNN_EFORMAT, "%zu bytes: %s", n,
              f.sentence);
    }
}

static void test_files_that_are_none_are_refused(void)
{
    struct rnn__fault f = {0};
    struct rnn__safetensors s;
    CHECK(rnn__safetensors_open(&s, scratch_folder, &f) == RNN_EIO, "%s", f.sentence);
    CHECK(rnn__safetensors_open(&s, scratch_path("none"), &f) == RNN_EIO, "%s", f.sentence);
    CHECK(strstr(f.sentence, "No such file") != NULL, "%s", f.sentence);
    float x = 0;
    struct rnn__tensor t = {.name = "x", .dtype = RNN__F32, .size = 1, .data = &x};
    CHECK(rnn__safetensors_write(scratch_path("no/such/folder"), &t, 1, NULL, &f) ==
              RNN_EIO,
          "%s", f.sentence);
}

static void test_crc32c_has_the_known_check_value(void)
{
    uint32_t whole = rnn__crc32c(0, "123456789", 9), half = rnn__crc32c(0, "1234", 4);
    CHECK(whole == 0xE3069283u, "%08x", whole);
    CHECK(rnn__crc32c(half, "56789", 5) == whole, "in two pieces");
}

int main(void)
{
    scratch_open();
    test_a_written_file_reads_back();
    test_sixteen_bit_floats_are_converted();
    test_malformed_headers_are_refused();
    test_a_file_cut_anywhere_is_refused();
    test_files_that_are_none_are_refused();
    test_crc32c_has_the_known_check_value();
    scratch_close();
    return check_result();
}
