"""Pictures of trajectories, alone and laid over each other."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.plotting.adaptations import plot_adaptation as plot_adaptation
    from maml_ode.plotting.splits import plot_split as plot_split
    from maml_ode.plotting.style import house_style as house_style
    from maml_ode.plotting.trajectories import plot_trajectories as plot_trajectories
    from maml_ode.plotting.trajectories import plot_trajectory as plot_trajectory

__getattr__, __dir__ = attach(
    __name__,
    {
        "house_style": "maml_ode.plotting.style",
        "plot_adaptation": "maml_ode.plotting.adaptations",
        "plot_split": "maml_ode.plotting.splits",
        "plot_trajectories": "maml_ode.plotting.trajectories",
        "plot_trajectory": "maml_ode.plotting.trajectories",
    },
)
