"""What a computation costs, by kind."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from maml_ode._html import html_table
from maml_ode._validation import check_real

__all__ = ["Counts"]


@dataclass(frozen=True)
class Counts:
    """Evaluations by kind, each over all M tasks, and the integrator's own work.

    An aggregated quadratic objective counts the passes that its evaluation stands for, so that the
    counts of a run do not depend on how the family stores its data.

    Attributes
    ----------
    losses, gradients, hvps, hessians, thirds, third_vectors : int
        Passes over all tasks: one pass is M evaluations of f_i, grad f_i, Hess f_i v, Hess f_i, the
        matrix D^3 f_i[v], the vector D^3 f_i[v, q].
        In a run on a few tasks a step (``tasks_per_step`` of `maml_ode.euler`), gradients and hvps are fractions:
        single-task evaluations over M.
    task_gradients, task_hvps : int
        Evaluations of single tasks in such a run; 0 in all others.
    factorizations : int
        Matrix factorisations (LU, Cholesky, eigendecompositions).
    steps, rejected : int
        Accepted and rejected steps; ``rejected`` stays 0 where the method does not report it.
    diagnostics : Counts or None
        What was computed only to fill a trajectory's diagnostic fields, counted apart.

    Examples
    --------
    >>> import maml_ode as mo
    >>> cost = mo.Counts(gradients=2, hvps=1)  # grad F with one inner step
    >>> print(cost * 10 + mo.Counts(steps=10))
    20 gradients, 10 HVPs, 10 steps
    >>> cost.gradient_equivalents()
    3.0
    """

    losses: int = 0
    gradients: int | float = 0
    hvps: int | float = 0
    hessians: int = 0
    thirds: int = 0
    third_vectors: int = 0
    factorizations: int = 0
    steps: int = 0
    rejected: int = 0
    task_gradients: int = 0
    task_hvps: int = 0
    diagnostics: Counts | None = None

    @cached_property
    def _parts(self) -> tuple[tuple[str, int | float], ...]:
        """The kinds of which there are any, with their numbers."""
        return tuple((name, getattr(self, name)) for name in KINDS if getattr(self, name))

    def __add__(self, other: Counts) -> Counts:
        """Add kind by kind; diagnostics add up too."""
        if not isinstance(other, Counts):
            return NotImplemented
        total = {name: getattr(self, name) + getattr(other, name) for name in KINDS}
        if self.diagnostics is None or other.diagnostics is None:
            apart = self.diagnostics or other.diagnostics
        else:
            apart = self.diagnostics + other.diagnostics
        return Counts(**total, diagnostics=apart)

    def __mul__(self, times: int) -> Counts:
        """Scale every kind by ``times`` evaluations."""
        return replace(self, **{name: times * getattr(self, name) for name in KINDS})

    def __str__(self) -> str:
        """Return the kinds that were evaluated, in one line."""
        named = {
            "hvps": "HVPs",
            "third_vectors": "third vectors",
            "rejected": "rejected steps",
            "task_gradients": "gradients of single tasks",
            "task_hvps": "HVPs of single tasks",
        }
        once = {"losses": "loss", "rejected steps": "rejected step"}
        parts = []
        for name in KINDS:
            if number := getattr(self, name):
                word = named.get(name, name)
                if number == 1 and " of " not in word:
                    word = once.get(word, word.removesuffix("s"))
                parts.append(f"{number:,} {word}")
        line = ", ".join(parts) or "nothing"
        return line if self.diagnostics is None else f"{line}; diagnostics: {self.diagnostics}"

    def _repr_html_(self) -> str:
        """Return a table of the kinds, the diagnostics in a column of their own."""
        apart = self.diagnostics or Counts()
        kinds = [name for name in KINDS if getattr(self, name) or getattr(apart, name)]
        rows = [(name, getattr(self, name), getattr(apart, name)) for name in kinds]
        return html_table(rows, ("passes over all tasks", "run", "diagnostics"))

    def gradient_equivalents(self, hvp: float = 1.0, hessian: float | None = None) -> float:
        """Return the work in gradient passes, given what a Hessian-vector product costs.

        Parameters
        ----------
        hvp : float
            Cost of a Hessian-vector product, or of a third derivative contracted to a vector, in
            gradients. The default 1 makes grad F with one inner step cost 3 gradients.
        hessian : float, optional
            Cost of a Hessian or of a third derivative contracted to a matrix in gradients; needed if
            there are any.

        Raises
        ------
        ValueError, TypeError
            If Hessians were evaluated and ``hessian`` is not given, or a cost is not a real number of 0 or more.
        """
        hvp = check_real("hvp", hvp, minimum=0.0)
        if hessian is not None:
            hessian = check_real("hessian", hessian, minimum=0.0)
        matrices = self.hessians + self.thirds
        if matrices and hessian is None:
            raise ValueError(
                f"{matrices} Hessians or third derivatives were evaluated; pass hessian=, their cost in "
                "gradients (about d for dense matrices)."
            )
        vectors = self.hvps + self.third_vectors
        return self.gradients + hvp * vectors + matrices * (hessian or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries, for JSON; evaluations of single tasks only if there are any."""
        plain: dict[str, Any] = {
            name: getattr(self, name)
            for name in KINDS
            if name not in OF_TASKS or getattr(self, name)
        }
        plain["diagnostics"] = None if self.diagnostics is None else self.diagnostics.to_dict()
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Counts:
        """Rebuild what ``to_dict`` returned."""
        apart = plain.get("diagnostics")
        kinds = {name: plain[name] for name in KINDS if name not in OF_TASKS}
        kinds |= {name: plain.get(name, 0) for name in OF_TASKS}
        return cls(**kinds, diagnostics=None if apart is None else cls.from_dict(apart))


OF_TASKS = ("task_gradients", "task_hvps")
KINDS = tuple(field.name for field in fields(Counts) if field.name != "diagnostics")
