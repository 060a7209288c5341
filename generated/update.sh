#!/bin/sh
# update.sh — prints the example specs' graphs and plans anew into this folder, and the
# reference of the language into docs/reference/.
#
#     generated/update.sh [RNNC]        default: build/release/rnnc
#
# The files are what the compiler prints for one fixed level; they are committed with the change
# that alters them, so that a review sees what the change does to real models.
set -eu
cd "$(dirname "$0")/.."
rnnc=${1:-build/release/rnnc}
for spec in charlm mgu_charlm; do
    mkdir -p "generated/$spec"
    "$rnnc" explain "specs/$spec.yaml" --after merge --target x86-64-v3 >"generated/$spec/graph.txt"
    "$rnnc" explain "specs/$spec.yaml" --after place --target x86-64-v3 >"generated/$spec/plan.txt"
done
mkdir -p docs/reference
for what in cells losses optimizers functions keys events ops; do
    "$rnnc" list $what --markdown >docs/reference/$what.md
done
