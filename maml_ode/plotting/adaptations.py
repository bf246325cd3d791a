"""Draw adaptation curves: the loss over inner steps on unseen tasks, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import check_flag, check_text
from maml_ode.adaptation import Adaptation, checked_adaptation
from maml_ode.plotting.bands import draw_spread
from maml_ode.plotting.style import CYCLE, house_style, log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_adaptation"]


def plot_adaptation(
    adaptation: Adaptation,
    ax: Axes | None = None,
    *,
    baseline: Adaptation | None = None,
    level: float = 0.95,
    label: str = "adapted from w",
    baseline_label: str = "random start",
    tasks: bool = False,
    **kw: Any,
) -> Axes:
    """Draw the mean loss over inner steps with Student's interval over tasks; `Adaptation.plot` calls this.

    Parameters
    ----------
    adaptation : Adaptation
    ax : Axes, optional
        Give one's axes to the next to lay it over. By default a new figure is made.
    baseline : Adaptation, optional
        The same tasks from another start.
    level : float
        Of the interval, which is drawn as a band; a single task has none.
    label, baseline_label : str
        Names in the legend.
    tasks : bool
        Whether every task's own curve is drawn too, thin.
    **kw
        Properties of the mean's line, such as ``color``.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For anything but adaptations, or a level that is not between 0 and 1.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[2.0]]], [[1.0], [-1.0]])
    >>> ax = mo.plotting.plot_adaptation(mo.meta_test([0.5], tasks, alpha=0.1))
    >>> ax.get_xlabel()
    'inner steps'
    """
    curves = [(checked_adaptation(adaptation), check_text("label", label), kw)]
    if baseline is not None:
        text = check_text("baseline_label", baseline_label)
        curves.append((checked_adaptation(baseline, "baseline"), text, {}))
    single = check_flag("tasks", tasks)
    with house_style():
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(4.6, 3.2))
        for curve, text, given in curves:
            drawn = sum(line.get_gid() == "mean" for line in ax.get_lines())
            style = CYCLE[drawn % len(CYCLE)] | {"markersize": 3.5} | given
            _draw(ax, curve, text, level, style, single)
        means = [line for line in ax.get_lines() if line.get_gid() == "mean"]
        values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in means])
        if (values > 0).all() and values.max() > 100.0 * values.min():
            log_scale(ax)
        ax.set_xlabel("inner steps")
        ax.set_ylabel("loss on unseen tasks")
        ax.legend()
    return ax


def _draw(
    ax: Axes, curve: Adaptation, text: str, level: float, style: dict[str, Any], single: bool
) -> None:
    steps = np.arange(curve.steps + 1, dtype=float)
    low, high = curve.interval(level) if curve.has_interval else np.full((2, steps.size), np.nan)
    line = draw_spread(ax, steps, low, curve.mean, high, style, text)
    line.set_gid("mean")
    if single:
        ax.plot(steps, curve.losses.T, color=line.get_color(), linewidth=0.5, alpha=0.4)
