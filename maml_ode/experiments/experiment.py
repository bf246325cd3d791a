"""What every experiment is: a task family, a starting point and the constants of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import (
    Array,
    as_point,
    as_seed,
    as_sequence,
    check_choice,
    check_count,
    check_real,
    check_text,
    freeze,
)
from maml_ode.experiments.defaults import default_step_size, default_switch_tol, gradient_norm
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.step_sizes import written
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.tasks.linear_model import REDUCTIONS

if TYPE_CHECKING:
    from maml_ode.flows import Flow

__all__ = [
    "Experiment",
    "Outline",
    "RunConstants",
    "check_units",
    "gradient_norm",
    "make_experiment",
]

SOURCE = "Xu, Chen and Karbasi, Meta Learning in the Continuous Time Limit, AISTATS 2021"
RULES = ("one_way", "as_printed", "retest")

_FROM_PAPER = "Paper: "
_OURS = "Ours: "
# Constants that may be left open, and what finds them with a remark.
_LEFT_OPEN = {"beta": default_step_size, "switch_tol": default_switch_tol}


@dataclass(frozen=True, eq=False, repr=False)
class Experiment:
    """A problem to run: a task family, a starting point, and the constants of its run.

    Parameters
    ----------
    tasks : TaskFamily
        The losses f_i.
    alpha : float
        Inner step size.
    query : TaskFamily, optional
        The losses g_i that judge the adapted points; f_i by default.
    inner_steps : int
        Number of inner steps.
    name, title : str
        The name that ``load`` takes, and a heading for figures and tables; by default the name.
    w0 : array_like of shape (d,), optional
        Starting point, kept read-only; by default ``tasks.w0`` where the family has one, else 0.
    beta : float, optional
        Euler's step size: k iterations correspond to the time t = k beta. By default half of
        `maml_ode.theory.step_size_limit` at w0, found when it is first asked for.
    switch_tol : float, optional
        eps0: BI-MAML leaves -grad f when ||grad f|| <= eps0. By default that of
        `maml_ode.theory.switch_advice`, or 0.1 ||grad f(w0)|| where there is no advice, found when it is first
        asked for. What was chosen is said in ``notes``.
    n_steps : int
        Number N of iterations.
    rule : {"one_way", "as_printed", "retest"}
        How BI-MAML chooses its phase (`maml_ode.flows.SwitchRule`).
    notes : sequence of str
        One sentence each, beginning with "Paper: " for what the paper states and with "Ours: " for what it leaves
        out and we chose.
    seed : int, optional
        What the random parts were drawn from.
    panels : sequence of str
        The panels of the paper's figures that show this problem.
    quoted_saving : float, optional
        The decrease in computation time that the paper quotes for BI-MAML, as a fraction.
    options : mapping, optional
        The reading in force: reduction, loss, generator and the like.

    Raises
    ------
    ValueError, TypeError
        For constants out of range, or a w0 of the wrong shape.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> problem = mo.Experiment(tasks, alpha=0.1)
    >>> problem
    Experiment('own', Quadratic(n_tasks=2, dim=1), alpha=0.1)
    >>> problem.w0, round(problem.beta, 6), round(problem.switch_tol, 6)
    (array([0.]), 0.877193, 0.40785)
    """

    tasks: TaskFamily
    alpha: Any
    query: TaskFamily | None
    inner_steps: int
    name: str
    title: str
    w0: Array
    beta: float
    switch_tol: float
    n_steps: int
    rule: str
    notes: tuple[str, ...]
    seed: int | None
    panels: tuple[str, ...]
    quoted_saving: float | None
    options: Mapping[str, Any]

    def __init__(
        self,
        tasks: TaskFamily,
        alpha: npt.ArrayLike,
        *,
        query: TaskFamily | None = None,
        inner_steps: int = 1,
        name: str = "own",
        title: str | None = None,
        w0: npt.ArrayLike | None = None,
        beta: float | None = None,
        switch_tol: float | None = None,
        n_steps: int = 50,
        rule: str = "one_way",
        notes: Iterable[str] = (),
        seed: int | None = None,
        panels: Iterable[str] = (),
        quoted_saving: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        checked_family(tasks)
        start = getattr(tasks, "w0", None) if w0 is None else w0
        point = np.zeros(tasks.dim) if start is None else as_point("w0", start, tasks.dim)
        label = check_text("name", name)
        inner = InnerSteps.checked(tasks, alpha, inner_steps, query)
        known: dict[str, Any] = {
            "tasks": tasks,
            "alpha": inner.alpha,
            "query": query,
            "inner_steps": inner.count,
            "name": label,
            "title": label if title is None else check_text("title", title),
            "w0": freeze(point),
            "beta": None if beta is None else check_real("beta", beta, minimum=0.0, strict=True),
            "switch_tol": None
            if switch_tol is None
            else check_real("switch_tol", switch_tol, minimum=0.0),
            "n_steps": check_count("n_steps", n_steps),
            "rule": check_choice("rule", rule, RULES),
            "notes": _texts("notes", notes),
            "seed": None if seed is None else as_seed("seed", seed),
            "panels": _texts("panels", panels),
            "quoted_saving": None
            if quoted_saving is None
            else check_real("quoted_saving", quoted_saving),
            "options": {} if options is None else dict(options),
        }
        missing = {name for name in _LEFT_OPEN if known[name] is None}
        for key, value in {**known, "_given": known, "_remarks": {}}.items():
            if key not in missing and not (key == "notes" and missing):
                object.__setattr__(self, key, value)

    def __getattr__(self, key: str) -> Any:
        """Find what was left open, once, and what is to be said about it."""
        given = self.__dict__.get("_given")
        if given is None or key not in (*_LEFT_OPEN, "notes"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}")
        if key == "notes":
            open_ones = [name for name in _LEFT_OPEN if given[name] is None]
            for name in open_ones:
                getattr(self, name)
            value: Any = (*given["notes"], *(_OURS + self._remarks[name] for name in open_ones))
        else:
            value, self._remarks[key] = _LEFT_OPEN[key](
                self.tasks, self.alpha, self.w0, query=self.query, inner_steps=self.inner_steps
            )
        object.__setattr__(self, key, value)
        return value

    def changed(self, **changes: Any) -> Experiment:
        """Return the same problem with other constants; what was left open is found anew."""
        return Experiment(**{**self._given, **changes})

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, {self.tasks!r}, alpha={written(self.alpha)})"

    def _repr_html_(self) -> str:
        from maml_ode.experiments.shown import experiment_table

        return experiment_table(self)

    @property
    def ours(self) -> tuple[str, ...]:
        """What the paper leaves out and we chose, one sentence each."""
        return tuple(note.removeprefix(_OURS) for note in self.notes if note.startswith(_OURS))

    def maml_flow(self) -> Flow:
        """Return w' = -grad F(w), whose Euler iterates with step beta are MAML."""
        from maml_ode.flows import maml_flow

        return maml_flow(self.tasks, self.alpha, **self._judged)

    def bimaml_flow(self) -> Flow:
        """Return the two-phase flow whose Euler iterates with step beta are BI-MAML."""
        from maml_ode.flows import bimaml_flow

        return bimaml_flow(self.tasks, self.alpha, self.switch_tol, rule=self.rule, **self._judged)

    def fomaml_flow(self) -> Flow:
        """Return the first-order flow, whose Euler iterates with step beta are FO-MAML."""
        from maml_ode.flows import fomaml_flow

        return fomaml_flow(self.tasks, self.alpha, **self._judged)

    def reptile_flow(self) -> Flow:
        """Return Reptile's flow, judged by F; it moves by the inner steps, and sees no query losses."""
        from maml_ode.flows import Flow, Phase
        from maml_ode.flows.inner_step_fields import ReptileField
        from maml_ode.objectives import MAMLLoss

        field = ReptileField(self.tasks, self.alpha, self.inner_steps)
        objective = MAMLLoss(self.tasks, self.alpha, **self._judged)
        return Flow([Phase(field)], objective, name="Reptile")

    @property
    def _judged(self) -> dict[str, Any]:
        return {"inner_steps": self.inner_steps, "query": self.query}

    def constants(self) -> dict[str, Any]:
        """Return every constant of the run in JSON's types."""
        judged: dict[str, Any] = {} if self.inner_steps == 1 else {"inner_steps": self.inner_steps}
        if self.query is not None:
            judged["query"] = repr(self.query)
        return {
            "experiment": self.name,
            "title": self.title,
            "source": SOURCE if any(one.startswith(_FROM_PAPER) for one in self.notes) else None,
            "panels": list(self.panels),
            "seed": self.seed,
            "n_tasks": self.tasks.n_tasks,
            "dim": self.tasks.dim,
            "n_samples": [int(n) for n in getattr(self.tasks, "n_samples", ())],
            "weights": self.tasks.weights.tolist(),
            "task_names": _plain_names(self.tasks.names),
            "feature_names": _plain_names(getattr(self.tasks, "feature_names", None)),
            "alpha": np.asarray(self.alpha).tolist(),
            "beta": self.beta,
            "switch_tol": self.switch_tol,
            "n_steps": self.n_steps,
            "rule": self.rule,
            "quoted_saving": self.quoted_saving,
            "options": dict(self.options),
            "notes": list(self.notes),
            **judged,
        }


