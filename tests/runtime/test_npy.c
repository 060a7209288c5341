/*
 * test_npy.c — every dtype and version of npy that NumPy writes is read, and what is
 * damaged or cannot be read is refused with a sentence.
 */
#include "array_file.h"
#include "check.h"
#include "npy_bytes.h"

static void test_dtypes_are_converted(void)
{
    static const struct {
        const char *descr;
        unsigned char bytes[16]; /* two elements */
        float expected[2];
        const char *name;
    } list[] = {
        {"<f2", {0x00, 0x3C, 0x00, 0xC0}, {1, -2}, "float16"},
        {"<f4", {0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0}, {1, -2}, "float32"},
        {">f4", {0x3F, 0x80, 0, 0, 0xC0, 0, 0, 0}, {1, -2}, "float32"},
        {"<f8",
         {0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0},
         {1, -2},
         "float64"},
        {">f8", {0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 0xC0}, {1, -2}, "float64"},
        {"|i1", {0x7F, 0x80}, {127, -128}, "int8"},
        {"<i2", {1, 0, 0xFE, 0xFF}, {1, -2}, "int16"},
        {">i2", {0, 1, 0xFF, 0xFE}, {1, -2}, "int16"},
        {"<i4", {1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF}, {1, -2}, "int32"},
        {"<i8",
         {1, 0, 0, 0, 0, 0, 0, 0, 0xFE, 255, 255, 255, 255, 255, 255, 255},
         {1, -2},
         "int64"},
        {"|u1", {0x7F, 0x80}, {127, 128}, "uint8"},
        {">u2", {1, 0, 0, 7}, {256, 7}, "uint16"},
        {"<u4", {7, 0, 0, 0, 0, 1, 0, 0}, {7, 256}, "uint32"},
        {"<u8", {7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, {7, 256}, "uint64"},
        {"|b1", {1, 0}, {1, 0}, "bool"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct rnn__fault f = {0};
        struct rnn__ndarray a;
        float got[2] = {0};
        size_t width = (size_t)(list[i].descr[2] - '0');
        const char *path =
            npy_write("a.npy", 1 + (int)(i % 3), npy_header(list[i].descr, "(2,)"),
                      list[i].bytes, 2 * width);
        CHECK(rnn__array_file_open(&a, path, &f) == 0, "%s: %s", list[i].descr, f.sentence);
        CHECK_TEXT(rnn__ndarray_dtype(&a), list[i].name);
        CHECK(rnn__ndarray_read_real(&a, &(struct rnn__run){0, 2, 2, 1}, RNN_F32, got,
                                     &f) == 0,
              "%s", f.sentence);
        CHECK(got[0] == list[i].expected[0] && got[1] == list[i].expected[1], "%s: %g %g",
              list[i].descr, (double)got[0], (double)got[1]);
        if (a.kind != 'f') {
            int32_t whole[2];
            CHECK(rnn__ndarray_read_int(&a, &(struct rnn__run){0, 2, 2, 1}, whole, &f) == 0,
                  "%s", f.sentence);
            CHECK((float)whole[0] == got[0] && (float)whole[1] == got[1], "%s: %d %d",
                  list[i].descr, whole[0], whole[1]);
        }
        rnn__ndarray_close(&a);
    }
}

static void test_a_part_is_read_from_its_place(void)
{
    int32_t values[24], got[5];
    struct rnn__fault f = {0};
    struct rnn__ndarray a;
    for (int i = 0; i < 24; i++)
        values[i] = i;
    const char *path =
        npy_write("a.npy", 1, npy_header("<i4", "(2, 3, 4)"), values, sizeof values);
    CHECK(rnn__array_file_open(&a, path, &f) == 0, "%s", f.sentence);
    CHECK(a.rank == 3 && a.dim[0] == 2 && a.dim[1] == 3 && a.dim[2] == 4 && a.size == 24,
          "shape");
    CHECK(rnn__ndarray_read_int(&a, &(struct rnn__run){7, 5, 5, 1}, got, &f) == 0, "%s",
          f.sentence);
    for (int i = 0; i < 5; i++)
        CHECK(got[i] == 7 + i, "got %d at %d", got[i], i);
    rnn__ndarray_close(&a);
}

static void test_large_integers_saturate(void)
{
    int64_t values[] = {5000000000, -5000000000};
    int32_t got[2];
    struct rnn__fault f = {0};
    struct rnn__ndarray a;
    const char *path =
        npy_write("a.npy", 1, npy_header("<i8", "(2,)"), values, sizeof values);
    CHECK(rnn__array_file_open(&a, path, &f) == 0, "%s", f.sentence);
    CHECK(rnn__ndarray_read_int(&a, &(struct rnn__run){0, 2, 2, 1}, got, &f) == 0, "%s",
          f.sentence);
    CHECK(got[0] == INT32_MAX && got[1] == INT32_MIN, "%d %d", got[0], got[1]);
    rnn__ndarray_close(&a);
}

static void test_what_cannot_be_read_is_refused(void)
{
    static const struct {
        const char *header;
        size_t bytes;
        const char *expected;
    } list[] = {
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", 8, "Fortran"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 8, "pickled"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8,
         "records"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, "dtype"},
        {"{'descr': '<U1', 'fortran_order': False, 'shape': (2,), }", 8, "dtype"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 8, "cut short"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 8, "too long"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "no count"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
         8, "larger than any"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8,
         "no count"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }", 8,
         "larger than any"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, }", 8, "no count"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 2, }", 8, "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, }", 8, "malformed"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,), }", 8, "order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", 8,
         "unknown key"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x", 8, "malformed"},
        {"'descr'", 8, "malformed"},
        {"", 8, "malformed"},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct rnn__fault f = {0};
        struct rnn__ndarray a;
        const char *path =
            npy_write("bad.npy", 1, list[i].header, "12345678", list[i].bytes);
        CHECK(rnn__array_file_open(&a, path, &f) == RNN_EDATA, "row %zu was read", i);
        CHECK(strstr(f.sentence, list[i].expected) && strstr(f.sentence, "bad.npy"),
              "row %zu: \"%s\" lacks \"%s\"", i, f.sentence, list[i].expected);
    }
}

static void test_a_file_cut_anywhere_is_refused(void)
{
    for (int n = 0; n < 128 + 8; n++) {
        struct rnn__fault f = {0};
        struct rnn__ndarray a;
        const char *path =
            npy_write("cut.npy", 1, npy_header("<f4", "(2,)"), "12345678", 8);
        CHECK(truncate(path, n) == 0, "truncate");
        CHECK(rnn__array_file_open(&a, path, &f) == RNN_EDATA, "%d bytes: \"%s\"", n,
              f.sentence);
    }
}

int main(void)
{
    scratch_open();
    test_dtypes_are_converted();
    test_a_part_is_read_from_its_place();
    test_large_integers_saturate();
    test_what_cannot_be_read_is_refused();
    test_a_file_cut_anywhere_is_refused();
    scratch_close();
    return check_result();
}
