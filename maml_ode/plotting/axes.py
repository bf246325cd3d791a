"""The axes that a picture is drawn on: those that were handed in, or a new figure's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maml_ode._validation import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["one_axes"]


def one_axes(ax: Any, figsize: tuple[float, float] = (4.6, 3.6)) -> Axes:
    """Return ``ax``, or the axes of a new figure if it is None.

    Raises
    ------
    TypeError
        If ``ax`` is no matplotlib Axes.
    """
    from matplotlib.axes import Axes

    if ax is None:
        import matplotlib.pyplot as plt

        _, new = plt.subplots(figsize=figsize)
        axes: Axes = new
        return axes
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes, not {shown(ax)}.")
    return ax
