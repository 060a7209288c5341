/*
 * library_specs.h — a spec for every definition of the standard library, made from its
 * declaration: no name of a cell, loss, optimizer or function stands here.
 *
 * A definition's inputs come from trained parameters, so that gradients go through each of
 * them; its required arguments are small numbers. Besides the plain call there is one
 * variant for each argument with a default, which is given another value (those that are
 * functions aside).
 */
#ifndef RNNC_LIBRARY_SPECS_H
#define RNNC_LIBRARY_SPECS_H

#include "spec/spec.h"

enum { LIBRARY_TEXTS = 24 };

/* One call, written in several ways: other sizes, or inputs of another range, for who
   refuses or is not finite with the first. */
typedef struct {
    const char *name; /* "lstm", "lstm layers" */
    bool plain;       /* no argument has another value: one of the texts must run */
    bool every;       /* else: those after the first that runs are not needed */
    int n_text;
    const char *text[LIBRARY_TEXTS];
} LibraryCase;

typedef struct {
    int n, capacity;
    LibraryCase *item;
} LibraryCases;

/* All of this kind, in the library's order. A spec that the library cannot be read for
   ends the test. */
LibraryCases library_cases(Arena *arena, DefKind kind);

#endif
