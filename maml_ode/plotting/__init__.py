"""Pictures of trajectories, alone and laid over each other, and of ensembles."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.plotting.ensembles import plot_ensemble as plot_ensemble
    from maml_ode.plotting.style import house_style as house_style
    from maml_ode.plotting.trajectories import plot_trajectories as plot_trajectories
    from maml_ode.plotting.trajectories import plot_trajectory as plot_trajectory

__getattr__, __dir__ = attach(
    __name__,
    {
        "house_style": "maml_ode.plotting.style",
        "plot_ensemble": "maml_ode.plotting.ensembles",
        "plot_trajectories": "maml_ode.plotting.trajectories",
        "plot_trajectory": "maml_ode.plotting.trajectories",
    },
)
