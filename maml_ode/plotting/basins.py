"""Which minimum the gradient flow from every point of a grid ends in, and the borders between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.objectives import Objective
from maml_ode.plotting.plane import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_basins", "find_basins"]

# A run ends where the gradient norm is this part of the largest one on the grid; ends at distances of at most this
# part of the box's diagonal are one minimum.
TOL, APART = 1e-5, 1e-2
MAX_STEPS = 2000


def find_basins(
    F: Objective, points: Array, largest_gradient: float, diagonal: float
) -> tuple[npt.NDArray[np.int64], Array]:
    """Return for every point the number of the minimum that w' = -grad F ends in, -1 for none, and the minima.

    Parameters
    ----------
    F : Objective
    points : ndarray of shape (K, d)
    largest_gradient, diagonal : float
        By which the tolerance and the distance of two minima are set.

    Returns
    -------
    labels : ndarray of shape (K,)
    minima : ndarray of shape (m, d)
        The end with the smallest gradient norm of every basin.
    """
    from maml_ode.flows import gradient_flow
    from maml_ode.integrate import ensemble

    tol = max(TOL * largest_gradient, 1e-8)
    runs = ensemble(gradient_flow(F), points, tol=tol, max_steps=MAX_STEPS)
    labels = runs.basins(APART * diagonal)
    best = [
        mine[np.argmin(runs.grad_norm[mine])]
        for mine in (np.flatnonzero(labels == k) for k in range(labels.max(initial=-1) + 1))
    ]
    return labels, runs.w[best]


def draw_basins(
    axis: Axes, F: Objective, place: Plane, box: Array, n: int, largest_gradient: float
) -> None:
    """Draw the borders of the basins as heavy lines and the minima that lie in the plane's box as dots."""
    x, y = (np.linspace(low, high, n) for low, high in box)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    diagonal = float(np.linalg.norm(np.ptp(box, axis=1)))
    labels, minima = find_basins(F, place.points(grid), largest_gradient, diagonal)
    drawn = labels.reshape(n, n)
    for k in range(labels.max(initial=-1)):
        border = axis.contour(
            x, y, (drawn == k).astype(float), levels=[0.5], colors="black", linewidths=1.8
        )
        border.set_gid("border of basins")
    if labels.max(initial=-1) > 0:
        axis.plot([], [], color="black", linewidth=1.8, label="border of basins")
    seen = place.coordinates(minima)
    # In a plane of many dimensions only those are points of the picture that lie in it.
    near = np.linalg.norm(place.points(seen) - minima, axis=1) <= APART * diagonal
    inside = near & ((seen >= box[:, 0]) & (seen <= box[:, 1])).all(axis=1)
    if inside.any():
        axis.plot(
            *seen[inside].T,
            linestyle="none",
            marker="o",
            markersize=5,
            color="black",
            markeredgecolor="white",
            label="minimum",
            zorder=6,
        )
