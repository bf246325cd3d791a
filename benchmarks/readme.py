"""The README's table: a few rows of the page, wins and losses, between two marks that stand in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.page import seconds, verdicts

__all__ = ["table", "write_table"]

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
# What a reader of the README asks first, in these words; a row that has not been run is left out.
CHOSEN = {
    "linear": "one solve, linear regression, to 1e-8",
    "sinusoid": "one solve, two sinusoid tasks, to 1e-8",
    "gradient-logistic-20": "∇F, logistic, 50 tasks, d = 20",
    "hvp-logistic-784": "∇²F v, logistic, 10 tasks, d = 784",
    "euler-linear": "a step of Euler, linear regression",
    "ensemble-linear": "a member of an ensemble, linear",
    "ensemble-logistic": "a member of an ensemble, logistic",
}


def table(record: dict[str, Any]) -> str:
    """Return the table in Markdown: ours, the best peer, and how many times as fast ours is."""
    found = {row.name: (mine, theirs, ratio) for row, mine, theirs, ratio, _ in verdicts(record)}
    lines = ["| CPU time | here | best peer | times as fast |", "|---|---|---|---|"]
    for name, words in CHOSEN.items():
        if name in found:
            mine, theirs, ratio = found[name]
            lines.append(
                f"| {words} | {mine.split(' (')[0]} | {theirs} | {ratio.split(' of ')[0]} |"
            )
    first = {t["name"]: t["cpu"] for t in record["rows"].get("start-logistic", ())}
    ours, theirs = first.get("maml_ode, nothing compiled yet"), first.get("diffrax, autodiff")
    if ours and theirs:
        lines.append(
            f"| a process's first solve, nothing compiled, logistic | {seconds(ours)} "
            f"| {seconds(theirs)} (diffrax, autodiff) | {theirs / ours:.2g} |"
        )
    deepest = {t["name"].split(",")[0]: t["error"] for t in record["rows"].get("memory", ())}
    peers = {name: size for name, size in deepest.items() if name != "maml_ode"}
    if peers and "maml_ode" in deepest:
        name, size = min(peers.items(), key=lambda pair: pair[1])
        ours = deepest["maml_ode"]
        lines.append(
            f"| memory for 64 inner steps | {ours:.0f} MB | {size:.0f} MB ({name}) | {size / ours:.2g} |"
        )
    return "\n".join(lines)


def write_table(record: dict[str, Any], readme: Path) -> None:
    """Put the table between its marks, where the README has them."""
    text = readme.read_text(encoding="utf-8")
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        readme.write_text(f"{before}{BEGIN}\n{table(record)}\n{END}{after}", encoding="utf-8")
