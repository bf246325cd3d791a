"""Where runs end together: connected clusters of points."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

__all__ = ["clusters"]

Indices = npt.NDArray[np.intp]

# Coordinates of more cells than this could not be told from each other.
MOST_CELLS = 2.0**50


def clusters(points: Array, atol: float) -> npt.NDArray[np.int64]:
    """Return a label for each point: equal for points that are linked by steps of at most ``atol``.

    Labels count from 0 in the order of the points. Points of one cell of a grid whose cells are narrower than
    ``atol`` belong together; two cells do where their nearest points do.

    Parameters
    ----------
    points : ndarray of shape (n, d)
    atol : float
        A Euclidean distance.
    """
    if len(points) == 0:
        return np.empty(0, dtype=np.int64)
    if points.shape[1] == 1:
        return _ordered(_on_a_line(points[:, 0], atol))
    cell_of = _cells(points, atol)
    order = np.argsort(cell_of, kind="stable")
    cells = np.split(order, np.flatnonzero(np.diff(cell_of[order])) + 1)
    return _ordered(_linked(points, cells, atol)[cell_of])


def _on_a_line(x: Array, atol: float) -> npt.NDArray[np.int64]:
    order = np.argsort(x, kind="stable")
    labels = np.empty(x.size, dtype=np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(np.diff(x[order]) > atol)])
    return labels


def _cells(points: Array, atol: float) -> npt.NDArray[np.int64]:
    """Return the number of the cell in which each point lies."""
    width = 0.9 * atol / math.sqrt(points.shape[1])
    places = points
    if width > 0 and np.abs(points).max() < MOST_CELLS * width:
        places = np.floor(points / width)
    return np.asarray(np.unique(places, axis=0, return_inverse=True)[1])


def _linked(points: Array, cells: list[Indices], atol: float) -> npt.NDArray[np.int64]:
    """Return for each cell the smallest number of the cells that it is linked to."""
    from scipy.spatial import KDTree

    root = np.arange(len(cells))

    def find(cell: int) -> int:
        while root[cell] != cell:
            root[cell] = root[root[cell]]
            cell = int(root[cell])
        return cell

    # Of a cell's own points none is farther than 0.9 atol from its first one.
    firsts = np.array([points[cell[0]] for cell in cells])
    for a, b in sorted(KDTree(firsts).query_pairs(3.0 * atol)):
        low, high = sorted((find(a), find(b)))
        if low == high:
            continue
        nearest, _ = KDTree(points[cells[a]]).query(points[cells[b]])
        if nearest.min() <= atol:
            root[high] = low
    return np.array([find(cell) for cell in range(len(cells))])


def _ordered(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number labels from 0 in the order in which they come."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return np.asarray(rank[inverse])
