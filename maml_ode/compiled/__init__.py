"""The compiled layer: what a family's kernels look like, and the loops built on them once for all.

``contract`` fixes the kernels' signatures and packs a family into one native object;
``family``, ``maml`` and ``fields`` are the loops. Nothing here knows how a family stores its data.
Importing this package imports Numba, so it is only imported where something is evaluated.
"""

from pathlib import Path

from maml_ode.compiled.freshness import discard_stale_code

discard_stale_code(Path(__file__).parent.parent)
