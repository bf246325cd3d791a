"""What every experiment is: a task family, a starting point and the constants of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_choice, check_count, check_real, freeze
from maml_ode.tasks.base import TaskFamily

if TYPE_CHECKING:
    from maml_ode.flows import Flow

__all__ = ["Experiment", "gradient_norm", "make_experiment", "starting_point"]

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


def make_experiment(
    *,
    alpha: Any,
    beta: Any,
    switch_tol: Any,
    n_steps: Any,
    rule: Any,
    paper: Iterable[str],
    ours: Iterable[str],
    w0: Array,
    **fields: Any,
) -> Experiment:
    """Check the constants that a caller may override and return the experiment."""
    return Experiment(
        alpha=check_real("alpha", alpha, minimum=0.0),
        beta=check_real("beta", beta, minimum=0.0, strict=True),
        switch_tol=check_real("switch_tol", switch_tol, minimum=0.0),
        n_steps=check_count("n_steps", n_steps),
        rule=check_choice("rule", rule, RULES),
        notes=(*(_FROM_PAPER + note for note in paper), *(_OURS + note for note in ours)),
        w0=freeze(w0),
        **fields,
    )


def starting_point(w0: npt.ArrayLike | str | None, drawn: Array) -> Array:
    """Return ``drawn`` for None, the origin for "zero", else ``w0`` as a point of the same R^d."""
    if w0 is None:
        return drawn
    if isinstance(w0, str):
        check_choice("w0", w0, ["zero"])
        return np.zeros_like(drawn)
    return as_point("w0", w0, drawn.size)


def gradient_norm(tasks: TaskFamily, w: Array) -> float:
    """Return ||grad f(w)|| = ||sum_i p_i grad f_i(w)||."""
    return float(np.linalg.norm(tasks.weights @ tasks.gradients(w)))