@dataclass(frozen=True)
class RunConstants:
    """The constants of a run, which a caller of `load` may override in every experiment.

    Parameters
    ----------
    alpha, beta, n_steps, rule
        As in `Experiment`.
    switch_tol : float, optional
        As in `Experiment`; by default what the experiment's module says.
    w0 : array_like of shape (d,) or "zero", optional
        By default what the experiment's module says.
    """

    alpha: Any
    beta: Any
    switch_tol: Any = None
    n_steps: Any = 50
    w0: Any = None
    rule: Any = "one_way"


@dataclass(frozen=True)
class Outline:
    """What is known of an experiment before its data are drawn or read.

    Attributes
    ----------
    name, title : str
        As in `Experiment`.
    n_tasks, dim : int
        M and d.
    n_samples : tuple of int
        The smallest and the largest n_i; empty for tasks that are no samples.
    switch_tol : str
        eps0: a number, or a multiple of g0 = ||grad f(w0)||, which only the data tell.
    reading : str
        The loss, or what its samples are reduced to, where the experiment has more than one reading.
    run : RunConstants
        The constants of the run.
    needs : str
        What has to be given before it can be loaded; empty where nothing has.
    """

    name: str
    title: str
    n_tasks: int
    dim: int
    n_samples: tuple[int, ...]
    switch_tol: str
    reading: str
    run: RunConstants
    needs: str = ""


