#!/usr/bin/env python3
"""Reference runs of the TBPTT variants: plain PyTorch loops, one step after the other, written from the definitions.

    pip install torch pytorch-ignite safetensors numpy
    python3 make_variants.py OUT [CASE ...]

Ignite has none of these variants; its Engine runs the epochs and fires the events, and the batch's update is `Variant.update`
below. Files are those of make_reference.py, and done.npy, n.npy, label.npy where a case has them. A chunk in which no step
counts has the loss null and steps no optimizer.
"""
import make_more
import make_reference as base
import recording
import torch
from ignite.contrib.engines import Tbptt_Events
from ignite.engine import Engine
from torch import nn


# ---- models: start(B) gives the initial state, step(x_t, state, training) an output and the next state.
# States are tuples of [B, ...]; `training` is a flag for each row.

class Gru(nn.Module):
    def __init__(self, inputs, hidden, outputs, learned=False, doubles=False):
        super().__init__()
        if learned:
            self.h0 = base.weight(hidden)
        self.rnn = nn.GRU(inputs, hidden)
        self.head = nn.Linear(hidden, outputs)
        self.hidden, self.learned, self.doubles = hidden, learned, doubles

    def start(self, rows):
        return (torch.tanh(self.h0).expand(rows, -1) if self.learned else torch.zeros(rows, self.hidden),)

    def step(self, x, state, training):
        y, h = self.rnn(x[None], state[0][None].contiguous())
        y = y[0]
        if self.doubles:  # stands for dropout, whose draws no two programs share
            y = torch.where(training[:, None], 2 * y, y)
        return self.head(y), (h[0],)


