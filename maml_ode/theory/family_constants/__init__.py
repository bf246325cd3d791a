"""The constants mu, L, kappa, sigma of a task family: what they are (model) and who finds them."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.theory.family_constants.find import constants as constants
    from maml_ode.theory.family_constants.model import Constants as Constants
    from maml_ode.theory.family_constants.model import register as register

__getattr__, __dir__ = attach(
    __name__,
    {
        "Constants": "maml_ode.theory.family_constants.model",
        "constants": "maml_ode.theory.family_constants.find",
        "register": "maml_ode.theory.family_constants.model",
    },
)
