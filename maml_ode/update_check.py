"""Which algorithm a training step is: MAML, FO-MAML, Reptile, joint training, up to a factor, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._aligned import aligned
from maml_ode._norms import vector_norm
from maml_ode._validation import (
    Array,
    as_array,
    as_point,
    check_callable,
    check_count,
    check_real,
    precision_of,
    real_array,
)
from maml_ode.tasks.base import TaskFamily
from maml_ode.update_candidates import Direction, candidates, variants

__all__ = ["UpdateReport", "identify_update"]

LARGEST_DISTANCE = 1e-6
"""Above it an update has no name."""

FURTHER_POINTS = 3
"""Where more than one name fits at w, they are told apart at so many points around it."""

ROUNDING = 100.0
"""A distance of so many units of rounding is none."""


@dataclass(frozen=True, eq=False)
class UpdateReport:
    """What `identify_update` found.

    Attributes
    ----------
    best : str or None
        "MAML", "FO-MAML", "Reptile" or "joint"; None where no distance is at most 1e-6, or where the
        update does not repeat itself.
    factor : float
        The least-squares c of the best name in update(w) - w = c (-step_size direction); where there is none,
        that of the nearest.
    rows : tuple of (str, float)
        Every name with the relative distance ``|D - c E|/|D|``, the nearest first; D = update(w) - w and
        E = -step_size direction.
    factors : dict of str to float
        c of every name.
    notes : tuple of str
        What follows from these numbers, in sentences.
    deterministic : bool
        Whether two calls at the same w gave the same.
    resolution : float
        The part of D that may be rounding: ``eps |w|/|D|``, eps of the type that the update returned.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> report = mo.identify_update(lambda w: w - 0.05 * F.gradient(w), tasks, 0.1, 0.05)
    >>> report.best, round(report.factor, 6)
    ('MAML', 1.0)
    """

    best: str | None
    factor: float
    rows: tuple[tuple[str, float], ...]
    factors: dict[str, float]
    notes: tuple[str, ...]
    deterministic: bool
    resolution: float

    def table(self) -> str:
        """Return distances and factors in aligned columns, with the sentences below."""
        rows = [(name, f"{off:.3g}", f"{self.factors[name]:.6g}") for name, off in self.rows]
        table = aligned(("update", "distance", "factor"), rows)
        head = "None of these fits." if self.best is None else f"The update is {self.best}."
        return "\n".join([table, "", " ".join([head, *self.notes])])

    def __str__(self) -> str:
        return self.table()


def identify_update(
    update: Callable[[Array], npt.ArrayLike],
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    step_size: float,
    *,
    w: npt.ArrayLike | None = None,
    query: TaskFamily | None = None,
    inner_steps: int = 1,
) -> UpdateReport:
    """Say which algorithm a training step is.

    The move D = update(w) - w is held against c (-step_size direction) for the directions

        MAML     grad F, with the derivative of the inner steps,
        FO-MAML  sum_i p_i grad g_i(u_i), without it,
        Reptile  sum_i p_i (w - u_i)/alpha, the sum of the inner gradients,
        joint    sum_i p_i grad f_i(w),

    each with its own least-squares factor c. With one inner step Reptile is joint training and is called so. Where
    more than one name fits at w, as in one dimension, all are held against moves from further points near w too.

    Parameters
    ----------
    update : callable
        ``update(w)``, w of shape (d,), returns the next w: one step of the loop in question, on all tasks. It is
        called on copies, twice at w at least.
    tasks : TaskFamily
        The losses f_i of the inner steps, with the weights p_i.
    alpha : float or array_like
        Inner step size that the loop is meant to have; an array as in `MAMLLoss`.
    step_size : float
        The outer one.
    w : array_like of shape (d,), optional
        Where to look; by default ``tasks.w0`` where the family has one, else a draw from N(0, I).
    query : TaskFamily, optional
        The losses g_i that judge the adapted points; f_i by default.
    inner_steps : int
        Number of inner steps.

    Returns
    -------
    UpdateReport

    Raises
    ------
    ValueError, TypeError
        For an update that is not callable or returns anything but d finite numbers, and for what `MAMLLoss`
        refuses.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([0.5, 0.5], [1.0, 0.3], [1.0, 2.0])
    >>> def step(w):  # the inner gradient is not differentiated, and the tasks are summed up
    ...     u = w - 0.1 * tasks.gradients(w)
    ...     return w - 0.05 * tasks.gradients(u).sum(axis=0)
    >>> report = mo.identify_update(step, tasks, alpha=0.1, step_size=0.05)
    >>> report.best, round(report.factor, 9)
    ('FO-MAML', 2.0)
    """
    check_callable("update", update, "update(w) -> the next w")
    beta = check_real("step_size", step_size, minimum=0.0, strict=True)
    steps = check_count("inner_steps", inner_steps)
    directions = candidates(tasks, alpha, steps, query)
    start = _default_point(tasks) if w is None else as_point("w", w, tasks.dim)
    look = _Look(update, beta)
    look.at(start)
    again = look.move(start)
    jitter = vector_norm(again - look.moves[0]) / max(vector_norm(look.moves[0]), 1e-300)
    steady = jitter <= LARGEST_DISTANCE
    fits = {name: look.fit(direction) for name, direction in directions.items()}
    if steady and len(_fitting(fits, steps, tasks.n_tasks)) > 1:
        look.around(start)
        fits = {name: look.fit(direction) for name, direction in directions.items()}
    names = _fitting(fits, steps, tasks.n_tasks) if steady else []
    rows = sorted(((name, fit.distance) for name, fit in fits.items()), key=lambda row: row[1])
    best = names[0] if names else None
    nearest = best or rows[0][0]
    notes = [] if again.tobytes() == look.moves[0].tobytes() else [_unsteady(jitter)]
    if not look.size:
        notes.append("It leaves w where it is.")
    elif steady:
        if best is not None:
            notes += _about_the_factor(best, fits[best].factor, tasks, beta, alpha)
            notes += _about_ties(names)
        wrong = variants(tasks, alpha, steps, query) if best is None else ()
        known = list(_about_variants(look, wrong))
        notes += known or _about_products(best, directions, fits, look)
        notes += _about_precision(look)
    return UpdateReport(
        best,
        fits[nearest].factor,
        tuple(rows),
        {name: fit.factor for name, fit in fits.items()},
        tuple(notes),
        again.tobytes() == look.moves[0].tobytes(),
        look.resolution,
    )


@dataclass(frozen=True)
class _Fit:
    """c and |D - c E|/|D|; ``step`` is c step_size."""

    factor: float
    distance: float
    step: float


class _Look:
    """The moves of an update from some points."""

    def __init__(self, update: Callable[[Array], npt.ArrayLike], step_size: float) -> None:
        self._update = update
        self.step_size = step_size
        self.points: list[Array] = []
        self.moves: list[Array] = []
        self._unit = 0.0  # of rounding in the moves

    def at(self, w: Array) -> None:
        """Look at one more point."""
        self.moves.append(self.move(w))
        self.points.append(w)

    def around(self, w: Array) -> None:
        """Look at further points near w."""
        rng = np.random.default_rng(1)
        spread = 0.1 * max(1.0, vector_norm(w) / np.sqrt(w.size))
        for _ in range(FURTHER_POINTS):
            self.at(w + spread * rng.standard_normal(w.size))

    def move(self, w: Array) -> Array:
        """Return update(w) - w."""
        value = self._update(w.copy())
        if value is None:
            raise TypeError(
                "update(w) returned None; let it return the next w, an array of shape "
                f"({w.size},), instead of changing w in place."
            )
        given = real_array("update(w)", value)
        self._unit = max(self._unit, precision_of(given) * vector_norm(w))
        return as_array("update(w)", given, w.shape) - w

    @property
    def size(self) -> float:
        """|D|."""
        return vector_norm(np.concatenate(self.moves))

    @property
    def resolution(self) -> float:
        """The part of D that may be rounding."""
        return self._unit / self.size if self.size else float("inf")

    def along(self, direction: Direction) -> Array:
        """Return -direction at all points."""
        return np.concatenate([-direction(w.copy()) for w in self.points])

    def fit(self, direction: Direction) -> _Fit:
        """Return how one direction fits all moves."""
        moved, wanted = np.concatenate(self.moves), self.along(direction)
        length, size = vector_norm(wanted), self.size
        unit = wanted / length if length else wanted
        reach = float(unit @ moved)
        distance = vector_norm(moved - reach * unit) / size if size else float("inf")
        step = reach / length if length else 0.0
        return _Fit(step / self.step_size, distance, step)


def _default_point(tasks: TaskFamily) -> Array:
    own = getattr(tasks, "w0", None)
    if own is not None:
        return as_point("tasks.w0", own, tasks.dim)
    return np.random.default_rng(0).standard_normal(tasks.dim)


def _fitting(fits: Mapping[str, _Fit], inner_steps: int, n_tasks: int) -> list[str]:
    """Return the names that fit, those with a factor that a slip explains first, then by its distance to 1."""
    names = [name for name, fit in fits.items() if fit.distance <= LARGEST_DISTANCE]
    if inner_steps == 1 and "Reptile" in names:
        names.remove("Reptile")
        names += [] if "joint" in names else ["joint"]

    def rank(name: str) -> tuple[bool, float]:
        c = abs(fits[name].factor)
        slips = (1.0, float(n_tasks), 1.0 / n_tasks)
        return not any(_is_near(c, slip) for slip in slips), round(abs(fits[name].factor - 1.0), 6)

    return sorted(names, key=rank)


def _is_near(c: float, value: float) -> bool:
    return abs(c - value) <= 1e-5 * abs(value)


def _unsteady(jitter: float) -> str:
    return (
        f"Two calls at the same w differ by {jitter:.2g} of the move: the update draws at random (data, tasks, "
        "dropout) or keeps a state (momentum, Adam); fix the seed inside it and start it afresh in every call."
    )


def _about_the_factor(
    name: str, c: float, tasks: TaskFamily, step_size: float, alpha: npt.ArrayLike
) -> Iterator[str]:
    M = tasks.n_tasks
    if c < 0.0:
        yield "The sign is wrong: it climbs; subtract the gradient instead of adding it."
        c = -c
    if _is_near(c, 1.0):
        return
    if _is_near(c, M) and not np.ptp(tasks.weights):
        yield f"The factor is M = {M}: a sum over the tasks stands where their mean belongs."
    elif _is_near(c, 1.0 / M) and not np.ptp(tasks.weights):
        yield f"The factor is 1/M = 1/{M}: the mean over the tasks is taken twice."
    elif _is_near(c, 1.0 / step_size):
        yield "The factor is 1/step_size: the step size is left out."
    elif (
        name in ("Reptile", "joint")
        and np.ndim(alpha) == 0
        and _is_near(c, float(np.asarray(alpha)))
    ):
        yield "The factor is alpha: it moves by step_size (u - w), which is not divided by alpha."
    else:
        yield f"The factor {c:.6g} is that of the step size {c * step_size:.6g}."


def _about_ties(names: list[str]) -> Iterator[str]:
    if len(names) > 1:
        yield f"On these tasks {', '.join(names[1:])} cannot be told from it."


def _about_products(
    best: str | None, directions: Mapping[str, Direction], fits: Mapping[str, _Fit], look: _Look
) -> Iterator[str]:
    """Say what became of the term that MAML adds to FO-MAML, alpha Hess f_i times the query gradient."""
    if "MAML" not in directions or best not in ("MAML", None):
        return
    maml, first = fits["MAML"], look.along(directions["FO-MAML"])
    added = look.along(directions["MAML"]) - first
    reach = abs(maml.step) * vector_norm(added)
    if reach <= LARGEST_DISTANCE * look.size:
        return
    share = maml.distance * look.size / reach
    if maml.distance > ROUNDING * look.resolution and share < 0.2:
        yield (
            f"It is MAML but for {maml.distance:.2g}, where an exact Hessian-vector product leaves rounding "
            f"({look.resolution:.2g}): products by finite differences leave so much, here {share:.2g} of the "
            "second-order term."
        )
    elif best is None:
        (a, b), *_ = np.linalg.lstsq(np.stack([first, added], 1), np.concatenate(look.moves))
        rest = np.concatenate(look.moves) - a * first - b * added
        if vector_norm(rest) <= LARGEST_DISTANCE * look.size and a and first.size > 2:
            yield f"It is FO-MAML with {b / a:.6g} times the second-order term of MAML."


def _about_variants(look: _Look, wrong: Iterable[tuple[str, Direction]]) -> Iterator[str]:
    for words, direction in wrong:
        fit = look.fit(direction)
        if fit.distance <= LARGEST_DISTANCE:
            factor = "" if _is_near(fit.factor, 1.0) else f", with the factor {fit.factor:.6g}"
            yield f"It is {words}{factor}."
            return


def _about_precision(look: _Look) -> Iterator[str]:
    if look.resolution > LARGEST_DISTANCE:
        yield (
            f"Rounding alone is {look.resolution:.2g} of the move: look at a smaller w or a larger step, or let "
            "the update compute in double precision."
        )
