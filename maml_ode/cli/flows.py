"""The flows that ``--flow`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from maml_ode.experiments import Experiment
    from maml_ode.flows import Flow

__all__ = ["FLOWS", "flow_of"]

FLOWS = ("maml", "bimaml", "fomaml", "reptile", "gradient", "modified")


def flow_of(problem: Experiment, name: str, step_size: float) -> Flow:
    """Return the flow of an experiment; the modified one is that of a step size."""
    from maml_ode import flows
    from maml_ode._validation import check_choice
    from maml_ode.objectives import ExpectedLoss, MAMLLoss

    tasks, alpha = problem.tasks, problem.alpha
    makers: dict[str, Callable[[], Flow]] = {
        "maml": problem.maml_flow,
        "bimaml": problem.bimaml_flow,
        "fomaml": lambda: flows.fomaml_flow(tasks, alpha),
        "reptile": lambda: flows.reptile_flow(tasks, alpha),
        "gradient": lambda: flows.gradient_flow(ExpectedLoss(tasks)),
        "modified": lambda: flows.modified_flow(MAMLLoss(tasks, alpha), step_size),
    }
    return makers[check_choice("flow", name, FLOWS)]()
