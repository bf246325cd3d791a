"""Two routes to one number: compilers have been seen to be wrong without a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from maml_ode._validation import Array

__all__ = ["Route", "agree", "first_confirmed"]

Route = Callable[..., Array]

# Far above what the order of additions changes, far below what a wrong derivative does.
SAME = 1e-8
# A task whose numbers are so much smaller than the largest's is judged by the rounding of that one.
SMALL = 1e-6


def agree(one: Array, other: Array, same: float = SAME) -> bool:
    """Whether two results are the same to ``same`` in every task, the first axis; NaN is like NaN."""
    if one.shape != other.shape:
        return False
    a, b = one.reshape(len(one), -1), other.reshape(len(other), -1)
    finite = np.isfinite(a) & np.isfinite(b)
    if not (finite | (a == b) | (np.isnan(a) & np.isnan(b))).all():
        return False
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    gaps = np.abs(a - b).max(axis=1, initial=0.0)
    sizes = np.abs(b).max(axis=1, initial=0.0)
    return bool((gaps <= same * np.maximum(sizes, SMALL * sizes.max(initial=0.0))).all())


def first_confirmed(
    name: str, routes: Sequence[Route], witness: Route, arguments: tuple[Array, ...]
) -> Route:
    """Return the first route whose result another one confirms.

    Parameters
    ----------
    name : str
        What is computed, for the error message.
    routes : sequence of callables
        Ways to compute it, the one that is wanted first.
    witness : callable
        Another way, which is not among those to choose from.
    arguments : tuple of arrays
        Where they are compared.

    Raises
    ------
    ValueError
        If no two of them agree.
    """
    seen = [witness(*arguments)]
    for k, route in enumerate(routes):
        result = route(*arguments)
        for other in seen:
            if agree(result, other):
                return route
        for j in range(k):  # an earlier route that this one confirms comes first
            if agree(seen[1 + j], result):
                return routes[j]
        seen.append(result)
    raise ValueError(
        f"the {name} of this loss came out differently each time they were computed; loss must be a function of "
        "its arguments alone: fix the random numbers in it (dropout, noise), or put them into data."
    )
