"""Find an experiment by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import maml_ode.experiments.diabetes as diabetes
import maml_ode.experiments.figure1 as figure1
import maml_ode.experiments.linear_regression as linear_regression
import maml_ode.experiments.sinusoid_regression as sinusoid_regression
import maml_ode.experiments.svm as svm
import maml_ode.experiments.svm_digits as svm_digits
import maml_ode.experiments.svm_mnist as svm_mnist
from maml_ode._validation import check_choice, unknown_name
from maml_ode.experiments.experiment import Experiment, Outline
from maml_ode.experiments.own import OF_A_RUN, build_own, installed, own_overrides
from maml_ode.experiments.splitmix64 import check_seed

__all__ = ["load", "names", "outlines", "overrides"]

# What is known of an experiment beforehand, and the function that builds it.
_BUILDERS: dict[str, tuple[Callable[..., Experiment], Outline]] = {
    module.OUTLINE.name: (module.build, module.OUTLINE)
    for module in (
        figure1,
        linear_regression,
        diabetes,
        svm,
        svm_digits,
        svm_mnist,
        sinusoid_regression,
    )
}


def names() -> tuple[str, ...]:
    """Return the names that `load` knows: the paper's in the order of its figures, ours, those of other packages.

    A package adds names by entry points of the group ``maml_ode.experiments``, each a function as `load` takes it.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import maml_ode as mo
    >>> mo.experiments.names()[:3]
    ('figure1', 'linear_regression', 'diabetes')
    """
    return (*_BUILDERS, *(name for name in installed() if name not in _BUILDERS))


def outlines() -> tuple[Outline, ...]:
    """Return what is known of this package's experiments without their data, in the order of `names`."""
    return tuple(outline for _, outline in _BUILDERS.values())


def overrides(name: str) -> tuple[str, ...]:
    """Return the keyword arguments that ``load(name, ...)`` takes beside the seed.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> import maml_ode as mo
    >>> "alpha" in mo.experiments.overrides("diabetes")
    True
    """
    target = _target(name)
    if target is not None:
        return own_overrides(target)
    build, _ = _BUILDERS[name]
    own = [key for key in inspect.signature(build).parameters if key not in ("seed", "run")]
    return (*own, *OF_A_RUN)


def _target(name: str) -> str | None:
    """Return the "package.module:function" that a name stands for; None for one of this package."""
    if isinstance(name, str) and ":" in name:
        return name
    others = installed()
    if check_choice("experiment", name, dict.fromkeys([*_BUILDERS, *others])) in _BUILDERS:
        return None
    return others[name].value.partition("[")[0].strip()


def load(name: str, seed: int = 0, **changes: Any) -> Experiment:
    """Return an experiment: one of this package, one of another, or one of the caller's own.

    ======================= ====================================================================
    experiment              overrides beside alpha, beta, switch_tol, n_steps, w0 and rule
    ======================= ====================================================================
    ``figure1``             none
    ``linear_regression``   ``generator`` ("numpy" or "splitmix64"), ``reduction``
    ``diabetes``            ``reduction``
    ``svm``                 ``loss``, ``smoothing``, ``reduction``
    ``svm_digits``          ``loss``, ``smoothing``, ``reduction``, ``jitter``
    ``svm_mnist``           ``loss``, ``smoothing``, ``reduction``; ``path`` or
                            ``source="openml"`` says where the data are
    ``sinusoid_regression`` ``n_tasks``, ``shots``, ``query_shots``, ``hidden``, ``activation``,
                            ``inner_steps``; needs the extra ``jax``
    ======================= ====================================================================

    A name with a colon, ``"package.module:function"``, is that of a function of the caller's, which is called
    with ``seed=seed``, if it takes a seed, and with the overrides, and returns an `Experiment` or a pair
    (tasks, alpha). The working directory is on the path. Overrides of alpha, beta, switch_tol, n_steps, w0 and
    rule that the function does not take are made to what it returns.

    Parameters
    ----------
    name : str
        One of `names`, or "package.module:function".
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
        For an unknown name, module or function (the nearest one is suggested) or an unsuitable value.
    ImportError
        If an experiment needs a package that is not installed.
    TypeError
        For an override that this experiment does not have (the nearest one is suggested), or a function that
        returns no experiment. What a function of the caller's raises is passed on.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes", w0="zero")
    >>> problem.alpha, problem.beta, problem.switch_tol, problem.tasks.n_samples
    (0.5, 0.1, 80.0, (125, 110, 77, 130))
    """
    target = _target(name)
    if target is not None:
        return build_own(name, target, check_seed(seed), changes)
    known = overrides(name)
    for key in changes:
        if key not in known:
            raise TypeError(unknown_name(f"override for {name!r}", key, known))
    build, outline = _BUILDERS[name]
    run = replace(outline.run, **{key: changes[key] for key in changes if key in OF_A_RUN})
    own = {key: value for key, value in changes.items() if key not in OF_A_RUN}
    experiment = build(check_seed(seed), run, **own)
    if not changes:
        return experiment
    note = f"Ours: given by the caller of load: {', '.join(sorted(changes))}."
    return experiment.changed(notes=(*experiment.notes, note))
