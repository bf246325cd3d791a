"""Members in blocks that evaluate their fields together, by products of matrices with matrices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode.flows import Flow
from maml_ode.flows.fields import VectorField
from maml_ode.flows.variants import families_of
from maml_ode.integrate.ensembles.by_compiled_loop import CompiledLoop
from maml_ode.integrate.ensembles.members import Indices
from maml_ode.integrate.solvers.member_codes import FRESH, GOING

if TYPE_CHECKING:
    from maml_ode.compiled.batches import BatchedKernels

__all__ = ["InBlocks", "has_blocks", "pays_in_blocks"]

# Members of a block at most, and how many are needed for products of matrices to be worth it. Where a product
# may have few rows, the matrix that is packed for it takes longer than the product.
MOST_TOGETHER, FEWEST_TOGETHER, FEWEST_ROWS = 128, 8, 16


def has_blocks(flow: Flow) -> bool:
    """Whether the fields of a flow with a compiled loop can be evaluated at many points at once.

    Aggregated quadratics are followed one by one: all of a small matrix is in registers or in the cache.
    """
    return all(leg.field.affine is None and _kernels(leg.field) for leg in flow.legs)


def pays_in_blocks(flow: Flow, size: int) -> bool:
    """Whether so many members are faster in blocks."""
    rows = min(_points_at_once(leg.field) for leg in flow.legs)
    return size >= FEWEST_TOGETHER and rows >= FEWEST_ROWS


def _kernels(field: VectorField) -> BatchedKernels | None:
    """Return the kernels that all families of a field share, or None."""
    kernels = {family.batched_kernels for family in families_of(field)}
    return kernels.pop() if len(kernels) == 1 else None


def _points_at_once(field: VectorField) -> int:
    """Return at how many points a field is evaluated at once."""
    most = min(family.points_at_once for family in families_of(field))
    return max(1, min(most, MOST_TOGETHER))


class InBlocks(CompiledLoop):
    """Follows a group of members in blocks of fixed composition, whatever the number of threads."""

    def _portions(self, going: Indices, field: VectorField) -> list[Indices]:
        """Return the blocks."""
        return np.array_split(going, -(-going.size // _points_at_once(field)))

    def _calls(
        self, going: Indices, arguments: tuple[Any, ...], field: VectorField
    ) -> Iterator[None]:
        """Follow one block by calls of about the same time."""
        from maml_ode.compiled.batches import pack_batch
        from maml_ode.integrate.solvers.kernels.block_loop import follow_block

        kernels = _kernels(field)
        if kernels is None:
            raise RuntimeError("a family lost its batched kernels; this is a defect of maml_ode.")
        batch = pack_batch(kernels)
        while not self._halt[0] and np.isin(self._codes[going], (FRESH, GOING)).any():
            budget, began = self._budget(), time.perf_counter()
            before = int(self._evaluations[going].sum())
            follow_block(*arguments, going, budget, self._halt, batch)
            self._keep_pace(int(self._evaluations[going].sum()) - before, began)
            yield
