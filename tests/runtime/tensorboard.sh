#!/bin/sh
# tensorboard.sh RNNC SPEC — TensorBoard's own reader reads a log of a run, value for value.
#
# Needs a Python that has the package tensorboard (RNNC_PYTHON, else python3): without it the
# test is skipped. test_run_reports decodes the same files without.
set -eu
rnnc=$1 spec=$2 python=${RNNC_PYTHON:-python3}
"$python" -c 'import tensorboard' 2>/dev/null || {
    echo "skipped: $python has no package tensorboard; RNNC_PYTHON names another"
    exit 77
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$rnnc" run "$spec" --quiet --out "$folder" --log "$folder/all.jsonl" --max-iterations 5 \
    --set 'train.handlers=[{log: {format: tensorboard, every: chunk}}]'
"$python" - "$folder" <<'PYTHON'
import json, struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = sys.argv[1]
board = EventAccumulator(folder, size_guidance={"scalars": 0})
board.Reload()
lines = [json.loads(line) for line in open(folder + "/all.jsonl")]
wanted = [(l["time_iteration"], struct.unpack("f", struct.pack("f", l["loss"]))[0])
          for l in lines if l["event"] == "time_iteration_completed"]
got = [(s.step, s.value) for s in board.Scalars("chunk/loss")]
assert wanted and got == wanted, (got[:3], wanted[:3])
assert "iteration/loss" in board.Tags()["scalars"], board.Tags()
print(len(got), "chunks agree")
PYTHON
