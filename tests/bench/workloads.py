"""workloads.py — the workloads W1 to W8 as numbers, for the peers, and how a peer is timed.

The same as workloads/W1.yaml … W8.yaml. A chunk is a training step of truncated BPTT: forward,
loss, backward, optimizer, the state carried on without its gradient, the loss read back.
"""
import json
import statistics
import time

WORKLOADS = {
    # cell, layers, inputs, hidden, outputs, rows, steps, loss, optimizer, classes of an embedding
    "W1": ("lstm", 1, 1, 32, 1, 1, 16, "mse", "sgd", 0),
    "W2": ("lstm", 1, 64, 128, 65, 32, 64, "ce", "adam", 65),
    "W3": ("lstm", 2, 256, 256, 64, 64, 64, "ce", "adam", 0),
    "W4": ("lstm", 1, 1024, 1024, 256, 64, 32, "ce", "sgd", 0),
    "W5": ("gru", 1, 128, 256, 10, 16, 64, "mse", "adam", 0),
    "W6": ("mgu", 1, 64, 128, 65, 32, 64, "ce", "adam", 0),
    "W7": ("normed", 1, 64, 128, 65, 32, 64, "ce", "adam", 0),
    "W8": ("lstm", 1, 16, 64, 16, 1, 100, "mse", "sgd", 0),
}
FIELDS = "cell layers inputs hidden outputs rows steps loss optimizer classes".split()
GATES = {"lstm": 4, "gru": 3, "mgu": 2, "normed": 4}
RATE = {"sgd": 1e-2, "adam": 1e-3}
CHUNKS = 8  # of a sequence


def workload(name):
    return dict(zip(FIELDS, WORKLOADS[name]))


def nominal_flops(w):
    """Of the products of a chunk as the workload states them: forward, the weights' gradients,
    and gradients of what is multiplied, but not of the data. A gather counts nothing."""
    gates, flops = GATES[w["cell"]] * w["hidden"], 3 * w["hidden"] * w["outputs"]
    for layer in range(w["layers"]):
        inputs = w["hidden"] if layer else w["inputs"]
        learned = layer > 0 or w["classes"] > 0
        flops += gates * (inputs * (2 + learned) + 3 * w["hidden"])
    return 2 * flops * w["rows"] * w["steps"]


def random_data(w):
    """(inputs, targets) of one sequence, time first."""
    import numpy as np  # the race itself does without

    draw, shape = np.random.default_rng(0), (w["steps"] * CHUNKS, w["rows"])
    x = (draw.integers(0, w["classes"], shape) if w["classes"]
         else draw.standard_normal((*shape, w["inputs"]), dtype=np.float32))
    y = (draw.integers(0, w["outputs"], shape) if w["loss"] == "ce"
         else draw.standard_normal((*shape, w["outputs"]), dtype=np.float32))
    return x, y


def print_times(seconds):
    print(json.dumps({"us_per_chunk": round(1e6 * statistics.median(seconds), 2), "chunks": len(seconds)}))


def time_chunks(step, seconds=2.0, warm=1.0, fewest=10):
    """step(i) trains on chunk i and returns its loss as a number."""
    i, begin = 0, time.perf_counter()
    while i < 3 or time.perf_counter() - begin < warm:
        step(i % CHUNKS)
        i += 1
    times, begin = [], time.perf_counter()
    while len(times) < fewest or time.perf_counter() - begin < seconds:
        before = time.perf_counter()
        step(i % CHUNKS)
        times.append(time.perf_counter() - before)
        i += 1
    print_times(times)
