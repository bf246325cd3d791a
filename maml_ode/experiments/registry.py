"""Find an experiment by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import maml_ode.experiments.diabetes as diabetes
import maml_ode.experiments.figure1 as figure1
import maml_ode.experiments.linear_regression as linear_regression
import maml_ode.experiments.svm as svm
import maml_ode.experiments.svm_digits as svm_digits
import maml_ode.experiments.svm_mnist as svm_mnist
from maml_ode._validation import check_choice, unknown_name
from maml_ode.experiments.experiment import Experiment, Outline, RunConstants
from maml_ode.experiments.splitmix64 import check_seed

__all__ = ["load", "names", "outlines", "overrides"]

# What is known of an experiment beforehand, and the function that builds it.
_BUILDERS: dict[str, tuple[Callable[..., Experiment], Outline]] = {
    module.OUTLINE.name: (module.build, module.OUTLINE)
    for module in (figure1, linear_regression, diabetes, svm, svm_digits, svm_mnist)
}
_OF_A_RUN = tuple(field.name for field in fields(RunConstants))


def names() -> tuple[str, ...]:
    """Return the names that `load` knows, in the order of the paper's figures."""
    return tuple(_BUILDERS)


def outlines() -> tuple[Outline, ...]:
    """Return what is known of every experiment without its data, in the order of `names`."""
    return tuple(outline for _, outline in _BUILDERS.values())


def overrides(name: str) -> tuple[str, ...]:
    """Return the keyword arguments that ``load(name, ...)`` takes beside the seed."""
    build, _ = _BUILDERS[check_choice("experiment", name, _BUILDERS)]
    own = [key for key in inspect.signature(build).parameters if key not in ("seed", "run")]
    return (*own, *_OF_A_RUN)


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
    build, outline = _BUILDERS[name]
    run = replace(outline.run, **{key: changes[key] for key in changes if key in _OF_A_RUN})
    own = {key: value for key, value in changes.items() if key not in _OF_A_RUN}
    experiment = build(check_seed(seed), run, **own)
    if not changes:
        return experiment
    note = f"Ours: given by the caller of load: {', '.join(sorted(changes))}."
    return replace(experiment, notes=(*experiment.notes, note))
