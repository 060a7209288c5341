#!/usr/bin/env python3
"""Reference runs in float64 (torch.set_default_dtype), made as make_reference.py makes its own.

    pip install torch pytorch-ignite safetensors numpy
    python3 make_f64.py OUT [CASE ...]

Specs with `dtype: f64` are held to these far below what a float holds. How far is asked of
PyTorch: `parameter_sway` in expected.json is how much its final parameters move, of the largest of
their tensor, when the first ones are moved by a unit in the last place (Adam divides a gradient by
its size, so a small one hands on its rounding errors whole).
"""
import json
import pathlib
import sys
import tempfile

import make_more as more
import make_reference as base
import torch
from safetensors.torch import load_file

CASES = {
    "f64_lstm2_ce_adam": base.CASES["lstm2_ce_adam"],
    "f64_layernorm_lstm_mse_adam": base.CASES["layernorm_lstm_mse_adam"],
    "f64_matrix_memory": more.CASES["matrix_memory"],
}


def nudged(case, seed):
    """The case, each first parameter a unit in the last place away, or none."""
    def model():
        made, draw = case["model"](), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in made.parameters():
                p.mul_(1 + 2**-52 * (torch.randint(0, 3, p.shape, generator=draw) - 1))
        return made
    return {**case, "model": model}


def distance(a, b):
    return max(((a[k] - b[k]).abs().max() / a[k].abs().max()).item() for k in a)


def sway(name, final):
    with tempfile.TemporaryDirectory() as folder:
        most = 0
        for seed in range(1, 6):
            base.run(name, nudged(CASES[name], seed), pathlib.Path(folder))
            most = max(most, distance(final, load_file(pathlib.Path(folder) / name / "final.safetensors")))
    return most


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    out, names = pathlib.Path(sys.argv[1]), sys.argv[2:] or CASES
    for name in names:
        base.run(name, CASES[name], out)
        expected = out / name / "expected.json"
        most = sway(name, load_file(out / name / "final.safetensors"))
        text = expected.read_text()
        expected.write_text(text.replace("{\n", f'{{\n "parameter_sway": {json.dumps(most)},\n', 1))
