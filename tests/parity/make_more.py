#!/usr/bin/env python3
"""More reference runs, made as make_reference.py makes its own: what a library's modules do not have.

    pip install torch pytorch-ignite safetensors numpy
    python3 make_more.py OUT [CASE ...]

Matrix states, a surrogate gradient, tied weights, parameters whose optimizer skips the chunks in which
they get no gradient (a learned initial state, what writes a memory that is read first), odd sizes, layers without biases.
"""
import math

import make_reference as base
import recording
import torch
from torch import nn


class FastWeights(nn.Module):
    """A matrix memory written by outer products, read by a query."""

    def __init__(self, inputs, value, key, outputs):
        super().__init__()
        self.value, self.key = value, key
        self.Wk, self.Wv, self.Wq = base.weight(key, inputs), base.weight(value, inputs), base.weight(key, inputs)
        self.wf = base.weight(inputs)
        self.head = nn.Linear(value, outputs)

    def forward(self, x, C=None):
        C = x.new_zeros(x.shape[1], self.value, self.key) if C is None else C
        outs = []
        for x_t in x:
            k, v, q = torch.tanh(x_t @ self.Wk.T), x_t @ self.Wv.T, x_t @ self.Wq.T
            f = torch.sigmoid(x_t @ self.wf)[:, None, None]
            C = f * C + (1 - f) * v[:, :, None] * k[:, None, :]
            outs.append(torch.einsum("bvk,bk->bv", C, q))
        return self.head(torch.stack(outs)), C


class Spike(torch.autograd.Function):
    """A step forward, the arctangent's slope backward (Fang et al. 2021)."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        return g / (1 + (math.pi * v) ** 2)


class Spiking(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.hidden = hidden
        self.W, self.U = nn.Parameter(torch.randn(hidden, inputs)), base.weight(hidden, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x, state=None):
        v, s = state or (x.new_zeros(x.shape[1], self.hidden),) * 2
        outs = []
        for x_t in x:
            v = 0.8 * v * (1 - s.detach()) + x_t @ self.W.T + s @ self.U.T
            s = Spike.apply(v - 1)
            outs.append(s)
        return self.head(torch.stack(outs)), (v, s)


class Tied(nn.Module):
    """The embedding's weights are the head's."""

    def __init__(self, classes, hidden):
        super().__init__()
        self.emb = nn.Embedding(classes, hidden)
        self.rnn = nn.GRU(hidden, hidden)
        self.bias = base.weight(classes)

    def forward(self, x, h=None):
        y, h = self.rnn(self.emb(x), h)
        return y @ self.emb.weight.T + self.bias, h


class LearnedStart(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.h0 = base.weight(hidden)
        self.rnn = nn.GRU(inputs, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x, h=None):
        if h is None:
            h = torch.tanh(self.h0).expand(1, x.shape[1], -1).contiguous()
        y, h = self.rnn(x, h)
        return self.head(y), h


class Stack(nn.Module):
    def __init__(self, kind, inputs, hidden, outputs, **more):
        super().__init__()
        self.rnn = getattr(nn, kind)(inputs, hidden, **more)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x, hidden=None):
        y, hidden = self.rnn(x, hidden)
        return self.head(y), hidden


class LateWrite(nn.Module):
    """A memory read before it is written: a chunk of one step gives what writes it no gradient."""

    def __init__(self, inputs, size, outputs):
        super().__init__()
        self.size = size
        self.Wq, self.Ww = base.weight(size, inputs), base.weight(size, inputs)
        self.head = nn.Linear(size, outputs)

    def forward(self, x, M=None):
        M = x.new_zeros(x.shape[1], self.size) if M is None else M
        outs = []
        for x_t in x:
            outs.append(M + torch.tanh(x_t @ self.Wq.T))
            M = 0.5 * M + torch.tanh(x_t @ self.Ww.T)
        return self.head(torch.stack(outs)), M


mse, optim = nn.functional.mse_loss, torch.optim
CASES = {
    "matrix_memory": dict(model=lambda: FastWeights(6, 5, 7, 3), opt=lambda p: optim.Adam(p, lr=2e-3), loss=mse,
                          step=6, data=(2, 20, 4), x=6, y=3, epochs=2),
    "spiking_surrogate": dict(model=lambda: Spiking(3, 19, 2), opt=lambda p: optim.SGD(p, lr=0.02, momentum=0.5), loss=mse,
                              step=8, data=(2, 24, 5), x=3, y=2, epochs=2),
    "tied_weights": dict(model=lambda: Tied(13, 18), opt=lambda p: optim.Adam(p, lr=5e-3), loss=base.cross_entropy,
                         step=9, data=(2, 31, 4), x=("classes", 13), y=("classes", 13), epochs=2),
    "learned_start": dict(model=lambda: LearnedStart(4, 11, 2), opt=lambda p: optim.Adam(p, lr=1e-2), loss=mse,
                          step=5, data=(3, 17, 3), x=4, y=2, epochs=2),
    "late_write": dict(model=lambda: LateWrite(4, 9, 2), opt=lambda p: optim.RMSprop(p, lr=5e-3, momentum=0.5), loss=mse,
                       step=5, data=(2, 16, 3), x=4, y=2, epochs=2),
    "odd_lstm3_amsgrad": dict(model=lambda: Stack("LSTM", 1, 7, 1, num_layers=3),
                              opt=lambda p: optim.AdamW(p, lr=3e-3, amsgrad=True), loss=nn.functional.l1_loss,
                              step=5, data=(2, 13, 1), x=1, y=1, epochs=2),
    "rnn_relu_no_bias_adagrad": dict(model=lambda: Stack("RNN", 5, 21, 4, nonlinearity="relu", bias=False, num_layers=2),
                                     opt=lambda p: optim.Adagrad(p, lr=1e-2), loss=mse,
                                     step=6, data=(2, 18, 2), x=5, y=4, epochs=2),
    "gru2_radam": dict(model=lambda: Stack("GRU", 3, 10, 2, num_layers=2), opt=lambda p: optim.RAdam(p, lr=1e-2), loss=mse,
                       step=4, data=(3, 16, 6), x=3, y=2, epochs=2),
}

if __name__ == "__main__":
    recording.main(CASES, base.run)
