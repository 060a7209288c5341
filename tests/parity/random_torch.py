#!/usr/bin/env python3
"""random_torch.py — random models and trainings, rnnc beside PyTorch.

    random_torch.py --rnnc PATH [--seed 1] [--keep FOLDER] [N]

From each seed a spec is drawn — cells of the library and of its own, layers, losses with weights,
optimizer, schedule, clipping, accumulation, burn-in, sizes — with data and first parameters, and the same
training written in PyTorch: truncated BPTT as Ignite's create_supervised_tbptt_trainer does it. rnnc
runs it in one way (in memory or built, fused or not, 1 to 3 threads, either level). Each chunk's loss
must be within 2e-5 relative of PyTorch's in f64, the final parameters within 1e-4 of the largest; where a
run of PyTorch in the spec's own width, with gradients off by a few roundings, is further away than
that (an optimizer that divides by a gradient of 0 plus rounding), what it leaves open is allowed.
Needs a Python with torch, numpy and safetensors: a tool, not a test.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn
from torch.nn import functional as F

# ---- cells: the spec's text, and the same in PyTorch --------------------------------------------


class Weights(nn.Module):
    """A cell of one's own: parameters by name, state zero at the start, one step at a time."""

    def __init__(self, hidden, **shapes):
        super().__init__()
        self.hidden = hidden
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    def forward(self, x, state):
        outs = []
        state = self.start(x.shape[1], x) if state is None else state
        for x_t in x:
            out, state = self.step(x_t, state)
            outs.append(out)
        return torch.stack(outs), state


class Gated(Weights):
    text = """    args: {hidden: integer}
    input: {x: [I]}
    state: {h: [hidden]}
    params: {W: [2 * hidden, I], U: [hidden, hidden], b: [hidden]}
    step: |
      a, g = split(W @ x, 2)
      f = sigmoid(g + U @ h)
      h' = f * h + (1 - f) * tanh(a * (U @ h) + b)
    output: h'
"""

    def __init__(self, inputs, n):
        super().__init__(n, W=(2 * n, inputs), U=(n, n), b=(n,))

    def start(self, rows, x):
        return x.new_zeros(rows, self.hidden)

    def step(self, x, h):
        a, g = (x @ self.W.T).chunk(2, -1)
        u = h @ self.U.T
        f = torch.sigmoid(g + u)
        h = f * h + (1 - f) * torch.tanh(a * u + self.b)
        return h, h


class Memory(Weights):
    text = """    args: {hidden: integer}
    input: {x: [I]}
    state: {M: [hidden, 5], n: [5]}
    params: {Wv: [hidden, I], Wk: [5, I], Wq: [5, I], wf: [I]}
    step: |
      k = softmax(Wk @ x)
      q = tanh(Wq @ x)
      f = sigmoid(dot(wf, x))
      M' = f * M + outer(Wv @ x - M @ k, k)
      n' = max(f * n, k)
      y = M' @ q / (1 + abs(dot(n', q)))
    output: y
"""

    def __init__(self, inputs, n):
        super().__init__(n, Wv=(n, inputs), Wk=(5, inputs), Wq=(5, inputs), wf=(inputs,))

    def start(self, rows, x):
        return x.new_zeros(rows, self.hidden, 5), x.new_zeros(rows, 5)

    def step(self, x, state):
        M, n = state
        k, q = torch.softmax(x @ self.Wk.T, -1), torch.tanh(x @ self.Wq.T)
        f = torch.sigmoid(x @ self.wf)[:, None]
        v = x @ self.Wv.T - torch.einsum("bvk,bk->bv", M, k)
        M = f[:, :, None] * M + v[:, :, None] * k[:, None, :]
        n = torch.maximum(f * n, k)
        y = torch.einsum("bvk,bk->bv", M, q) / (1 + (n * q).sum(-1, keepdim=True).abs())
        return y, (M, n)


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, g):
        return g / (1 + (math.pi * ctx.saved_tensors[0]) ** 2)


