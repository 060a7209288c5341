/* link.h — objects to executables and archives, by the system's own tools. See link.c. */
#ifndef RNNC_LINK_H
#define RNNC_LINK_H

#include "base/base.h"

/* Links the trainer's object with librnn and jansson, both static, to an executable.
   0, or an exit status after a message. */
int link_executable(Arena *arena, const char *object, const char *output);
/* A shared library of the object alone. 0, or an exit status after a message. */
int link_shared(Arena *arena, const char *object, const char *output);
/* An archive with the object as its one member. 0, or an exit status after a message. */
int link_archive(Arena *arena, const char *object, const char *output);

#endif
