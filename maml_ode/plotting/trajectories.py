"""Draw trajectories: the loss and the gradient norm, flows and iterates over each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._checked_runs import some_runs
from maml_ode._validation import (
    as_sequence,
    check_choice,
    check_flag,
    check_real,
    check_text,
    shown,
)
from maml_ode.plotting.bands import checked_share, draw_band
from maml_ode.plotting.curves import draw_curve
from maml_ode.plotting.looks import kind_of, look_of, name_of, taken_on
from maml_ode.plotting.panels import (
    BOUNDED,
    PLANES,
    check_bound,
    draw_bound,
    draw_states_or_path,
    shade_first,
)
from maml_ode.plotting.series import QUANTITIES, axis_label, curve, is_norm
from maml_ode.plotting.style import house_style, log_scale
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maml_ode.theory import Monitor

__all__ = ["checked_axes", "new_axes", "plot_trajectories", "plot_trajectory"]

# Properties of a line that are not the user's to choose.
PLACES = ("axes", "figure", "transform")
OWN_OPTIONS = ("show", "x", "step_size", "phases", "bound")


def plot_trajectory(
    trajectory: Trajectory,
    ax: Axes | Sequence[Axes] | None = None,
    *,
    label: str | None = None,
    **kw: Any,
) -> tuple[Axes, ...]:
    """Draw the loss and the gradient norm of one trajectory; `Trajectory.plot` calls this.

    Parameters
    ----------
    trajectory : Trajectory
    ax : Axes or sequence of Axes, optional
        See `plot_trajectories`. Give one trajectory's axes to the next to lay it over.
    label : str, optional
        Name in the legend.
    **kw
        ``show``, ``x``, ``step_size``, ``phases``, ``bound`` of `plot_trajectories`; anything else is a property
        of the lines, such as ``color`` or ``linestyle``.

    Returns
    -------
    tuple of Axes

    Raises
    ------
    ValueError, TypeError
        As `plot_trajectories`.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> run = mo.solve(problem.maml_flow(), problem.w0, t_max=5.0)
    >>> axes = mo.plotting.plot_trajectory(run, show="grad_norm", color="black")
    >>> axes[0].get_lines()[0].get_color()
    'black'
    """
    own = {key: kw.pop(key) for key in OWN_OPTIONS if key in kw}
    if not isinstance(trajectory, Trajectory):
        raise TypeError(f"trajectory must be a Trajectory, not {shown(trajectory)}.")
    labels = None if label is None else [check_text("label", label)]
    return plot_trajectories([trajectory], ax, labels=labels, styles=[kw], **own)


def plot_trajectories(
    trajectories: Sequence[Trajectory],
    ax: Axes | Sequence[Axes] | None = None,
    *,
    labels: Sequence[str] | None = None,
    show: str | Sequence[str] | None = None,
    x: str = "time",
    step_size: float | None = None,
    styles: Sequence[Mapping[str, Any]] | None = None,
    phases: bool = False,
    bound: Monitor | None = None,
    band: float | None = None,
) -> tuple[Axes, ...]:
    """Lay trajectories over each other: continuous ones as lines, iterates as markers.

    Runs of the same flow share a colour. An open ring marks where a run changed its phase.

    Parameters
    ----------
    trajectories : sequence of Trajectory
    ax : Axes or sequence of Axes, optional
        One per quantity in ``show``. By default a new figure is made with ``matplotlib.pyplot``.
    labels : sequence of str, optional
        Names in the legend; by default the flow's name, with the step size for iterates.
    show : str or sequence of str, optional
        What the panels show, from left to right: "loss" (the flow's objective F), "task_loss" (f),
        "grad_norm" (||grad F||), "task_grad_norm" (||grad f||), or "phase_norm", which is
        ||grad f|| in the first phase of BI-MAML and ||grad F|| elsewhere, as in the figures of Xu,
        Chen and Karbasi (AISTATS 2021); "states" is the panel of `plot_states` (of one trajectory), "path" that
        of `plot_path`. By default loss and grad_norm, and only the loss if ``ax`` is a single Axes.
    x : {"time", "iteration"}
        "iteration" divides the time by the step size.
    step_size : float, optional
        For ``x="iteration"``; by default that of the first discrete trajectory.
    styles : sequence of mapping, optional
        Line properties, one mapping per trajectory, over the default ones.
    phases : bool
        Whether to shade every second phase of the first trajectory that has more than one.
    bound : Monitor, optional
        From `maml_ode.theory.monitor`: its bound of ||grad F||, drawn over the panels of that norm.
    band : float, optional
        A share, such as 0.9: continuous runs of the same flow (over several seeds, say) become their median and
        the band that holds this share of them.

    Returns
    -------
    tuple of Axes
        One per quantity; ``axes[0].figure`` is the figure.

    Raises
    ------
    ValueError, TypeError
        For no trajectories, a number of labels, styles or axes that does not fit, an unknown
        quantity, a trajectory without diagnostics, or a bound without a panel of ||grad F||.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("linear_regression")
    >>> flow = mo.solve(problem.bimaml_flow(), problem.w0, t_max=5.0)
    >>> steps = mo.euler(problem.bimaml_flow(), problem.w0, problem.beta, max_iter=50)
    >>> axes = mo.plotting.plot_trajectories([flow, steps], show=["loss", "phase_norm"], phases=True)
    >>> [text.get_text() for text in axes[0].get_legend().get_texts()]
    ['BI-MAML flow', 'BI-MAML, step 0.05', 'switch']
    """
    runs = _check_runs(trajectories)
    quantities = _check_shown(show, ax)
    scale = _check_scale(runs, x, step_size)
    names = [name_of(run) for run in runs]
    if labels is not None:
        names = [check_text("labels", name) for name in as_sequence("labels", labels, "texts")]
    own = [{}] * len(runs) if styles is None else as_sequence("styles", styles, "mappings")
    own = [_check_style(style) for style in own]
    for what, given in (("labels", names), ("styles", own)):
        if len(given) != len(runs):
            raise ValueError(
                f"{what} must have one entry per trajectory: {len(runs)}, not {len(given)}."
            )
    check_flag("phases", phases)
    check_bound(bound, quantities)
    share = None if band is None else checked_share("band", band)
    curves = {
        quantity: [curve(run, quantity, scale) for run in runs]
        for quantity in quantities
        if quantity in QUANTITIES
    }
    with house_style():
        axes = new_axes(len(quantities)) if ax is None else checked_axes(ax, len(quantities))
        for axis, quantity in zip(axes, quantities, strict=True):
            if quantity not in curves:
                draw_states_or_path(axis, quantity, runs, None if labels is None else names)
                continue
            row, taken = curves[quantity], taken_on(axis)
            for group in _groups(runs, share):
                lines = [row[k] for k in group]
                style = look_of(runs[group[0]], taken) | own[group[0]]
                if len(group) > 1:
                    draw_band(axis, lines, share or 0.0, names[group[0]], style)
                else:
                    run = runs[group[0]]
                    gid = f"{kind_of(run)}:{run.flow_name}"
                    draw_curve(axis, lines[0], names[group[0]], style, gid)
            axis.set_xlabel("time $t$" if scale is None else "iteration $k$")
            axis.set_ylabel(axis_label(quantity, runs))
            if is_norm(quantity) and any((line.y > 0).any() for line in row):
                log_scale(axis)
            if bound is not None and quantity in BOUNDED:
                draw_bound(axis, bound, scale)
            if phases:
                shade_first(axis, runs, scale)
            _legend(axis, None if share is None else f"median and middle {share:.0%}")
    return axes


def _groups(runs: list[Trajectory], share: float | None) -> list[list[int]]:
    """Return the numbers of runs that are drawn together: continuous ones of one flow, where a band is wanted."""
    groups: dict[Any, list[int]] = {}
    for k, run in enumerate(runs):
        together = share is not None and run.step_size is None
        groups.setdefault(run.flow_name if together else k, []).append(k)
    return list(groups.values())


def _legend(axis: Axes, title: str | None = None) -> None:
    """Show the legend with the ring that marks switches last."""
    handles, texts = axis.get_legend_handles_labels()
    order = sorted(range(len(texts)), key=lambda k: texts[k] == "switch")
    axis.legend([handles[k] for k in order], [texts[k] for k in order], title=title)


def _check_runs(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    if isinstance(trajectories, Trajectory):
        raise TypeError("trajectories must be a sequence; use plot_trajectory for one Trajectory.")
    return some_runs(trajectories)


def _check_style(style: Any) -> dict[str, Any]:
    """Return properties of lines under their full names."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    if not isinstance(style, Mapping):
        raise TypeError(f"styles must hold one mapping per trajectory, not {shown(style)}.")
    if "label" in style:
        raise TypeError("a style cannot hold 'label'; name the lines with labels=.")
    for name, value in style.items():
        try:
            if name in PLACES:
                raise TypeError("the axes say where a line belongs")
            Line2D([], [], **{name: value})
        except (AttributeError, TypeError) as error:
            raise TypeError(
                f"{name!r} = {shown(value)} is neither an option of the plot nor a property of a matplotlib "
                "line, such as color or linestyle; leave it out."
            ) from error
        except ValueError as error:
            raise ValueError(f"{name} = {value!r} does not describe a line: {error}") from error
    if "zorder" in style:
        check_real("zorder", style["zorder"])
    try:
        return dict(normalize_kwargs(dict(style), Line2D))
    except TypeError as error:
        raise TypeError(f"a style names a property of its lines twice: {error}") from error


def _check_shown(show: str | Sequence[str] | None, ax: Any) -> list[str]:
    if show is None:
        single = ax is not None and not isinstance(ax, (Sequence, np.ndarray))
        return ["loss"] if single else ["loss", "grad_norm"]
    asked = [show] if isinstance(show, str) else as_sequence("show", show, "names of quantities")
    if not asked:
        raise ValueError(
            f"show is empty; name at least one of {', '.join((*QUANTITIES, *PLANES))}."
        )
    return [check_choice("show", name, (*QUANTITIES, *PLANES)) for name in asked]


def _check_scale(runs: list[Trajectory], x: str, step_size: float | None) -> float | None:
    if check_choice("x", x, ["time", "iteration"]) == "time":
        if step_size is not None:
            raise ValueError('step_size has a use only with x="iteration"; leave it out.')
        return None
    if step_size is not None:
        scale = check_real("step_size", step_size, minimum=0.0, strict=True)
        longest = max(float(run.t[-1]) for run in runs)
        if not math.isfinite(longest / scale):
            raise ValueError(f"step_size = {scale:g} is too small for times up to {longest:g}.")
        return scale
    known = next((run.step_size for run in runs if run.step_size is not None), None)
    if known is None:
        raise ValueError('x="iteration" needs step_size= when no trajectory is discrete.')
    return known


def checked_axes(ax: Any, n_panels: int) -> tuple[Axes, ...]:
    """Return as many Axes as there are panels, or refuse what is given."""
    from matplotlib.axes import Axes

    axes = tuple(np.ravel(np.array(ax, dtype=object)))
    for axis in axes:
        if not isinstance(axis, Axes):
            raise TypeError(f"ax must hold matplotlib Axes, not {shown(axis)}.")
    if len(axes) != n_panels:
        raise ValueError(
            f"{n_panels} panels are shown, so ax must hold as many Axes, not {len(axes)}."
        )
    return axes


def new_axes(n_panels: int) -> tuple[Axes, ...]:
    """Return the Axes of a new figure, side by side."""
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(1, n_panels, figsize=(4.2 * n_panels, 3.2), squeeze=False)
    return tuple(axes[0])