def make_experiment(
    run: RunConstants,
    *,
    tasks: TaskFamily,
    drawn: Array,
    switch_tol: float | Callable[[Array], float],
    paper: Iterable[str],
    ours: Iterable[str],
    **fields: Any,
) -> Experiment:
    """Check the constants of the run and return the experiment.

    ``drawn`` and ``switch_tol`` (which may depend on w0) stand in for what the run leaves open.
    """
    w0 = freeze(_starting_point(run.w0, drawn))
    eps0 = run.switch_tol
    if eps0 is None:
        eps0 = switch_tol(w0) if callable(switch_tol) else switch_tol
    return Experiment(
        tasks=tasks,
        w0=w0,
        alpha=run.alpha,
        beta=check_real("beta", run.beta, minimum=0.0, strict=True),
        switch_tol=eps0,
        n_steps=run.n_steps,
        rule=run.rule,
        notes=(*(_FROM_PAPER + note for note in paper), *(_OURS + note for note in ours)),
        **fields,
    )


def check_units(run: RunConstants, value: float, reduction: str, fitted: str) -> None:
    """Refuse another reduction than the one in whose units an experiment's eps0 was fitted.

    Raises
    ------
    ValueError
        Unless the caller gives an eps0 too.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    if run.switch_tol is None and reduction != fitted:
        named = {"sum": "summed"}.get(fitted, fitted)
        raise ValueError(
            f"switch_tol = {value:g} is in units of the {named} loss; pass switch_tol= together with "
            f"reduction={reduction!r}."
        )


def _starting_point(w0: npt.ArrayLike | str | None, drawn: Array) -> Array:
    """Return a copy of ``drawn`` for None, the origin for "zero", else ``w0`` as a point of the same R^d."""
    if w0 is None:
        return drawn.copy()
    if isinstance(w0, str):
        check_choice("w0", w0, ["zero"])
        return np.zeros_like(drawn)
    return as_point("w0", w0, drawn.size)


def _plain_names(names: Iterable[Any] | None) -> list[str] | None:
    return None if names is None else [str(name) for name in names]


def _texts(name: str, value: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        check_text(f"{name}[{k}]", one) for k, one in enumerate(as_sequence(name, value, "texts"))
    )
