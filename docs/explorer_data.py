"""Write docs/_static/explorer_data.js from Figure 1's table of proved counts: ``python docs/explorer_data.py``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent / "paper_figures" / "fig1_counts.csv"
TARGET = HERE / "_static" / "explorer_data.js"


def script() -> str:
    """Return the table as one JavaScript constant: alpha from, alpha to, the count or -1."""
    with TABLE.open(newline="", encoding="utf-8") as lines:
        rows = [
            [float(row["alpha_low"]), float(row["alpha_high"]), int(row["critical_points"])]
            for row in csv.DictReader(lines)
        ]
    return f'"use strict";\n\nconst MAML_PROVED_COUNTS = {json.dumps(rows)};\n'


if __name__ == "__main__":
    TARGET.write_text(script(), encoding="utf-8")
