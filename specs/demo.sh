#!/bin/sh
# demo.sh — what ./demo.sh shows once rnnc is built.
#
#     specs/demo.sh RNNC FOLDER        FOLDER takes the corpus and the run
#
# The corpus is the first 1.5 MB of this repository's own C and Markdown, its lines and printable
# ASCII alone: the time that it takes stays the same as the repository grows.
set -eu
rnnc=$1 folder=$2 root=$(cd "$(dirname "$0")/.." && pwd)
spec=$root/specs/charlm.yaml
corpus=$folder/corpus.txt

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

mkdir -p "$folder"
rm -rf "$folder/run"
find "$root/compiler" "$root/runtime" "$root/tests" "$root/README.md" \
    -name '*.[ch]' -o -name '*.md' | LC_ALL=C sort | xargs cat |
    LC_ALL=C tr -cd '\n -~' >"$folder/all.txt"
head -c 1500000 "$folder/all.txt" >"$corpus"

say "The model, specs/charlm.yaml:"
sed -n '/^model:/,/^tbptt:/p' "$spec"
say "Training on $(wc -c <"$corpus") characters of this repository's sources:"
"$rnnc" run "$spec" --set data.train.text="$corpus" --set data.valid.text="$corpus" \
    --out "$folder/run"

say "Mean loss of each epoch, in nats a character (knowing nothing is log 96 = 4.56):"
sed -n 's/.*"epoch_completed", "epoch": \([0-9]*\),.*"output": \([0-9.]*\).*/  epoch \1   \2/p' \
    "$folder/run/log.jsonl"
say "What it writes now:"
"$rnnc" run "$spec" sample --set data.train.text="$corpus" --set data.valid.text="$corpus" \
    --resume "$folder/run" --length 600 --temperature 0.6 --prompt "static int " --quiet
printf '\n\n'
