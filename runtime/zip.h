/*
 * zip.h — the directory of a zip archive: what entries there are, and where.
 */
#ifndef RNN_ZIP_H
#define RNN_ZIP_H

#include "io.h"

struct rnn__zip_entry {
    char *name;
    bool deflated;           /* else its bytes stand as they are */
    int64_t at, bytes, size; /* packed bytes in the file; how long unpacked */
    uint32_t crc;
};

struct rnn__zip {
    char *path;
    int fd;
    int64_t size;
    int n_entry;
    struct rnn__zip_entry *entry;
};

/* Reads and checks the directory: entries without encryption, stored or deflated, no two
   of one name, within the file. RNN_EIO, RNN_EDATA, RNN_ENOMEM; on failure nothing is left
   open. */
int rnn__zip_open(struct rnn__zip *z, const char *path, struct rnn__fault *f);
void rnn__zip_close(struct rnn__zip *z);
/* NULL when there is none. */
const struct rnn__zip_entry *rnn__zip_find(const struct rnn__zip *z, const char *name);

#endif
