"""``maml-ode reproduce``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from maml_ode.cli.output import echo_json, make_table, open_console, say, seed_option, usage_errors

if TYPE_CHECKING:
    from maml_ode.reproduce.artefact import Settings
    from maml_ode.reproduce.making import Outcome, Reporter
    from maml_ode.reproduce.remaining import Remaining

__all__ = ["reproduce_paper"]

INTERRUPTED, DIFFERS = 130, 3


@click.command("reproduce")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only this artefact, e.g. fig2; may be repeated."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False),
    default="maml_ode_figures",
    show_default=True,
    help="Folder to write to.",
)
@click.option("--quick", is_flag=True, help="A coarser version in seconds.")
@click.option("--redraw", is_flag=True, help="Draw again from the CSV files; compute nothing.")
@click.option(
    "--check",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[FOLDER]",
    help="Compare the tables in a folder, by default that of --output, with those shipped; exit code 3 if one "
    "differs.",
)
@click.option("--fresh", is_flag=True, help="Compute again what an earlier run has finished.")
@seed_option("The first seed.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Number of seeds."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Processes.  [all processors]",
)
@click.option(
    "--mnist",
    type=click.Path(),
    metavar="FOLDER",
    help="Also panels 2d and 2h on MNIST, from its training files (IDX, plain or .gz) there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON only; progress goes to stderr.")
@click.pass_context
def reproduce_paper(
    ctx: click.Context,
    only: tuple[str, ...],
    output: str,
    quick: bool,
    redraw: bool,
    check: str | None,
    fresh: bool,
    seed: int,
    seeds: int,
    jobs: int | None,
    mnist: str | None,
    as_json: bool,
) -> None:
    """Regenerate the paper's figures with their data, and the report on its statements.

    Writes PNG and SVG pictures, CSV tables and JSON metadata. What an earlier run has finished is kept,
    so an interrupted run goes on where it stopped.
    """
    if check is not None:
        if redraw or fresh or only or mnist:
            raise click.UsageError("--check compares what is there; leave out the other options.")
        _check(ctx, check or output, as_json)
        return
    if redraw and fresh:
        raise click.UsageError("--redraw computes nothing and --fresh computes all; choose one.")
    with usage_errors():
        from maml_ode._validation import check_choice
        from maml_ode.reproduce import ARTEFACTS, ON_FILES

        known = ARTEFACTS | ON_FILES
        names = [check_choice("artefact", one, known) for each in only for one in each.split(",")]
    from concurrent.futures.process import BrokenProcessPool

    from maml_ode.reproduce.artefact import Settings
    from maml_ode.reproduce.pipeline import NothingToRedrawError, reproduce

    with usage_errors():
        settings = Settings(seed, seeds, quick, jobs or _processors(), mnist)
        if mnist is not None or ("mnist" in names and not redraw):
            from maml_ode.reproduce.mnist import check_images

            check_images(settings)
    if mnist is not None and names and "mnist" not in names:
        names.append("mnist")
    remaining = None if redraw else _remaining(output, names, settings)
    try:
        with _bars(names or list(ARTEFACTS), remaining) as progress:
            outcomes = reproduce(
                output, names or None, settings, redraw=redraw, resume=not fresh, progress=progress
            )
    except NothingToRedrawError as error:
        raise click.UsageError(
            str(error).replace("run without redraw", "run without --redraw")
        ) from error
    except OSError as error:
        raise click.ClickException(
            f"{error}; what is finished stays, and the same command goes on from there."
        ) from error
    except BrokenProcessPool as error:
        raise click.ClickException(
            "a process of the run ended abruptly, perhaps for want of memory; the same command goes "
            "on where it stopped, and --jobs 1 needs the least."
        ) from error
    except KeyboardInterrupt:
        click.echo("Interrupted; the same command goes on where it stopped.", err=True)
        ctx.exit(INTERRUPTED)
    if as_json:
        echo_json([_plain(outcome) for outcome in outcomes])
    else:
        _print(outcomes, output)


def _check(ctx: click.Context, output: str, as_json: bool) -> None:
    from dataclasses import asdict
    from pathlib import Path

    from maml_ode.reproduce.check import check

    with usage_errors():
        found = check(Path(output))
    if as_json:
        echo_json([asdict(entry) for entry in found])
    else:
        table = make_table("Against the shipped tables")
        for heading in ("artefact", "verdict", ""):
            table.add_column(heading, overflow="fold")
        for entry in found:
            table.add_row(entry.name, entry.verdict, entry.detail)
        open_console().print(table)
    if any(entry.differs for entry in found):
        ctx.exit(DIFFERS)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _remaining(output: str, names: list[str], settings: Settings) -> Remaining:
    from pathlib import Path

    from maml_ode.reproduce.pipeline import planned
    from maml_ode.reproduce.remaining import Remaining

    return Remaining(Path(output), planned(names or None, settings), settings)


@contextmanager
def _bars(names: list[str], remaining: Remaining | None) -> Iterator[Reporter]:
    """Show a progress bar per artefact and the time left on stderr; plain lines if that is not a terminal."""
    if not sys.stderr.isatty():
        yield partial(_lines, remaining)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<10}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=open_console(stderr=True)) as bars:
        whole = bars.add_task("all", total=1.0, start=False, note=_left(remaining))
        tasks = {name: bars.add_task(name, total=1.0, start=False, note="") for name in names}

        def show(name: str, fraction: float, note: str) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=1.0, start=False, note="")
            if not bars.tasks[tasks[name]].started:
                bars.start_task(tasks[name])
            bars.update(tasks[name], completed=fraction, note=note)
            if remaining is not None:
                if not bars.tasks[whole].started:
                    bars.start_task(whole)
                remaining.update(name, fraction, note)
                bars.update(whole, completed=remaining.fraction, note=_left(remaining))

        yield show


def _lines(remaining: Remaining | None, name: str, fraction: float, note: str) -> None:
    from maml_ode.reproduce.pipeline import DAMAGED

    if remaining is not None:
        remaining.update(name, fraction, note)
    if fraction == 1.0 or not note or note == DAMAGED:
        left = _left(remaining)
        click.echo(f"{name}: {note or 'started'}{left and ', ' + left}", err=True)


def _left(remaining: Remaining | None) -> str:
    """Return the time left in words; nothing where there is none, or nothing is left."""
    from maml_ode.reproduce.remaining import in_words

    return "" if remaining is None or remaining.fraction == 1.0 else in_words(remaining.seconds())


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "title": outcome.title,
        "status": outcome.status,
        "seconds": round(outcome.elapsed, 3),
        "files": [str(path) for path in outcome.files],
        "key_numbers": dict(outcome.key_numbers),
    }


def _print(outcomes: list[Outcome], output: str) -> None:
    made, numbers = make_table(), make_table("Key numbers")
    for heading in ("artefact", "", "pictures", "data"):
        made.add_column(heading, overflow="fold")
    for heading in ("artefact", "quantity", "value"):
        numbers.add_column(heading, overflow="fold")
    for outcome in outcomes:
        pictures = sorted({p.stem for p in outcome.files if p.suffix in (".png", ".svg")})
        others = [path.name for path in outcome.files if path.suffix not in (".png", ".svg")]
        made.add_row(
            outcome.name,
            f"{outcome.status}, {outcome.elapsed:.1f} s",
            "\n".join(f"{stem}.png/svg" for stem in pictures),
            "\n".join(others),
        )
        for place, (quantity, value) in enumerate(outcome.key_numbers.items()):
            numbers.add_row(outcome.name if place == 0 else "", quantity, value)
    say(f"Written to {click.format_filename(output)}")
    say("index.html there shows all of it on one page.")
    console = open_console()
    console.print(made)
    console.print()
    console.print(numbers)
