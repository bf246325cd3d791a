"""Where the members of an ensemble end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maml_ode._validation import shown
from maml_ode.integrate.ensembles.result import Ensemble
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.style import MAML, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_ensemble"]

LARGEST = 1e300  # the distance of two such numbers is none any more


def plot_ensemble(ensemble: Ensemble, ax: Axes | None = None) -> Axes:
    """Draw the ends of an ensemble's members.

    For d = 1 the last state over the start, so that basins show as steps; else the last losses in rising order.
    Members that did not reach what was asked for are crosses.

    Parameters
    ----------
    ensemble : Ensemble
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError
        For anything but an ensemble, or an ax that is no matplotlib Axes.

    Examples
    --------
    >>> import maml_ode as mo
    >>> import numpy as np
    >>> problem = mo.experiments.load("figure1")
    >>> runs = mo.ensemble(problem.maml_flow(), np.linspace(0.2, 0.5, 7)[:, None])
    >>> mo.plotting.plot_ensemble(runs).get_ylabel()
    'last $w$'
    """
    if not isinstance(ensemble, Ensemble):
        raise TypeError(
            f"ensemble must be an Ensemble, as mo.ensemble(flow, W0) returns it, not {shown(ensemble)}."
        )
    with house_style():
        ax = one_axes(ax)
        if ensemble.w.shape[1] == 1:
            x, y = ensemble.W0[:, 0], ensemble.w[:, 0]
            ax.set(xlabel="$w(0)$", ylabel="last $w$")
        else:
            order = np.argsort(ensemble.loss)
            rank = np.empty(len(order))
            rank[order] = np.arange(1, len(order) + 1)
            x, y = rank, ensemble.loss
            ax.set(xlabel="members by their loss", ylabel="last $F(w)$")
        y = np.where(np.abs(y) < LARGEST, y, np.nan)
        for mask, marker, label in (
            (ensemble.success, "o", "arrived"),
            (~ensemble.success, "x", "did not arrive"),
        ):
            if mask.any():
                color = "0.15" if marker == "o" else MAML["color"]
                ax.plot(x[mask], y[mask], marker, color=color, markersize=2.5, label=label)
        ax.set_title(f"{ensemble.flow_name}, {len(ensemble)} members")
        ax.legend()
    return ax
