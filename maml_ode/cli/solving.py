"""``maml-ode solve NAME``."""

from __future__ import annotations

import io
import math
import sys
from typing import TYPE_CHECKING, Any

import click

from maml_ode._archive import npz_path
from maml_ode._files import write_atomically
from maml_ode.cli.files import check_files, ending
from maml_ode.cli.flows import FLOWS, beta_of, flow_of
from maml_ode.cli.output import (
    NOT_CONVERGED,
    echo_json,
    load_experiment,
    make_table,
    open_console,
    overrides_of,
    rounded,
    say,
    seed_option,
    settled,
    usage_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from maml_ode.experiments import Experiment
    from maml_ode.tasks.base import TaskFamily
    from maml_ode.trajectory import Trajectory

__all__ = ["solve_experiment"]

DEFAULT_TOL = 1e-8
# Longer tables say less than --json.
MOST_NAMES = 30


@click.command("solve")
@click.argument("name")
@click.option("--flow", default="maml", show_default=True, help=f"One of {', '.join(FLOWS)}.")
@click.option(
    "--method", default=None, help="auto (default), exact, or an integrator such as DOP853, Radau."
)
@click.option("--tol", type=float, default=None, help="Stop at this norm of the field.  [1e-8]")
@click.option("--t-max", type=float, default=None, help="Horizon in time.  [none]")
@click.option("--max-seconds", type=float, default=None, help="Limit on wall-clock time.")
@click.option("--alpha", type=float, default=None, help="Inner step size, instead of the paper's.")
@click.option("--switch-tol", type=float, default=None, help="BI-MAML's eps0, instead of ours.")
@seed_option("Of data and w0.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another reading, e.g. loss=smooth_squared_hinge; may be repeated.",
)
@click.option("--euler", "discrete", is_flag=True, help="Run the algorithm instead of the flow.")
@click.option("--step-size", type=float, default=None, help="With --euler: beta, not the paper's.")
@click.option("--max-iter", type=int, default=None, help="With --euler: number of iterations.")
@click.option("--plot", type=click.Path(dir_okay=False, writable=True), help="Write a picture.")
@click.option("--save", type=click.Path(dir_okay=False, writable=True), help="Write an .npz file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on stderr; by default if that is a terminal.",
)
@click.pass_context
def solve_experiment(
    ctx: click.Context,
    name: str,
    flow: str,
    method: str | None,
    tol: float | None,
    t_max: float | None,
    max_seconds: float | None,
    alpha: float | None,
    switch_tol: float | None,
    seed: int,
    settings: tuple[str, ...],
    discrete: bool,
    step_size: float | None,
    max_iter: int | None,
    plot: str | None,
    save: str | None,
    as_json: bool,
    progress: bool | None,
) -> None:
    """Run the flow of the experiment NAME until it is stationary, or with --euler its algorithm.

    NAME is one that maml-ode list shows, or package.module:function of your own, which returns a
    maml_ode.Experiment or a pair (tasks, alpha); the working directory is on the path.

    Exit code 3 if the run ended without reaching what was asked for.
    """
    only_discrete = {"--max-iter": max_iter}
    if flow != "modified":
        only_discrete["--step-size"] = step_size  # type: ignore[assignment]
    _refuse("without --euler", {} if discrete else only_discrete)
    only_continuous = {"--method": method, "--t-max": t_max, "--max-seconds": max_seconds}
    _refuse("with --euler", only_continuous if discrete else {})
    check_files(plot, save)
    overrides = overrides_of(settings, alpha=alpha, switch_tol=switch_tol)
    show = (sys.stderr.isatty() and not as_json) if progress is None else progress
    notes: list[str] = []
    with usage_errors(), settled(notes):
        from maml_ode.integrate import euler, solve

        problem = load_experiment(name, seed, overrides)
        field = flow_of(problem, flow, step_size)
        if discrete:
            run = euler(
                field,
                problem.w0,
                beta_of(problem, step_size),
                tol=0.0 if tol is None else tol,
                max_iter=problem.n_steps if max_iter is None else max_iter,
                progress=show,
            )
        else:
            run = solve(
                field,
                problem.w0,
                method="auto" if method is None else method,
                tol=DEFAULT_TOL if tol is None else tol,
                t_max=math.inf if t_max is None else t_max,
                max_seconds=max_seconds,
                progress=show,
            )
    written: list[str] = []
    failure = _write(run, plot, save, written)
    # A run whose loss has overflowed took its steps, but nobody asked for that.
    done = run.success and math.isfinite(run.loss[-1])
    if as_json:
        echo_json(_summary(problem, run) | {"warnings": notes, "files": written})
    else:
        _print(problem, run, written, done)
    if failure is not None:
        raise click.ClickException(f"{failure}; what was there before is as it was.")
    ctx.exit(0 if done else NOT_CONVERGED)


def _refuse(when: str, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"{' and '.join(given)} cannot be used {when}.")


def _write(
    run: Trajectory, plot: str | None, save: str | None, written: list[str]
) -> OSError | None:
    """Write what was asked for; return what went wrong, so that the run is shown all the same."""
    try:
        if plot is not None:
            picture = io.BytesIO()
            run.plot()[0].figure.savefig(picture, format=ending(plot))
            write_atomically(plot, picture.getvalue())
            written.append(plot)
        if save is not None:
            run.save(save)
            written.append(npz_path(save))
    except OSError as error:
        return error
    return None


def _summary(problem: Experiment, run: Trajectory) -> dict[str, Any]:
    summary = run.to_dict()
    for array in ("t", "y", "phase", "final_state", "switch_states", "t_events", "y_events"):
        summary.pop(array)
    for series in ("loss", "task_loss", "grad_norm", "task_grad_norm"):
        values = summary.pop(series)
        summary[series] = {"start": values[0], "end": values[-1]}
    return {"experiment": problem.constants()} | summary | {"w": run.w}


def _print_by_name(tasks: TaskFamily, run: Trajectory) -> None:
    """Print the losses of tasks and the coefficients of features that have names, unless they are many."""
    features = getattr(tasks, "feature_names", None)
    start, end = run.y[:, 0], run.w
    parts: list[tuple[str, Any, Callable[[], tuple[Any, Any]]]] = [
        ("f_i(w) of", tasks.names, lambda: (tasks.losses(start), tasks.losses(end))),
        ("w of", features, lambda: (start, end)),
    ]
    for title, names, columns in parts:
        if names is None or len(names) > MOST_NAMES:
            continue
        table = make_table()
        for column, side in ((title, "left"), ("start", "right"), ("end", "right")):
            table.add_column(column, justify=side)  # type: ignore[arg-type]
        for row in zip(names, *columns(), strict=True):
            table.add_row(str(row[0]), *map(rounded, row[1:]))
        open_console().print(table)


def _print(problem: Experiment, run: Trajectory, written: list[str], done: bool) -> None:
    say(f"{run.flow_name} on {problem.name}, by {run.method}")
    table = make_table()
    for column, side in (("", "left"), ("start", "right"), ("end", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for label, series in (
        ("F(w)", run.loss),
        ("||grad F(w)||", run.grad_norm),
        ("f(w)", run.task_loss),
        ("||grad f(w)||", run.task_grad_norm),
    ):
        table.add_row(label, rounded(series[0]), rounded(series[-1]))
    table.add_row("time t", "0", rounded(run.final_time))
    if run.step_size is not None:
        table.add_row("iteration k", "0", str(run.counts.steps))
    for t in run.switch_times:
        table.add_row("switch at t", "", rounded(t))
    open_console().print(table)
    _print_by_name(problem.tasks, run)
    counts = run.counts
    say(run.message, style="green" if done else "red")
    if run.success and not done:
        say("The loss overflowed: the iterates diverge.", style="red")
    say(
        f"{counts.gradients} gradient and {counts.hvps} Hessian-vector passes over the {problem.tasks.n_tasks} "
        f"tasks, {counts.steps} steps, {run.elapsed:.3g} s."
    )
    for name in written:
        say(f"wrote {click.format_filename(name)}")
