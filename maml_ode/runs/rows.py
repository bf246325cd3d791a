"""Rows that are dictionaries: as aligned text, and as a data frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["data_frame", "text_table"]

LONGEST_CELL = 48


def text_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> str:
    """Return aligned columns for a terminal; numbers to six digits, arrays by their shapes.

    ``names`` chooses the columns and their order; by default those of all rows, as they first appear. What a
    row lacks is left empty.
    """
    header = list(dict.fromkeys(name for row in rows for name in row) if names is None else names)
    body = [[_cell(row[name]) if name in row else "" for name in header] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    right = [any(isinstance(row.get(name), (int, float)) for row in rows) for name in header]
    lines = []
    for line in (header, *body):
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def data_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the rows as a pandas DataFrame; what a row lacks is missing there too.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(
            "to_dataframe needs pandas; install it with pip install 'maml_ode[table]', or use .rows."
        ) from None
    return pd.DataFrame([dict(row) for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray):
        return f"array {value.shape}"
    text = " ".join(str(value).split()) or repr(value)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
