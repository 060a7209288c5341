#!/usr/bin/env python3
"""shapes.py — are there shapes for which PyTorch is faster?

    shapes.py --rnnc PATH [--threads 2] [--seed 0] [N]

Draws N shapes (cell, layers 1 to 4, width 20 to 700, batch 1 to 100, chunk 5 to 300; as many as
fit the time), and times for each a training step of truncated BPTT: `rnnc bench` on a spec, then
the same in PyTorch (its own nn.LSTM, nn.GRU or nn.RNN, a linear head, mean squared error, Adam with fused=True).
Prints a line of JSON for each shape, and at the end the slowest. Times are medians; ratio > 1: rnnc
is faster; share is that of the measured multiply-add peak that the products' arithmetic takes.
Needs a Python with torch: a tool, not a test.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import torch

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
SPEC = """rnnc: 1
name: shape
inputs: {{x: [{inputs}], y: [{outputs}]}}
model: |
  rnn  = {cell}(x, hidden={hidden}, layers={layers})
  head = linear(rnn, size={outputs})
loss: mse(head, y)
optimizer: adam(lr=1e-3)
tbptt: {{step: {steps}}}
data: {{train: {{random: true, batch: {batch}, steps: {length}}}}}
"""


def nominal_flops(s):
    """Of the products of one chunk: two for each multiply-add, forward and twice backward, but
    no gradient to the data."""
    gates, width, flops = GATES[s["cell"]] * s["hidden"], s["hidden"], 0
    for layer in range(s["layers"]):
        inputs = s["inputs"] if layer == 0 else width
        flops += gates * inputs * (2 if layer == 0 else 3) + gates * width * 3
    flops += width * s["outputs"] * 3
    return 2 * flops * s["steps"] * s["batch"]


def draw_shapes(n, seed):
    """Even over the logarithms; what would take more than 40 GFLOP a chunk is drawn again."""
    draw = random.Random(seed)
    even = lambda low, high: round(low * (high / low) ** draw.random())
    while n > 0:
        s = {"cell": draw.choice(list(GATES)), "layers": draw.choice([1, 1, 2, 3, 4]),
             "hidden": even(20, 700), "batch": even(1, 100), "steps": even(5, 300),
             "inputs": even(1, 200), "outputs": even(1, 100)}
        if nominal_flops(s) < 40e9:
            n -= 1
            yield s


def rnnc_step(s, rnnc, threads):
    """Median µs of a chunk and the machine's peak in GFLOP/s."""
    with tempfile.TemporaryDirectory() as folder:
        spec = pathlib.Path(folder) / "shape.yaml"
        spec.write_text(SPEC.format(length=4 * s["steps"], **s))
        ran = subprocess.run([rnnc, "bench", str(spec), "--json", "--threads", str(threads)],
                             capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{s}: {ran.stderr}")
    result = json.loads(ran.stdout)
    return result["fused"]["us_per_chunk"], result["peak_gflops"]


class Net(torch.nn.Module):
    def __init__(self, s):
        super().__init__()
        cell = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[s["cell"]]
        self.rnn = cell(s["inputs"], s["hidden"], s["layers"])
        self.head = torch.nn.Linear(s["hidden"], s["outputs"])

    def forward(self, x, hidden):
        out, hidden = self.rnn(x, hidden)
        return self.head(out), hidden


def torch_step(s, threads, seconds=2.0):
    torch.set_num_threads(threads)
    net = Net(s)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    x = torch.randn(s["steps"], s["batch"], s["inputs"])
    y = torch.randn(s["steps"], s["batch"], s["outputs"])
    hidden, times, began = None, [], time.perf_counter()
    while len(times) < 6 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        optimizer.zero_grad()
        out, hidden = net(x, hidden)
        loss = torch.nn.functional.mse_loss(out, y)
        loss.backward()
        optimizer.step()
        hidden = tuple(h.detach() for h in hidden) if s["cell"] == "lstm" else hidden.detach()
        loss.item()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rnnc", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("n", type=int, nargs="?", default=12)
    a = parser.parse_args()
    rows = []
    for s in draw_shapes(a.n, a.seed):
        ours, peak = rnnc_step(s, a.rnnc, a.threads)
        # one thread is PyTorch's best where there is little to divide
        theirs = min(torch_step(s, t) for t in {1, a.threads})
        rows.append({**s, "rnnc_us": round(ours, 1), "torch_us": round(theirs, 1),
                     "ratio": round(theirs / ours, 2),
                     "share": round(nominal_flops(s) / ours / 1e3 / peak, 2)})
        print(json.dumps(rows[-1]), flush=True)
    worst = min(rows, key=lambda row: row["ratio"])
    print(f"slowest: {worst['ratio']} x torch, {worst}")


if __name__ == "__main__":
    main()
