/*
 * link.c — objects to executables and archives, by the system's own tools.
 *
 * `cc` knows where the C library's start files are; it is spawned without a shell, so that
 * no character of a path means anything. librnn.a is looked for where rnnc itself stands
 * (the build's folder, or bin beside lib), then where it was installed.
 */
#include "link.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"

extern char **environ;

#ifndef RNNC_LIBRARY_DIR
#define RNNC_LIBRARY_DIR ""
#endif
#ifndef RNNC_JANSSON
#define RNNC_JANSSON ""
#endif
#ifndef RNNC_ZLIB
#define RNNC_ZLIB ""
#endif
#ifndef RNNC_SANITIZE
#define RNNC_SANITIZE ""
#endif

/* No page that is written and executed, nothing left to be bound while it runs. */
#define HARDENED "-Wl,-z,relro,-z,now,-z,noexecstack"

/* ---- tools ---- */

/* Runs argv[0], found in PATH, and waits for it. 0, or an exit status after a message. */
static int run_tool(char **argv, const char *purpose)
{
    pid_t pid;
    int status = 0;
    int failed = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    while (!failed && waitpid(pid, &status, 0) < 0)
        failed = errno == EINTR ? 0 : errno;
    /* a system that finds the program missing only in the child tells it by 127 */
    if (failed == ENOENT || (!failed && WIFEXITED(status) && WEXITSTATUS(status) == 127))
        fprintf(
            stderr,
            "rnnc build: there is no '%s' on this machine, which %s; install a C compiler, "
            "or take --emit obj\n",
            argv[0], purpose);
    else if (failed)
        fprintf(stderr, "rnnc build: %s: %s\n", argv[0], strerror(failed));
    else if (status != 0)
        fprintf(stderr, "rnnc build: %s has failed; its messages are above\n", argv[0]);
    return failed || status != 0 ? EXIT_MACHINE : EXIT_DONE;
}

/* ---- the library ---- */

/* The folder of this very program; "" when the system does not tell. */
static const char *program_folder(Arena *arena)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return "";
    path[length] = 0;
    char *slash = strrchr(path, '/');
    return slash ? arena_copy(arena, path, (size_t)(slash - path)) : "";
}

/* The first path that can be read; NULL: none. */
static const char *first_readable(const char *const *path, int n)
{
    for (int i = 0; i < n; i++)
        if (access(path[i], R_OK) == 0)
            return path[i];
    return NULL;
}

/* The archive `file`, beside the program, in its prefix, as installed, or at `otherwise`;
   NULL after a message. */
static const char *find_archive(Arena *arena, const char *file, const char *otherwise)
{
    const char *folder = program_folder(arena);
    const char *path[] = {
        arena_print(arena, "%s/%s", folder, file),
        arena_print(arena, "%s/../lib/%s", folder, file),
        arena_print(arena, "%s/%s", RNNC_LIBRARY_DIR, file),
        otherwise,
    };
    const char *found = first_readable(path, COUNT(path));
    if (!found)
        fprintf(stderr, "rnnc build: %s is neither in %s, nor in %s/../lib, nor in '%s'\n",
                file, folder, folder, RNNC_LIBRARY_DIR);
    return found;
}

int link_executable(Arena *arena, const char *object, const char *output)
{
    const char *runtime = find_archive(arena, "librnn.a", "");
    const char *jansson =
        runtime ? find_archive(arena, "libjansson.a", RNNC_JANSSON) : NULL;
    const char *zlib = jansson ? find_archive(arena, "libz.a", RNNC_ZLIB) : NULL;
    if (!zlib)
        return EXIT_MACHINE;
    const char *argv[] = {"cc",       "-o",
                          output,     object,
                          runtime,    jansson,
                          zlib,       "-O2",
                          "-pthread", "-s",
                          HARDENED,   "-Wl,--gc-sections",
                          "-lm",      RNNC_SANITIZE[0] ? "-fsanitize=" RNNC_SANITIZE : NULL,
                          NULL};
    return run_tool((char **)argv, "links executables");
}

int link_shared(Arena *arena, const char *object, const char *output)
{
    (void)arena;
    const char *argv[] = {"cc",     "-shared", "-o",  output, object,
                          HARDENED, "-s",      "-lm", NULL};
    return run_tool((char **)argv, "links libraries");
}

int link_archive(Arena *arena, const char *object, const char *output)
{
    (void)arena;
    /* D: no times, owners or modes in it */
    const char *argv[] = {"ar", "rcsD", output, object, NULL};
    return run_tool((char **)argv, "makes archives");
}
