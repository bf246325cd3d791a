"""What is guaranteed for a given problem: the paper's statements as functions, in corrected form.

``constants`` finds the numbers that theory needs, each tagged exact, bound or estimate; ``certify``
turns them into certificates; ``monitor`` compares a trajectory with the curves it must obey. The
statements themselves are in ``bounds``; the names under which they stood before answer as well
(``derived``, ``inequalities``, ``convergence``, ``discrete``, ``local``, ``variants``, ``printed``).
"""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.theory.bounds.step_limits import AlphaLimits as AlphaLimits
    from maml_ode.theory.bounds.step_limits import alpha_limits as alpha_limits
    from maml_ode.theory.bounds.step_limits import step_size_limit as step_size_limit
    from maml_ode.theory.bounds.sublevel_sets import Landscape as Landscape
    from maml_ode.theory.bounds.switch_advice import OnlineSwitch as OnlineSwitch
    from maml_ode.theory.bounds.switch_advice import SwitchAdvice as SwitchAdvice
    from maml_ode.theory.bounds.switch_advice import switch_advice as switch_advice
    from maml_ode.theory.certificates.along_a_run import Monitor as Monitor
    from maml_ode.theory.certificates.along_a_run import monitor as monitor
    from maml_ode.theory.certificates.certificate import Certificate as Certificate
    from maml_ode.theory.certificates.certificate import Certificates as Certificates
    from maml_ode.theory.certificates.certificate import Hypothesis as Hypothesis
    from maml_ode.theory.certificates.certify import certify as certify
    from maml_ode.theory.direct_method import LyapunovReading as LyapunovReading
    from maml_ode.theory.direct_method import lyapunov as lyapunov
    from maml_ode.theory.family_constants.find import constants as constants
    from maml_ode.theory.family_constants.model import Constants as Constants
    from maml_ode.theory.intervals.critical_points import CriticalPoints as CriticalPoints
    from maml_ode.theory.intervals.critical_points import bifurcation_table as bifurcation_table
    from maml_ode.theory.intervals.critical_points import count_by_alpha as count_by_alpha
    from maml_ode.theory.intervals.critical_points import (
        count_critical_points as count_critical_points,
    )
    from maml_ode.theory.quantities import Quantity as Quantity
    from maml_ode.theory.quantities import Status as Status
    from maml_ode.theory.regions import Ball as Ball
    from maml_ode.theory.regions import Interval as Interval
    from maml_ode.theory.regions import Sublevel as Sublevel
    from maml_ode.theory.task_split import Decomposition as Decomposition
    from maml_ode.theory.task_split import decompose as decompose

__getattr__, __dir__ = attach(
    __name__,
    {
        "AlphaLimits": "maml_ode.theory.bounds.step_limits",
        "Ball": "maml_ode.theory.regions",
        "Certificate": "maml_ode.theory.certificates.certificate",
        "Certificates": "maml_ode.theory.certificates.certificate",
        "Constants": "maml_ode.theory.family_constants.model",
        "CriticalPoints": "maml_ode.theory.intervals.critical_points",
        "Decomposition": "maml_ode.theory.task_split",
        "Hypothesis": "maml_ode.theory.certificates.certificate",
        "Interval": "maml_ode.theory.regions",
        "Landscape": "maml_ode.theory.bounds.sublevel_sets",
        "LyapunovReading": "maml_ode.theory.direct_method",
        "Monitor": "maml_ode.theory.certificates.along_a_run",
        "OnlineSwitch": "maml_ode.theory.bounds.switch_advice",
        "Quantity": "maml_ode.theory.quantities",
        "Status": "maml_ode.theory.quantities",
        "Sublevel": "maml_ode.theory.regions",
        "SwitchAdvice": "maml_ode.theory.bounds.switch_advice",
        "alpha_limits": "maml_ode.theory.bounds.step_limits",
        "bifurcation_table": "maml_ode.theory.intervals.critical_points",
        "certify": "maml_ode.theory.certificates.certify",
        "constants": "maml_ode.theory.family_constants.find",
        "count_by_alpha": "maml_ode.theory.intervals.critical_points",
        "count_critical_points": "maml_ode.theory.intervals.critical_points",
        "decompose": "maml_ode.theory.task_split",
        "lyapunov": "maml_ode.theory.direct_method",
        "monitor": "maml_ode.theory.certificates.along_a_run",
        "step_size_limit": "maml_ode.theory.bounds.step_limits",
        "switch_advice": "maml_ode.theory.bounds.switch_advice",
    },
    submodules={
        "convergence": "maml_ode.theory.bounds.flow_times",
        "derived": "maml_ode.theory.bounds.products",
        "discrete": "maml_ode.theory.bounds.descent_steps",
        "errata": "maml_ode.errata",  # this and the open points stand above, under the names of before
        "family_constants": "maml_ode.theory.family_constants",
        "inequalities": "maml_ode.theory.bounds.pointwise",
        "lemmas": "maml_ode.theory.bounds.lemmas",
        "local": "maml_ode.theory.bounds.near_a_point",
        "open_points": "maml_ode.errata.open_points",
        "printed": "maml_ode.theory.bounds.printed",
        "quadratic_formulas": "maml_ode.theory.quadratic_formulas",
        "variants": "maml_ode.theory.bounds.relatives",
    },
)

__all__ = __dir__()
