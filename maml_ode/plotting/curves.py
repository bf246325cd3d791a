"""One run, from given numbers: its line or marks, and where it switched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from maml_ode.plotting.series import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curve", "draw_switches"]


def draw_curve(
    axis: Axes, line: Curve, name: str | None, style: dict[str, Any], gid: str | None = None
) -> None:
    """Draw a run with the look of its flow, and a ring where its phase changed.

    Parameters
    ----------
    axis : Axes
    line : Curve
    name : str, optional
        What the legend calls it.
    style : dict
        From `maml_ode.plotting.looks`.
    gid : str, optional
        Kind and name of the flow, by which a later call on the same axes finds the flow's colour again.
    """
    (drawn,) = axis.plot(line.x, line.y, label=name, **style)
    drawn.set_gid(gid)
    if line.switch_x.size:
        first = all(text != "switch" for text in axis.get_legend_handles_labels()[1])
        axis.plot(
            line.switch_x,
            line.switch_y,
            linestyle="none",
            marker="o",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor="0.15",
            markeredgewidth=1.0,
            label="switch" if first else "_switch",
            zorder=4,
        )


def draw_switches(axis: Axes, at: Iterable[float]) -> None:
    """Draw a dotted line over the whole height of the axes wherever a run switched."""
    for k, x in enumerate(at):
        axis.axvline(
            x, color="0.35", linewidth=0.9, linestyle=(0, (1, 2)), zorder=1,
            label="switch" if k == 0 else None,
        )  # fmt: skip
