#!/usr/bin/env python3
"""Records what the standard library must compute: a small run for every cell, loss, optimizer and activation.

    pip install torch pytorch-ignite safetensors numpy
    python3 make_library.py OUT [CASE ...]          # no CASE: all of them

Each row below is a spec's lines and, beside them, the same in PyTorch: a module, loss or optimizer of
PyTorch where it has one, else a second writing from the paper (with complex numbers, without the
stabilizer, as attention: another form than the library's where there is one). The trainer is
pytorch-ignite's. A case becomes OUT/KIND/NAME/ with

    spec.yaml           the spec
    init.safetensors    parameters before training
    x.npy  y.npy        sequences, [batches * B, T, ...]
    final.safetensors   parameters after training
    expected.json       versions, every chunk's loss in order
"""
import math
import pathlib
import re
import sys

import recording
import torch
import torch.nn.functional as F
from ignite.contrib.engines import create_supervised_tbptt_trainer
from torch import nn, optim

from make_more import LearnedStart, Spike

STEPS, ROWS, BATCHES, STEP = 10, 3, 2, 4  # chunks of 4, 4, 2 steps; two batches, twice
I, H, O = 3, 4, 2

SPEC = """\
# Made by make_library.py.
rnnc: 1
name: {name}
inputs:
  x: {x}
  y: {y}
model:{model}
loss: {loss}
optimizer: {optimizer}
tbptt: {{step: {step}}}
data:
  train: {{x: x.npy, y: y.npy, batch: {rows}}}
{more}"""


def own(module, shapes):
    """Gives a module parameters, dotted names in modules of their own; of a size at which gates and norms are
    neither idle nor saturated."""
    for name, shape in shapes.items():
        *path, last = name.split(".")
        at = module
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, nn.Module())
            at = getattr(at, part)
        at.register_parameter(last, nn.Parameter(torch.randn(*shape) * 0.4))


# ---- cells -----------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """rnn: any module of (x, state) -> (y, state); head: linear."""

    def __init__(self, rnn, width=H):
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(width, O)
        nn.init.normal_(self.head.weight)  # so that gradients are not small

    def forward(self, x, state=None):
        y, state = self.rnn(x, state)
        return self.head(y), state


class Loop(nn.Module):
    """A cell of parameters p, zero states of the given shapes, and one step of all rows:
    step(p, x, *state) -> output, *state."""

    def __init__(self, step, states, **shapes):
        super().__init__()
        self.step, self.states = step, states
        own(self, shapes)

    def forward(self, x, state=None):
        p = dict(self.named_parameters())
        state = state or tuple(x.new_full((x.shape[1], *s), v) for s, v in self.states)
        out = []
        for x_t in x:
            y, *state = self.step(p, x_t, *state)
            out.append(y)
        return torch.stack(out), tuple(state)


class Linear(nn.Linear):
    def forward(self, x, state=None):
        return super().forward(x), None


def zeros(*shapes):
    return [(s, 0.0) for s in shapes]


def mgu(p, x, h):
    f = torch.sigmoid(F.linear(x, p["Wf"], p["bf"]) + F.linear(h, p["Uf"]))
    c = torch.tanh(F.linear(x, p["Wc"], p["bc"]) + F.linear(f * h, p["Uc"]))
    h = torch.lerp(h, c, f)
    return h, h


def ligru(p, x, h):
    a = F.linear(x, p["W"])
    a = a + p["b"] if "b" in p else F.layer_norm(a, [2 * H], p["normed.weight"], p["normed.bias"])
    z, c = (a + F.linear(h, p["U"])).chunk(2, -1)
    z, c = torch.sigmoid(z), F.relu(c)
    h = c + z * (h - c)
    return h, h


def indrnn(p, x, h):
    h = F.relu(torch.addcmul(F.linear(x, p["W"], p["b"]), h, p["u"]))
    return h, h


def ctrnn(p, x, v):
    a = torch.exp(-p["log_tau"])
    v = torch.lerp(v, torch.tanh(v) @ p["J"].T + x @ p["W"].T + p["b"], a.expand_as(v))
    return torch.tanh(v), v


def lif(to_zero):
    def step(p, x, v, s):
        a = x @ p["W"].T + s @ p["U"].T
        v = torch.where(s.detach() > 0, 0.0, 0.8 * v) + a if to_zero else 0.8 * v + a - 0.5 * s.detach()
        s = Spike.apply(v - 0.5)
        return s, v, s
    return step


def slstm(heads, sigmoid_forget):
    """Without the stabilizer: the paper's claim is that the output is the same."""
    def step(p, x, h, c, n):
        r = [torch.block_diag(*p["R"][g]) for g in range(4)]
        i, f, z, o = (x @ p["W"].T + torch.cat([h @ m.T for m in r], 1) + p["b"]).chunk(4, 1)
        i, f = torch.exp(i), torch.sigmoid(f) if sigmoid_forget else torch.exp(f)
        c, n = f * c + i * torch.tanh(z), f * n + i
        h = torch.sigmoid(o) * c / n
        return h, h, c, n
    return step


