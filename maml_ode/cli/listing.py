"""``maml-ode list``."""

from __future__ import annotations

from typing import Any

import click

from maml_ode.cli.output import (
    echo_json,
    make_table,
    open_console,
    rounded,
    say,
    seed_option,
    usage_errors,
)

__all__ = ["list_experiments"]


@click.command("list")
@seed_option("Of data and w0.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
def list_experiments(seed: int, as_json: bool) -> None:
    """List the paper's experiments with their sizes and constants."""
    from maml_ode import experiments

    found = {name: _describe(name, seed) for name in experiments.names()}
    if as_json:
        echo_json(found)
        return
    table = make_table(f"Experiments (seed {seed})")
    for heading, side in (
        ("name", "left"),
        ("M", "right"),
        ("n", "right"),
        ("d", "right"),
        ("alpha", "right"),
        ("beta", "right"),
        ("eps0", "right"),
        ("steps", "right"),
        ("loss", "left"),
    ):
        table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
    footnotes = []
    for name, one in found.items():
        if "needs" in one:
            table.add_row(f"{name} *", *[""] * 8)
            footnotes.append(f"* {name}: {one['needs']}")
            continue
        sizes = sorted(set(one["n_samples"]))
        samples = "" if not sizes else "-".join(str(n) for n in {sizes[0]: 0, sizes[-1]: 0})
        table.add_row(
            name,
            str(one["n_tasks"]),
            samples,
            str(one["dim"]),
            rounded(one["alpha"]),
            rounded(one["beta"]),
            f"{one['switch_tol']:.4g}",
            str(one["n_steps"]),
            str(one["options"].get("loss") or one["options"].get("reduction", "")),
        )
    open_console().print(table)
    for footnote in footnotes:
        say(footnote)
    say(
        "Notation: M tasks, n samples each, d parameters;\n"
        "inner step alpha, step size beta, switch tolerance eps0.\n"
        "Choices that the paper leaves open and that are ours: maml-ode list --json,\nunder notes."
    )


def _describe(name: str, seed: int) -> dict[str, Any]:
    from maml_ode import experiments

    if name == "svm_mnist":
        # The only one that is not bundled; everything else about it is as in svm_digits.
        return {"needs": "MNIST itself, --set path=FOLDER (IDX files) or --set source=openml."}
    with usage_errors():
        return experiments.load(name, seed=seed).constants() | {
            "overrides": list(experiments.overrides(name))
        }
