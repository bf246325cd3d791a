"""Few-shot regression on sine waves with a small network; the problem of MAML's first experiment.

After Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks" (ICML 2017,
arXiv:1703.03400), section 5.1: a task is y = a sin(x - phase), a uniform on [0.1, 5], the phase on [0, pi], x on
[-5, 5]; ten samples to adapt on, the mean squared error, a network of two hidden layers of 40 units (d = 1761).

Ours:

- tanh in the place of ReLU: a flow needs a continuous field, and with ReLU grad F jumps wherever a unit
  switches (``activation="relu"`` is that reading; its smoothness is declared as continuous only).
- A fixed family of 100 tasks, each with its own 10 + 10 samples, in the place of tasks without end: F is then one
  function, of which the algorithms that draw 25 tasks a step are unbiased samples. Tasks that were not trained on
  come from another seed.
- Weights N(0, 1/fan-in), biases 0; alpha = 0.02 and gradient descent with beta = 0.05 in the place of Adam,
  which is no Euler method on a gradient flow.
- eps0 = 0.3, which the iterates of BI-MAML reach after some 100 steps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from maml_ode._validation import Array, check_choice, check_count
from maml_ode.experiments.experiment import (
    Experiment,
    Outline,
    RunConstants,
    make_experiment,
)
from maml_ode.tasks.base import Smoothness

__all__ = ["OUTLINE", "build"]

N_TASKS, SHOTS, HIDDEN = 100, 10, 40
AMPLITUDES, PHASES, INPUTS = (0.1, 5.0), (0.0, np.pi), (-5.0, 5.0)
SWITCH_TOL = 0.3

RUN = RunConstants(alpha=0.02, beta=0.05, n_steps=1000)
ACTIVATIONS = {
    "tanh": Smoothness.SMOOTH,
    "softplus": Smoothness.SMOOTH,
    "relu": Smoothness.CONTINUOUS,
}
OUTLINE = Outline(
    name="sinusoid_regression",
    title="Sine waves, few samples, a network of two hidden layers",
    n_tasks=N_TASKS,
    dim=HIDDEN**2 + 4 * HIDDEN + 1,
    n_samples=(SHOTS, SHOTS),
    switch_tol=f"{SWITCH_TOL:g}",
    reading="tanh",
    run=RUN,
    needs="JAX, pip install 'maml_ode[jax]'.",
)


def build(
    seed: int,
    run: RunConstants = RUN,
    *,
    n_tasks: int = N_TASKS,
    shots: int = SHOTS,
    query_shots: int = SHOTS,
    hidden: int = HIDDEN,
    activation: str = "tanh",
    inner_steps: int = 1,
) -> Experiment:
    """Return the experiment ``sinusoid_regression``; see the module for what is Finn's and what is ours.

    Parameters
    ----------
    seed : int
        Draws the tasks with their samples, and w0.
    run : RunConstants
        ``switch_tol`` is 0.3 by default, and w0 is drawn.
    n_tasks : int
    shots, query_shots : int
        Samples of a task to adapt on, and to be judged by (``Experiment.query``).
    hidden : int
        Units of each of the two hidden layers; d = hidden^2 + 4 hidden + 1.
    activation : {"tanh", "softplus", "relu"}
    inner_steps : int

    Raises
    ------
    ImportError
        If JAX is not installed.
    """
    n_tasks = check_count("n_tasks", n_tasks)
    shots = check_count("shots", shots)
    query_shots = check_count("query_shots", query_shots)
    width = check_count("hidden", hidden)
    smoothness = ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
    support, query, layers = _draw(seed, n_tasks, shots, query_shots, width)
    try:
        from maml_ode.experiments.networks import mean_square_error
    except ImportError:
        raise ImportError(
            "sinusoid_regression needs JAX; install it with pip install 'maml_ode[jax]'."
        ) from None
    from maml_ode.tasks.adapters.jax import from_jax

    loss = mean_square_error[activation]
    tasks = from_jax(loss, layers, support, smoothness=smoothness)
    judged = from_jax(loss, layers, query, smoothness=smoothness)
    return make_experiment(
        run,
        name=OUTLINE.name,
        title=OUTLINE.title,
        tasks=tasks,
        query=judged,
        inner_steps=inner_steps,
        drawn=np.array(tasks.w0),
        switch_tol=SWITCH_TOL,
        seed=seed,
        options={
            "shots": shots,
            "query_shots": query_shots,
            "hidden": width,
            "activation": activation,
        },
        paper=(),
        ours=(
            "after Finn, Abbeel and Levine (ICML 2017, section 5.1): y = a sin(x - phase), a in [0.1, 5], the "
            "phase in [0, pi], x in [-5, 5], the mean squared error.",
            "tanh in the place of ReLU, since a flow needs a continuous field.",
            "a fixed family of tasks with query samples of their own; unseen tasks come from another seed.",
            "weights are N(0, 1/fan-in), biases 0; alpha = 0.02; gradient descent with beta = 0.05 in the place "
            "of Adam.",
            "eps0 = 0.3, which the iterates of BI-MAML reach after some 100 steps.",
        ),
    )


Samples = tuple[Array, Array]


def _draw(
    seed: int, n_tasks: int, shots: int, query_shots: int, hidden: int
) -> tuple[Samples, Samples, list[Any]]:
    """Return support and query samples (x, y), each of shape (M, n), and the layers (weights, biases)."""
    tasks_seed, start_seed = np.random.SeedSequence(seed).spawn(2)
    rng = np.random.default_rng(tasks_seed)
    amplitudes = rng.uniform(*AMPLITUDES, (n_tasks, 1))
    phases = rng.uniform(*PHASES, (n_tasks, 1))
    x = rng.uniform(*INPUTS, (n_tasks, shots + query_shots))
    y = amplitudes * np.sin(x - phases)
    start = np.random.default_rng(start_seed)
    sizes = (1, hidden, hidden, 1)
    layers = [
        (start.standard_normal((into, out)) / np.sqrt(into), np.zeros(out))
        for into, out in pairwise(sizes)
    ]
    return (x[:, :shots], y[:, :shots]), (x[:, shots:], y[:, shots:]), layers
