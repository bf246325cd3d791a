"""Find an experiment by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from maml_ode._validation import check_choice, unknown_name
from maml_ode.experiments import (
    diabetes,
    figure1,
    linear_regression,
    svm,
    svm_digits,
    svm_mnist,
)
from maml_ode.experiments.experiment import Experiment
from maml_ode.experiments.splitmix64 import check_seed

__all__ = ["load", "names", "overrides"]

_BUILDERS: dict[str, Callable[..., Experiment]] = {
    "figure1": figure1.build,
    "linear_regression": linear_regression.build,
    "diabetes": diabetes.build,
    "svm": svm.build,
    "svm_digits": svm_digits.build,
    "svm_mnist": svm_mnist.build,
}


def names() -> tuple[str, ...]:
    """Return the names that `load` knows, in the order of the paper's figures."""
    return tuple(_BUILDERS)


def overrides(name: str) -> tuple[str, ...]:
    """Return the keyword arguments that ``load(name, ...)`` takes beside the seed."""
    builder = _BUILDERS[check_choice("experiment", name, _BUILDERS)]
    return tuple(key for key in inspect.signature(builder).parameters if key != "seed")


def load(name: str, seed: int = 0, **changes: Any) -> Experiment:
    """Return one of the paper's experiments, or a variation of it.

    ===================== ======================================================================
    experiment            overrides beside alpha, beta, switch_tol, n_steps, w0 and rule
    ===================== ======================================================================
    ``figure1``           none
    ``linear_regression`` ``generator`` ("numpy" or "splitmix64"), ``reduction``
    ``diabetes``          ``reduction``
    ``svm``               ``loss``, ``smoothing``, ``reduction``
    ``svm_digits``        ``loss``, ``smoothing``, ``reduction``, ``jitter``
    ``svm_mnist``         ``loss``, ``smoothing``, ``reduction``; ``path`` or ``source="openml"``
                          says where the data are
    ===================== ======================================================================

    Parameters
    ----------
    name : str
        One of `names`.
    seed : int
        What data, where synthetic, and w0 are drawn from; less than 2^64.
    **changes
        See the table, and the function ``build`` of the experiment's module.

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError
        For an unknown name (the nearest one is suggested) or an unsuitable value.
    TypeError
        For an override that this experiment does not have (the nearest one is suggested).

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes", w0="zero")
    >>> problem.alpha, problem.beta, problem.switch_tol, problem.tasks.n_samples
    (0.5, 0.1, 80.0, (125, 110, 77, 130))
    """
    known = overrides(name)
    for key in changes:
        if key not in known:
            raise TypeError(unknown_name(f"override for {name!r}", key, known))
    experiment = _BUILDERS[name](check_seed(seed), **changes)
    if not changes:
        return experiment
    note = f"Ours: given by the caller of load: {', '.join(sorted(changes))}."
    return replace(experiment, notes=(*experiment.notes, note))
