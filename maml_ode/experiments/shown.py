"""An experiment as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._html import html_table

if TYPE_CHECKING:
    from maml_ode.experiments.experiment import Experiment

__all__ = ["experiment_table"]

LATER = "found when first asked for"


def experiment_table(experiment: Experiment) -> str:
    """Return the constants and where they come from as HTML; what is still open is not looked for.

    Examples
    --------
    >>> import maml_ode as mo
    >>> from maml_ode.experiments.shown import experiment_table
    >>> ">iterations</th>" in experiment_table(mo.experiments.load("diabetes"))
    True
    """
    known = vars(experiment)
    rows: list[tuple[str, Any]] = [
        ("tasks", repr(experiment.tasks)),
        ("inner step size alpha", experiment.alpha),
        ("inner steps", experiment.inner_steps),
        ("Euler's step size beta", known.get("beta", LATER)),
        ("switch tolerance eps0", known.get("switch_tol", LATER)),
        ("iterations", experiment.n_steps),
        ("||w0||", float(np.linalg.norm(experiment.w0))),
        ("rule", experiment.rule),
    ]
    if experiment.query is not None:
        rows.insert(1, ("query", repr(experiment.query)))
    if experiment.seed is not None:
        rows.append(("seed", experiment.seed))
    for note in known.get("notes", ()):
        source, _, said = note.partition(": ")
        rows.append((source, said) if said else ("note", note))
    title, name = experiment.title, experiment.name
    return html_table(rows, caption=title if title == name else f"{title} ({name})")
