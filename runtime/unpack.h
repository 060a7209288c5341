/*
 * unpack.h — bytes packed by deflate, in a gzip file or an entry of a zip archive, into a
 * file without a name, from which they are then read like any others.
 */
#ifndef RNN_UNPACK_H
#define RNN_UNPACK_H

#include "io.h"

/* What is packed: a gzip file, which has its own header and checksum, or a deflated entry
   of an archive. */
struct rnn__packed {
    int fd;
    const char *name; /* for messages */
    int64_t at, bytes;
    bool gzip;
    int64_t size; /* an entry: how long its archive says it is unpacked, and its CRC-32 */
    uint32_t crc;
};

struct rnn__unpacker;

/* Begins; *fd is the file to read, which the unpacker owns. On failure nothing is open. */
int rnn__unpack_open(struct rnn__unpacker **out, const struct rnn__packed *packed, int *fd,
                     struct rnn__fault *f);
/*
 * Unpacks until the file has `most` bytes, or all; *there is how many it has. At the end
 * of the packed bytes length and checksum are tested. So whoever knows how long the data
 * ought to be is never handed more: a small file cannot fill a disk.
 */
int rnn__unpack_to(struct rnn__unpacker *u, int64_t most, int64_t *there,
                   struct rnn__fault *f);
void rnn__unpack_close(struct rnn__unpacker *u);

/* An entry that is not packed at all: whether its bytes have its checksum. */
int rnn__check_crc(const struct rnn__packed *stored, struct rnn__fault *f);

#endif
