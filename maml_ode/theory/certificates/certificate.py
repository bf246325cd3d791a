"""Certificates: a statement, its hypotheses, its numbers and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

from maml_ode._html import html_table
from maml_ode._validation import unknown_name
from maml_ode.theory.quantities import Status

__all__ = ["Certificate", "Certificates", "Hypothesis", "all_hold"]

Verdict = bool | None
_WORDS = {True: "yes", False: "no", None: "undecided"}


@dataclass(frozen=True)
class Hypothesis:
    """One condition of a statement and whether it is met (None: not known).

    Attributes
    ----------
    name : str
    holds : bool or None
    detail : str
        The numbers.

    Examples
    --------
    >>> import maml_ode as mo
    >>> print(mo.theory.Hypothesis("alpha < 1/L", True, "alpha L = 0.3"))
    alpha < 1/L: yes (alpha L = 0.3)
    """

    name: str
    holds: Verdict
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.name}: {_WORDS[self.holds]}{detail}"


def all_hold(hypotheses: Iterable[Hypothesis]) -> Verdict:
    """Return True where every hypothesis is met, else None: a statement without them decides nothing."""
    return True if all(item.holds for item in hypotheses) else None


@dataclass(frozen=True)
class Certificate:
    """What one statement says about one setting.

    Attributes
    ----------
    name : str
    statement : str
        What is claimed, in words, with the number of the paper's statement that it replaces.
    formula : str
    hypotheses : tuple of Hypothesis
    holds : bool or None
        True: proved for this setting. False: proved wrong for this setting. None: this statement
        decides nothing here. It is never True on estimated constants without the word "estimated"
        in ``note``.
    value, bound, slack : float or None
        What was computed, what limits it, and how much room is left (negative: violated).
    status : Status
        The worst among the inputs.
    printed : float or None
        The paper's value where it differs.
    note : str

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> found = mo.theory.certify(problem.tasks, problem.alpha, w0=problem.w0)
    >>> found["smoothness"].holds, found["smoothness"].status.value
    (True, 'exact')
    """

    name: str
    statement: str
    formula: str
    hypotheses: tuple[Hypothesis, ...]
    holds: Verdict
    value: float | None = None
    bound: float | None = None
    slack: float | None = None
    status: Status = Status.EXACT
    printed: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        estimated = self.status is Status.ESTIMATE and self.holds is True
        if estimated and "estimated" not in self.note:
            note = "estimated, not proved: the constants are sampled"
            object.__setattr__(self, "note", f"{self.note}; {note}" if self.note else note)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python objects, for JSON; non-finite numbers become None."""

        def plain(x: float | None) -> float | None:
            return None if x is None or not math.isfinite(x) else float(x)

        return {
            "name": self.name,
            "statement": self.statement,
            "formula": self.formula,
            "hypotheses": [
                {"name": item.name, "holds": item.holds, "detail": item.detail}
                for item in self.hypotheses
            ],
            "holds": self.holds,
            "value": plain(self.value),
            "bound": plain(self.bound),
            "slack": plain(self.slack),
            "status": self.status.value,
            "printed": plain(self.printed),
            "note": self.note,
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: {_WORDS[self.holds]} [{self.status.value}]  {self.statement}"]
        lines += [f"  {item}" for item in self.hypotheses]
        numbers = [
            f"{key} = {_number(x)}"
            for key, x in (
                ("value", self.value),
                ("bound", self.bound),
                ("slack", self.slack),
                ("printed", self.printed),
            )
            if x is not None
        ]
        if numbers:
            lines.append("  " + ", ".join(numbers))
        if self.note:
            lines.append("  " + self.note)
        return "\n".join(lines)


def _number(x: float | None) -> str:
    return "" if x is None else f"{x:.5g}"


class Certificates(list[Certificate]):
    """The certificates of one problem; index by position or by name.

    Its ``summary`` says in one sentence which guarantee applies and what it promises.

    Parameters
    ----------
    items : iterable of Certificate
    summary : str

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("diabetes")
    >>> found = mo.theory.certify(problem.tasks, problem.alpha, w0=problem.w0)
    >>> found[0] is found["smoothness"]
    True
    >>> found.table().splitlines()[0].split()[:3]
    ['certificate', 'holds', 'value']
    """

    def __init__(self, items: Iterable[Certificate] = (), summary: str = "") -> None:
        super().__init__(items)
        self._summary = summary

    @overload
    def __getitem__(self, key: str) -> Certificate: ...
    @overload
    def __getitem__(self, key: SupportsIndex) -> Certificate: ...
    @overload
    def __getitem__(self, key: slice) -> list[Certificate]: ...
    def __getitem__(self, key: str | SupportsIndex | slice) -> Certificate | list[Certificate]:
        """Return a certificate by position or by name."""
        if isinstance(key, str):
            for certificate in self:
                if certificate.name == key:
                    return certificate
            raise KeyError(unknown_name("certificate", key, [item.name for item in self]))
        return super().__getitem__(key)

    def summary(self) -> str:
        """Return one sentence: which guarantee applies and what it promises."""
        return self._summary

    def to_markdown(self) -> str:
        """Return a Markdown table and the summary."""
        rows = [
            "| certificate | holds | value | bound | slack | status | printed | note |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for item in self:
            cells = [_number(x) for x in (item.value, item.bound, item.slack)]
            note = item.note.replace("|", "\\|")
            rows.append(
                f"| {item.name} | {_WORDS[item.holds]} | {' | '.join(cells)} | {item.status.value} | "
                f"{_number(item.printed)} | {note} |"
            )
        return "\n".join([*rows, "", self.summary()])

    def table(self) -> str:
        """Return aligned columns and the summary, for a terminal."""
        header = ("certificate", "holds", "value", "bound", "slack", "status", "printed")
        body = [
            (
                item.name,
                _WORDS[item.holds],
                *(_number(x) for x in (item.value, item.bound, item.slack)),
                item.status.value,
                _number(item.printed),
            )
            for item in self
        ]
        widths = [max(len(row[j]) for row in (header, *body)) for j in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (header, *body)
        ]
        return "\n".join([*lines, "", self.summary()])

    def _repr_html_(self) -> str:
        """Return the table and the summary for a notebook."""
        header = ("certificate", "holds", "value", "bound", "slack", "status", "printed", "note")
        rows = [
            (
                item.name,
                _WORDS[item.holds],
                item.value,
                item.bound,
                item.slack,
                item.status.value,
                item.printed,
                item.note,
            )
            for item in self
        ]
        return html_table(rows, header, caption=self.summary())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return plain Python objects, for JSON."""
        return [item.to_dict() for item in self]

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        held = [
            f"{sum(item.holds is verdict for item in self)} {word}"
            for verdict, word in _WORDS.items()
        ]
        return f"Certificates({len(self)}: {', '.join(held)})"
