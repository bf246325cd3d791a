"""Small networks as JAX losses; imported only where JAX is installed."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["ACTIVATION_FUNCTIONS", "mean_square_error"]

ACTIVATION_FUNCTIONS = {"tanh": jnp.tanh, "softplus": jax.nn.softplus, "relu": jax.nn.relu}


def _mean_square_error(activation: Any, layers: Any, samples: Any) -> Any:
    inputs, targets = samples
    values = inputs[:, None]
    for weights, biases in layers[:-1]:
        values = activation(values @ weights + biases)
    weights, biases = layers[-1]
    return jnp.mean(((values @ weights + biases)[:, 0] - targets) ** 2)


# One function object an activation, so that all families of one share what is compiled.
mean_square_error = {
    name: partial(_mean_square_error, function) for name, function in ACTIVATION_FUNCTIONS.items()
}
