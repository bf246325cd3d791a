"""``ensemble``: many runs of one flow at once, each with its own steps, its own switch and its own stop."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.integrate.ensembles.ensemble_verb import ensemble as ensemble
    from maml_ode.integrate.ensembles.result import Ensemble as Ensemble

__getattr__, __dir__ = attach(
    __name__,
    {
        "Ensemble": "maml_ode.integrate.ensembles.result",
        "ensemble": "maml_ode.integrate.ensembles.ensemble_verb",
    },
)
