"""What is guaranteed for a given problem: the paper's statements as functions, in corrected form.

``constants`` finds the numbers that theory needs, each tagged exact, bound or estimate; ``certify``
turns them into certificates; ``monitor`` compares a trajectory with the curves it must obey. The
modules ``derived``, ``inequalities``, ``landscape``, ``convergence``, ``discrete``, ``local``,
``variants`` and ``printed`` hold the statements themselves.
"""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.theory.family_constants import Constants as Constants
    from maml_ode.theory.family_constants import constants as constants
    from maml_ode.theory.landscape import Landscape as Landscape
    from maml_ode.theory.quantities import Quantity as Quantity
    from maml_ode.theory.quantities import Status as Status
    from maml_ode.theory.regions import Ball as Ball
    from maml_ode.theory.regions import Interval as Interval
    from maml_ode.theory.regions import Sublevel as Sublevel

__getattr__, __dir__ = attach(
    __name__,
    {
        "Ball": "maml_ode.theory.regions",
        "Constants": "maml_ode.theory.family_constants",
        "Interval": "maml_ode.theory.regions",
        "Landscape": "maml_ode.theory.landscape",
        "Quantity": "maml_ode.theory.quantities",
        "Status": "maml_ode.theory.quantities",
        "Sublevel": "maml_ode.theory.regions",
        "constants": "maml_ode.theory.family_constants",
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
