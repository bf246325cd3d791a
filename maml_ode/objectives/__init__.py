"""Scalar functions built on a task family: the expected loss f and the MAML loss F.

Both are one inner loop (k gradient steps on every task, then a query loss), which a compiled and a NumPy
engine can run; quadratic ones are aggregated to one form with its spectrum.
"""

from maml_ode.objectives.aggregation import Aggregate
from maml_ode.objectives.expected_loss import ExpectedLoss
from maml_ode.objectives.maml_loss import MAMLLoss
from maml_ode.objectives.objective import Objective, checked_objective

__all__ = ["Aggregate", "ExpectedLoss", "MAMLLoss", "Objective", "checked_objective"]
