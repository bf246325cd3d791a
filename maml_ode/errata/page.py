"""What is wrong in the paper, where, by which smallest example, and what holds instead.

``maml-ode errata docs/errata.md`` writes the page; every number on it is computed at that moment.
"""

from __future__ import annotations

from maml_ode.errata.definitions import DEFINITIONS
from maml_ode.errata.erratum import Comparison, Erratum, Evidence
from maml_ode.errata.landscape import LANDSCAPE
from maml_ode.errata.open_points import OpenPoint, open_points
from maml_ode.errata.rates import RATES

__all__ = ["errata", "to_markdown"]

_HEADER = """\
# Errata

Xu, Chen and Karbasi, *Meta Learning in the Continuous Time Limit*, AISTATS 2021: the statements that need
correction: definitions and algorithms, then rates, then the landscape and the experiments. Each comes with the
smallest example we know, evaluated when this page was written, with the corrected form and with a sketch of its
proof.

*False* means that the example meets the printed hypotheses and violates the conclusion (or, for a lemma, that
it does so where the paper uses it); *true after repair* that a hypothesis, a constant or the proof had to be
changed; *gap* that what is said is not wrong but does not carry what rests on it.

Notation: g_i = grad f_i, A_i = I - alpha Hess f_i(w), A'_i the average of I - alpha Hess f_i over the step from w
to u_i = w - alpha grad f_i(w), E the mean over tasks, x* = argmin f, psi and rho the constants of
`mo.theory.derived`, where `mo` is `maml_ode`.

This page is written by `maml-ode errata docs/errata.md`.
"""


def errata() -> tuple[Erratum, ...]:
    """Return the errata: definitions and algorithms, rates, landscape and experiments.

    Returns
    -------
    tuple of Erratum

    Examples
    --------
    >>> from maml_ode.errata import errata
    >>> item = next(item for item in errata() if item.statement == "Lemma D.2")
    >>> evidence = item.counterexample()
    >>> print(evidence.printed)
    ||grad F|| <= sigma + sqrt(2 L (f - f*)): 4 <= 1
    >>> evidence.printed.holds, evidence.corrected.holds
    (False, True)
    """
    return (*DEFINITIONS, *RATES, *LANDSCAPE)


def to_markdown() -> str:
    """Return the page of errata and open points, its numbers computed now.

    Returns
    -------
    str

    Examples
    --------
    >>> from maml_ode.errata import to_markdown
    >>> to_markdown().startswith("# ")
    True
    """
    examples = [(item, item.counterexample()) for item in errata()]
    rows = ["| statement | verdict | printed | corrected |", "|---|---|---|---|"]
    for item, found in examples:
        rows.append(
            f"| {_prose(item.statement)} | {item.verdict} | {_short(found.printed)} | {_short(found.corrected)} |"
        )
    sections = [_section(item, found) for item, found in examples]
    questions = [_question(point) for point in open_points()]
    return "\n".join(
        [
            _HEADER,
            "## Summary",
            "",
            "The last two columns are the claims evaluated on the example.",
            "",
            *rows,
            "",
            "## Statement by statement",
            "",
            *sections,
            "## Questions that were open",
            "",
            *questions,
        ]
    ).rstrip()


def _number(x: float) -> str:
    return "0" if abs(x) < 1e-12 else f"{x:.4g}"


def _prose(text: str) -> str:
    """Return ``text`` with the characters escaped that Markdown would interpret."""
    return "".join(f"\\{c}" if c in "\\*_<|" else c for c in text)


def _short(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    relation = {"<=": "≤", ">=": "≥", "=": "="}[comparison.relation]
    truth = "holds" if comparison.holds else "**fails**"
    return f"{_number(comparison.left)} {relation} {_number(comparison.right)} {truth}"


def _long(comparison: Comparison) -> str:
    relation = {"<=": "≤", ">=": "≥", "=": "="}[comparison.relation]
    claim = f"`{comparison.left_name}` {relation} `{comparison.right_name}`"
    return f"{claim}: {_short(comparison)}"


def _numbers(numbers: dict[str, float]) -> str:
    return "; ".join(f"{_prose(name)}: {_number(value)}" for name, value in numbers.items())


def _section(item: Erratum, found: Evidence) -> str:
    lines = [
        f"### {_prose(item.statement)}",
        "",
        f"*Printed ({item.verdict}).* {_prose(item.printed)}",
        "",
        f"*Example.* {_prose(found.example)}.",
        "",
    ]
    if found.printed is not None:
        lines.append(f"- printed: {_long(found.printed)}")
    if found.corrected is not None:
        lines.append(f"- corrected: {_long(found.corrected)}")
    if found.numbers:
        lines.append(f"- {_numbers(found.numbers)}")
    functions = ", ".join(f"`{name}`" for name in item.computed_by)
    lines += [
        "",
        f"*Correct.* {_prose(item.corrected)}",
        "",
        f"*Proof.* {_prose(item.proof)}",
        "",
        f"*Computed by.* {functions}",
        "",
    ]
    return "\n".join(lines)


def _question(point: OpenPoint) -> str:
    return "\n".join(
        [
            f"*Question ({point.verdict}).* {_prose(point.question)}",
            "",
            f"*Answer.* {_prose(point.answer)}",
            "",
            f"*Proof.* {_prose(point.proof)}",
            "",
            f"- {_numbers(point.evidence())}",
            "",
        ]
    )
