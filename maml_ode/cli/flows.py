"""The flows that ``--flow`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from maml_ode.experiments import Experiment
    from maml_ode.flows import Flow

__all__ = ["FLOWS", "beta_of", "flow_of"]

FLOWS = ("maml", "bimaml", "fomaml", "reptile", "gradient", "modified")


def beta_of(problem: Experiment, step_size: float | None) -> float:
    """Return the step size that was given, or the experiment's, which may take a Hessian to find."""
    return problem.beta if step_size is None else step_size


def flow_of(problem: Experiment, name: str, step_size: float | None) -> Flow:
    """Return the flow of an experiment; the modified one is that of a step size."""
    from maml_ode import flows
    from maml_ode._validation import check_choice
    from maml_ode.objectives import ExpectedLoss

    makers: dict[str, Callable[[], Flow]] = {
        "maml": problem.maml_flow,
        "bimaml": problem.bimaml_flow,
        "fomaml": problem.fomaml_flow,
        "reptile": problem.reptile_flow,
        "gradient": lambda: flows.gradient_flow(ExpectedLoss(problem.tasks)),
        "modified": lambda: flows.modified_flow(
            problem.maml_flow().objective, beta_of(problem, step_size)
        ),
    }
    return makers[check_choice("flow", name, FLOWS)]()
