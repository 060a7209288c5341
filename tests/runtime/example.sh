#!/bin/sh
# example.sh RNNC SPECS NAME — an example of specs/ begins to train: its data are made, as it
# says, and its first iterations have losses that are numbers.
#
# Whether it learns what its first lines promise takes longer, and is for people to see.
set -eu
rnnc=$1 specs=$2 name=$3 folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

case $name in
fashion_rows)
    [ -d /usr/share/datasets/fashion-mnist ] || {
        echo "skipped: Debian's package dataset-fashion-mnist is not installed"
        exit 77
    }
    ;;
esac
mkdir "$folder/data"
cp "$specs/$name.yaml" "$folder"
cp "$specs"/data/*.c "$specs"/data/make.sh "$specs"/data/sunspots.csv "$folder/data"
[ ! -e "$folder/data/$name.c" ] || "$folder/data/make.sh" "$name"
cat "$specs"/data/*.c | LC_ALL=C tr -cd '\n -~' >"$folder/corpus.txt"

"$rnnc" run "$folder/$name.yaml" --quiet --out "$folder/run" --max-iterations 2
losses=$(grep -c '"iteration_completed".*"output": [0-9]' "$folder/run/log.jsonl")
[ "$losses" -ge 1 ] && [ -n "$(ls "$folder"/run/checkpoint_*)" ] || {
    cat "$folder/run/log.jsonl"
    exit 1
}
