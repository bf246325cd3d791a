"""Two pictures: how far ahead or behind in every row, and growth with the size of the problem."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

__all__ = ["growth", "overview"]


def overview(verdicts: list[Any], record: dict[str, Any], path: Path) -> None:
    """Draw (best peer)/(ours) per row on a logarithmic axis, the bars that were set as marks."""
    from matplotlib.figure import Figure

    rows = [(row, ratio) for row, _, peer, ratio, _ in verdicts if peer != "-"]
    if not rows:
        return
    figure = Figure(figsize=(8, 0.32 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots()
    for place, (row, ratio) in enumerate(reversed(rows)):
        value = float(ratio.split(" of ")[0])
        colour = "0.25" if value >= 1 else "0.75"
        axes.barh(place, value - 1, left=1, color=colour, edgecolor="black", linewidth=0.6)
        axes.plot(row.bar, place, marker="|", color="C1", markersize=12, markeredgewidth=2)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    marks = [2.0**k for k in range(-6, 11) if low <= 2.0**k <= high]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), [row.name for row, _ in reversed(rows)])
    axes.set_xlabel(
        "CPU time of the best peer over ours (right of 1: ahead; marks: what was asked for)"
    )
    figure.savefig(path, metadata={"Date": None})


def growth(timings: list[dict[str, Any]], path: Path) -> None:
    """Draw the time of grad F against M, n and d, ours and the peer's."""
    from matplotlib.figure import Figure

    sizes: dict[str, dict[tuple[int, ...], float]] = {}
    for timing in timings:
        side, size = timing["name"].split(", ", 1)
        key = tuple(int(number) for number in re.findall(r"\d+", size))
        sizes.setdefault(side, {})[key] = timing["cpu"]
    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    base = (10, 100, 20)
    for which, (axes, letter) in enumerate(zip(panels, "Mnd", strict=True)):
        for (side, found), (style, marker) in zip(
            sizes.items(), [("-", "o"), ("--", "s")], strict=False
        ):
            line = sorted(
                (size[which], cpu)
                for size, cpu in found.items()
                if all(size[k] == base[k] for k in range(3) if k != which)
            )
            axes.loglog(*zip(*line, strict=True), style, marker=marker, label=side)
        axes.set_xlabel(letter)
    panels[0].set_ylabel("CPU seconds of grad F")
    panels[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