class Spiking(Weights):
    text = """    args: {hidden: integer}
    input: {x: [I]}
    state: {v: [hidden], s: [hidden]}
    params: {W: [hidden, I], U: [hidden, hidden]}
    step: |
      v' = 0.8 * v * (1 - detach(s)) + W @ x + U @ s
      s' = fire(v' - 0.3)
    output: v' * s'
"""

    def __init__(self, inputs, n):
        super().__init__(n, W=(n, inputs), U=(n, n))

    def start(self, rows, x):
        return x.new_zeros(rows, self.hidden), x.new_zeros(rows, self.hidden)

    def step(self, x, state):
        v, s = state
        v = 0.8 * v * (1 - s.detach()) + x @ self.W.T + s @ self.U.T
        s = Spike.apply(v - 0.3)
        return v * s, (v, s)


class Attention(Weights):
    text = """    args: {hidden: integer}
    input: {x: [I]}
    state: {S: [4, hidden]}
    params: {W: [hidden, I], Wq: [hidden, I], g: [hidden]}
    step: |
      z = tanh(W @ x)
      p = softmax(S @ (Wq @ x) / sqrt(hidden))
      r = p @ S
      S' = concat(reshape(z * (1 + g * r), [1, hidden]), S[0:3])
      y = layer_norm(r + z)
    output: y
"""

    def __init__(self, inputs, n):
        super().__init__(n, W=(n, inputs), Wq=(n, inputs), g=(n,))
        self.y = nn.LayerNorm(n)

    def start(self, rows, x):
        return x.new_zeros(rows, 4, self.hidden)

    def step(self, x, S):
        z = torch.tanh(x @ self.W.T)
        p = torch.softmax(torch.einsum("bkh,bh->bk", S, x @ self.Wq.T) / self.hidden**0.5, -1)
        r = torch.einsum("bk,bkh->bh", p, S)
        S = torch.cat([(z * (1 + self.g * r))[:, None], S[:, :3]], 1)
        return self.y(r + z), S


class Delayed(Weights):
    """Keeps what is no part of the recurrence, reads it one and two steps later, by products and without."""

    text = """    args: {hidden: integer}
    input: {x: [I]}
    state: {s: [hidden], r: [hidden], h: [hidden]}
    params: {V: [hidden, I], U: [hidden, hidden], W: [hidden, hidden]}
    step: |
      p = V @ x
      a = 0.5 * p
      s' = a
      r' = s - p
      h' = tanh(a + p * (U @ h)) * (1 - r) + 0.5 * tanh(W @ s)
    output: h'
"""

    def __init__(self, inputs, n):
        super().__init__(n, V=(n, inputs), U=(n, n), W=(n, n))

    def start(self, rows, x):
        return tuple(x.new_zeros(rows, self.hidden) for _ in range(3))

    def step(self, x, state):
        s, r, h = state
        p = x @ self.V.T
        a = 0.5 * p
        h = torch.tanh(a + p * (h @ self.U.T)) * (1 - r) + 0.5 * torch.tanh(s @ self.W.T)
        return h, (a, s - p, h)


OWN = {"delayed": Delayed, "gated": Gated, "memory": Memory, "spiking": Spiking, "attention": Attention}


# ---- drawing ---------------------------------------------------------------------------------------


def draw_layer(draw, inputs):
    """(text of the call's arguments, module, width of the output)"""
    hidden = draw.choice([1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 48, 65])
    kind = draw.choice(["rnn", "lstm", "gru", "lstm", "gru", "linear", *OWN])
    if kind == "linear":
        bias = draw.random() < 0.7
        return f"linear({{}}, size={hidden}, bias={str(bias).lower()})", nn.Linear(inputs, hidden, bias), hidden
    if kind in OWN:
        return f"{kind}({{}}, hidden={hidden})", OWN[kind](inputs, hidden), hidden
    layers, bias = draw.choice([1, 1, 2, 3]), draw.random() < 0.8
    text, extra, out = f"hidden={hidden}, layers={layers}, bias={str(bias).lower()}", {}, hidden
    if kind == "rnn" and draw.random() < 0.5:
        text, extra = text + ", nonlinearity=relu", {"nonlinearity": "relu"}
    if kind == "lstm" and hidden > 2 and draw.random() < 0.3:
        out = hidden // 2
        text, extra = text + f", proj={out}", {"proj_size": out}
    module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
    return f"{kind}({{}}, {text})", module(inputs, hidden, layers, bias=bias, **extra), out