class Lstm2(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.LSTM(inputs, hidden, num_layers=2)
        self.head = nn.Linear(hidden, outputs)
        self.hidden = hidden

    def start(self, rows):
        return tuple(torch.zeros(rows, self.hidden) for _ in range(4))

    def step(self, x, state, training):
        h = torch.stack(state[:2]), torch.stack(state[2:])
        y, (h, c) = self.rnn(x[None], h)
        return self.head(y[0]), (h[0], h[1], c[0], c[1])


class Memory(nn.Module):
    """A matrix written by outer products, read by a query."""

    def __init__(self, inputs, value, key, outputs):
        super().__init__()
        self.value, self.key = value, key
        self.Wk, self.Wv, self.Wq = base.weight(key, inputs), base.weight(value, inputs), base.weight(key, inputs)
        self.wf = base.weight(inputs)
        self.head = nn.Linear(value, outputs)

    def start(self, rows):
        return (torch.zeros(rows, self.value, self.key),)

    def step(self, x, state, training):
        k, v, q = torch.tanh(x @ self.Wk.T), x @ self.Wv.T, x @ self.Wq.T
        f = torch.sigmoid(x @ self.wf)[:, None, None]
        C = f * state[0] + (1 - f) * v[:, :, None] * k[:, None, :]
        return self.head(torch.einsum("bvk,bk->bv", C, q)), (C,)


class LateWrite(make_more.LateWrite):
    """One step behind a burn-in gives what writes the memory no gradient."""

    def start(self, rows):
        return (torch.zeros(rows, self.size),)

    def step(self, x, state, training):
        y = state[0] + torch.tanh(x @ self.Wq.T)
        return self.head(y), (0.5 * state[0] + torch.tanh(x @ self.Ww.T),)


class Labelled(nn.Module):
    """A label given once a sequence is read by each step, and by the loss."""

    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.emb = nn.Embedding(classes, hidden)
        self.rnn = nn.GRU(inputs, hidden)
        self.head = nn.Linear(hidden, classes)
        self.hidden = hidden

    def start(self, rows):
        return (torch.tanh(self.emb(self.label)),)

    def step(self, x, state, training):
        y, h = self.rnn(x[None], state[0][None].contiguous())
        return self.head(y[0]), (h[0],)


class Characters(nn.Module):
    def __init__(self, classes, hidden):
        super().__init__()
        self.emb = nn.Embedding(classes, hidden)
        self.rnn = nn.GRU(hidden, hidden)
        self.head = nn.Linear(hidden, classes)
        self.hidden = hidden

    def start(self, rows):
        return (torch.zeros(rows, self.hidden),)

    def step(self, x, state, training):
        y, h = self.rnn(self.emb(x)[None], state[0][None].contiguous())
        return self.head(y[0]), (h[0],)


def mse(y_pred, y):
    return ((y_pred - y) ** 2).mean(1)


def cross_entropy(y_pred, y):
    return nn.functional.cross_entropy(y_pred, y, reduction="none")


# ---- the definitions ----

def choose(rows, a, b):
    """Row by row a or b, for each tensor of a state."""
    return tuple(torch.where(rows.view(-1, *[1] * (u.dim() - 1)), u, v) for u, v in zip(a, b))


class Variant:
    def __init__(self, model, optimizer, loss, step, window=None, loss_window="new", burn_in=0, carry="none", report="unweighted"):
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.step, self.window, self.loss_all = step, window or step, loss_window == "all"
        self.burn_in, self.carry, self.weighted = burn_in, carry, report == "weighted"
        self.carried = None

    def one_step(self, t, batch, state, age, start):
        """Step t of the batch. Returns prediction, state, age and which rows count, but for the window."""
        within = t < batch["n"]
        begins = start | (batch["done"][t] & within)
        if begins.any():
            state = choose(begins, self.model.start(len(begins)), state)
        age = torch.where(begins, 0, age)
        burning = age < self.burn_in
        if burning.all():
            with torch.no_grad():
                y, after = self.model.step(batch["x"][t], state, ~burning)
        else:
            y, after = self.model.step(batch["x"][t], state, ~burning)
        if burning.any():
            after = choose(burning, tuple(s.detach() for s in after), after)
        return y, choose(within, after, state), torch.where(within, age + 1, age), within & ~burning

    def chunk(self, batch, first, new, last, begin, marks):
        """Steps first … last - 1, from `new` on those of the chunk itself. Notes the state found at each step of `marks`."""
        state, age, start = begin
        state = tuple(s.detach() for s in state)
        total, weight, found = 0.0, 0, {}
        for t in range(first, last):
            if t in marks and t > first:
                found[t] = tuple(s.detach() for s in state), age, torch.zeros_like(start)
            y, state, age, counts = self.one_step(t, batch, state, age, start if t == first else torch.zeros_like(start))
            if t < new and not self.loss_all:
                counts = torch.zeros_like(counts)
            if counts.any():
                total = total + self.loss(y, batch["y"][t])[counts].sum()
            weight += int(counts.sum())
        found[last] = tuple(s.detach() for s in state), age, torch.zeros_like(start)
        return total, weight, found

    def update(self, engine, batch):
        steps, rows = batch["x"].shape[:2]
        every = torch.ones(rows, dtype=torch.bool)
        if hasattr(self.model, "emb") and "label" in batch:
            self.model.label = batch["label"]
        start = every if self.carry == "none" or self.carried is None or batch.get("begins", False) else ~every
        if start.any():
            with torch.no_grad():
                self.carried = self.model.start(rows), torch.zeros(rows, dtype=torch.long)
        begin = {0: (*self.carried, start)}
        losses, weights = [], []
        for i, new in enumerate(range(0, steps, self.step)):
            engine.fire_event(Tbptt_Events.TIME_ITERATION_STARTED)
            last = min(new + self.step, steps)
            first = max(0, i - self.window // self.step + 1) * self.step
            self.optimizer.zero_grad()
            total, weight, found = self.chunk(batch, first, new, last, begin[first], range(0, steps, self.step))
            begin.update(found)
            if weight:
                loss = total / weight
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item()), weights.append(weight if self.weighted else 1)
            engine.state.output = losses[-1] if weight else None
            engine.fire_event(Tbptt_Events.TIME_ITERATION_COMPLETED)
        self.carried = begin[steps][:2]
        return sum(a * w for a, w in zip(losses, weights)) / sum(weights) if losses else None


# ---- cases ----

adam, sgd = torch.optim.Adam, torch.optim.SGD
CASES = {
    "window_gru": dict(model=lambda: Gru(3, 12, 2), opt=lambda p: adam(p, lr=1e-2), loss=mse, data=(2, 14, 3), x=3, y=2,
                       variant=dict(step=3, window=9)),
    "window_all_lstm2": dict(model=lambda: Lstm2(4, 9, 3), opt=lambda p: sgd(p, lr=0.05, momentum=0.9), loss=mse,
                             data=(2, 18, 4), x=4, y=3, variant=dict(step=4, window=8, loss_window="all")),
    "burn_in_gru": dict(model=lambda: Gru(3, 11, 2, learned=True, doubles=True), opt=lambda p: adam(p, lr=1e-2), loss=mse,
                        data=(3, 15, 4), x=3, y=2, variant=dict(step=4, burn_in=6)),
    "burn_in_late_write": dict(model=lambda: LateWrite(3, 8, 2), loss=mse, data=(3, 10, 4), x=3, y=2,
                               opt=lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.5),
                               variant=dict(step=4, burn_in=3)),
    "carry_reset_learned": dict(model=lambda: Gru(3, 10, 2, learned=True), opt=lambda p: adam(p, lr=1e-2), loss=mse,
                                data=(4, 13, 3), x=3, y=2, reset=0.08, variant=dict(step=4, carry="batch")),
    "lengths_lstm2": dict(model=lambda: Lstm2(4, 8, 2), opt=lambda p: adam(p, lr=5e-3), loss=mse, data=(3, 16, 5), x=4, y=2,
                          lengths=True, variant=dict(step=5, report="weighted")),
    "window_reset_lengths_memory": dict(model=lambda: Memory(5, 4, 6, 2), opt=lambda p: adam(p, lr=5e-3), loss=mse,
                                        data=(2, 17, 5), x=5, y=2, reset=0.15, lengths=True,
                                        variant=dict(step=3, window=6)),
    "burn_in_lengths_reset_lstm2": dict(model=lambda: Lstm2(3, 7, 2), opt=lambda p: adam(p, lr=5e-3), loss=mse,
                                        data=(3, 19, 4), x=3, y=2, reset=0.1, lengths=True,
                                        variant=dict(step=5, burn_in=3, carry="batch", report="weighted")),
    "window_carry_reset_learned": dict(model=lambda: Gru(3, 9, 2, learned=True), opt=lambda p: adam(p, lr=1e-2), loss=mse,
                                       data=(3, 15, 3), x=3, y=2, reset=0.07,
                                       variant=dict(step=2, window=6, carry="batch", loss_window="all")),
    "per_sequence_label": dict(model=lambda: Labelled(4, 13, 10), opt=lambda p: adam(p, lr=1e-2), loss=cross_entropy,
                               data=(3, 12, 4), x=4, y="label", variant=dict(step=5)),
    "stream_characters": dict(model=lambda: Characters(7, 10), opt=lambda p: adam(p, lr=1e-2), loss=cross_entropy,
                              data=(3, 12, 4), x="text", y="text", variant=dict(step=5, window=10, carry="stream")),
}


