"""peer_jax.py — a workload in JAX: the whole chunk is one jitted function with donated buffers.

    peer_jax.py WORKLOAD

Products of the inputs are taken for all steps at once, outside of the scan.
"""
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from workloads import GATES, RATE, random_data, time_chunks, workload

w = workload(sys.argv[1])
HIDDEN, TWO_STATES = w["hidden"], w["cell"] in ("lstm", "normed")
draw = np.random.default_rng(1)


def uniform(*shape):
    return jnp.asarray(draw.uniform(-1, 1, shape) * HIDDEN**-0.5, jnp.float32)


def layer_params(inputs):
    gates = GATES[w["cell"]] * HIDDEN
    p = {"w": uniform(inputs, gates), "b": uniform(gates), "u": uniform(HIDDEN, gates)}
    if w["cell"] == "gru":
        p["bn"] = uniform(HIDDEN)
    if w["cell"] == "mgu":
        p["u"], p["uc"] = uniform(HIDDEN, HIDDEN), uniform(HIDDEN, HIDDEN)
    if w["cell"] == "normed":
        del p["b"]
        for name, size in ("x", gates), ("h", gates), ("c", HIDDEN):
            p["norm_" + name] = jnp.ones(size), jnp.zeros(size)
    return p


def norm(v, p):
    v = v - v.mean(-1, keepdims=True)
    return v * jax.lax.rsqrt((v * v).mean(-1, keepdims=True) + 1e-5) * p[0] + p[1]


def lstm(p, state, x):
    h, c = state
    gates = x + (norm(h @ p["u"], p["norm_h"]) if w["cell"] == "normed" else h @ p["u"])
    i, f, g, o = jnp.split(gates, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    c = norm(c, p["norm_c"]) if w["cell"] == "normed" else c
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru(p, h, x):
    (xz, xr, xn), (hz, hr, hn) = jnp.split(x, 3, -1), jnp.split(h @ p["u"], 3, -1)
    z, r = jax.nn.sigmoid(xz + hz), jax.nn.sigmoid(xr + hr)
    h = (1 - z) * jnp.tanh(xn + r * (hn + p["bn"])) + z * h
    return h, h


def mgu(p, h, x):
    xf, xc = jnp.split(x, 2, -1)
    f = jax.nn.sigmoid(xf + h @ p["u"])
    h = (1 - f) * h + f * jnp.tanh(xc + (f * h) @ p["uc"])
    return h, h


CELL = {"lstm": lstm, "normed": lstm, "gru": gru, "mgu": mgu}[w["cell"]]


def loss_of(params, states, x, y):
    v, after = params["embed"][x] if w["classes"] else x, []
    for p, state in zip(params["layers"], states):
        projected = norm(v @ p["w"], p["norm_x"]) if w["cell"] == "normed" else v @ p["w"] + p["b"]
        state, v = jax.lax.scan(partial(CELL, p), state, projected)
        after.append(state)
    predicted = v @ params["head"] + params["head_bias"]
    if w["loss"] == "mse":
        return ((predicted - y) ** 2).mean(), after
    return optax.softmax_cross_entropy_with_integer_labels(predicted, y).mean(), after


optimizer = {"sgd": optax.sgd, "adam": optax.adam}[w["optimizer"]](RATE[w["optimizer"]])


@partial(jax.jit, donate_argnums=(0, 1, 2))
def train(params, moments, states, x, y):
    (loss, states), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, states, x, y)
    update, moments = optimizer.update(gradient, moments, params)
    return optax.apply_updates(params, update), moments, states, loss


def main():
    zeros = lambda: jnp.zeros((w["rows"], HIDDEN))
    params = {"head": uniform(HIDDEN, w["outputs"]), "head_bias": uniform(w["outputs"]),
              "layers": [layer_params(HIDDEN if i else w["inputs"]) for i in range(w["layers"])]}
    if w["classes"]:
        params["embed"] = uniform(w["classes"], w["inputs"])
    states = [(zeros(), zeros()) if TWO_STATES else zeros() for _ in range(w["layers"])]
    moments = optimizer.init(params)
    x, y = (jnp.asarray(v if v.dtype == np.float32 else v.astype(np.int32)) for v in random_data(w))
    chunks = lambda v: v.reshape(-1, w["steps"], *v.shape[1:])
    xs, ys = chunks(x), chunks(y)

    def step(i):
        nonlocal params, moments, states
        params, moments, states, loss = train(params, moments, states, xs[i], ys[i])
        return float(loss)

    time_chunks(step)


main()