OPTIMIZERS = [  # name in a spec, arguments (PyTorch's too), class
    ("sgd", {"lr": 0.05}, torch.optim.SGD), ("sgd", {"lr": 0.02, "momentum": 0.9, "nesterov": True}, torch.optim.SGD),
    ("sgd", {"lr": 0.02, "momentum": 0.5, "dampening": 0.1, "weight_decay": 0.01}, torch.optim.SGD),
    ("adam", {"lr": 3e-3}, torch.optim.Adam), ("adam", {"lr": 3e-3, "amsgrad": True, "weight_decay": 0.01}, torch.optim.Adam),
    ("adamw", {"lr": 3e-3, "weight_decay": 0.05}, torch.optim.AdamW),
    ("adamax", {"lr": 3e-3}, torch.optim.Adamax), ("nadam", {"lr": 3e-3}, torch.optim.NAdam),
    ("radam", {"lr": 3e-3}, torch.optim.RAdam), ("rmsprop", {"lr": 2e-3, "momentum": 0.5}, torch.optim.RMSprop),
    ("rmsprop", {"lr": 2e-3, "centered": True, "eps": 1e-4}, torch.optim.RMSprop),
    ("adagrad", {"lr": 0.02, "lr_decay": 0.01}, torch.optim.Adagrad), ("adadelta", {"lr": 0.5}, torch.optim.Adadelta),
]

REAL_LOSSES = {
    "mse": ("mse({p}, {y})", F.mse_loss), "l1": ("l1({p}, {y})", F.l1_loss),
    "smooth_l1": ("smooth_l1({p}, {y}, beta=0.5)", lambda p, y: F.smooth_l1_loss(p, y, beta=0.5)),
    "huber": ("huber({p}, {y}, delta=0.7)", lambda p, y: F.huber_loss(p, y, delta=0.7)),
    "bce_with_logits": ("bce_with_logits({p}, sigmoid({y}))", lambda p, y: F.binary_cross_entropy_with_logits(p, torch.sigmoid(y))),
    "poisson_nll": ("poisson_nll({p}, abs({y}))", lambda p, y: F.poisson_nll_loss(p, y.abs())),
}
CLASS_LOSSES = {
    "cross_entropy": ("cross_entropy({p}, {y})", F.cross_entropy),
    "smoothed": ("cross_entropy({p}, {y}, label_smoothing=0.1)",
                 lambda p, y: F.cross_entropy(p, y, label_smoothing=0.1)),
    "nll": ("nll(log_softmax({p}), {y})", lambda p, y: F.nll_loss(F.log_softmax(p, -1), y)),
}


