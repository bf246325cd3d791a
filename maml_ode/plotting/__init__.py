"""Pictures: trajectories, ensembles, comparisons, landscapes, spectra, critical points; axes in, axes out."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.plotting.adaptations import plot_adaptation as plot_adaptation
    from maml_ode.plotting.bands import plot_band as plot_band
    from maml_ode.plotting.bifurcation import plot_bifurcation as plot_bifurcation
    from maml_ode.plotting.comparison import plot_comparison as plot_comparison
    from maml_ode.plotting.derivatives import plot_derivatives as plot_derivatives
    from maml_ode.plotting.ensembles import plot_ensemble as plot_ensemble
    from maml_ode.plotting.landscape import plot_landscape as plot_landscape
    from maml_ode.plotting.spectrum import plot_spectrum as plot_spectrum
    from maml_ode.plotting.splits import plot_split as plot_split
    from maml_ode.plotting.states import plot_path as plot_path
    from maml_ode.plotting.states import plot_states as plot_states
    from maml_ode.plotting.style import house_style as house_style
    from maml_ode.plotting.sweeps import plot_sweep as plot_sweep
    from maml_ode.plotting.trajectories import plot_trajectories as plot_trajectories
    from maml_ode.plotting.trajectories import plot_trajectory as plot_trajectory

__getattr__, __dir__ = attach(
    __name__,
    {
        "house_style": "maml_ode.plotting.style",
        "plot_comparison": "maml_ode.plotting.comparison",
        "plot_adaptation": "maml_ode.plotting.adaptations",
        "plot_band": "maml_ode.plotting.bands",
        "plot_bifurcation": "maml_ode.plotting.bifurcation",
        "plot_derivatives": "maml_ode.plotting.derivatives",
        "plot_ensemble": "maml_ode.plotting.ensembles",
        "plot_landscape": "maml_ode.plotting.landscape",
        "plot_path": "maml_ode.plotting.states",
        "plot_spectrum": "maml_ode.plotting.spectrum",
        "plot_split": "maml_ode.plotting.splits",
        "plot_states": "maml_ode.plotting.states",
        "plot_sweep": "maml_ode.plotting.sweeps",
        "plot_trajectories": "maml_ode.plotting.trajectories",
        "plot_trajectory": "maml_ode.plotting.trajectories",
    },
)

__all__ = __dir__()
