#!/usr/bin/env python3
"""race.py — rnnc beside PyTorch, pytorch-ignite and JAX on the workloads W1 to W8, in turn.

    race.py --rnnc PATH [--rounds 3] [--threads 2] [--peers ignite,torch,jax] [W1 W2 …]

A round runs every contestant once, each a process of its own, so that a slow spell of the machine
meets them all; the median over rounds of each one's median counts. One line of JSON a workload:
microseconds a chunk, rnnc's ratio to the fastest peer and to Ignite (> 1: rnnc is faster), its
nominal GFLOP/s and their share of the multiply-add peak that rnnc measures. PEER_TORCH and
PEER_JAX name Pythons that have torch + pytorch-ignite and jax + optax; a peer that fails is said.
Where there is one row every contestant has one thread. `products` among the peers is no peer:
PyTorch's matrix products of the chunk alone (> 1: all of rnnc's chunk is faster than these).
Nothing else should run meanwhile.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def contestants(name, rnnc, threads, peers, one_row):
    """(name, command) of each; JAX has as many threads as it has processors."""
    t = "1" if one_row else str(threads)
    pinned = ["taskset", "-c", "0"] if t == "1" else []
    torch, jax = (os.environ.get(f"PEER_{p}", sys.executable) for p in ("TORCH", "JAX"))
    field = {
        "rnnc": [rnnc, "bench", f"workloads/{name}.yaml", "--json", "--threads", t],
        "ignite": [torch, "peer_torch.py", name, t, "ignite"],
        "torch": [torch, "peer_torch.py", name, t, "torch"],
        "products": [torch, "peer_torch.py", name, t, "products"],
        "jax": pinned + [jax, "peer_jax.py", name],
    }
    return {k: v for k, v in field.items() if k == "rnnc" or k in peers}


def run(command):
    """The contestant's line, or the last line of what it complained of."""
    env = dict(os.environ, CUDA_VISIBLE_DEVICES="", JAX_PLATFORMS="cpu")
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, env=env)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return None, (done.stderr.strip().splitlines() or ["no output"])[-1]
    return json.loads(lines[-1]), None


def race(name, field, rounds):
    us, failed, peak = collections.defaultdict(list), {}, 0
    for _ in range(rounds):
        for who, command in field.items():
            row, why = run(command)
            if why:
                failed[who] = why
                continue
            peak = max(peak, row.get("peak_gflops", 0))
            us[who].append(row["fused"]["us_per_chunk"] if who == "rnnc" else row["us_per_chunk"])
    return {who: statistics.median(times) for who, times in us.items()}, failed, peak


def report(name, flops, us, failed, peak):
    row = {"workload": name, "us": us, "failed": failed}
    mine, peers = us.get("rnnc"), {who: t for who, t in us.items() if who not in ("rnnc", "products")}
    if mine:
        row["gflops"] = round(flops / mine / 1e3, 1)
        row["share_of_peak"] = round(row["gflops"] / peak, 2) if peak else None
    if mine and peers:
        row["times_fastest_peer"] = round(min(peers.values()) / mine, 2)
    if mine and "ignite" in peers:
        row["times_ignite"] = round(peers["ignite"] / mine, 2)
    if mine and "products" in us:
        row["times_products"] = round(us["products"] / mine, 2)
    print(json.dumps(row), flush=True)


def main():
    sys.path.insert(0, str(HERE))
    from workloads import WORKLOADS, nominal_flops, workload

    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--rnnc", required=True)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--peers", default="ignite,torch,jax")
    a.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    a = a.parse_args()
    for name in a.workloads:
        w = workload(name)
        field = contestants(name, str(pathlib.Path(a.rnnc).resolve()), a.threads,
                            a.peers.split(","), w["rows"] == 1)
        report(name, nominal_flops(w), *race(name, field, a.rounds))


if __name__ == "__main__":
    main()
