"""``maml-ode compare NAME``."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import click

from maml_ode._files import write_atomically
from maml_ode.cli.files import check_files, ending
from maml_ode.cli.flows import FLOWS, flow_of
from maml_ode.cli.output import (
    echo_json,
    load_experiment,
    overrides_of,
    say,
    seed_option,
    settled,
    usage_errors,
)

if TYPE_CHECKING:
    from maml_ode.comparing import Comparison

__all__ = ["compare_methods"]

# Euler's step sizes are beta 2^-j: twice the experiment's, and down to an eighth of it.
HALVINGS = (-1, 0, 1, 2, 3)


@click.command("compare")
@click.argument("name")
@click.option("--flow", default="maml", show_default=True, help=f"One of {', '.join(FLOWS)}.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    help="An integrator, or exact; may be repeated.  [several]",
)
@click.option(
    "--rtol", "rtols", type=float, multiple=True, help="May be repeated.  [1e-2, ..., 1e-8]"
)
@click.option(
    "--step-size",
    "step_sizes",
    type=float,
    multiple=True,
    help="Of Euler; may be repeated.  [2 beta, ..., beta/8]",
)
@click.option("--t-max", type=float, default=None, help="Horizon in time.  [steps times beta]")
@click.option("--max-seconds", type=float, default=None, help="Limit on the time of one run.")
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
@click.option("--plot", type=click.Path(dir_okay=False, writable=True), help="Write a picture.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress on stderr; by default if that is a terminal.",
)
def compare_methods(
    name: str,
    flow: str,
    methods: tuple[str, ...],
    rtols: tuple[float, ...],
    step_sizes: tuple[float, ...],
    t_max: float | None,
    max_seconds: float | None,
    alpha: float | None,
    switch_tol: float | None,
    seed: int,
    settings: tuple[str, ...],
    plot: str | None,
    as_json: bool,
    progress: bool | None,
) -> None:
    """Say what accuracy costs on the flow of the experiment NAME, by method and tolerance.

    Errors are distances from a reference at the horizon, in units of the distance travelled; work is counted
    in gradient passes. Exit code 0 also where runs failed: that is an answer.
    """
    check_files(plot)
    overrides = overrides_of(settings, alpha=alpha, switch_tol=switch_tol)
    notes: list[str] = []
    chosen: dict[str, Any] = {}
    if methods:
        chosen["methods"] = methods
    if rtols:
        chosen["rtols"] = rtols
    with usage_errors(), settled(notes):
        from maml_ode.comparing import compare

        problem = load_experiment(name, seed, overrides)
        horizon = problem.n_steps * problem.beta if t_max is None else t_max
        usual = [problem.beta * 2.0**-j for j in HALVINGS]
        found = compare(
            flow_of(problem, flow, None),
            problem.w0,
            t_max=horizon,
            step_sizes=step_sizes or [h for h in usual if horizon / h > 0.5],
            max_seconds=max_seconds,
            progress=(sys.stderr.isatty() and not as_json) if progress is None else progress,
            **chosen,
        )
    failure = None
    if plot is not None:
        failure = _draw(found, plot)
    if as_json:
        echo_json(_content(found) | {"experiment": problem.constants(), "warnings": notes})
    else:
        say(found.table())
        if plot is not None and failure is None:
            say(f"wrote {click.format_filename(plot)}")
    if failure is not None:
        raise click.ClickException(failure)


def _draw(found: Comparison, plot: str) -> str | None:
    """Write the picture; return what went wrong, so that the table is shown all the same."""
    picture = io.BytesIO()
    try:
        found.plot().figure.savefig(picture, format=ending(plot))  # type: ignore[union-attr]
        write_atomically(plot, picture.getvalue())
    except (OSError, ValueError) as error:
        return f"{plot} was not written: {error}"
    return None


def _content(found: Comparison) -> dict[str, Any]:
    return {
        "flow": found.flow_name,
        "t_max": found.t_max,
        "rows": found.rows,
        "reference": {
            "how": found.reference,
            "error": found.reference_error,
            "travelled": found.travelled,
        },
        "prices": found.prices,
    }
