"""Pictures of trajectories, alone and laid over each other."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.plotting.style import house_style as house_style

__getattr__, __dir__ = attach(
    __name__,
    {
        "house_style": "maml_ode.plotting.style",
    },
)
