"""What the constants of Assumptions 3.2 to 3.5 are, and how they are put together.

Families know nothing of theory: ``register`` attaches to a family class the function that finds its
constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np

from maml_ode._validation import Array, freeze, shown
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory.evaluation import norm, task_gradients
from maml_ode.theory.minimizer import expected_loss_minimizer
from maml_ode.theory.quantities import Quantity, Status, worst
from maml_ode.theory.regions import Ball, Interval, Region, Sublevel, enclosing_ball

__all__ = ["Constants", "Finder", "assemble", "deviation", "find_by_class", "register"]


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants of a task family: scalars that know their status, and their per-task values.

    Attributes
    ----------
    mu, L : Quantity
        Smallest and largest eigenvalue (with sign) of the Hess f_i over all tasks and points;
        E/W^2.
    kappa : Quantity
        Lipschitz constant of the Hess f_i; E/W^3. ``inf`` if a Hessian jumps.
    mu_f, L_f : Quantity
        The extremes for f = sum p_i f_i.
    sigma : Quantity
        sup over w of sd(w) = (sum p_i ||grad f_i - grad f||^2)^(1/2); E/W. ``inf`` if unbounded.
    sigma0, nu : Quantity
        sd(w) <= sigma0 + nu ||grad f(w)||, sigma0 = sd(argmin f); E/W and dimensionless. Always
        available if mu_f > 0: with nu = (L - mu)/(2 mu_f).
    mu_i, L_i, kappa_i : ndarray of shape (M,)
        Per task, with the status of mu, L, kappa.
    weights : ndarray of shape (M,)
    region : Ball, Interval, Sublevel or None
        Where they hold; None: everywhere.
    minimizer : ndarray of shape (d,) or None
        argmin f, if it was needed and found.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> constants = mo.theory.constants(tasks)
    >>> constants.L.value, constants.mu.value, constants.L.status.value
    (3.0, 1.0, 'exact')
    """

    mu: Quantity
    L: Quantity
    kappa: Quantity
    mu_f: Quantity
    L_f: Quantity
    sigma: Quantity
    sigma0: Quantity
    nu: Quantity
    mu_i: Array
    L_i: Array
    kappa_i: Array
    weights: Array
    region: Region | None = None
    minimizer: Array | None = None

    @property
    def status(self) -> Status:
        """The worst status of all."""
        return worst(*(quantity for _, quantity in self.items()))

    def items(self) -> Iterator[tuple[str, Quantity]]:
        """Yield the scalar constants by name."""
        for name in ("mu", "L", "kappa", "mu_f", "L_f", "sigma", "sigma0", "nu"):
            yield name, getattr(self, name)

    def to_markdown(self) -> str:
        """Return a table of the constants; E is the unit of the losses and W that of w."""
        rows = ["| constant | value | units | status | note |", "|---|---|---|---|---|"]
        rows += [
            f"| {k} | {float(q):.6g} | {_UNITS[k]} | {q.status.value} | {q.note} |"
            for k, q in self.items()
        ]
        return "\n".join(rows)

    def __str__(self) -> str:
        return "\n".join(
            f"{k:7s} {float(q):12.6g}  {q.status.value:9s} {q.note}" for k, q in self.items()
        )


_UNITS = {
    "mu": "E/W^2",
    "L": "E/W^2",
    "kappa": "E/W^3",
    "mu_f": "E/W^2",
    "L_f": "E/W^2",
    "sigma": "E/W",
    "sigma0": "E/W",
    "nu": "1",
}

Finder = Callable[[Any, Region | None], Constants]


@singledispatch
def find_by_class(tasks: object, region: Region | None) -> Constants:
    """Return the constants of a family by the function registered for its class."""
    raise TypeError(f"tasks must be a task family, not {type(tasks).__name__}.")


def register(family: type[Any]) -> Callable[[Finder], Finder]:
    """Decorate the function (tasks, region) -> Constants of a family class."""

    def decorate(function: Finder) -> Finder:
        find_by_class.register(family, function)
        return function

    return decorate


def checked_constants(given: Constants, tasks: TaskFamily | None = None) -> Constants:
    """Return ``given`` if it is what `maml_ode.theory.constants` returns, for ``tasks`` where they are known.

    Raises
    ------
    TypeError
        If it is anything else.
    ValueError
        If its weights are not those of ``tasks``: it belongs to another family.
    """
    if not isinstance(given, Constants):
        raise TypeError(
            "constants must come from maml_ode.theory.constants(tasks, region), not be "
            f"{shown(given)}."
        )
    if tasks is not None and not np.array_equal(given.weights, tasks.weights):
        raise ValueError(
            "constants belong to a family of other tasks or weights; pass maml_ode.theory.constants(tasks, "
            "region) of these tasks."
        )
    return given