def mlstm(heads, sigmoid_forget):
    """Without the stabilizer, the memories of all heads as matrices."""
    def step(p, x, C, n):
        D = H // heads
        q, k, v = ((x @ p[w].T).view(-1, heads, D) for w in ("Wq", "Wk", "Wv"))
        k = k / math.sqrt(D)
        i, f = torch.exp(x @ p["wi"].T + p["bi"]), x @ p["wf"].T + p["bf"]
        f = torch.sigmoid(f) if sigmoid_forget else torch.exp(f)
        C = f[..., None, None] * C + torch.einsum("bh,bhv,bhk->bhvk", i, v, k)
        n = f[..., None] * n + i[..., None] * k
        s = (n * q).sum(-1).abs().clamp(min=1)
        y = (C @ q[..., None])[..., 0] / s[..., None]
        return torch.sigmoid(x @ p["Wo"].T + p["bo"]) * y.reshape(-1, H), C, n
    return step


def lru(p, x, re, im):
    """In complex numbers."""
    a = torch.exp(torch.complex(-p["nu"].exp(), p["theta"].exp()))
    s = a * torch.complex(re, im) + torch.complex(x @ p["B_re"].T, x @ p["B_im"].T) * p["gamma"].exp()
    return (s @ torch.complex(p["C_re"], p["C_im"]).T).real + x @ p["D"].T, s.real, s.imag


def delta(p, x, W):
    """W (I - β k kᵀ) + β v kᵀ: the form of Yang et al. 2024."""
    phi = lambda v: F.normalize(F.elu(v) + 1, p=1, dim=-1)
    k, q, v = phi(x @ p["Wk"].T), phi(x @ p["Wq"].T), x @ p["Wv"].T
    b = torch.sigmoid(x @ p["wb"])[:, None, None]
    kk = k[:, :, None] * k[:, None, :]
    W = W @ (torch.eye(k.shape[1]) - b * kk) + b * v[:, :, None] * k[:, None, :]
    return (W @ q[..., None])[..., 0], W


class Lstm(nn.Module):
    """What torch.nn.LSTM does not have: peepholes, layer norms, a forget gate's bias."""

    def __init__(self, peephole=False, layer_norm=False, forget_bias=0.0, bias=True):
        super().__init__()
        self.forget_bias = forget_bias
        shapes = {"weight_ih_l0": (4 * H, I), "weight_hh_l0": (4 * H, H)}
        if bias:
            shapes |= {"bias_ih_l0": (4 * H,), "bias_hh_l0": (4 * H,)}
        if peephole:
            shapes |= {f"peephole_{g}_l0": (H,) for g in "ifo"}
        if layer_norm:
            shapes |= {"norm_ih.weight_l0": (4 * H,), "norm_hh.weight_l0": (4 * H,), "norm_c.weight_l0": (H,), "norm_c.bias_l0": (H,)}
        own(self, shapes)

    def step(self, p, x, h, c):
        a, r = F.linear(x, p["weight_ih_l0"]), F.linear(h, p["weight_hh_l0"])
        if "norm_c.weight_l0" in p:
            a = F.layer_norm(a, [4 * H], p["norm_ih.weight_l0"])
            r = F.layer_norm(r, [4 * H], p["norm_hh.weight_l0"])
        a = a + r + (p["bias_ih_l0"] + p["bias_hh_l0"] if "bias_ih_l0" in p else 0)
        i, f, g, o = a.chunk(4, -1)
        peep = lambda gate, c: p[f"peephole_{gate}_l0"] * c if "peephole_i_l0" in p else 0
        i, f = torch.sigmoid(i + peep("i", c)), torch.sigmoid(f + peep("f", c) + self.forget_bias)
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(o + peep("o", c))
        s = F.layer_norm(c, [H], p["norm_c.weight_l0"], p["norm_c.bias_l0"]) if "norm_c.weight_l0" in p else c
        return o * torch.tanh(s), c

    def forward(self, x, state=None):
        h, c = state or (x.new_zeros(x.shape[1], H),) * 2
        p, out = dict(self.named_parameters()), []
        for x_t in x:
            h, c = self.step(p, x_t, h, c)
            out.append(h)
        return torch.stack(out), (h, c)


class Conv(nn.Module):
    """torch.nn.Conv1d padded on the left; the last inputs are kept from chunk to chunk."""

    def __init__(self, kernel, dilation, groups, bias=True):
        super().__init__()
        made = nn.Conv1d(I + 1, H, kernel, dilation=dilation, groups=groups, bias=bias)
        self.weight, self.bias = made.weight, made.bias
        self.past, self.kind = (kernel - 1) * dilation, dict(dilation=dilation, groups=groups)

    def forward(self, x, past=None):
        past = x.new_zeros(self.past, *x.shape[1:]) if past is None else past
        x = torch.cat([past, x])
        y = F.conv1d(x.permute(1, 2, 0), self.weight, self.bias, **self.kind)
        return y.permute(2, 0, 1), x[len(x) - self.past:]


class Delay(nn.Module):
    def forward(self, x, past=None):
        x = torch.cat([x.new_zeros(1, *x.shape[1:]) if past is None else past, x])
        return x[:-1], x[-1:]