def text_of(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


class Net(nn.Module):
    """Layers in a row, then one head for each target; state: a list, None where there is none."""

    def __init__(self, names, modules, heads):
        super().__init__()
        self.names = names
        for name, module in modules + heads:
            self.add_module(name, module)
        self.heads = [name for name, _ in heads]

    def forward(self, x, state, done=None):
        """done [steps, rows]: rows whose state is zero before the step, which then goes alone."""
        if done is None:
            return self.run(x, state)
        outs = []
        for x_t, done_t in zip(x, done):
            for i, before in enumerate(state or []):
                state[i] = keep(before, ~done_t, 0 if isinstance(getattr(self, self.names[i]), Weights) else 1)
            out, state = self.run(x_t[None], state)
            outs.append(out)
        return [torch.cat(parts) for parts in zip(*outs)], state

    def run(self, x, state):
        after = []
        for name, before in zip(self.names, state or [None] * len(self.names)):
            module = getattr(self, name)
            if isinstance(module, (nn.Linear, nn.Embedding)):
                x, now = module(x), None
            else:
                x, now = module(x, before)
            after.append(now)
        return [getattr(self, name)(x) for name in self.heads], after


def detach(state):
    if isinstance(state, torch.Tensor):
        return state.detach()
    return None if state is None else type(state)(map(detach, state))


def keep(state, rows, dim):
    """The state, 0 where not in `rows` along the dimension."""
    if isinstance(state, torch.Tensor):
        shape = [-1 if d == dim else 1 for d in range(state.dim())]
        return state * rows.to(state.dtype).reshape(shape)
    return None if state is None else tuple(keep(s, rows, dim) for s in state)


class Case:
    def __init__(self, seed):
        draw = self.draw = random.Random(seed)
        self.seed, self.dtype = seed, draw.choice(["f32", "f32", "f64"])
        self.rows, self.step = draw.choice([1, 2, 3, 5, 8, 16, 17, 33]), draw.choice([1, 2, 3, 5, 8, 13, 16, 21])
        self.batches, self.epochs = draw.choice([1, 1, 2]), draw.choice([1, 2])
        self.length = self.step * draw.choice([1, 2, 3]) + draw.choice([0, 0, self.step // 2])
        torch.manual_seed(seed)
        self.draw_model()
        self.draw_training()

    def draw_model(self):
        draw = self.draw
        self.classes_in = draw.choice([0, 0, 7])
        inputs = self.inputs = draw.choice([1, 2, 3, 6, 11])
        lines, modules, last = [], [], "x"
        if self.classes_in:
            inputs = draw.choice([4, 9])
            lines.append(f"emb = embedding(x, size={inputs})")
            modules.append(("emb", nn.Embedding(self.classes_in, inputs)))
            last = "emb"
        for i in range(draw.choice([1, 1, 2, 3])):
            text, module, inputs = draw_layer(draw, inputs)
            lines.append(f"l{i} = " + text.format(last))
            modules.append((f"l{i}", module))
            last = f"l{i}"
        self.targets, heads = [], []
        for i in range(draw.choice([1, 1, 2])):
            real = draw.random() < 0.5
            size = draw.choice([1, 2, 5, 10]) if real else draw.choice([2, 3, 10])
            text, function = draw.choice(list((REAL_LOSSES if real else CLASS_LOSSES).values()))
            self.targets.append((f"y{i}", real, size, text.format(p=f"h{i}", y=f"y{i}"), function))
            lines.append(f"h{i} = linear({last}, size={size})")
            heads.append((f"h{i}", nn.Linear(inputs, size)))
        self.lines, self.layers = lines, [name for name, _ in modules]
        self.net = Net(self.layers, modules, heads)
        bound = 0.4
        for p in self.net.parameters():
            nn.init.uniform_(p, -bound, bound)

    def draw_training(self):
        draw = self.draw
        self.weights = [draw.choice([1.0, 0.3, 2.0]) for _ in self.targets]
        self.optimizer = draw.choice(OPTIMIZERS)
        self.clip = draw.choice([None, None, ("clip_norm", 0.5), ("clip_value", 0.02)])
        self.accumulate = draw.choice([1, 1, 1, 2, 3])
        self.decay = draw.choice([None, None, 0.9])
        self.reset, self.lengths = draw.random() < 0.3, draw.random() < 0.3
        self.burn_in = draw.choice([0, 0, draw.randrange(self.length)]) if not self.reset else 0

    def spec(self):
        kinds = {"x": f"class({self.classes_in})" if self.classes_in else f"[{self.inputs}]"}
        for name, real, size, _, _ in self.targets:
            kinds[name] = f"[{size}]" if real else f"class({size})"
        if self.reset:
            kinds["done"] = "flag"
        if self.lengths:
            kinds["n"] = "{kind: integer, per: sequence}"
        cells = "".join(f"  {name}:\n{cell.text}" for name, cell in OWN.items()
                        if any(f"= {name}(" in line for line in self.lines))
        functions = ("functions:\n  fire:\n    args: [v]\n    value: v > 0\n    derivative: 1 / (1 + (pi * v)^2)\n"
                     if "spiking(" in "".join(self.lines) else "")
        name, given, _ = self.optimizer
        arguments = ", ".join(f"{k}={text_of(v)}" for k, v in given.items())
        if self.decay:
            arguments = arguments.replace(f"lr={given['lr']!r}", f"lr={given['lr']!r} * {self.decay} ^ (k - 1)")
        loss = " + ".join(f"{w} * {text}" for w, (_, _, _, text, _) in zip(self.weights, self.targets))
        files = ", ".join(f"{n}: {n}.npy" for n in kinds)
        dtype = "dtype: f64\n" if self.dtype == "f64" else ""
        accumulate = f", accumulate={self.accumulate}" if self.accumulate > 1 else ""
        rows = (", reset: done" if self.reset else "") + (", lengths: n" if self.lengths else "")
        rows += f", burn_in: {self.burn_in}" if self.burn_in else ""
        clip = f", {self.clip[0]}={self.clip[1]}" if self.clip else ""
        return (f"rnnc: 1\nname: case\n{dtype}inputs: {{{', '.join(f'{n}: {k}' for n, k in kinds.items())}}}\n"
                + functions + ("cells:\n" + cells if cells else "")
                + "model: |\n" + "".join(f"  {line}\n" for line in self.lines)
                + f"loss: {loss}\noptimizer: {name}({arguments}{clip}{accumulate})\ntbptt: {{step: {self.step}{rows}}}\n"
                + f"data: {{train: {{{files}, batch: {self.rows}}}}}\n"
                + f"train:\n  epochs: {self.epochs}\n  handlers:\n    - log: {{every: chunk}}\n")

    def data(self):
        draw = np.random.default_rng(self.seed)
        n = self.rows * self.batches
        real = lambda size: draw.normal(size=(n, self.length, size)).astype(np.float64 if self.dtype == "f64" else np.float32)
        whole = lambda classes: draw.integers(classes, size=(n, self.length)).astype(np.int32)
        data = {"x": whole(self.classes_in) if self.classes_in else real(self.inputs)}
        for name, is_real, size, _, _ in self.targets:
            data[name] = real(size) if is_real else whole(size)
        if self.reset:
            data["done"] = (draw.random((n, self.length)) < 0.2).astype(np.uint8)
        if self.lengths:
            data["n"] = draw.integers(1, self.length + 1, size=n).astype(np.int32)
            data["n"][:: self.rows] = self.length  # so that each chunk has a loss
        return data


# ---- the same in PyTorch -----------------------------------------------------------------------------


def train_torch(case, data, start, dtype, noise=0.0):
    """Losses and final parameters; noise: on gradients, of their largest, as other orders of sums make it."""
    net = case.net.to(dtype)
    net.load_state_dict({k: v.to(dtype) for k, v in start.items()})
    _, given, kind = case.optimizer
    optimizer = kind(net.parameters(), **given)
    tensors = {k: torch.from_numpy(v).transpose(0, 1) for k, v in data.items() if v.ndim > 1}
    tensors = {k: v.to(dtype) if v.is_floating_point() else v.long() for k, v in tensors.items()}
    losses, updates, summed = [], 0, 0
    for _ in range(case.epochs):
        for b, t in chunks(case):
            state, last = detach(state) if t > 0 else None, t
            rows = slice(b * case.rows, (b + 1) * case.rows)
            part = {k: v[t : t + case.step, rows] for k, v in tensors.items()}
            burns = min(max(case.burn_in - t, 0), len(part["x"]))
            if burns:
                with torch.no_grad():
                    state = net(part["x"][:burns], state)[1]
                part, t = {k: v[burns:] for k, v in part.items()}, t + burns
            if not len(part["x"]):
                losses.append(None)
                continue
            outs, state = net(part["x"], state, part["done"].bool() if case.reset else None)
            counts = torch.ones(part["x"].shape[:2], dtype=torch.bool)
            if case.lengths:
                counts = torch.arange(t, t + len(counts))[:, None] < torch.from_numpy(data["n"][rows])
            loss = sum(w * f(p[counts], part[y][counts]) for w, p, (y, _, _, _, f) in zip(case.weights, outs, case.targets))
            loss.backward()
            losses.append(loss.item())
            summed += 1
            if summed == case.accumulate or (b, last) == chunks(case)[-1]:
                update(case, net, optimizer, updates, summed, noise)
                updates, summed = updates + 1, 0
    return losses, {k: v.detach().numpy().astype(np.float64) for k, v in net.state_dict().items()}


def chunks(case):
    """(batch, first step) of an epoch's chunks"""
    return [(b, t) for b in range(case.batches) for t in range(0, case.length, case.step)]


def update(case, net, optimizer, updates, summed, noise):
    """By the mean of the gradients of the chunks since the last one."""
    for p in net.parameters():
        if p.grad is not None:
            p.grad /= summed
            p.grad += noise * p.grad.abs().max() * torch.randn_like(p.grad)
    if case.clip and case.clip[0] == "clip_norm":
        nn.utils.clip_grad_norm_(net.parameters(), case.clip[1])
    if case.clip and case.clip[0] == "clip_value":
        nn.utils.clip_grad_value_(net.parameters(), case.clip[1])
    if case.decay:
        optimizer.param_groups[0]["lr"] = case.optimizer[1]["lr"] * case.decay**updates
    optimizer.step()
    optimizer.zero_grad()


# ---- rnnc -------------------------------------------------------------------------------------------


def train_rnnc(case, rnnc, folder):
    draw = case.draw
    way = draw.choice(["run", "run", "build", "interpreter"])
    flags = ["--fuse", draw.choice(["on", "on", "off"]), "--target", draw.choice(["x86-64-v3", "host"])]
    if flags[3] == "host":
        flags = flags[:2]
    run = ["--init", "start.safetensors", "--out", "out", "--quiet", "--threads", str(draw.choice([1, 2, 3]))]
    if way == "build":
        commands = [[rnnc, "build", "case.yaml", "-o", "trainer", *flags], ["./trainer", "train", *run]]
    else:
        commands = [[rnnc, "run", "case.yaml", *(["--interpreter"] if way == "interpreter" else flags), *run]]
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            return " ".join(command[1:]), None, done.stderr
    lines = [json.loads(l) for l in (folder / "out" / "log.jsonl").read_text().splitlines()]
    return " ".join(commands[-1][1:]), [l["loss"] for l in lines if "loss" in l], load_last(folder / "out")


def load_last(out):
    newest = max(out.rglob("*.safetensors"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    return load_file(newest)


# ---- comparing -------------------------------------------------------------------------------------


def compare(ours, rounded, exact):
    (losses, params), (near, near_params), (true, true_params) = ours, rounded, exact
    if len(losses) != len(true):
        return f"{len(losses)} losses, expected {len(true)}"
    for i, (a, b, c) in enumerate(zip(losses, near, true)):
        if (a is None) != (c is None):
            return f"loss {i}: {a}, PyTorch in f64 {c}"
        if a is None:
            continue
        allowed = 2e-5 * max(abs(c), 1e-3) + 4 * abs(b - c)
        if not abs(a - c) <= allowed:
            return f"loss {i}: {a}, PyTorch {b}, in f64 {c}"
    for name, want in true_params.items():
        got = params.get(name)
        if got is None or got.shape != want.shape:
            return f"parameter {name}: {None if got is None else got.shape}, expected {want.shape}; there are {sorted(params)}"
        allowed = 1e-4 * np.abs(want).max() + 4 * np.abs(near_params[name] - want).max()
        if not np.abs(got - want).max() <= allowed:
            return f"parameter {name} is {np.abs(got - want).max():.2e} from PyTorch's, allowed {allowed:.2e}"
    return None


def try_seed(seed, rnnc, keep):
    case = Case(seed)
    data, spec = case.data(), case.spec()
    dtype = torch.float64 if case.dtype == "f64" else torch.float32
    start = {k: v.detach().clone().to(dtype) for k, v in case.net.state_dict().items()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(keep or temporary)
        folder.mkdir(exist_ok=True)
        (folder / "case.yaml").write_text(spec)
        for name, array in data.items():
            np.save(folder / f"{name}.npy", array)
        save_file({k: v.numpy() for k, v in start.items()}, folder / "start.safetensors")
        how, losses, params = train_rnnc(case, rnnc, folder)
    if losses is None:
        return spec, how, params
    rounded = train_torch(case, data, start, dtype, noise=4 * torch.finfo(dtype).eps)
    exact = train_torch(case, data, start, torch.float64)
    return spec, how, compare((losses, params), rounded, exact)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rnnc", required=True, type=lambda p: str(pathlib.Path(p).resolve()))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for the files of the last seed")
    parser.add_argument("n", type=int, nargs="?", default=100)
    a = parser.parse_args()
    torch.set_num_threads(1)
    failed = 0
    for seed in range(a.seed, a.seed + a.n):
        spec, how, what = try_seed(seed, a.rnnc, a.keep)
        if what:
            failed += 1
            print(f"seed {seed}: {how}\n{spec}{what}\n", flush=True)
    print(f"{a.n} seeds, {failed} differ")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
