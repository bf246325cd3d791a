"""``maml-ode sweep package.module:function``."""

from __future__ import annotations

import ast
import re
import sqlite3
import sys
from typing import Any

import click

from maml_ode.cli.output import NOT_CONVERGED, echo_json, say, usage_errors

__all__ = ["sweep_function"]

INTERRUPTED = 130
MOST_VALUES = 1_000_000
_RULE = re.compile(r"(range|linspace|geomspace)\(([^()]*)\)")


@click.command("sweep")
@click.argument("function")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="NAME=VALUES",
    help="Values with commas between them, or range(a,b), linspace(a,b,n), geomspace(a,b,n); may be repeated.",
)
@click.option(
    "--store",
    type=click.Path(dir_okay=False),
    default=None,
    help="SQLite file in which finished points are kept; the same command goes on from it.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only; progress goes to stderr.")
@click.option("--progress/--no-progress", default=True, help="Progress on stderr.")
@click.pass_context
def sweep_function(
    ctx: click.Context,
    function: str,
    grids: tuple[str, ...],
    store: str | None,
    jobs: int,
    as_json: bool,
    progress: bool,
) -> None:
    """Call FUNCTION, package.module:function, on every point of a grid and print what it returns.

    The working directory is on the path. The function takes the grid's names and returns a Trajectory or a
    mapping of names to numbers. Exit code 3 if a point failed: its row says why, and with --store the same
    command tries it again.
    """
    grid = dict(_values(text) for text in grids)
    if len(grid) < len(grids):
        raise click.UsageError("--grid gives the same name twice; put its values into one option.")
    with usage_errors():
        from maml_ode.runs.functions import find_function
        from maml_ode.sweeping import SweepInterrupted, sweep

        run = find_function(function)
    try:
        with usage_errors():
            found = sweep(
                run, grid, executor=None if jobs == 1 else jobs, store=store, progress=progress
            )
    except SweepInterrupted as stop:
        click.echo(f"Interrupted: {stop}", err=True)
        ctx.exit(INTERRUPTED)
    except (OSError, sqlite3.Error) as error:
        raise click.ClickException(
            f"{error}; what is finished stays in the store, and the same command goes on from there."
        ) from error
    if as_json:
        echo_json({"function": function, "rows": found.rows, "notes": found.notes})
    else:
        for row in found.failed:
            click.echo(row["traceback"], err=True)
        say(found.table())
    ctx.exit(NOT_CONVERGED if found.failed else 0)


def _values(text: str) -> tuple[str, list[Any]]:
    """Return the name and the values of ``name=values``."""
    name, equals, listed = text.partition("=")
    if not equals or not name.strip() or not listed.strip():
        raise click.UsageError(f"--grid takes NAME=VALUES, such as alpha=0.1,0.2, not {text!r}.")
    rule = _RULE.fullmatch(listed.strip())
    if rule is None:
        return name.strip(), [_value(one.strip()) for one in listed.split(",")]
    numbers = [_value(one.strip()) for one in rule[2].split(",")]
    wanted = {"range": (1, 2, 3), "linspace": (3,), "geomspace": (3,)}[rule[1]]
    whole = numbers if rule[1] == "range" else numbers[2:]
    good = len(numbers) in wanted and all(type(one) in (int, float) for one in numbers)
    if not good or not all(type(one) is int for one in whole):
        raise click.UsageError(
            f"--grid {text}: write range(b), range(a,b), range(a,b,step) with integers, or linspace(a,b,n) and "
            "geomspace(a,b,n) with n an integer."
        )
    if not all(abs(one) <= sys.float_info.max for one in numbers):
        raise click.UsageError(f"--grid {text}: the numbers must be finite.")
    if rule[1] == "range":
        if numbers[2:] == [0]:
            raise click.UsageError(f"--grid {text}: the step of a range cannot be 0.")
        listing = range(*numbers)
        # Of a range that is longer than any integer of the machine there is no len.
        count = (listing.stop - listing.start) // listing.step
    else:
        count = numbers[2]
        if rule[1] == "geomspace" and not (min(numbers[:2]) > 0 or max(numbers[:2]) < 0):
            raise click.UsageError(
                f"--grid {text}: a geometric sequence has ends of one sign, neither of them 0."
            )
    if not count <= MOST_VALUES or (count < 0 and rule[1] != "range"):
        raise click.UsageError(f"--grid {text}: take from 0 to {MOST_VALUES} values.")
    if rule[1] == "range":
        return name.strip(), list(listing)
    import numpy as np

    return name.strip(), getattr(np, rule[1])(*numbers).tolist()


def _value(text: str) -> Any:
    """Return a number, a quoted text, True, False or None as what it is, anything else as a text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None, "nan": float("nan")}.get(
            text.lower(), float(text) if text.lower().lstrip("+-") in ("inf", "infinity") else text
        )
    return value if isinstance(value, (bool, int, float, str)) or value is None else text
