"""What the paper prints wrong, computed, and what it and its correction leave open.

``errata()`` are the statements with an example each; ``open_points.open_points()`` are the questions;
``to_markdown()`` is the page of both, which ``maml-ode errata`` writes.
"""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.errata.erratum import Comparison as Comparison
    from maml_ode.errata.erratum import Erratum as Erratum
    from maml_ode.errata.erratum import Evidence as Evidence
    from maml_ode.errata.page import errata as errata
    from maml_ode.errata.page import to_markdown as to_markdown

__getattr__, __dir__ = attach(
    __name__,
    {
        "Comparison": "maml_ode.errata.erratum",
        "Erratum": "maml_ode.errata.erratum",
        "Evidence": "maml_ode.errata.erratum",
        "errata": "maml_ode.errata.page",
        "to_markdown": "maml_ode.errata.page",
    },
    submodules=("adversary", "box_proof", "noise_constant", "open_points"),
)

__all__ = __dir__()
