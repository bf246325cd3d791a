"""The expected task loss."""

from __future__ import annotations

from functools import cached_property

from maml_ode.counts import Counts
from maml_ode.objectives.aggregation import Aggregate, aggregated_form, checked_aggregate
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.objective import Objective
from maml_ode.objectives.quadratic_form import QuadraticForm
from maml_ode.tasks.base import TaskFamily

__all__ = ["ExpectedLoss"]


class ExpectedLoss(Objective):
    """The expected task loss f(w) = sum_i p_i f_i(w).

    Parameters
    ----------
    tasks : TaskFamily
    aggregate : {"auto", False}
        Whether a quadratic f is summed up over the tasks once; see `MAMLLoss`.
    threads : int
        How many threads share the tasks; see `MAMLLoss`.

    Examples
    --------
    >>> import maml_ode as mo
    >>> f = mo.ExpectedLoss(mo.tasks.Quadratic([[[2.0]], [[4.0]]], [[2.0], [-4.0]]))
    >>> f.gradient([1.0])
    array([4.])
    """

    def __init__(self, tasks: TaskFamily, aggregate: Aggregate = "auto", threads: int = 1) -> None:
        self.aggregate = checked_aggregate(aggregate)
        self._inner = InnerSteps.none(tasks, threads)
        self.tasks = self._inner.tasks
        self.value_cost = Counts(losses=1)
        self.gradient_cost = Counts(gradients=1)
        self.hvp_cost = Counts(hvps=1)
        self.hessian_cost = Counts(hessians=1)

    def __repr__(self) -> str:
        extra = "" if self.aggregate else ", aggregate=False"
        extra += "" if self.threads == 1 else f", threads={self.threads}"
        return f"ExpectedLoss({self.tasks!r}{extra})"

    def is_expected_loss_of(self, tasks: TaskFamily) -> bool:
        """Whether this is the expected loss of ``tasks``."""
        return self.tasks is tasks

    @property
    def smoothness(self) -> int:
        """As many continuous derivatives as the losses have."""
        return int(self.tasks.smoothness)

    @property
    def has_hessian(self) -> bool:
        """Whether the family has Hessian-vector products."""
        return self.tasks.has_hvps

    @cached_property
    def quadratic_form(self) -> QuadraticForm | None:
        """The loss aggregated to one quadratic, or None; aggregated once for a family."""
        return aggregated_form(self._inner) if self.aggregate else None
