"""Figure 3, ours: integrators against Euler, by the accuracy that a pass over the data buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode.plotting.style import CYCLE
from maml_ode.reproduce import work_precision as numbers
from maml_ode.reproduce.artefact import Artefact, Inputs, Settings, Tables
from maml_ode.reproduce.parallel import Task
from maml_ode.reproduce.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ARTEFACT"]

TITLES = {
    "linear_regression": "linear regression",
    "diabetes": "Diabetes",
    "svm": "SVM, synthetic",
    "svm_digits": "SVM, digits",
}
TO_FLOW: dict[str, Any] = CYCLE[0]
TO_MODIFIED: dict[str, Any] = {
    "color": "0.2",
    "linestyle": (0, (1, 1)),
    "marker": "d",
    "markerfacecolor": "white",
}
TABLES = ("work_precision", "reference", "order")


def pieces(settings: Settings) -> list[Task]:
    """Return the runs of every method on every flow, and of Euler against its flows."""
    tasks = []
    # Longest first.
    for name in reversed(numbers.EXPERIMENTS):
        for flow in numbers.FLOWS:
            arguments = (name, flow, settings.seed, settings.quick)
            tasks.append(Task(numbers.work_precision_rows, arguments, f"{name}, {flow} flow"))
        order = (name, settings.seed, settings.quick)
        tasks.append(Task(numbers.order_rows, order, f"{name}, order of Euler"))
    return tasks


def combine(settings: Settings, values: list[Any], inputs: Inputs) -> dict[str, Table]:
    """Put the rows of all experiments together, in the paper's order, and fit the slopes."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for name in numbers.EXPERIMENTS:
        for part in values:
            for table, listed in part.items():
                rows[table].extend(row for row in listed if row["experiment"] == name)
    tables = {f"fig3_{name}": as_table(f"fig3_{name}", listed) for name, listed in rows.items()}
    tables["fig3_slopes"] = _slopes(tables["fig3_order"])
    return tables


def as_table(name: str, rows: Sequence[Mapping[str, Any]], timing: bool = False) -> Table:
    """Return rows with the same keys as a table."""
    return Table(name, {key: [row[key] for row in rows] for key in rows[0]}, timing)


def _slopes(order: Table) -> Table:
    rows = []
    for name in numbers.EXPERIMENTS:
        part = order.where(experiment=name)
        for column, flow in (("to_flow", "flow"), ("to_modified_flow", "modified flow")):
            slope = numbers.fitted_slope(part["beta"], part[column])
            rows.append({"experiment": name, "distance_from": flow, "slope": slope})
    return as_table("fig3_slopes", rows)


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw error over passes for both flows, and Euler's distances over beta."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(10.4, 8.4))
    grid = figure.subplots(3, 4)
    runs = tables["fig3_work_precision"]
    labels = [label for label in dict.fromkeys(runs["method"].tolist()) if "(own)" not in label]
    for place, name in enumerate(numbers.EXPERIMENTS):
        for row, flow in enumerate(numbers.FLOWS):
            axis = grid[row, place]
            for label in reversed(labels):
                part = runs.where(experiment=name, flow=flow, method=label)
                if len(part):
                    axis.plot(part["work"], part["error"], **_style(labels.index(label)))
            axis.set(xscale="log", yscale="log", xlabel="gradient passes")
            letter = "abcdefgh"[4 * row + place]
            axis.set_title(f"({letter}) {TITLES[name]}, {flow} flow")
        _draw_order(grid[2, place], tables, name)
        grid[2, place].set_title(f"({'ijkl'[place]}) {TITLES[name]}, MAML flow")
    for row in range(3):
        _share_limits(grid[row])
    for axis in grid.flat:
        _plain_ticks(axis)
    for row in range(2):
        grid[row, 0].set_ylabel("error / distance travelled")
    grid[2, 0].set_ylabel("distance / distance travelled")
    handles = [
        *(Line2D([], [], label=label, **_style(k)) for k, label in enumerate(labels)),
        Line2D([], [], label="(i)-(l) Euler to the flow", **TO_FLOW),
        Line2D([], [], label="(i)-(l) to the modified flow", **TO_MODIFIED),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=7)
    return {"fig3": figure}


def _style(number: int) -> dict[str, Any]:
    """Return the look of the method in place ``number``; a second round of the cycle is hollow."""
    style = dict(CYCLE[number % len(CYCLE)]) | {"linewidth": 1.0, "markersize": 3.2}
    if number >= len(CYCLE):
        style["markerfacecolor"] = "white"
    if number == 0:
        style |= {"linewidth": 2.2, "markersize": 5.0}
    return style


def _draw_order(axis: Axes, tables: Tables, name: str) -> None:
    part = tables["fig3_order"].where(experiment=name)
    slopes = tables["fig3_slopes"].where(experiment=name)
    above: dict[str, Any] = {"xytext": (-4, 4), "ha": "right", "va": "bottom"}
    below: dict[str, Any] = {"xytext": (4, -4), "ha": "left", "va": "top"}
    for column, flow, style, where in (
        ("to_flow", "flow", TO_FLOW, above),
        ("to_modified_flow", "modified flow", TO_MODIFIED, below),
    ):
        (slope,) = slopes.where(distance_from=flow)["slope"]
        axis.plot(part["beta"], part[column], **style)
        middle = len(part) // 2
        axis.annotate(
            f"slope {slope:.3f}",
            (part["beta"][middle], part[column][middle]),
            textcoords="offset points",
            fontsize=8,
            **where,
        )
    axis.set(xscale="log", yscale="log", xlabel=r"Euler's step size $\beta$")


