"""``maml-ode list``."""

from __future__ import annotations

from typing import Any

import click

from maml_ode._validation import LARGEST_SEED
from maml_ode.cli.output import echo_json, make_table, open_console, rounded, say, usage_errors

__all__ = ["list_experiments"]

COLUMNS = {
    "name": "left",
    "M": "right",
    "n": "right",
    "d": "right",
    "alpha": "right",
    "beta": "right",
    "eps0": "right",
    "steps": "right",
    "loss": "left",
}


@click.command("list")
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=LARGEST_SEED),
    default=None,
    help="Draw the data and w0 from it, to show eps0 as a number.  [with --json: 0]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
def list_experiments(seed: int | None, as_json: bool) -> None:
    """List the experiments with their sizes and constants, and those of other packages by name."""
    from maml_ode.experiments.own import installed
    from maml_ode.experiments.registry import outlines

    ours = [one.name for one in outlines()]
    others = {name: point for name, point in installed().items() if name not in ours}
    if as_json:
        found = {one.name: one.needs or _constants(one.name, seed or 0) for one in outlines()}
        content = {k: {"needs": v} if isinstance(v, str) else v for k, v in found.items()}
        echo_json(content | {name: {"function": point.value} for name, point in others.items()})
        return
    table = make_table("Experiments" if seed is None else f"Experiments (seed {seed})")
    lines = []
    for one in outlines():
        tolerance = one.switch_tol
        if seed is not None and not one.needs:
            tolerance = f"{_constants(one.name, seed)['switch_tol']:.4g}"
        lines.append(
            (
                f"{one.name} *" if one.needs else one.name,
                str(one.n_tasks),
                "-".join(str(n) for n in dict.fromkeys(one.n_samples)),
                str(one.dim),
                rounded(one.run.alpha),
                rounded(one.run.beta),
                tolerance,
                str(one.run.n_steps),
                one.reading,
            )
        )
    for (heading, side), cells in zip(COLUMNS.items(), zip(*lines, strict=True), strict=True):
        # Where a terminal is too narrow for all, names of losses give way, and no number does.
        width = None if heading == "loss" else max(map(len, (heading, *cells)))
        table.add_column(
            heading,
            justify=side,  # type: ignore[arg-type]
            no_wrap=width is not None,
            min_width=width,
            overflow="fold" if width is None else "ellipsis",
        )
    for line in lines:
        table.add_row(*line)
    open_console().print(table)
    for one in outlines():
        if one.needs:
            say(f"* {one.name}: {one.needs}")
    for name, point in others.items():
        package = f" of {point.dist.name}" if point.dist is not None else ""
        say(f"{name}: {point.value}{package}")
    unit = ", g0 = ||grad f(w0)||" if seed is None else ""
    say(
        "Notation: M tasks, n samples each, d parameters;\n"
        f"inner step alpha, step size beta, switch tolerance eps0{unit}.\n"
        "Choices that the paper leaves open and that are ours: maml-ode list --json,\nunder notes."
    )


def _constants(name: str, seed: int) -> dict[str, Any]:
    from maml_ode import experiments

    with usage_errors():
        return experiments.load(name, seed=seed).constants() | {
            "overrides": list(experiments.overrides(name))
        }
