"""The paper's figures and statements, regenerated: pictures, their data, and how they were made.

Each artefact is a module with an `Artefact` named ``ARTEFACT``; `ARTEFACTS` lists them in the order
in which they are made, and `ON_FILES` those that need files of the user's. Modules are imported
when they are needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from maml_ode._lazy import attach
from maml_ode._validation import check_choice

if TYPE_CHECKING:
    from maml_ode.reproduce.artefact import Artefact as Artefact
    from maml_ode.reproduce.artefact import Settings as Settings
    from maml_ode.reproduce.pipeline import Outcome as Outcome
    from maml_ode.reproduce.pipeline import reproduce as reproduce
    from maml_ode.runs.tables import Table as Table

ARTEFACTS: dict[str, str] = {
    "fig1": "maml_ode.reproduce.figure1",
    "diabetes": "maml_ode.reproduce.diabetes",
    "fig2": "maml_ode.reproduce.figure2",
    "fig3": "maml_ode.reproduce.figure3",
    "fig4": "maml_ode.reproduce.figure4",
    "fig5": "maml_ode.reproduce.figure5",
    "report": "maml_ode.reproduce.report",
}
# Made from files of the user's, and only when these are given.
ON_FILES: dict[str, str] = {"mnist": "maml_ode.reproduce.mnist"}


def load_artefact(name: str) -> Artefact:
    """Return the artefact ``name``.

    Raises
    ------
    ValueError
        For an unknown name; the nearest one is suggested.
    """
    known = ARTEFACTS | ON_FILES
    module = importlib.import_module(known[check_choice("artefact", name, known)])
    artefact: Artefact = module.ARTEFACT
    return artefact


__getattr__, __dir__ = attach(
    __name__,
    {
        "Artefact": "maml_ode.reproduce.artefact",
        "Outcome": "maml_ode.reproduce.pipeline",
        "Settings": "maml_ode.reproduce.artefact",
        "Table": "maml_ode.runs.tables",
        "reproduce": "maml_ode.reproduce.pipeline",
    },
)

__all__ = __dir__()
