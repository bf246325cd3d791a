"""The verbs: ``solve`` advances a flow in continuous time, ``euler`` in steps, ``ensemble`` from many starts."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.integrate.callback import State as State
    from maml_ode.integrate.ensembles.ensemble_verb import ensemble as ensemble
    from maml_ode.integrate.ensembles.result import Ensemble as Ensemble
    from maml_ode.integrate.euler_verb import euler as euler
    from maml_ode.integrate.solve_verb import solve as solve
    from maml_ode.integrate.solvers import METHODS as METHODS
    from maml_ode.integrate.warnings import NonSmoothWarning as NonSmoothWarning
    from maml_ode.integrate.warnings import StepSizeWarning as StepSizeWarning

__getattr__, __dir__ = attach(
    __name__,
    {
        "Ensemble": "maml_ode.integrate.ensembles.result",
        "METHODS": "maml_ode.integrate.solvers",
        "NonSmoothWarning": "maml_ode.integrate.warnings",
        "State": "maml_ode.integrate.callback",
        "StepSizeWarning": "maml_ode.integrate.warnings",
        "ensemble": "maml_ode.integrate.ensembles.ensemble_verb",
        "euler": "maml_ode.integrate.euler_verb",
        "solve": "maml_ode.integrate.solve_verb",
    },
)

__all__ = __dir__()
