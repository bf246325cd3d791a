"""What every experiment is: a task family, a starting point and the constants of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_choice, check_count, check_real, freeze
from maml_ode.tasks.base import TaskFamily
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


@dataclass(frozen=True, eq=False)
class Experiment:
    """One of the paper's problems: its data as a task family, and the constants of its run.

    Attributes
    ----------
    name, title : str
        The name that ``load`` takes, and a heading for figures and tables.
    tasks : TaskFamily
        The losses f_i.
    w0 : ndarray of shape (d,)
        Starting point; read-only.
    alpha : float
        Inner step size.
    beta : float
        Euler's step size: k iterations correspond to the time t = k beta.
    switch_tol : float
        eps0: BI-MAML leaves -grad f when ||grad f|| <= eps0.
    n_steps : int
        Number N of iterations.
    rule : {"one_way", "as_printed", "retest"}
        How BI-MAML chooses its phase (`maml_ode.flows.SwitchRule`).
    seed : int
        What the random parts were drawn from.
    panels : tuple of str
        The panels of the paper's figures that show this problem.
    quoted_saving : float or None
        The decrease in computation time that the paper quotes for BI-MAML, as a fraction.
    options : mapping
        The reading in force: reduction, loss, generator and the like.
    notes : tuple of str
        One sentence each, beginning with "Paper: " for what the paper states and with "Ours: " for
        what it leaves out and we chose.
    """

    name: str
    title: str
    tasks: TaskFamily
    w0: Array
    alpha: float
    beta: float
    switch_tol: float
    n_steps: int
    notes: tuple[str, ...]
    seed: int
    rule: str = "one_way"
    panels: tuple[str, ...] = ()
    quoted_saving: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> tuple[str, ...]:
        """What the paper leaves out and we chose, one sentence each."""
        return tuple(note.removeprefix(_OURS) for note in self.notes if note.startswith(_OURS))

    def maml_flow(self) -> Flow:
        """Return w' = -grad F(w), whose Euler iterates with step beta are MAML."""
        from maml_ode.flows import maml_flow

        return maml_flow(self.tasks, self.alpha)

    def bimaml_flow(self) -> Flow:
        """Return the two-phase flow whose Euler iterates with step beta are BI-MAML."""
        from maml_ode.flows import bimaml_flow

        return bimaml_flow(self.tasks, self.alpha, self.switch_tol, rule=self.rule)

    def constants(self) -> dict[str, Any]:
        """Return every constant of the run in JSON's types."""
        return {
            "experiment": self.name,
            "title": self.title,
            "source": SOURCE,
            "panels": list(self.panels),
            "seed": self.seed,
            "n_tasks": self.tasks.n_tasks,
            "dim": self.tasks.dim,
            "n_samples": [int(n) for n in getattr(self.tasks, "n_samples", ())],
            "weights": self.tasks.weights.tolist(),
            "alpha": self.alpha,
            "beta": self.beta,
            "switch_tol": self.switch_tol,
            "n_steps": self.n_steps,
            "rule": self.rule,
            "quoted_saving": self.quoted_saving,
            "options": dict(self.options),
            "notes": list(self.notes),
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
        alpha=check_real("alpha", run.alpha, minimum=0.0),
        beta=check_real("beta", run.beta, minimum=0.0, strict=True),
        switch_tol=check_real("switch_tol", eps0, minimum=0.0),
        n_steps=check_count("n_steps", run.n_steps),
        rule=check_choice("rule", run.rule, RULES),
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


def gradient_norm(tasks: TaskFamily, w: Array) -> float:
    """Return ||grad f(w)|| = ||sum_i p_i grad f_i(w)||."""
    return float(np.linalg.norm(tasks.weights @ tasks.gradients(w)))