def _share_limits(axes: Sequence[Axes]) -> None:
    """Give the axes the same vertical limits, so that panels compare."""
    low = min(axis.get_ylim()[0] for axis in axes)
    high = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(low, high)


def _plain_ticks(axis: Axes) -> None:
    """Write 20 and 0.05 at the ticks of a logarithmic horizontal axis, no more than have room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    # Over many decades the small ticks of the vertical axis only take time to draw.
    axis.yaxis.set_minor_locator(NullLocator())
    low, high = axis.get_xlim()
    decades = np.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 2.2 else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def constants(settings: Settings) -> dict[str, Any]:
    """Return the constants of the runs; all of this figure is ours."""
    rtols = numbers.reference_tolerances(settings.quick)
    return {
        "seed": settings.seed,
        "experiments": {
            name: numbers.load(name, settings.seed).constants() for name in numbers.EXPERIMENTS
        },
        "methods": {
            name: list(numbers.methods_for(name, settings.quick)) for name in numbers.EXPERIMENTS
        },
        "tolerances": {
            name: numbers.tolerances(name, settings.quick) for name in numbers.EXPERIMENTS
        },
        "step_sizes": [f"beta 2^{-j}" for j in numbers.halvings(settings.quick)],
        "ours": {
            "reference": f"closed form, else DOP853 at rtol {rtols['reference']:g}",
            "check_of_the_reference": f"LSODA at rtol {rtols['check']:g}",
            "modified_flow": f"closed form, else DOP853 at rtol {rtols['modified flow']:g}",
            "atol": "rtol times the root mean square of w_ref(N beta) - w0",
            "reporting_times": numbers.REPORTING_TIMES,
            "cost_model": "gradient 1, Hessian-vector product 1, Hessian d; third derivative 1 "
            "contracted to a vector, d to a matrix; linear algebra not counted",
            "slope": "least squares over the four smallest step sizes",
        },
    }


def key_numbers(tables: Tables) -> dict[str, str]:
    """Return what the closing table shows."""
    found = {}
    runs = tables["fig3_work_precision"].where(flow="MAML")
    for name in numbers.EXPERIMENTS:
        part = runs.where(experiment=name)
        euler = part.where(method="Euler")
        # The second coarsest step size is the paper's.
        error, work = euler["error"][1], euler["work"][1]
        better = (part["kind"] == "solver") & (part["error"] <= error)
        if better.any():
            best = int(np.argmin(np.where(better, part["work"], np.inf)))
            found[TITLES[name]] = (
                f"Euler at beta: {error:.2%} in {work:.0f} passes; {part['method'][best]}: "
                f"{part['error'][best]:.1e} in {part['work'][best]:.0f}"
            )
    slopes = tables["fig3_slopes"]
    for flow in ("flow", "modified flow"):
        values = slopes.where(distance_from=flow)["slope"]
        found[f"Euler's order, {flow}"] = f"{values.min():.3f} to {values.max():.3f}"
    return found


ARTEFACT = Artefact(
    name="fig3",
    title="Figure 3 (ours): integrators against Euler",
    caption=(
        "What accuracy costs on the paper's four problems. (a)-(d) MAML flow and (e)-(h) BI-MAML "
        "flow, from w0 to the time N beta of the paper's run: the largest error at five "
        "equidistant times, in units of the distance travelled, over the number of gradient "
        "passes. A pass evaluates the gradients of all task losses once; a Hessian-vector product "
        "counts as one pass, a Hessian, which the implicit methods need, as d of them, a third "
        "derivative contracted to a vector or a matrix as one or d, and linear algebra as "
        "nothing. Everything a run evaluates is counted: rejected steps, interpolation at the "
        "five times, the search for the switch, and the check of the field at every accepted "
        "step. Euler's points are beta 2^j, j = 1, 0, -1, ..., from the left; the others' are "
        "tolerances from 1e-2 downwards. (i)-(l) Largest distance of the corners of Euler's "
        "polygon from the MAML flow and from the flow of F + beta/4 |grad F|^2, which Euler "
        "follows to second order (Barrett and Dherin, ICLR 2021, arXiv:2009.11162); the slopes "
        "are fitted to the four smallest steps. Reference: closed form for the regressions; for "
        "the SVMs DOP853 at a relative tolerance of 1e-12 (1e-7 in the quick version, which also "
        "leaves out methods and tolerances), which an independent code confirms (column "
        "uncertainty of the table). Ours throughout; in the SVMs the squared hinge is replaced by "
        "its smooth companion, because the gradient of the squared hinge's MAML loss is "
        "discontinuous, every method falls to first order on it, and no reference converges. With "
        "d = 784 (digits) a Hessian costs some 2400 passes: of the implicit methods only Radau "
        "and BDF, which keep one for many steps, appear there, at three tolerances, and not on "
        "the BI-MAML flow, where the search for the switch needs new ones. Methods that SciPy "
        "lacks are the package's; its own DOP853 is in the table and not drawn, as its curve is "
        "SciPy's."
    ),
    pieces=pieces,
    combine=combine,
    draw=draw,
    constants=constants,
    key_numbers=key_numbers,
)
