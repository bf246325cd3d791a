"""Integrators compared on any flow: what accuracy costs."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.comparing.comparison import Comparison as Comparison
    from maml_ode.comparing.verb import compare as compare

__getattr__, __dir__ = attach(
    __name__,
    {"Comparison": "maml_ode.comparing.comparison", "compare": "maml_ode.comparing.verb"},
)

__all__ = __dir__()
