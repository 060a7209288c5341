#!/bin/sh
# test.sh — installs what is missing (and says so before), builds, runs the quick tests.
#
#     ./test.sh
#
# Without installing: cmake --workflow --preset test
set -eu
cd "$(dirname "$0")"
.ci/install
cmake --workflow --preset test
