/*
 * npy_bytes.h — npy files made by hand.
 */
#ifndef RNNC_NPY_BYTES_H
#define RNNC_NPY_BYTES_H

#include "scratch.h"

/* Writes magic, version, the header padded as NumPy pads it, and the data. */
static inline const char *npy_write(const char *name, int version, const char *header,
                                    const void *data, size_t bytes)
{
    char file[1 << 17] = "\x93NUMPY";
    size_t begin = version == 1 ? 10 : 12, n = strlen(header);
    size_t length = (begin + n + 1 + 63) / 64 * 64 - begin;
    file[6] = (char)version;
    for (size_t i = 0; i < begin - 8; i++)
        file[8 + i] = (char)(length >> 8 * i);
    memset(file + begin, ' ', length);
    memcpy(file + begin, header, n);
    file[begin + length - 1] = '\n';
    memcpy(file + begin + length, data, bytes);
    return scratch_write(name, file, begin + length + bytes);
}

static inline const char *npy_header(const char *descr, const char *shape)
{
    static char text[256];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
             descr, shape);
    return text;
}

#endif
