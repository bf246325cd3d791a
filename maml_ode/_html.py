"""Tables for notebooks: every cell escaped, columns of numbers at the right, nothing that a dark page loses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["cell", "html_table"]


def cell(value: Any) -> str:
    """Return a value as a reader wants it: floats to six digits, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def html_table(
    rows: Iterable[Sequence[Any]], header: Sequence[str] | None = None, caption: str = ""
) -> str:
    """Return an HTML table of the rows, with a caption above and a header row where they are given.

    Parameters
    ----------
    rows : iterable of sequences
        Cells of any kind; `cell` writes them.
    header : sequence of str, optional
        Without one, the first cell of every row is its name.
    caption : str
        A sentence.

    Examples
    --------
    >>> from maml_ode._html import html_table
    >>> html_table([("a < b", 1.5)])
    '<table><tr><th style="text-align:left">a &lt; b</th><td style="text-align:left">1.5</td></tr></table>'
    """
    parts = ["<table>"]
    if caption:
        parts.append(f'<caption style="text-align:left">{escape(caption)}</caption>')
    if header is not None:
        parts.append("<tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>")
    for row in rows:
        parts.append("<tr>")
        for place, value in enumerate(row):
            text = escape(cell(value)).replace("\n", "<br>")
            if place == 0 and header is None:
                parts.append(f'<th style="text-align:left">{text}</th>')
            elif (
                header is not None
                and isinstance(value, (int, float))
                and not isinstance(value, bool)
            ):
                parts.append(f'<td style="text-align:right">{text}</td>')
            else:
                parts.append(f'<td style="text-align:left">{text}</td>')
        parts.append("</tr>")
    parts.append("</table>")
    return "".join(parts)
