"""What the subcommands share: tables for people, JSON for machines, errors as usage errors."""

from __future__ import annotations

import json
import math
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import maml_ode
from maml_ode._validation import LARGEST_SEED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from maml_ode.experiments import Experiment

__all__ = [
    "NOT_CONVERGED",
    "echo_json",
    "load_experiment",
    "make_table",
    "open_console",
    "overrides_of",
    "rounded",
    "say",
    "seed_option",
    "settled",
    "usage_errors",
]

NOT_CONVERGED = 3
RESERVED = {"seed": "use --seed", "name": "the experiment is named before the options"}


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn the package's refusals, which say what to do, into usage errors (exit code 2)."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        raise click.UsageError(str(error)) from error


def load_experiment(name: str, seed: int, overrides: dict[str, Any]) -> Experiment:
    """Return an experiment; what a function of the user's raises is told in a sentence, with its place."""
    from maml_ode import experiments

    try:
        return experiments.load(name, seed=seed, **overrides)
    except Exception as error:
        place = _place(error)
        if not place:
            raise
        kind = "" if isinstance(error, SyntaxError) else f"{type(error).__name__}: "
        raise click.UsageError(f"{name} failed{place}: {kind}{error}") from error


def _place(error: BaseException) -> str:
    """Return where in a user's own file an error came from; empty if it came from nowhere there."""
    if isinstance(error, SyntaxError):
        return " to be read"
    others = {Path(module.__file__ or "").parent for module in (maml_ode, traceback)}
    others.add(Path(click.__file__).parent.parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not others & set(path.parents):
            return f" in line {frame.lineno} of {path.name}"
    return ""


def open_console(stderr: bool = False) -> Console:
    """Return a console that shows every text as it is: a path may look like markup or an emoji's name."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, stderr=stderr)


def say(text: str, style: str | None = None) -> None:
    """Print a text for people as it is."""
    # Not folded at the edge: what is cut in two cannot be copied, a path least of all.
    open_console().print(text, style=style, soft_wrap=True)


def make_table(title: str | None = None) -> Table:
    """Return an empty table in the house's look."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def seed_option(text: str) -> Callable[[Any], Any]:
    """Return the option ``--seed``."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0, max=LARGEST_SEED),
        default=0,
        show_default=True,
        help=text,
    )


@contextmanager
def settled(kept: list[str]) -> Iterator[None]:
    """Collect the package's warnings in ``kept`` and show them on stderr."""
    from maml_ode.integrate.warnings import NonSmoothWarning, StepSizeWarning

    with warnings.catch_warnings(record=True) as caught:
        for category in (NonSmoothWarning, StepSizeWarning):
            warnings.simplefilter("always", category)
        yield
    for one in caught:
        if issubclass(one.category, (NonSmoothWarning, StepSizeWarning)):
            kept.append(str(one.message))
            click.echo(f"Warning: {one.message}", err=True)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def echo_json(content: Any) -> None:
    """Print strict JSON: NaN and infinities, which JSON does not have, become null."""
    plain = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    if any("\ud800" <= letter <= "\udfff" for letter in plain):
        # A path whose bytes are no text; JSON can spell it all the same.
        plain = json.dumps(json.loads(plain), indent=2)
    click.echo(plain)


def rounded(value: float) -> str:
    """Return a number for a table."""
    return f"{value:.6g}"


def overrides_of(settings: tuple[str, ...], **named: float | None) -> dict[str, Any]:
    """Return an experiment's overrides from ``--set KEY=VALUE`` options and from named ones."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set takes KEY=VALUE, not {setting!r}.")
        if key in RESERVED:
            raise click.UsageError(f"--set does not take {key!r}: {RESERVED[key]}.")
        overrides[key.replace("-", "_")] = _value(text)
    return overrides | {key: value for key, value in named.items() if value is not None}


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