def assemble(
    tasks: TaskFamily,
    region: Region | None,
    *,
    mu_i: Array,
    L_i: Array,
    kappa_i: Array,
    status: dict[str, Status],
    notes: dict[str, str],
    mu_f: float | None = None,
    L_f: float | None = None,
    sigma: float = math.inf,
    sigma0: float | None = None,
    nu: float | None = None,
    minimizer: Array | None = None,
) -> Constants:
    """Build `Constants` from per-task values; fill in what follows from the rest.

    mu_f and L_f default to sum p_i mu_i and sum p_i L_i; sigma0 to sd at the minimiser of f, if that
    lies in the region, enlarged by what its error can hide, (L - mu)/2 ||grad f||/mu_f; nu to
    (L - mu)/(2 mu_f); and sigma is reduced to what it can be on the region. ``status`` gives the
    status of each constant; missing ones are bounds.
    """
    p = tasks.weights
    notes = {**notes, **_whose(tasks, notes, mu=-mu_i, L=L_i, kappa=kappa_i)}
    low, high = float(mu_i.min()), float(L_i.max())
    if region is not None and float(kappa_i.max()) > 0:
        # Extremes over all of R^d, which a region need not contain.
        local = dict.fromkeys(("mu", "L", "kappa", "mu_f", "L_f", "sigma"), Status.BOUND)
        status = {name: worst(one, local.get(name, one)) for name, one in status.items()}

    def tag(name: str, value: float, default: Status = Status.BOUND) -> Quantity:
        return Quantity(value, status.get(name, default), notes.get(name, ""))

    if float(p.max()) == 1.0:  # a single task deviates from nothing
        sigma = sigma0 = nu = 0.0
        single = dict.fromkeys(("sigma", "sigma0", "nu"), Status.EXACT)
        status, notes = {**status, **single}, {**notes, "sigma": "a single task"}

    inputs = worst(status.get("mu", Status.BOUND), status.get("L", Status.BOUND))
    default = Status.ESTIMATE if inputs is Status.ESTIMATE else Status.BOUND
    mean_low = float(p @ mu_i) if mu_f is None else mu_f
    mean_high = float(p @ L_i) if L_f is None else L_f
    if mean_low > 0 and minimizer is None:
        ball = None
        if isinstance(region, (Ball, Interval)):
            ball = enclosing_ball(region, None, math.nan)
        minimizer = expected_loss_minimizer(tasks, None if ball is None else ball.center)
        # on the way to a minimiser elsewhere the constants of the region need not hold
        if minimizer is not None and ball is not None and not ball.contains(minimizer):
            minimizer = None
    if sigma0 is None:
        sigma0 = math.inf
        if minimizer is not None and mean_low > 0:
            gradients = task_gradients(tasks, minimizer)
            gradient = norm(p @ gradients)
            slack = 0.5 * (high - low) * gradient / mean_low
            sigma0 = deviation(gradients, p) + slack
            notes = {"sigma0": "sd at argmin f", **notes}
    if nu is None:
        nu = 0.5 * (high - low) / mean_low if mean_low > 0 else math.inf
        notes = {"nu": "(L - mu)/(2 mu_f)", **notes}
    result = Constants(
        mu=tag("mu", low),
        L=tag("L", high),
        kappa=tag("kappa", float(kappa_i.max())),
        mu_f=tag("mu_f", mean_low, default),
        L_f=tag("L_f", mean_high, default),
        sigma=tag("sigma", sigma, default),
        sigma0=tag("sigma0", sigma0, default),
        nu=tag("nu", nu, default),
        mu_i=freeze(np.array(mu_i)),
        L_i=freeze(np.array(L_i)),
        kappa_i=freeze(np.array(kappa_i)),
        weights=p,
        region=region,
        minimizer=minimizer,
    )
    return _restrict_sigma(tasks, result)


def _whose(tasks: TaskFamily, notes: dict[str, str], **values: Array) -> dict[str, str]:
    """Return the notes with the name of the task that the largest value belongs to, if tasks have names."""
    if tasks.names is None or tasks.n_tasks == 1:
        return {}
    largest = {name: (int(one.argmax()), float(np.ptp(one))) for name, one in values.items()}
    return {
        name: "; ".join(filter(None, [notes.get(name), f"of task {tasks.name_of(i)}"]))
        for name, (i, spread) in largest.items()
        if spread > 0  # else it belongs to all
    }


def deviation(gradients: Array, weights: Array) -> float:
    """Return sd = (sum p_i ||g_i - g||^2)^(1/2) of the rows of ``gradients``."""
    with np.errstate(all="ignore"):  # gradients at a point of our own may not be finite
        centred = gradients - weights @ gradients
        return float(np.sqrt(weights @ np.einsum("md,md->m", centred, centred)))


def _restrict_sigma(tasks: TaskFamily, k: Constants) -> Constants:
    """Use sd(w) <= sd(z) + (L - mu)/2 ||w - z||, and sd <= sigma0 + nu sqrt(2 L_f c) on V(c)."""
    if k.region is None or k.sigma.status is Status.ESTIMATE:
        return k
    if isinstance(k.region, Sublevel):
        local = k.sigma0 + k.nu * math.sqrt(2.0 * k.L_f * k.region.level)
        source = worst(k.sigma0, k.nu, k.L_f, Status.BOUND)
        note = "sigma0 + nu sqrt(2 L_f c) on V(c)"
    else:
        ball = enclosing_ball(k.region, k.minimizer, k.mu_f)
        centre = deviation(task_gradients(tasks, ball.center), tasks.weights)
        local = centre + 0.5 * (k.L - k.mu) * ball.radius
        source = worst(k.L, k.mu, Status.BOUND)
        note = "sd at the centre + (L - mu)/2 radius"
    if not local < k.sigma:
        return k
    return replace(k, sigma=Quantity(local, source, note))
