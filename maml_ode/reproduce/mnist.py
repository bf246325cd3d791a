"""Panels 2d and 2h on MNIST itself, from the user's files, beside the stand-in that is bundled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maml_ode import experiments
from maml_ode.experiments.idx import find_training_files
from maml_ode.reproduce.artefact import Artefact, Inputs, Settings, Tables
from maml_ode.reproduce.both_algorithms import load_from, runs_of, stack
from maml_ode.reproduce.figure2 import draw_column
from maml_ode.reproduce.report.artefact import judged
from maml_ode.reproduce.report.measures import PRINTED, measures_rows
from maml_ode.reproduce.report.statements import QUOTED, STATEMENTS, on_mnist
from maml_ode.reproduce.report.text import HEADER, criteria, markdown, statement_cells
from maml_ode.reproduce.report.verdicts import ENOUGH, VERDICT_RULE
from maml_ode.reproduce.section4 import constants_of
from maml_ode.runs.executor import Task
from maml_ode.runs.files import sha256
from maml_ode.runs.tables import Table, as_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ARTEFACT", "check_images"]

STAND_IN, MNIST = "svm_digits", "svm_mnist"
TITLES = {STAND_IN: "digits, the stand-in", MNIST: "MNIST"}
QUICK_SEEDS = 2


def check_images(settings: Settings) -> None:
    """Read MNIST's files once, so that damaged ones are refused before anything is computed.

    Raises
    ------
    ValueError
        If no folder was given, or what it holds is not MNIST.
    """
    experiments.load(MNIST, seed=settings.seed, path=_folder(settings))


def _folder(settings: Settings) -> str:
    if settings.mnist is None:
        raise ValueError(
            "the artefact mnist is made from MNIST's training files; give their folder with --mnist FOLDER "
            "(Settings(mnist=FOLDER))."
        )
    return os.fspath(settings.mnist)


def _path(name: str, settings: Settings) -> str | None:
    return _folder(settings) if name == MNIST else None


def pieces(settings: Settings) -> list[Task]:
    """Return the runs of both algorithms and their measures, for both sets of images and every seed."""
    seeds = settings.seed_range[: QUICK_SEEDS if settings.quick else settings.seeds]
    return [
        Task(_one, (name, seed, _path(name, settings)), f"{TITLES[name]}, seed {seed}")
        for name in TITLES
        for seed in seeds
    ]


def _one(name: str, seed: int, path: str | None) -> dict[str, Any]:
    iterates, _, switch = runs_of(name, seed, 0, path=path)
    quoted = {"quoted_saving": QUOTED[STAND_IN]}
    measures = [row | quoted for row in measures_rows(name, seed, path)]
    return {"iterates": iterates, "switch": switch, "measures": measures}


def combine(settings: Settings, values: list[Any], inputs: Inputs) -> dict[str, Table]:
    """Put the runs together, and judge the statements on the stand-in and on MNIST."""
    measures = as_table("mnist_measures", [row for part in values for row in part["measures"]])
    pairs = zip(
        (statement for statement in STATEMENTS if statement.experiment == STAND_IN),
        on_mnist(),
        strict=True,
    )
    statements = [statement for pair in pairs for statement in pair]
    switches = stack(part["switch"] for part in values)
    # The flows are not run here.
    del switches["flow_switch_k"]
    return {
        "mnist_iterates": Table("mnist_iterates", stack(part["iterates"] for part in values)),
        "mnist_switches": Table("mnist_switches", switches),
        "mnist_measures": measures,
        "mnist_statements": as_table("mnist_statements", judged(statements, measures)),
    }


def draw(tables: Tables, settings: Settings) -> dict[str, Figure]:
    """Draw panels 2d and 2h for the stand-in and for MNIST, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 5.2))
    axes = figure.subplots(2, 2, sharey="row")
    for column, (name, title) in enumerate(TITLES.items()):
        draw_column(
            (axes[0, column], axes[1, column]),
            tables["mnist_iterates"].where(experiment=name),
            tables["mnist_switches"].where(experiment=name),
            settings.seed,
            first=column == 0,
        )
        for row, panel in enumerate(("2d", "2h")):
            axes[row, column].set_title(f"({panel}) {title}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return {"mnist": figure}


def texts(tables: Tables, settings: Settings) -> dict[str, str]:
    """Return the verdicts in Markdown."""
    statements = tables["mnist_statements"]
    lines = [
        "# Panels 2d and 2h on MNIST",
        "",
        "The paper's statements about its MNIST experiment, judged on the bundled stand-in and on MNIST "
        f"itself, over {int(statements['seeds'].max())} seeds from {settings.seed} on. Claims are in our "
        "words; every verdict is computed from the numbers beside it (`mnist_measures.csv`).",
        "",
        VERDICT_RULE,
        "",
        *markdown(HEADER, (statement_cells(statements, k) for k in range(len(statements)))),
        "",
        "The criteria:",
        "",
        *(f"- {'; '.join(places)}: {text}." for text, places in criteria(statements).items()),
        "",
    ]
    return {"mnist.md": "\n".join(lines)}


def constants(settings: Settings) -> dict[str, Any]:
    """Return the constants of both experiments, and the SHA-256 of the files that MNIST was read from."""
    images, labels = find_training_files(Path(_folder(settings)))
    return {
        "experiments": {
            name: constants_of(load_from(name, settings.seed, _path(name, settings)))
            for name in TITLES
        },
        "files": {"images": sha256(images), "labels": sha256(labels)},
        "printed": {name: PRINTED[name] for name in TITLES},
        "statements": {one.name: one.criterion.words for one in on_mnist()},
        "ours": {"share_of_seeds": ENOUGH, "verdict_rule": VERDICT_RULE},
    }


def key_numbers(tables: Tables) -> dict[str, str]:
    """Return the verdicts on MNIST, those on the stand-in where they differ."""
    statements = tables["mnist_statements"]
    verdicts = dict(zip(statements["statement"].tolist(), statements["verdict"], strict=True))
    found = {}
    for one in on_mnist():
        stand_in = next(
            s.name for s in STATEMENTS if s.experiment == STAND_IN and s.place == one.place
        )
        here, there = str(verdicts[one.name]), str(verdicts[stand_in])
        found[one.place] = here if here == there else f"{here} (stand-in: {there})"
    return found


ARTEFACT = Artefact(
    name="mnist",
    title="MNIST: panels 2d and 2h on the paper's images",
    caption=(
        "The paper's Figure 2, panels (d) and (h), on MNIST's training images (right) and on the "
        "handwritten 8 x 8 digits, enlarged and distorted, that stand in for them (left), with the same "
        "constants. Curves: the run of the first seed, which also chooses the images, with a mark at "
        "every fifth iteration. Shaded: from the 10% to the 90% quantile over the seeds at each "
        "iteration. The dotted line marks the switch in the run of the first seed. Ours: the pairs of "
        "digits and the choice of images, the squared hinge instead of the printed hinge, and eps0 = "
        "0.59, fitted on the stand-in to the saving that the paper quotes. The verdicts with their "
        "criteria are in mnist.md."
    ),
    pieces=pieces,
    combine=combine,
    draw=draw,
    constants=constants,
    texts=texts,
    key_numbers=key_numbers,
)
