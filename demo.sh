#!/bin/sh
# demo.sh — installs what is missing (and says so before), builds, trains a character model on
# this repository's own sources, samples text from it. Some two minutes.
#
#     ./demo.sh
#
# Without installing: cmake --workflow --preset demo
set -eu
cd "$(dirname "$0")"
.ci/install
cmake --workflow --preset demo
