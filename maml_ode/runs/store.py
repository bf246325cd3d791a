"""What an interrupted run had computed of an artefact: one file per piece, until its tables are written."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from maml_ode._files import write_atomically
from maml_ode.runs.files import to_json

__all__ = ["Unfinished"]


class Unfinished:
    """The finished pieces of an artefact, in the folder ``unfinished``.

    Parameters
    ----------
    folder : Path
        Where the artefacts go.
    name : str
        The artefact.
    identity : dict
        What its tables depend on; pieces of another identity are not found.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any]) -> None:
        self._folder, self._name = folder / "unfinished", name
        self._key = hashlib.sha256(to_json(identity).encode()).hexdigest()[:16]

    def save(self, piece: int, value: Any, seconds: float) -> None:
        """Keep what a piece returned (NumPy arrays come back as lists) and the time that it took."""
        self._folder.mkdir(exist_ok=True)
        write_atomically(self._path(piece), to_json({"seconds": seconds, "value": value}))

    def load(self, piece: int) -> tuple[Any, float] | None:
        """Return what was saved of a piece, or None."""
        try:
            found = json.loads(self._path(piece).read_text(encoding="utf-8"))
            return found["value"], float(found["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def clear(self) -> None:
        """Forget all pieces of the artefact, of whatever identity."""
        for path in self._folder.glob(f"{self._name}-*.json"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # other artefacts have pieces there, or there is no such folder
            self._folder.rmdir()

    def _path(self, piece: int) -> Path:
        return self._folder / f"{self._name}-{self._key}-{piece}.json"
