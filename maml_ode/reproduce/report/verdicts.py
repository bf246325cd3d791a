"""The verdict on a statement of the paper, from the measures of many seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from maml_ode.reproduce.report.measures import PRINTED, READINGS
from maml_ode.reproduce.report.statements import Statement
from maml_ode.runs.tables import Table

__all__ = ["ENOUGH", "VERDICT_RULE", "Verdict", "judge"]

ENOUGH = 0.75
VERDICT_RULE = (
    "A criterion is checked seed by seed. A statement is not reproduced if its criterion holds for "
    f"fewer than {ENOUGH:.0%} of the seeds. Otherwise it is reproduced if its criterion also holds "
    f"for {ENOUGH:.0%} of the seeds with eps0 halved, with eps0 doubled and, where we read the "
    "paper's loss otherwise than it is printed, with the printed loss, and if the data are the "
    "paper's; if one of these fails, it is reproduced with a choice of ours."
)


@dataclass(frozen=True)
class Verdict:
    """The verdict on a statement, with the shares of seeds for which its criterion holds.

    A share is NaN where the reading does not apply.
    """

    verdict: str
    why: str
    shares: Mapping[str, float]


def judge(statement: Statement, measures: Table) -> Verdict:
    """Return the verdict that the measures give, by `VERDICT_RULE`."""
    mine = measures.where(experiment=statement.experiment)

    def share(reading: str) -> float:
        return float(np.mean(statement.criterion.holds(mine.where(reading=reading))))

    if statement.reading != "ours":
        shares = dict.fromkeys(READINGS, float("nan")) | {statement.reading: share("as printed")}
        held = shares["as printed"]
        verdict = "reproduced" if held >= ENOUGH else "not reproduced"
        return Verdict(
            verdict, f"with the printed loss it holds for {held:.0%} of the seeds", shares
        )
    shares = {reading: share(reading) for reading in READINGS}
    if statement.experiment not in PRINTED:
        shares["as printed"] = float("nan")
    held = shares["ours"]
    if held < ENOUGH:
        return Verdict("not reproduced", f"it holds for {held:.0%} of the seeds", shares)
    fails = [
        f"{words} it holds for {shares[reading]:.0%}"
        for reading, words in (
            ("eps0 halved", "with eps0 halved"),
            ("eps0 doubled", "with eps0 doubled"),
            ("as printed", "with the printed loss"),
        )
        if shares[reading] < ENOUGH
    ]
    why = f"it holds for {held:.0%} of the seeds"
    if fails and np.isnan(mine.where(reading="as printed")["gap_ratio"]).all():
        fails[-1] = "with the printed loss every run diverges"
    if statement.experiment == "svm_digits":
        fails.append("the images are a stand-in for MNIST")
    if not fails:
        also = "" if np.isnan(shares["as printed"]) else ", and with the printed loss"
        return Verdict("reproduced", f"{why}, also with eps0 halved and doubled{also}", shares)
    return Verdict("reproduced with a choice of ours", f"{why}, but {'; '.join(fails)}", shares)
