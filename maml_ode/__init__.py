"""Gradient-based meta-learning as an initial value problem.

    task family  x  objective  ->  flow  --solve-->  trajectory
                                         --euler-->  trajectory

MAML's update rule is forward Euler on the flow w' = -grad F(w) (Xu, Chen and Karbasi,
"Meta Learning in the Continuous Time Limit", AISTATS 2021). This package writes such flows down,
integrates them, counts what that costs, and says what theory guarantees about them.
"""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from maml_ode import errata as errata
    from maml_ode import experiments as experiments
    from maml_ode import fields as fields
    from maml_ode import flows as flows
    from maml_ode import integrate as integrate
    from maml_ode import objectives as objectives
    from maml_ode import plotting as plotting
    from maml_ode import tasks as tasks
    from maml_ode import theory as theory
    from maml_ode.adaptation import Adaptation as Adaptation
    from maml_ode.adaptation import meta_test as meta_test
    from maml_ode.comparing import compare as compare
    from maml_ode.derivative_check import check_derivatives as check_derivatives
    from maml_ode.experiments import Experiment as Experiment
    from maml_ode.flows import Flow as Flow
    from maml_ode.flows import Phase as Phase
    from maml_ode.flows import bimaml_flow as bimaml_flow
    from maml_ode.flows import fomaml_flow as fomaml_flow
    from maml_ode.flows import gradient_flow as gradient_flow
    from maml_ode.flows import maml_flow as maml_flow
    from maml_ode.flows import modified_flow as modified_flow
    from maml_ode.flows import momentum_flow as momentum_flow
    from maml_ode.flows import nesterov_flow as nesterov_flow
    from maml_ode.flows import reptile_flow as reptile_flow
    from maml_ode.formulas import ClosedForm as ClosedForm
    from maml_ode.formulas import closed_form as closed_form
    from maml_ode.integrate import Ensemble as Ensemble
    from maml_ode.integrate import ensemble as ensemble
    from maml_ode.integrate import euler as euler
    from maml_ode.integrate import solve as solve
    from maml_ode.learning import LearningCurve as LearningCurve
    from maml_ode.learning import learning_curve as learning_curve
    from maml_ode.objectives import ExpectedLoss as ExpectedLoss
    from maml_ode.objectives import MAMLLoss as MAMLLoss
    from maml_ode.sensitivity import Sensitivity as Sensitivity
    from maml_ode.sweeping import sweep as sweep
    from maml_ode.trajectory import Counts as Counts
    from maml_ode.trajectory import StopReason as StopReason
    from maml_ode.trajectory import Trajectory as Trajectory
    from maml_ode.update_check import identify_update as identify_update

__getattr__, __dir__ = attach(
    __name__,
    {
        "Adaptation": "maml_ode.adaptation",
        "ClosedForm": "maml_ode.formulas",
        "Counts": "maml_ode.trajectory",
        "Ensemble": "maml_ode.integrate",
        "ExpectedLoss": "maml_ode.objectives",
        "Experiment": "maml_ode.experiments",
        "Flow": "maml_ode.flows",
        "LearningCurve": "maml_ode.learning",
        "MAMLLoss": "maml_ode.objectives",
        "Phase": "maml_ode.flows",
        "Sensitivity": "maml_ode.sensitivity",
        "StopReason": "maml_ode.trajectory",
        "Trajectory": "maml_ode.trajectory",
        "bimaml_flow": "maml_ode.flows",
        "compare": "maml_ode.comparing",
        "check_derivatives": "maml_ode.derivative_check",
        "closed_form": "maml_ode.formulas",
        "ensemble": "maml_ode.integrate",
        "euler": "maml_ode.integrate",
        "fomaml_flow": "maml_ode.flows",
        "gradient_flow": "maml_ode.flows",
        "identify_update": "maml_ode.update_check",
        "learning_curve": "maml_ode.learning",
        "maml_flow": "maml_ode.flows",
        "meta_test": "maml_ode.adaptation",
        "modified_flow": "maml_ode.flows",
        "momentum_flow": "maml_ode.flows",
        "nesterov_flow": "maml_ode.flows",
        "reptile_flow": "maml_ode.flows",
        "solve": "maml_ode.integrate",
        "sweep": "maml_ode.sweeping",
    },
    submodules=(
        "errata",
        "experiments",
        "fields",
        "flows",
        "integrate",
        "objectives",
        "plotting",
        "tasks",
        "theory",
    ),
)

__all__ = __dir__()
