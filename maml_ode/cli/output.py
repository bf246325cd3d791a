"""What the subcommands share: tables for people, JSON for machines, errors as usage errors."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import numpy as np

__all__ = ["NOT_CONVERGED", "echo_json", "number", "overrides_of", "settled", "usage_errors"]

NOT_CONVERGED = 3
RESERVED = {"seed": "use --seed", "name": "the experiment is named before the options"}


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn the package's refusals, which say what to do, into usage errors (exit code 2)."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error


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
    click.echo(json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False))


def number(value: float) -> str:
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
