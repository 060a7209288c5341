"""What the scripts that record reference runs share: a case's files, and their command line."""
import json
import pathlib
import sys

import ignite
import numpy as np
import torch
from ignite.contrib.engines import Tbptt_Events
from ignite.engine import Events
from safetensors.torch import save_file


def begin(name):
    """The same random numbers each time, for each case its own; one thread, so that sums have one order."""
    torch.manual_seed(sum(map(ord, name)))
    torch.set_num_threads(1)


def save_tensors(path, tensors):
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, path)


def save_rows(path, batches, time_axis=1):
    """[batches, T, B, ...] as files have it: [batches * B, T, ...]. A time_axis of 2 or none: rows are first already."""
    v = batches.transpose(1, 2) if time_axis == 1 else batches
    np.save(path, np.ascontiguousarray(v.flatten(0, 1).numpy()))


def watch(engine):
    """Lists that a run of the engine fills: names of events, losses of chunks, outputs of iterations."""
    events, chunk_losses, outputs = [], [], []
    for event in [*Events, *Tbptt_Events]:
        engine.add_event_handler(event, lambda e, event=event: events.append(event.name))
    engine.add_event_handler(Tbptt_Events.TIME_ITERATION_COMPLETED, lambda e: chunk_losses.append(e.state.output))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    return events, chunk_losses, outputs


def write_expected(folder, facts):
    """expected.json, a fact a line, the versions first."""
    facts = {"torch": torch.__version__, "ignite": ignite.__version__, **facts}
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
    (folder / "expected.json").write_text("{\n" + lines + "\n}\n")


def main(cases, run):
    """SCRIPT OUT [CASE ...]: no CASE, all of them."""
    out, names = pathlib.Path(sys.argv[1]), sys.argv[2:] or cases
    for name in names:
        run(name, cases[name], out)
