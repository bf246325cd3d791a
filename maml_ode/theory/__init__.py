"""What is guaranteed for a given problem: the paper's statements as functions, in corrected form.

``constants`` finds the numbers that theory needs, each tagged exact, bound or estimate; ``certify``
turns them into certificates; ``monitor`` compares a trajectory with the curves it must obey. The
modules ``derived``, ``inequalities``, ``landscape``, ``convergence``, ``discrete``, ``local``,
``variants`` and ``printed`` hold the statements themselves.
"""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.theory.certificate import Certificate as Certificate
    from maml_ode.theory.certificate import Certificates as Certificates
    from maml_ode.theory.certificate import Hypothesis as Hypothesis
    from maml_ode.theory.certification import certify as certify
    from maml_ode.theory.family_constants import Constants as Constants
    from maml_ode.theory.family_constants import constants as constants
    from maml_ode.theory.intervals.critical_points import CriticalPoints as CriticalPoints
    from maml_ode.theory.intervals.critical_points import bifurcation_table as bifurcation_table
    from maml_ode.theory.intervals.critical_points import count_by_alpha as count_by_alpha
    from maml_ode.theory.intervals.critical_points import (
        count_critical_points as count_critical_points,
    )
    from maml_ode.theory.landscape import Landscape as Landscape
    from maml_ode.theory.limits import AlphaLimits as AlphaLimits
    from maml_ode.theory.limits import alpha_limits as alpha_limits
    from maml_ode.theory.limits import step_size_limit as step_size_limit
    from maml_ode.theory.monitoring import Monitor as Monitor
    from maml_ode.theory.monitoring import monitor as monitor
    from maml_ode.theory.quantities import Quantity as Quantity
    from maml_ode.theory.quantities import Status as Status
    from maml_ode.theory.regions import Ball as Ball
    from maml_ode.theory.regions import Interval as Interval
    from maml_ode.theory.regions import Sublevel as Sublevel
    from maml_ode.theory.switching import OnlineSwitch as OnlineSwitch
    from maml_ode.theory.switching import SwitchAdvice as SwitchAdvice
    from maml_ode.theory.switching import switch_advice as switch_advice

__getattr__, __dir__ = attach(
    __name__,
    {
        "AlphaLimits": "maml_ode.theory.limits",
        "Ball": "maml_ode.theory.regions",
        "Certificate": "maml_ode.theory.certificate",
        "Certificates": "maml_ode.theory.certificate",
        "Constants": "maml_ode.theory.family_constants",
        "CriticalPoints": "maml_ode.theory.intervals.critical_points",
        "Hypothesis": "maml_ode.theory.certificate",
        "Interval": "maml_ode.theory.regions",
        "Landscape": "maml_ode.theory.landscape",
        "Monitor": "maml_ode.theory.monitoring",
        "OnlineSwitch": "maml_ode.theory.switching",
        "Quantity": "maml_ode.theory.quantities",
        "Status": "maml_ode.theory.quantities",
        "Sublevel": "maml_ode.theory.regions",
        "SwitchAdvice": "maml_ode.theory.switching",
        "alpha_limits": "maml_ode.theory.limits",
        "bifurcation_table": "maml_ode.theory.intervals.critical_points",
        "certify": "maml_ode.theory.certification",
        "constants": "maml_ode.theory.family_constants",
        "count_by_alpha": "maml_ode.theory.intervals.critical_points",
        "count_critical_points": "maml_ode.theory.intervals.critical_points",
        # rooms above this one, answered under the names that they had here
        "errata": "maml_ode",
        "monitor": "maml_ode.theory.monitoring",
        "open_points": "maml_ode.errata",
        "step_size_limit": "maml_ode.theory.limits",
        "switch_advice": "maml_ode.theory.switching",
    },
    submodules=(
        "convergence",
        "derived",
        "discrete",
        "inequalities",
        "local",
        "printed",
        "variants",
    ),
)
