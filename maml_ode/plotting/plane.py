"""The plane in which many dimensions are looked at: through three points, or the main plane of a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, as_sequence
from maml_ode.trajectory import Trajectory

__all__ = ["Plane", "main_plane", "plane_through"]


@dataclass(frozen=True, eq=False)
class Plane:
    """The points origin + x e_1 + y e_2 with orthonormal e_1, e_2.

    Attributes
    ----------
    origin : ndarray of shape (d,)
    basis : ndarray of shape (2, d)
        Orthonormal rows.
    names : tuple of str
        What the two coordinates are called.
    """

    origin: Array
    basis: Array
    names: tuple[str, str]

    def coordinates(self, points: npt.ArrayLike) -> Array:
        """Return (n, 2) coordinates of (n, d) points' projections."""
        projected: Array = (np.asarray(points, dtype=float) - self.origin) @ self.basis.T
        return projected

    def points(self, coordinates: npt.ArrayLike) -> Array:
        """Return the (n, d) points of the plane with (n, 2) coordinates."""
        lifted: Array = self.origin + np.asarray(coordinates, dtype=float) @ self.basis
        return lifted


def plane_through(points: Sequence[npt.ArrayLike], dim: int) -> Plane:
    """Return the plane through three points, its origin the first and its first axis towards the second.

    Raises
    ------
    ValueError
        If there are not three points of dimension ``dim``, or they lie on a line.
    """
    given = [as_point("plane", point, dim) for point in as_sequence("plane", points, "points")]
    if len(given) != 3:
        raise ValueError(f"plane must hold three points, not {len(given)}.")
    first, second = given[1] - given[0], given[2] - given[0]
    orthogonal, triangle = np.linalg.qr(np.stack([first, second]).T)
    if abs(triangle[1, 1]) <= 1e-12 * np.linalg.norm(second) or triangle[0, 0] == 0:
        raise ValueError("the three points of plane lie on a line; move one of them off it.")
    basis = (orthogonal * np.sign(np.diag(triangle))).T
    return Plane(given[0], basis, ("from the first point to the second", "to the third"))


def main_plane(trajectories: Sequence[Trajectory]) -> Plane:
    """Return the plane nearest to the trajectories' states, in least squares, through the last state.

    Its axes are the first two principal directions of the states about the last state of the first
    trajectory; a share of the squared distance is said in the names.

    Raises
    ------
    ValueError
        For states of fewer than two dimensions, or that do not move.
    """
    states = np.concatenate([run.y.T for run in trajectories])
    if states.shape[1] < 2:
        raise ValueError("a plane needs states of at least two dimensions.")
    origin = np.array(trajectories[0].w)
    offsets = states - origin
    offsets = offsets[np.isfinite(offsets).all(axis=1)]
    scale = np.abs(offsets).max(initial=0.0)
    if scale == 0:
        raise ValueError("the states do not move, so they span no plane.")
    _, sizes, rows = np.linalg.svd(offsets / scale, full_matrices=False)
    if len(sizes) < 2:
        raise ValueError("a plane needs at least two states.")
    share = (sizes**2 / (sizes**2).sum())[:2]
    names = tuple(f"principal direction {k + 1} ({part:.0%})" for k, part in enumerate(share))
    return Plane(origin, rows[:2], (names[0], names[1]))
