"""The equations of `lstm_ae.models.kernel`'s docstring in numpy and float64, a step and a sequence at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@dataclass
class Weights:
    """W (4, hidden, inputs), U (4, hidden, hidden), b (4, hidden); the gates in the order i, f, g, o."""

    w: Array
    u: Array
    b: Array


def step(weights: Weights, x: Array, h: Array, c: Array) -> tuple[Array, Array, list[Array]]:
    """Returns h_t, c_t and the gates of one sequence."""
    sums = weights.w @ x + weights.u @ h + weights.b  # (4, hidden)
    i, f, o = (logistic(sums[gate]) for gate in (0, 1, 3))
    g = np.tanh(sums[2])
    c = f * c + i * g
    return o * np.tanh(c), c, [i, f, g, o]


def forward(weights: Weights, x: Array, h: Array, c: Array) -> tuple[Array, Array, list[tuple[Array, ...]]]:
    """Returns the states of all steps (time + 1, hidden) from the initial one on, the memories, and the gates."""
    states, memories, gates = [h], [c], []
    for values in x:
        h, c, four = step(weights, values, h, c)
        states.append(h)
        memories.append(c)
        gates.append(tuple(four))
    return np.array(states), np.array(memories), gates


def backward(
    weights: Weights, x: Array, h0: Array, c0: Array, gy: Array, dh: Array, dc: Array
) -> tuple[Array, Array, Array, Weights]:
    """Returns the gradients of x, h0, c0 and the weights for those of the states, last state and last memory."""
    states, memories, gates = forward(weights, x, h0, c0)
    dx = np.zeros_like(x)
    total = Weights(*(np.zeros_like(part) for part in (weights.w, weights.u, weights.b)))
    for t in reversed(range(len(x))):
        i, f, g, o = gates[t]
        bounded = np.tanh(memories[t + 1])
        dh = dh + gy[t]
        dc = dc + dh * o * (1 - bounded**2)
        sums = np.array(
            [dc * g * i * (1 - i), dc * memories[t] * f * (1 - f), dc * i * (1 - g**2), dh * bounded * o * (1 - o)]
        )
        dc = dc * f
        dh = np.einsum("gh,ghk->k", sums, weights.u)
        dx[t] = np.einsum("gh,ghk->k", sums, weights.w)
        total.w += sums[:, :, None] * x[t]
        total.u += sums[:, :, None] * states[t]
        total.b += sums
    return dx, dh, dc, total
