"""Draw the remainders of Taylor's formula by which derivatives are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maml_ode._validation import shown
from maml_ode.derivative_check import DerivativeReport
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.style import CYCLE, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_derivatives"]


def plot_derivatives(report: DerivativeReport, ax: Axes | None = None) -> Axes:
    """Draw remainders over the step h, with lines that have the wanted orders; `DerivativeReport.plot` calls this.

    Parameters
    ----------
    report : DerivativeReport
        From `maml_ode.check_derivatives`.
    ax : Axes, optional
        By default a new figure is made with ``matplotlib.pyplot``.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        For anything but a report.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([1.0, 2.0], [1.0, 0.5], [1.0, 3.0])
    >>> ax = mo.plotting.plot_derivatives(mo.check_derivatives(mo.MAMLLoss(tasks, 0.1)))
    >>> ax.get_xlabel()
    'step h'
    """
    if not isinstance(report, DerivativeReport):
        raise TypeError(
            f"report must be a DerivativeReport, as check_derivatives returns it, not {shown(report)}."
        )
    drawn = [check for check in report.checks if (check.remainders > 0).any()]
    with house_style():
        axis = one_axes(ax)
        for k, check in enumerate(drawn):
            style = CYCLE[k % len(CYCLE)]
            positive = check.remainders > 0
            steps, remainders = check.steps[positive], check.remainders[positive]
            axis.loglog(
                steps, remainders, linestyle="none", marker=style["marker"], color=style["color"],
                label=f"{check.name}: order {check.slope:.2f}, wanted {check.expected:g}",
            )  # fmt: skip
            wanted = remainders[0] * (steps / steps[0]) ** check.expected
            axis.loglog(steps, wanted, color=style["color"], linestyle=":", linewidth=0.8)
        if drawn:
            # The thin lines go on where rounding ends the remainders; the picture does not follow them.
            lowest = min(check.remainders[check.remainders > 0].min() for check in drawn)
            axis.set_ylim(bottom=0.3 * lowest)
            axis.legend()
        axis.set(xlabel="step h", ylabel="Taylor remainder")
    return axis
