"""The page: a verdict per row first, then every number, then the pictures; losses and failures are rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.rows import ROWS, Row

__all__ = ["seconds", "verdicts", "write_page"]

HEAD = """# This package beside its peers

Written by `python -m benchmarks` (extra `bench`) on {date}: {processor}, {cores} cores, one thread a
side. Every row is one run in which all contenders take turns, in a shuffled order, after a warm-up; times
are the median of CPU time over {rounds} rounds with the middle half beside it, first calls (compilation, and the
search for a peer's tolerances) stand apart, and the error of the result stands beside its time. Solves end
where the norm of grad F is at most 1e-8; every peer runs at the quickest of 15 pairs of tolerances with which it
arrives, or of those tried in half a minute (a minute for ensembles; four times that until one arrives), ours at
its default and, where a row says so, at the quickest of the same pairs. JAX has one thread and no asynchronous
dispatch, which makes its kernels a third faster than by default. Below 20% a difference means nothing.

One core gives {dgemm:.0f} GFLOP/s in a matrix product and reads {L2:.0f}, {L3:.0f} and {memory:.0f} GB/s
from the second and third cache and from memory. Versions: {versions}.

"""


def seconds(value: float) -> str:
    """Return a time with the unit that suits it."""
    if not math.isfinite(value):
        return "-"
    for limit, factor, unit in [(1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms")]:
        if value < limit:
            return f"{value * factor:.3g} {unit}"
    return f"{value:.3g} s"


def _best(timings: list[dict[str, Any]], ours: bool, beside: str = "") -> dict[str, Any] | None:
    fit = [t for t in timings if t["ours"] is ours and not t["failure"] and math.isfinite(t["cpu"])]
    if not ours:
        fit = [t for t in fit if beside in t["name"]]
    return min(fit, key=lambda t: t["cpu"]) if fit else None


def verdicts(record: dict[str, Any]) -> list[tuple[Row, str, str, str, str]]:
    """Return for each row: ours, the best peer, the ratio against the bar, and in a word how it ended."""
    found = []
    for row in ROWS:
        timings = record["rows"].get(row.name)
        if not timings:
            continue
        ours, peer = _best(timings, True), _best(timings, False, row.beside)
        mine = f"{seconds(ours['cpu'])} ({ours['name']})" if ours else "-"
        if row.limit is not None and ours:
            word = "met" if ours["cpu"] <= row.limit else "**missed**"
            found.append((row, mine, "-", f"at most {seconds(row.limit)}", word))
        elif row.bar is not None and ours and peer:
            ratio = peer["cpu"] / ours["cpu"]
            word = "met" if ratio >= row.bar else ("ahead" if ratio >= 1 else "**behind**")
            theirs = f"{seconds(peer['cpu'])} ({peer['name']})"
            found.append((row, mine, theirs, f"{ratio:.2g} of {row.bar:g}", word))
    return found


def _table(timings: list[dict[str, Any]]) -> list[str]:
    if timings and timings[0]["unit"] == "MB":
        lines = ["| | megabytes beyond the data |", "|---|---|"]
        for t in timings:
            lines.append(f"| {t['name']} | {t['failure'] or format(t['error'], '.1f')} |")
        return lines
    lines = [
        f"| | CPU per {timings[0]['unit'] if timings else 'call'} | middle half | wall | first call | error |",
        "|---|---|---|---|---|---|",
    ]
    for t in sorted(timings, key=lambda t: t["cpu"] if math.isfinite(t["cpu"]) else math.inf):
        name = f"**{t['name']}**" if t["ours"] else t["name"]
        if t["failure"]:
            lines.append(f"| {name} | {t['failure'].replace('|', '/')} | | | | |")
            continue
        low, high = t["cpu_spread"]
        error = f"{t['error']:.1e}" if math.isfinite(t["error"]) else ""
        lines.append(
            f"| {name} | {seconds(t['cpu'])} | {seconds(low)} to {seconds(high)} | {seconds(t['wall'])} | "
            f"{seconds(t['first_call'])} | {error} |"
        )
    return lines


def _roofline(record: dict[str, Any]) -> list[str]:
    """Return how near the kernels come to reading the data once per product pair at the cache's speed."""
    sizes = {"20": (50, 300, 20), "784": (10, 200, 784)}
    lines = [
        "## Beside the roofline",
        "",
        "A gradient of F needs six products with a task's data (2 n d flops each) and reads it at least once",
        "from the cache that holds all of it; a Hessian-vector product eleven. The larger of both times is the",
        "roofline.",
        "",
        "| kernel | ours | roofline | times the roofline |",
        "|---|---|---|---|",
    ]
    for row in ROWS:
        if not row.name.startswith(("gradient-", "hvp-")) or row.name not in record["rows"]:
            continue
        ours = _best(record["rows"][row.name], True)
        if ours is None:
            continue
        M, n, d = sizes[row.name.rsplit("-", 1)[1]]
        products = 11 if row.name.startswith("hvp") else 6
        speed, data = record["peaks"]["dgemm GFLOP/s"], M * n * d * 8 / 1e9
        level = "L2" if data < 0.8e-3 else ("L3" if data < 16e-3 else "memory")
        floor = max(products * 2 * M * n * d / 1e9 / speed, data / record["peaks"][f"{level} GB/s"])
        lines.append(
            f"| {row.title} | {seconds(ours['cpu'])} | {seconds(floor)} | {ours['cpu'] / floor:.1f} |"
        )
    return [*lines, ""]


def write_page(record: dict[str, Any], folder: Path) -> None:
    """Write benchmarks.md and its pictures into ``folder``."""
    from benchmarks.pictures import growth, overview

    machine, peaks = record["machine"], record["peaks"]
    named = ("processor", "cores", "system")
    rounds = max((t["rounds"] for row in record["rows"].values() for t in row), default=0)
    head = HEAD.format(
        date=record["date"],
        processor=machine["processor"],
        cores=machine["cores"],
        rounds=rounds,
        dgemm=peaks["dgemm GFLOP/s"],
        L2=peaks["L2 GB/s"],
        L3=peaks["L3 GB/s"],
        memory=peaks["memory GB/s"],
        versions=", ".join(f"{k} {v}" for k, v in machine.items() if k not in named),
    )
    lines = [head, "## In short", ""]
    lines += [
        "| row | ours | best peer | ratio, and what was asked for | |",
        "|---|---|---|---|---|",
    ]
    for row, mine, theirs, ratio, word in verdicts(record):
        lines.append(f"| {row.title} | {mine} | {theirs} | {ratio} | {word} |")
    lines += ["", "![Time of the best peer over ours](benchmarks_overview.svg)", ""]
    notes = Path(__file__).with_name("notes.md")
    if notes.exists():
        lines += [notes.read_text().strip(), ""]
    lines += _roofline(record)
    lines += ["## Every number", ""]
    for row in ROWS:
        if row.name in record["rows"]:
            fewer = max(t["rounds"] for t in record["rows"][row.name])
            said = f" ({fewer} rounds)" if 1 < fewer < rounds else ""
            lines += [f"### {row.title}", "", f"`python -m benchmarks --rows {row.name}`{said}", ""]
            lines += [*_table(record["rows"][row.name]), ""]
    if "growth" in record["rows"]:
        lines += ["![Growth of grad F](benchmarks_growth.svg)", ""]
        growth(record["rows"]["growth"], folder / "benchmarks_growth.svg")
    overview(verdicts(record), record, folder / "benchmarks_overview.svg")
    (folder / "benchmarks.md").write_text("\n".join(lines))
