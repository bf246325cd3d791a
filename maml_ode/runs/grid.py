"""The points of a grid: a product of values by name, or a list."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from maml_ode._validation import as_sequence, check_text, shown

__all__ = ["check_takes", "grid_points"]

RESERVED = ("exception", "traceback")


def grid_points(
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the names, and the points in order: of a product, the last name's values change fastest.

    Raises
    ------
    ValueError
        For a grid without points, or points of different names.
    TypeError
        If it is neither.
    """
    if isinstance(grid, Mapping):
        names = tuple(_name(name) for name in grid)
        values = [as_sequence(f"grid[{name!r}]", grid[name], "values") for name in names]
        for name, listed in zip(names, values, strict=True):
            if not listed:
                raise ValueError(f"grid[{name!r}] has no values, so that the grid has no points.")
        points = [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)]
    else:
        listed = as_sequence("grid", grid, "points, or a mapping of names to values")
        for place, point in enumerate(listed):
            if not isinstance(point, Mapping):
                raise TypeError(
                    f"grid[{place}] must be a point, a mapping of names to values, not {shown(point)}."
                )
        names = tuple(_name(name) for name in listed[0]) if listed else ()
        for place, point in enumerate(listed):
            if set(point) != set(names):
                raise ValueError(
                    f"grid[{place}] has the names {', '.join(map(str, point))}, and grid[0] has "
                    f"{', '.join(names)}; give all points the same names."
                )
        points = [{name: point[name] for name in names} for point in listed]
    if not points or not names:
        raise ValueError('grid has no points; pass {name: values}, such as {"alpha": [0.1, 0.2]}.')
    return names, points


def check_takes(run: Callable[..., Any], names: tuple[str, ...]) -> None:
    """Refuse names that a function does not take.

    Raises
    ------
    TypeError
    """
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # some functions of C do not say
        return
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(
            f"run is called with the names of the grid, {', '.join(names)}, but takes {signature}: {error}."
        ) from error


def _name(name: Any) -> str:
    checked = check_text("a name of the grid", name)
    if checked in RESERVED:
        raise ValueError(f"a name of the grid cannot be {name!r}: a failed point's row has it.")
    return checked
