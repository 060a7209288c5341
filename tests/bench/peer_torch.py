"""peer_torch.py — a workload in PyTorch.

    peer_torch.py WORKLOAD THREADS (ignite|torch|products)

ignite: pytorch-ignite's trainer for truncated BPTT, as its user has it by default; own cells are
loops with every product inside. torch: a bare loop with fused optimizers; own cells take the
inputs' product for all steps at once. products: the matrix products of a chunk alone, results
written in place, nothing between them: no peer, but what any program on this library needs at least.
"""
import sys
import time
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from workloads import CHUNKS, GATES, RATE, print_times, random_data, time_chunks, workload

warnings.filterwarnings("ignore")


class MinimalGated(nn.Module):
    """f = sigmoid(Wf x + Uf h + bf), c = tanh(Wc x + Uc (f h) + bc), h' = (1 - f) h + f c"""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.of_input = nn.Linear(inputs, 2 * hidden)
        self.uf, self.uc = (nn.Linear(hidden, hidden, bias=False) for _ in range(2))

    def project(self, x):
        return self.of_input(x)

    def start(self, rows, hidden):
        return torch.zeros(rows, hidden)

    def step(self, projected, h):
        for_f, for_c = projected.chunk(2, -1)
        f = torch.sigmoid(for_f + self.uf(h))
        c = torch.tanh(for_c + self.uc(f * h))
        h = (1 - f) * h + f * c
        return h, h


class NormedLstm(nn.Module):
    """gates = norm(W x) + norm(U h), c' = norm(f c + i g), h' = o tanh(c')"""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.w = nn.Linear(inputs, 4 * hidden, bias=False)
        self.u = nn.Linear(hidden, 4 * hidden, bias=False)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * hidden), nn.LayerNorm(4 * hidden)
        self.norm_c = nn.LayerNorm(hidden)

    def project(self, x):
        return self.norm_x(self.w(x))

    def start(self, rows, hidden):
        return torch.zeros(rows, hidden), torch.zeros(rows, hidden)

    def step(self, projected, state):
        h, c = state
        i, f, g, o = (projected + self.norm_h(self.u(h))).chunk(4, -1)
        c = self.norm_c(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


class Net(nn.Module):
    def __init__(self, w, project_all):
        super().__init__()
        own = {"mgu": MinimalGated, "normed": NormedLstm}.get(w["cell"])
        torchs = {"lstm": nn.LSTM, "gru": nn.GRU}.get(w["cell"])
        self.w, self.own, self.project_all = w, own is not None, project_all
        self.embed = nn.Embedding(w["classes"], w["inputs"]) if w["classes"] else nn.Identity()
        self.cell = own(w["inputs"], w["hidden"]) if own else torchs(w["inputs"], w["hidden"], w["layers"])
        self.head = nn.Linear(w["hidden"], w["outputs"])

    def run_own(self, x, state):
        outputs = []
        if state is None:
            state = self.cell.start(self.w["rows"], self.w["hidden"])
        for now in (self.cell.project(x) if self.project_all else x).unbind(0):
            y, state = self.cell.step(now if self.project_all else self.cell.project(now), state)
            outputs.append(y)
        return torch.stack(outputs), state

    def forward(self, x, state=None):
        x = self.embed(x)
        y, state = self.run_own(x, state) if self.own else self.cell(x, state)
        return self.head(y), state


def loss_of(w):
    return F.mse_loss if w["loss"] == "mse" else lambda p, y: F.cross_entropy(p.flatten(0, 1), y.flatten())


def optimizer_of(w, net, **options):
    kind = torch.optim.SGD if w["optimizer"] == "sgd" else torch.optim.Adam
    return kind(net.parameters(), lr=RATE[w["optimizer"]], **options)


def detached(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def run_torch(w, x, y):
    net, loss_fn, state = Net(w, True), loss_of(w), None
    optimizer = optimizer_of(w, net, fused=True)
    xs, ys = x.split(w["steps"]), y.split(w["steps"])

    def step(i):
        nonlocal state
        optimizer.zero_grad()
        predicted, state = net(xs[i], state)
        loss = loss_fn(predicted, ys[i])
        loss.backward()
        optimizer.step()
        state = detached(state)
        return loss.item()

    time_chunks(step)


def run_ignite(w, x, y, seconds=3.0, warm=1.0):
    from ignite.contrib.engines.tbptt import Tbptt_Events, create_supervised_tbptt_trainer

    net, ends, begin = Net(w, False), [], time.perf_counter()
    trainer = create_supervised_tbptt_trainer(net, optimizer_of(w, net), loss_of(w), tbtt_step=w["steps"])

    @trainer.on(Tbptt_Events.TIME_ITERATION_COMPLETED)
    def _(engine):
        ends.append(time.perf_counter())
        if ends[-1] - begin > seconds and len(ends) > 3 * CHUNKS:
            engine.terminate()

    trainer.run([(x, y)] * 1000, max_epochs=100)
    # what lies between two sequences is not a chunk's
    print_times([ends[i] - ends[i - 1] for i in range(CHUNKS, len(ends))
                 if i % CHUNKS and ends[i] - begin > warm])


def products_of(w):
    """(times, a, b): forward, gradients of what is multiplied (but the data) and of the weights."""
    gates, points = GATES[w["cell"]] * w["hidden"], w["steps"] * w["rows"]

    def of_points(inputs, outputs, learned):
        x, d, weight = torch.randn(points, inputs), torch.randn(points, outputs), torch.randn(outputs, inputs)
        return [(1, x, weight.t()), (1, d.t(), x)] + ([(1, d, weight)] if learned else [])

    out = of_points(w["hidden"], w["outputs"], True)
    for layer in range(w["layers"]):
        out += of_points(w["hidden"] if layer else w["inputs"], gates, layer > 0 or w["classes"] > 0)
        h, d, weight = torch.randn(points, w["hidden"]), torch.randn(points, gates), torch.randn(gates, w["hidden"])
        out += [(1, d.t(), h), (w["steps"], h[:w["rows"]], weight.t()), (w["steps"], d[:w["rows"]], weight)]
    return out


def run_products(w, x, y):
    todo = [(times, a, b, torch.empty(a.shape[0], b.shape[1])) for times, a, b in products_of(w)]

    def step(i):
        for times, a, b, c in todo:
            for _ in range(times):
                torch.mm(a, b, out=c)

    time_chunks(step)


def main(name, threads, how):
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    w = workload(name)
    x, y = (torch.from_numpy(v) for v in random_data(w))
    {"torch": run_torch, "ignite": run_ignite, "products": run_products}[how](w, x, y)


main(*sys.argv[1:])
