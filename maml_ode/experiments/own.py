"""Problems that others define: a function named "package.module:function", or an entry point of a package."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from maml_ode._validation import shown, unknown_name
from maml_ode.experiments.experiment import Experiment, RunConstants
from maml_ode.runs.functions import find_function
from maml_ode.tasks.base import TaskFamily

__all__ = ["GROUP", "OF_A_RUN", "build_own", "installed", "own_overrides"]

GROUP = "maml_ode.experiments"
"""The group of entry points ``name = "package.module:function"`` that `maml_ode.experiments.names` lists."""

EXAMPLE = "study:problem"
OF_A_RUN = tuple(field.name for field in fields(RunConstants))


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of installed packages, sorted by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def own_overrides(target: str) -> tuple[str, ...]:
    """Return the keyword arguments that the function takes beside a seed, and those of every run."""
    takes, _ = _arguments(find_function(target, EXAMPLE))
    return (*(name for name in takes if name not in ("seed", *OF_A_RUN)), *OF_A_RUN)


def build_own(name: str, target: str, seed: int, changes: dict[str, Any]) -> Experiment:
    """Return the experiment of the function ``target``, "package.module:function".

    The function is called with those of the changes that it takes, and with the seed if it takes one; the other
    changes, of the constants of a run, are made to what it returns: an `Experiment` or a pair (tasks, alpha).

    Raises
    ------
    ValueError
        If there is no such module or function.
    TypeError
        If it is no function, takes no such argument, or returns anything else.
    """
    function = find_function(target, EXAMPLE)
    takes, takes_all = _arguments(function)
    passed = {key: value for key, value in changes.items() if takes_all or key in takes}
    later = {key: value for key, value in changes.items() if key not in passed}
    for key in later:
        if key not in OF_A_RUN:
            known = (*(one for one in takes if one != "seed"), *OF_A_RUN)
            raise TypeError(unknown_name(f"override for {name!r}", key, dict.fromkeys(known)))
    seeded = takes_all or "seed" in takes
    problem = _experiment(target, function(**({"seed": seed} if seeded else {}), **passed))
    missing: dict[str, Any] = {}
    if problem.name == "own":
        missing["name"] = name
        if problem.title == "own":
            missing["title"] = name
    if seeded and problem.seed is None:
        missing["seed"] = seed
    return problem.changed(**missing, **later) if missing or later else problem


def _experiment(target: str, result: Any) -> Experiment:
    if isinstance(result, Experiment):
        return result
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], TaskFamily):
        return Experiment(*result)
    raise TypeError(
        f"{target} must return a maml_ode.Experiment, or a pair (tasks, alpha), not {shown(result)}."
    )


def _arguments(function: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    """Return the names of the keyword arguments of a function, and whether it takes any."""
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter
    names = tuple(
        one.name
        for one in parameters
        if one.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    )
    return names, any(one.kind is kinds.VAR_KEYWORD for one in parameters)
