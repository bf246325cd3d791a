"""A Sphinx extension: formulas as MathML, which browsers draw themselves, without a script or a request."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

_PRIMES = re.compile(r"(?<=\})'+")


def _mathml(formula: str, display: str = "inline") -> str:
    # latex2mathml knows the lines of SymPy's and our formulas by amsmath's other name for them, and puts primes
    # after an index one on top of the other.
    known = formula.replace("{aligned}", "{split}")
    known = _PRIMES.sub(lambda primes: "^{" + len(primes[0]) * r"\prime" + "}", known)
    # Browsers align the cells of formulas by CSS alone.
    return re.sub(
        r'columnalign="(\w+)"',
        r'columnalign="\1" style="text-align: \1; padding-left: 0; padding-right: 0"',
        convert(known, display=display),
    )


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node.astext()))
    raise nodes.SkipNode


def _displayed(translator: Any, node: nodes.math_block) -> None:
    number = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    formula = _mathml(node.astext(), display="block")
    translator.body.append(f'<div class="math-block"{number}>{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
