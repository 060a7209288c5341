/*
 * scratch.h — a temporary folder for a test, and files in it.
 */
#ifndef RNNC_SCRATCH_H
#define RNNC_SCRATCH_H

#include "io.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[64];

/* In memory where there is such a file system: for tests of many runs, whose syncs to a
   disk would take most of the time. */
static inline void scratch_open_in_memory(void)
{
    strcpy(scratch_folder, "/dev/shm/rnnc_test_XXXXXX");
    if (!mkdtemp(scratch_folder)) {
        strcpy(scratch_folder, "/tmp/rnnc_test_XXXXXX");
        if (!mkdtemp(scratch_folder)) {
            perror("mkdtemp");
            exit(1);
        }
    }
}

static inline void scratch_open(void)
{
    strcpy(scratch_folder, "/tmp/rnnc_test_XXXXXX");
    if (!mkdtemp(scratch_folder)) {
        perror("mkdtemp");
        exit(1);
    }
}

/* Removes the folder and `depth` levels of folders in it. */
static inline void scratch_remove(const char *folder, int depth)
{
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        char *path = rnn__path_join(folder, d->d_name);
        if (unlink(path) != 0 && depth > 0)
            scratch_remove(path, depth - 1);
        free(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static inline void scratch_close(void) { scratch_remove(scratch_folder, 3); }

/* The path of a name in the folder; four at a time. */
static inline const char *scratch_path(const char *name)
{
    static char paths[4][1024];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline const char *scratch_write(const char *name, const void *data, size_t bytes)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    return path;
}

/* A file's text; the caller frees. "" when there is none. */
static inline char *scratch_read(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *file = fopen(path, "rb");
    if (file && fread(text, 1, (1 << 20) - 1, file) == 0)
        text[0] = '\0';
    if (file)
        fclose(file);
    return text;
}

static inline int scratch_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

#endif