def draw_data(case, folder):
    n, t, b = case["data"]
    data = {"done": torch.zeros(n, t, b), "n": torch.full((n, b), t)}
    if case["x"] == "text":
        data["x"], data["y"] = text(n, t, b, folder)
    else:
        data["x"] = torch.randn(n, t, b, case["x"])
    if case["y"] == "label":
        data["label"] = torch.randint(10, (n, b))
        data["y"] = data["label"][:, None, :].expand(n, t, b)
    elif case["y"] != "text":
        data["y"] = torch.randn(n, t, b, case["y"])
    if "reset" in case:
        data["done"] = (torch.rand(n, t, b) < case["reset"]).float()
    if case.get("lengths"):
        data["n"] = torch.randint(0, t + 1, (n, b))
        data["n"][0, 0], data["n"][0, 1] = t, 0
    return data


def text(n, t, b, folder):
    """n batches of t steps of b streams: row b of a batch goes on where the batch before left it."""
    corpus = torch.randint(7, (n * t * b + 1,))
    corpus[:7] = torch.arange(7)
    (folder / "corpus.txt").write_text("".join("abcdefg"[c] for c in corpus.tolist()))
    return tuple(corpus[k:k + n * t * b].view(b, n, t).permute(1, 2, 0) for k in (0, 1))


def save_data(case, data, folder):
    given = {"x": 2, "y": 2, "done": 2 if "reset" in case else 0, "n": 1 if case.get("lengths") else 0, "label": 1}
    if case["x"] == "text":
        return
    for key, axes in given.items():
        if not axes or key not in data or (key == "y" and case["y"] == "label"):
            continue
        recording.save_rows(folder / f"{key}.npy", data[key], time_axis=1 if axes == 2 else None)


def run(name, case, out):
    recording.begin(name)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model = case["model"]()
    variant = Variant(model, case["opt"](model.parameters()), case["loss"], **case["variant"])
    data = draw_data(case, folder)
    batches = [{"x": data["x"][i], "y": data["y"][i], "done": data["done"][i].bool(), "n": data["n"][i],
                "begins": case["variant"].get("carry") == "stream" and i == 0,
                **({"label": data["label"][i]} if "label" in data else {})} for i in range(len(data["x"]))]
    recording.save_tensors(folder / "init.safetensors", model.state_dict())
    save_data(case, data, folder)

    engine = Engine(variant.update)
    engine.register_events(*Tbptt_Events)
    events, chunk_losses, outputs = recording.watch(engine)
    engine.run(batches, max_epochs=2)

    recording.save_tensors(folder / "final.safetensors", model.state_dict())
    recording.write_expected(folder, {
        "model": repr(model), "loss": case["loss"].__name__, "variant": case["variant"], "epochs": 2,
        "chunk_losses": chunk_losses, "iteration_outputs": outputs, "events": events})
    print(name, [l and round(l, 4) for l in chunk_losses])


if __name__ == "__main__":
    recording.main(CASES, run)
