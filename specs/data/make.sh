#!/bin/sh
# make.sh — makes the data of examples whose data are computed, in this folder:
#
#     specs/data/make.sh amp       amp_in.wav, amp_out.wav   for specs/amp.yaml
#     specs/data/make.sh adding    adding.raw                for specs/adding.yaml
#     specs/data/make.sh reset_rl  reset_rl.csv              for specs/reset_rl.yaml
#     specs/data/make.sh spiking   spiking.raw               for specs/spiking.yaml
#
# Each is a C program beside this one; the same bytes come out each time.
set -eu
cd "$(dirname "$0")"
for name in "${@:-amp adding reset_rl spiking}"; do
    for one in $name; do
        program=$(mktemp)
        ${CC:-cc} -O2 -o "$program" "$one.c" -lm
        "$program"
        rm "$program"
    done
done