class OfMatrix(nn.Module):
    """A norm over the whole of a matrix that a linear map made."""

    def __init__(self, norm):
        super().__init__()
        self.make, self.rnn, self.head = nn.Linear(I, 6), norm, nn.Linear(6, O)

    def forward(self, x, state=None):
        y = self.rnn(torch.tanh(self.make(x)).unflatten(-1, (2, 3)))
        return self.head(y.flatten(-2)), None


def xlstm_states(heads):
    return zeros((heads, H // heads, H // heads), (heads, H // heads))


LOOPS = {
    "mgu": ("mgu(x, hidden=4)", lambda: Loop(mgu, zeros((H,)), Wf=(H, I), Uf=(H, H), bf=(H,), Wc=(H, I), Uc=(H, H), bc=(H,))),
    "ligru": ("ligru(x, hidden=4)", lambda: Loop(ligru, zeros((H,)), W=(2 * H, I), U=(2 * H, H), **{"normed.weight": (2 * H,), "normed.bias": (2 * H,)})),
    "ligru_no_norm": ("ligru(x, hidden=4, norm=false)", lambda: Loop(ligru, zeros((H,)), W=(2 * H, I), U=(2 * H, H), b=(2 * H,))),
    "indrnn": ("indrnn(x, hidden=4)", lambda: Loop(indrnn, zeros((H,)), W=(H, I), u=(H,), b=(H,))),
    "ctrnn": ("ctrnn(x, hidden=4)", lambda: Loop(ctrnn, zeros((H,)), W=(H, I), J=(H, H), b=(H,), log_tau=(H,))),
    "lif": ("lif(x, hidden=4, beta=0.8, threshold=0.5)", lambda: Loop(lif(False), zeros((H,), (H,)), W=(H, I), U=(H, H))),
    "lif_to_zero": ("lif(x, hidden=4, beta=0.8, threshold=0.5, reset_to_zero=true)", lambda: Loop(lif(True), zeros((H,), (H,)), W=(H, I), U=(H, H))),
    "slstm": ("slstm(x, hidden=4)", lambda: Loop(slstm(1, False), zeros((H,), (H,), (H,)), W=(4 * H, I), R=(4, 1, H, H), b=(4 * H,))),
    "slstm_heads": ("slstm(x, hidden=4, heads=2, sigmoid_forget=true)", lambda: Loop(slstm(2, True), zeros((H,), (H,), (H,)), W=(4 * H, I), R=(4, 2, H // 2, H // 2), b=(4 * H,))),
    "mlstm": ("mlstm(x, hidden=4)", lambda: Loop(mlstm(1, True), xlstm_states(1), Wq=(H, I), Wk=(H, I), Wv=(H, I), Wo=(H, I), bo=(H,), wi=(1, I), bi=(1,), wf=(1, I), bf=(1,))),
    "mlstm_heads": ("mlstm(x, hidden=4, heads=2, sigmoid_forget=false)", lambda: Loop(mlstm(2, False), xlstm_states(2), Wq=(H, I), Wk=(H, I), Wv=(H, I), Wo=(H, I), bo=(H,), wi=(2, I), bi=(2,), wf=(2, I), bf=(2,))),
    "lru": ("lru(x, hidden=4, size=4)", lambda: Loop(lru, zeros((H,), (H,)), nu=(H,), theta=(H,), gamma=(H,), B_re=(H, I), B_im=(H, I), C_re=(H, H), C_im=(H, H), D=(H, I))),
    "delta": ("delta(x, size=4, key=5)", lambda: Loop(delta, zeros((H, 5)), Wk=(5, I), Wv=(H, I), Wq=(5, I), wb=(I,))),
    "lstm_peephole": ("lstm(x, hidden=4, peephole=true)", lambda: Lstm(peephole=True)),
    "lstm_layer_norm": ("lstm(x, hidden=4, layer_norm=true)", lambda: Lstm(layer_norm=True)),
    "lstm_forget_bias": ("lstm(x, hidden=4, peephole=true, layer_norm=true, forget_bias=1.5, bias=false)", lambda: Lstm(True, True, 1.5, False)),
    "lstm": ("lstm(x, hidden=4, layers=2)", lambda: nn.LSTM(I, H, 2)),
    "lstm_no_bias": ("lstm(x, hidden=4, bias=false)", lambda: nn.LSTM(I, H, bias=False)),
    "gru": ("gru(x, hidden=4, layers=2)", lambda: nn.GRU(I, H, 2)),
    "gru_no_bias": ("gru(x, hidden=4, bias=false)", lambda: nn.GRU(I, H, bias=False)),
    "rnn": ("rnn(x, hidden=4, layers=2)", lambda: nn.RNN(I, H, 2)),
    "rnn_relu": ("rnn(x, hidden=4, nonlinearity=relu, bias=false)", lambda: nn.RNN(I, H, nonlinearity="relu", bias=False)),
    "linear_no_bias": ("linear(x, size=4, bias=false)", lambda: Linear(I, H, bias=False)),
}
RATES = {"mlstm": 1.5, "mlstm_heads": 0.05, "slstm": 1.0, "lru": 0.1, "lstm": 1.0, "lstm_peephole": 1.0, "lstm_forget_bias": 1.0}
LSTM_PROJ = ("lstm(x, hidden=4, proj=3, layers=2)", lambda: nn.LSTM(I, H, 2, proj_size=3))


def cell_cases():
    for name, (call, module) in LOOPS.items():
        yield name, dict(lines=f"rnn  = {call}\nhead = linear(rnn, size=2)", model=lambda m=module: Net(m()), lr=RATES.get(name, 0.5))
    call, module = LSTM_PROJ
    yield "lstm_proj", dict(lines=f"rnn  = {call}\nhead = linear(rnn, size=2)", model=lambda: Net(module(), 3), lr=1.0)
    for name, call, norm in (
            ("layer_norm", "layer_norm(m)", lambda: nn.LayerNorm([2, 3])),
            ("layer_norm_no_bias", "layer_norm(m, bias=false, eps=1e-3)", lambda: nn.LayerNorm([2, 3], bias=False, eps=1e-3)),
            ("layer_norm_plain", "layer_norm(m, affine=false)", lambda: nn.LayerNorm([2, 3], elementwise_affine=False)),
            ("rms_norm", "rms_norm(m)", lambda: nn.RMSNorm([2, 3])),
            ("rms_norm_plain", "rms_norm(m, affine=false, eps=1e-3)", lambda: nn.RMSNorm([2, 3], eps=1e-3, elementwise_affine=False))):
        lines = f"make = linear(x, size=6)\nm = reshape(tanh(make), [2, 3])\nrnn = {call}\nhead = linear(reshape(rnn, [6]), size=2)"
        yield name, dict(lines=lines, model=lambda n=norm: OfMatrix(n()))
    for name, more, conv in (("conv", "kernel=3", (3, 1, 1)), ("conv_dilated_groups", "kernel=3, dilation=2, groups=2", (3, 2, 2)),
                             ("conv_depthwise", "kernel=2, groups=4, bias=false", (2, 1, 4, False))):
        yield name, dict(lines=f"rnn  = conv(x, size=4, {more})\nhead = linear(rnn, size=2)", x=I + 1, model=lambda c=conv: Net(Conv(*c)))
    yield "delay", dict(lines="rnn  = delay(x)\nhead = linear(rnn, size=2)", model=lambda: Net(Delay(), I))
    for name, more, pad in (("embedding", "", None), ("embedding_padding", ", padding=2", 2)):
        yield name, dict(lines=f"emb  = embedding(x, size=4{more})\nhead = linear(emb, size=2)", x=("class", 6),
                         model=lambda p=pad: Embedded(nn.Embedding(6, 4, padding_idx=p)))


class Embedded(nn.Module):
    def __init__(self, emb):
        super().__init__()
        self.emb, self.head = emb, nn.Linear(4, O)

    def forward(self, x, state=None):
        return self.head(self.emb(x)), None


# ---- activations: each of its own two units -------------------------------------------------------------------

FUNCTIONS = {
    "sigmoid(v)": torch.sigmoid, "log_sigmoid(v)": F.logsigmoid, "softplus(v)": F.softplus, "softplus(v, 2, 1.5)": lambda v: F.softplus(v, 2, 1.5),
    "relu(v)": F.relu, "relu6(v)": F.relu6, "leaky_relu(v, 0.2)": lambda v: F.leaky_relu(v, 0.2), "elu(v, 1.5)": lambda v: F.elu(v, 1.5),
    "celu(v, 1.5)": lambda v: F.celu(v, 1.5), "selu(v)": F.selu, "gelu(v)": F.gelu, "gelu_tanh(v)": lambda v: F.gelu(v, approximate="tanh"),
    "silu(v)": F.silu, "mish(v)": F.mish, "softsign(v)": F.softsign, "tanhshrink(v)": F.tanhshrink, "softshrink(v, 0.3)": lambda v: F.softshrink(v, 0.3),
    "hardshrink(v, 0.3)": lambda v: F.hardshrink(v, 0.3), "clamp(v, -0.4, 0.6)": lambda v: torch.clamp(v, -0.4, 0.6), "hardtanh(v)": F.hardtanh,
    "hardsigmoid(v)": F.hardsigmoid, "hardswish(v)": F.hardswish, "square(v)": torch.square, "logit(sigmoid(v) / 2)": lambda v: torch.logit(torch.sigmoid(v) / 2),
    "logaddexp(v, v[::-1])": lambda v: torch.logaddexp(v, v.flip(-1)), "spike(v)": Spike.apply,
    "spike_fast(v, 3)": lambda v: FastSpike.apply(v), "straight_max(v, 0.1)": lambda v: v + (torch.clamp(v, min=0.1) - v).detach(),
}


class FastSpike(torch.autograd.Function):
    """Zenke and Ganguli 2018, slope 3."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, g):
        return g / (1 + 3 * ctx.saved_tensors[0].abs()) ** 2


class Activations(nn.Module):
    def __init__(self, functions):
        super().__init__()
        self.functions, self.make = functions, nn.Linear(I, 2 * len(functions))
        nn.init.normal_(self.make.weight, std=1.5)

    def forward(self, x, state=None):
        parts = self.make(x).chunk(len(self.functions), -1)
        return torch.cat([f(v) for f, v in zip(self.functions, parts)], -1), None


def function_cases():
    parts = [name.split("(", 1)[0] + "(" + re.sub(r"\bv\b", f"v{i}", name.split("(", 1)[1]) for i, name in enumerate(FUNCTIONS)]
    names = ", ".join(f"v{i}" for i in range(len(parts)))
    lines = f"make = linear(x, size={2 * len(parts)})\n{names} = split(make, {len(parts)})\nout = concat({', '.join(parts)})"
    yield "activations", dict(lines=lines, model=lambda: Activations(list(FUNCTIONS.values())), y=2 * len(parts), lr=0.2)


# ---- losses ----------------------------------------------------------------------------------------------------

C, IGNORE = 5, -100


class Outputs(nn.Module):
    """n linear maps of the input, and what a loss wants of them."""

    def __init__(self, make, n, size=C):
        super().__init__()
        self.make, self.names = make, [f"p{i}" for i in range(n)]
        for name in self.names:
            self.register_module(name, nn.Linear(I, size))
            nn.init.normal_(getattr(self, name).weight, std=0.8)

    def forward(self, x, state=None):
        return self.make(*(getattr(self, name)(x) for name in self.names)), None


def flat(loss):
    return lambda p, y: loss(p.flatten(0, 1), y.flatten(0, 1))


WEIGHT = 0.5 + 0.25 * torch.arange(C)
pair = lambda a, b: torch.stack([a, b])
ident = lambda p: p
logp = lambda p: torch.log_softmax(p, -1)
hinge = lambda p, y, m, n: (torch.clamp(m - y * p, min=0) ** n).mean()
log_cosh = lambda p, y: torch.log(torch.cosh(p - y)).mean()
W_TEXT, TWO = "weight=0.5 + 0.25 * arange(5)", "p0 = linear(x, size=5)\np1 = linear(x, size=5)\n"

# name: what the model puts out, the loss, y; the same in PyTorch
LOSSES = {
    "mse": ("p0", "mse(p0, y)", "real", ident, F.mse_loss),
    "l1": ("p0", "l1(p0, y)", "real", ident, F.l1_loss),
    "smooth_l1": ("p0", "smooth_l1(p0, y)", "real", ident, F.smooth_l1_loss),
    "smooth_l1_beta": ("p0", "smooth_l1(p0, y, beta=0.3)", "real", ident, lambda p, y: F.smooth_l1_loss(p, y, beta=0.3)),
    "huber": ("p0", "huber(p0, y)", "real", ident, F.huber_loss),
    "huber_delta": ("p0", "huber(p0, y, delta=0.4)", "real", ident, lambda p, y: F.huber_loss(p, y, delta=0.4)),
    "log_cosh": ("p0", "log_cosh(p0, y)", "real", ident, log_cosh),
    "cross_entropy": ("p0", "cross_entropy(p0, y)", "class", ident, flat(F.cross_entropy)),
    "cross_entropy_all": ("p0", f"cross_entropy(p0, y, {W_TEXT}, label_smoothing=0.15)", "ignore", ident,
                          flat(lambda p, y: F.cross_entropy(p, y, weight=WEIGHT, label_smoothing=0.15))),
    "cross_entropy_ignore_class": ("p0", "cross_entropy(p0, y, ignore_index=3, label_smoothing=0.1)", "class", ident,
                                   flat(lambda p, y: F.cross_entropy(p, y, ignore_index=3, label_smoothing=0.1))),
    "soft_cross_entropy": ("p0", f"soft_cross_entropy(p0, y, {W_TEXT}, label_smoothing=0.1)", "shares", ident,
                           flat(lambda p, y: F.cross_entropy(p, y, weight=WEIGHT, label_smoothing=0.1))),
    "nll": ("log_softmax(p0)", f"nll(q, y, {W_TEXT})", "ignore", logp, flat(lambda p, y: F.nll_loss(p, y, weight=WEIGHT))),
    "bce": ("sigmoid(p0)", "bce(q, y)", "probability", torch.sigmoid, F.binary_cross_entropy),
    "bce_weight": ("sigmoid(p0)", "bce(q, y, weight=0.5 + 0.25 * arange(5))", "probability", torch.sigmoid,
            lambda p, y: F.binary_cross_entropy(p, y, weight=WEIGHT.expand_as(p))),
    "bce_with_logits": ("p0", "bce_with_logits(p0, y)", "probability", ident, F.binary_cross_entropy_with_logits),
    "bce_with_logits_weight": ("p0", "bce_with_logits(p0, y, weight=0.7, pos_weight=0.5 + 0.25 * arange(5))", "probability", ident,
                        lambda p, y: F.binary_cross_entropy_with_logits(p, y, weight=torch.tensor(0.7), pos_weight=WEIGHT)),
    "kl_div": ("log_softmax(p0)", "kl_div(q, y)", "shares", logp, F.kl_div),
    "kl_div_batchmean": ("log_softmax(p0)", "kl_div(q, y, batchmean=true)", "shares", logp, flat(lambda p, y: F.kl_div(p, y, reduction="batchmean"))),
    "kl_div_log_target": (None, "kl_div(log_softmax(p0), log_softmax(p1), log_target=true) + 0.01 * mse(p0, y)", "real", lambda a, b: pair(a, b),
                          lambda p, y: F.kl_div(logp(p[0]), logp(p[1]), log_target=True) + 0.01 * F.mse_loss(p[0], y)),
    "poisson_nll": ("p0", "poisson_nll(p0, y)", "count", ident, lambda p, y: F.poisson_nll_loss(p, y)),
    "poisson_nll_full": ("softplus(p0)", "poisson_nll(q, y, log_input=false, full=true)", "count", F.softplus,
                         lambda p, y: F.poisson_nll_loss(p, y, log_input=False, full=True)),
    "gaussian_nll": (None, "gaussian_nll(p0, y, 0.2 + p1^2, eps=0.3)", "real", pair,
                     lambda p, y: F.gaussian_nll_loss(p[0], y, 0.2 + p[1] ** 2, eps=0.3)),
    "gaussian_nll_full": (None, "gaussian_nll(p0, y, exp(p1), full=true)", "real", pair,
                          lambda p, y: F.gaussian_nll_loss(p[0], y, p[1].exp(), full=True)),
    "hinge": ("p0", "hinge(p0, y)", "sign", ident, lambda p, y: hinge(p, y, 1, 1)),
    "hinge_squared": ("p0", "hinge(p0, y, margin=0.5, power=2)", "sign", ident, lambda p, y: hinge(p, y, 0.5, 2)),
    "hinge_embedding": ("p0", "hinge_embedding(p0, y, margin=0.7)", "sign", ident, lambda p, y: F.hinge_embedding_loss(p, y, margin=0.7)),
    "multi_margin": ("p0", f"multi_margin(p0, y, {W_TEXT}, margin=0.8)", "class", ident,
                     flat(lambda p, y: F.multi_margin_loss(p, y, margin=0.8, weight=WEIGHT))),
    "multi_margin_squared": ("p0", "multi_margin(p0, y, power=2)", "class", ident, flat(lambda p, y: F.multi_margin_loss(p, y, p=2))),
    "soft_margin": ("p0", "soft_margin(p0, y)", "sign", ident, F.soft_margin_loss),
}


def loss_cases():
    for name, (output, loss, y, make, torch_loss) in LOSSES.items():
        lines = TWO.rstrip() if output is None else "p0 = linear(x, size=5)" + ("" if output == "p0" else f"\nq = {output}")
        yield name, dict(lines=lines, model=lambda m=make, n=1 + (output is None): Outputs(m, n), y=y, rnnc_loss=loss, loss=torch_loss)


# ---- optimizers ------------------------------------------------------------------------------------------------


class Paper(optim.Optimizer):
    """An optimizer that PyTorch does not have: update(w, g, s, **options) -> w, s kept for each parameter."""

    def __init__(self, params, update, **options):
        super().__init__(params, options)
        self.update = update

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            options = {k: v for k, v in group.items() if k != "params"}
            for w in group["params"]:
                w.copy_(self.update(w.clone(), w.grad, self.state[w], **options))


def lion(w, g, s, lr, b1, b2, wd):
    """Chen et al. 2023, program 1."""
    m = s.setdefault("m", torch.zeros_like(w))
    update = torch.sign(b1 * m + (1 - b1) * g) + wd * w
    s["m"] = b2 * m + (1 - b2) * g
    return w - lr * update


def lamb(w, g, s, lr, b1, b2, eps, wd):
    """You et al. 2020, algorithm 2."""
    k = s["k"] = s.get("k", 0) + 1
    s["m"] = b1 * s.get("m", torch.zeros_like(w)) + (1 - b1) * g
    s["v"] = b2 * s.get("v", torch.zeros_like(w)) + (1 - b2) * g * g
    r = s["m"] / (1 - b1 ** k) / ((s["v"] / (1 - b2 ** k)).sqrt() + eps) + wd * w
    return w - lr * torch.linalg.vector_norm(w) / torch.linalg.vector_norm(r) * r


class Hooked:
    """An optimizer with something done before its step: what Ignite's update has no place for."""

    def __init__(self, made, before):
        self.made, self.before, self.k = made, before, 0

    def zero_grad(self, *args, **kwargs):
        self.made.zero_grad(*args, **kwargs)

    def step(self):
        self.k += 1
        self.before(self)
        self.made.step()


def params_of(o):
    return [p for g in o.made.param_groups for p in g["params"]]


def schedule(o):
    for g in o.made.param_groups:
        g.update(lr=0.2 * min(1, o.k / 4), momentum=0.5 + 0.04 * o.k)


class Accumulating(Hooked):
    """The mean of n chunks' gradients, and of the fewer that are left when an epoch ends."""

    def __init__(self, made, n, chunks_of_epoch, before=lambda o: None):
        super().__init__(made, before)
        self.n, self.chunks_of_epoch, self.seen, self.sums = n, chunks_of_epoch, 0, None

    def step(self):
        params, self.seen = params_of(self), self.seen + 1
        self.sums = (self.sums or []) + [[p.grad for p in params]]
        if len(self.sums) == self.n or self.seen % self.chunks_of_epoch == 0:
            for i, p in enumerate(params):
                there = [g[i] for g in self.sums if g[i] is not None]  # PyTorch skips a parameter without
                p.grad = torch.stack(there).sum(0) / len(self.sums) if there else None
            self.sums = None
            super().step()


def two(**kw):
    betas = {"betas": (kw.pop("beta1"), kw.pop("beta2"))} if "beta1" in kw else {}
    return kw | betas


def text_of(name, kw):
    return f"{name}({', '.join(f'{k}={str(v).lower() if isinstance(v, bool) else v}' for k, v in kw.items())})"


TORCH = {"sgd": optim.SGD, "adam": optim.Adam, "adamw": optim.AdamW, "adamax": optim.Adamax, "rmsprop": optim.RMSprop, "adagrad": optim.Adagrad,
         "adadelta": optim.Adadelta, "nadam": optim.NAdam, "radam": optim.RAdam}
OPTIONS = {
    "sgd": [dict(lr=0.3), dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.1), dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05)],
    "adam": [{}, dict(lr=0.05, beta1=0.8, beta2=0.95, weight_decay=0.1, eps=1e-3, amsgrad=True)],
    "adamw": [{}, dict(lr=0.05, beta1=0.8, beta2=0.9, weight_decay=0.2, amsgrad=True)],
    "adamax": [{}, dict(lr=0.05, beta1=0.8, beta2=0.9, weight_decay=0.1)],
    "rmsprop": [{}, dict(lr=0.02, momentum=0.5, centered=True, weight_decay=0.1, alpha=0.9, eps=1e-3)],
    "adagrad": [{}, dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.1)],
    "adadelta": [{}, dict(lr=5.0, rho=0.8, weight_decay=0.1, eps=1e-4)],
    "nadam": [{}, dict(lr=0.05, momentum_decay=0.02, weight_decay=0.1, decoupled_weight_decay=True), dict(lr=0.05, weight_decay=0.1)],
    "radam": [dict(lr=0.1), dict(lr=0.05, beta1=0.7, beta2=0.9, weight_decay=0.1, decoupled_weight_decay=True), dict(lr=0.05, beta1=0.7, beta2=0.9, weight_decay=0.1)],
}
CHUNKS = BATCHES * math.ceil(STEPS / STEP)  # of an epoch


def optimizer_cases():
    case = lambda text, opt, more="": dict(lines="rnn  = rnn(x, hidden=4)\nhead = linear(rnn, size=2)", model=lambda: Net(nn.RNN(I, H)), optimizer=text,
                                           opt=opt, more=more)
    for name, options in OPTIONS.items():
        for i, kw in enumerate(options):
            yield name + (f"_options{i}" if i else ""), case(text_of(name, kw), lambda m, n=name, kw=kw: TORCH[n](m.parameters(), **two(**kw)))
    yield "lion", case("lion(lr=0.01)", lambda m: Paper(m.parameters(), lion, lr=0.01, b1=0.9, b2=0.99, wd=0))
    yield "lion_options", case("lion(lr=0.02, beta1=0.8, beta2=0.95, weight_decay=0.1)", lambda m: Paper(m.parameters(), lion, lr=0.02, b1=0.8, b2=0.95, wd=0.1))
    yield "lamb", case("lamb()", lambda m: Paper(m.parameters(), lamb, lr=1e-3, b1=0.9, b2=0.999, eps=1e-6, wd=0.01))
    yield "lamb_options", case("lamb(lr=0.05, beta1=0.8, weight_decay=0.1)",
                       lambda m: Paper(m.parameters(), lamb, lr=0.05, b1=0.8, b2=0.999, eps=1e-6, wd=0.1))
    sgd = lambda m, **kw: optim.SGD(m.parameters(), **kw)
    yield "clip_norm", case("sgd(lr=0.5, momentum=0.5, clip_norm=0.4)",
                            lambda m: Hooked(sgd(m, lr=0.5, momentum=0.5), lambda o: nn.utils.clip_grad_norm_(params_of(o), 0.4)))
    yield "clip_value", case("adam(lr=0.05, clip_value=0.02)",
                             lambda m: Hooked(optim.Adam(m.parameters(), lr=0.05), lambda o: nn.utils.clip_grad_value_(params_of(o), 0.02)))
    yield "schedule", case("sgd(lr = 0.2 * min(1, k / 4), momentum = 0.5 + 0.04 * k)", lambda m: Hooked(sgd(m, lr=0.2, momentum=0.5), schedule))
    yield "accumulate", case("sgd(lr=0.3, momentum=0.5, accumulate=2)", lambda m: Accumulating(sgd(m, lr=0.3, momentum=0.5), 2, CHUNKS))
    yield "accumulate_leftover", case("adam(lr=0.05, accumulate=4, clip_norm=0.3)",
                                      lambda m: Accumulating(optim.Adam(m.parameters(), lr=0.05), 4, CHUNKS,
                                                             lambda o: nn.utils.clip_grad_norm_(params_of(o), 0.3)))
    yield "accumulate_start", case("adam(lr=0.05, accumulate=2)", lambda m: Accumulating(optim.Adam(m.parameters(), lr=0.05), 2, CHUNKS)) | dict(
        params="{h0: [4]}", lines="rnn  = gru(x, hidden=4, h=tanh(h0))\nhead = linear(rnn, size=2)", model=lambda: LearnedStart(I, H, O))
    yield "groups", case("adamw(lr=0.05, weight_decay=0.3)",
                         lambda m: optim.AdamW([{"params": [p for n, p in m.named_parameters() if "bias" not in n and n != "head.weight"]},
                                                {"params": [p for n, p in m.named_parameters() if "bias" in n], "weight_decay": 0},
                                                {"params": [m.head.weight], "lr": 0.01}], lr=0.05, weight_decay=0.3),
                         "groups:\n  - {match: \"*.bias*\", weight_decay: 0}\n  - {match: head.weight, lr: 0.2 * lr}\n")


# ---- recording -------------------------------------------------------------------------------------------------

DRAWS = {
    "real": ("[{n}]", lambda s, n: torch.randn(*s, n)),
    "probability": ("[{n}]", lambda s, n: torch.rand(*s, n)),
    "sign": ("[{n}]", lambda s, n: torch.randint(0, 2, (*s, n)) * 2.0 - 1),
    "count": ("[{n}]", lambda s, n: torch.randint(0, 6, (*s, n)) * 1.0),
    "shares": ("[{n}]", lambda s, n: torch.softmax(torch.randn(*s, n), -1)),
    "class": ("class({n})", lambda s, n: torch.randint(0, n, s)),
    "ignore": ("{{class: {n}, ignore: -100}}", lambda s, n: torch.where(torch.rand(*s) < 0.25, IGNORE, torch.randint(0, n, s))),
}


def draw(kind, default):
    """A number: reals; (kind, n), or a kind of C."""
    kind, n = ("real", kind or default) if kind is None or isinstance(kind, int) else kind if isinstance(kind, tuple) else (kind, C)
    text, make = DRAWS[kind]
    return text.format(n=n), make((BATCHES, STEPS, ROWS), n)


def model_text(case):
    lines = case["lines"].split("\n")
    if "params" not in case:
        return " |\n" + "\n".join(f"  {line}" for line in lines)
    return f"\n  params: {case['params']}\n  step: |\n" + "\n".join(f"    {line}" for line in lines)


def record(kind, name, case, out):
    recording.begin(name)
    model, loss, epochs = case["model"](), case.get("loss", F.mse_loss), case.get("epochs", 2)
    lr = case.get("lr", 0.2)
    optimizer = case["opt"](model) if "opt" in case else optim.SGD(model.parameters(), lr=lr)
    (x_text, x), (y_text, y) = draw(case.get("x"), I), draw(case.get("y"), O)
    folder = out / kind / name
    folder.mkdir(parents=True, exist_ok=True)
    more = case.get("more", "") + (f"train: {{epochs: {epochs}}}\n" if epochs > 1 else "")
    output = case["lines"].rstrip().split("\n")[-1].split("=")[0].strip()
    (folder / "spec.yaml").write_text(SPEC.format(
        name=name, x=x_text, y=y_text, model=model_text(case), step=STEP, rows=ROWS, more=more,
        loss=case.get("rnnc_loss", f"mse({output}, y)"), optimizer=case.get("optimizer", f"sgd(lr={lr})")))
    first = {k: v.clone() for k, v in model.named_parameters()}
    recording.save_tensors(folder / "init.safetensors", first)
    recording.save_rows(folder / "x.npy", x)
    recording.save_rows(folder / "y.npy", y)

    trainer = create_supervised_tbptt_trainer(model, optimizer, loss, STEP)
    _, losses, _ = recording.watch(trainer)
    trainer.run(list(zip(x, y)), max_epochs=epochs)

    last = dict(model.named_parameters())
    for n, p in last.items():  # a run in which nothing moved proves nothing
        moved = ((p - first[n]).abs().max() / p.abs().max()).item()
        assert moved > 0.004, f"{kind} {name}: {n} moved by {moved} of its largest"
    assert losses[-1] < 5 * losses[0], f"{kind} {name} diverges: {losses}"
    recording.save_tensors(folder / "final.safetensors", last)
    recording.write_expected(folder, {"chunk_losses": losses})


if __name__ == "__main__":
    out, wanted = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
    for kind, cases in (("cells", cell_cases()), ("functions", function_cases()), ("losses", loss_cases()), ("optimizers", optimizer_cases())):
        n = 0
        for name, case in cases:
            if not wanted or name in wanted:
                record(kind, name, case, out)
                n += 1
        print(f"{kind}: {n} cases")
