"""``python -m benchmarks``: measure, and write JSON, a page and pictures."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.environment import use_one_thread

use_one_thread()  # before any library that reads it


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows", default="all", help="names, separated by commas; --list shows them"
    )
    parser.add_argument("--list", action="store_true", help="show the rows and stop")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds a row (15)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs"),
        help="folder of benchmarks.md, .json and pictures",
    )
    parser.add_argument(
        "--page-only", action="store_true", help="write the page again from benchmarks.json"
    )
    return parser.parse_args()


def main() -> int:
    """Run the rows that were asked for; a run of some rows keeps the others' results."""
    chosen = arguments()
    from benchmarks.page import write_page
    from benchmarks.readme import write_table
    from benchmarks.rows import ROWS

    if chosen.list:
        for row in ROWS:
            print(f"{row.name:24s}{row.title}")
        return 0
    path = chosen.output / "benchmarks.json"
    record = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    if not chosen.page_only:
        from benchmarks.machine import describe, peaks

        names = [row.name for row in ROWS] if chosen.rows == "all" else chosen.rows.split(",")
        unknown = set(names) - {row.name for row in ROWS}
        if unknown:
            print(
                f"No row is called {', '.join(sorted(unknown))}; --list shows them.",
                file=sys.stderr,
            )
            return 2
        record |= {"machine": describe(), "peaks": peaks(), "date": time.strftime("%Y-%m-%d")}
        chosen.output.mkdir(parents=True, exist_ok=True)
        for row in ROWS:
            if row.name not in names:
                continue
            print(f"{row.name}: {row.title}", flush=True)
            timings = row.measure(chosen.rounds)
            for timing in timings:
                timing.row = row.name
                print(f"    {summary(timing)}", flush=True)
            record["rows"][row.name] = [asdict(timing) for timing in timings]
            path.write_text(json.dumps(record, indent=1) + "\n")
    write_page(record, chosen.output)
    readme = chosen.output.parent / "README.md"
    if readme.exists():
        write_table(record, readme)
    return 0


def summary(timing: object) -> str:
    """Return one line on one contender."""
    from benchmarks.page import seconds

    t = timing
    if t.failure:  # type: ignore[attr-defined]
        return f"{t.name:52s} {t.failure}"  # type: ignore[attr-defined]
    if t.unit == "MB":  # type: ignore[attr-defined]
        return f"{t.name:52s} {t.error:.1f} MB"  # type: ignore[attr-defined]
    return (
        f"{t.name:52s} CPU {seconds(t.cpu):>9s}  wall {seconds(t.wall):>9s}  "  # type: ignore[attr-defined]
        f"first {seconds(t.first_call):>9s}  error {t.error:.1e}"  # type: ignore[attr-defined]
    )


if __name__ == "__main__":
    sys.exit(main())
