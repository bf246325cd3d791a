"""Products with some rows and columns of a dense matrix, which lies row by row in a flat array.

The sums of a product stay in registers until they are done: of `TILE` columns, or of four rows. Where fewer rows
are left, the last one stands in for those that are missing, and counts nothing: what is short to write is short to
compile. BLAS would start threads, which on a busy machine wait for each other longer than they work.
"""

from __future__ import annotations

from numba import types

from maml_ode.compiled.contract import INDEX, VECTOR
from maml_ode.compiled.decorators import inner
from maml_ode.compiled.packs import pack_functions
from maml_ode.tasks.dense_samples import LINE

# Columns of a sum of rows: four of the widest registers, so that a sum need not wait for the one before; eight of
# half the width, of which processors that have no wider ones have sixteen.
TILE = 4 * LINE

_TILES, _LINES = pack_functions(TILE), pack_functions(LINE)
_zero_tile, _load_tile, _store_tile = _TILES.zero, _TILES.load, _TILES.store
_load_few_of_tile, _store_few_of_tile = _TILES.load_few, _TILES.store_few
_add_to_tile = _TILES.add_multiple
_zero, _load, _load_few = _LINES.zero, _LINES.load, _LINES.load_few
_add, _add_product, _totals = _LINES.add, _LINES.add_product, _LINES.totals


@inner(types.void(VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX, VECTOR, VECTOR))
def add_products(flat, width, top, bottom, left, right, c, out):
    """Add c'rows[r, left:right] to out[r - top] for the rows from top to bottom, the last ones first."""
    m = right - left
    pairs = m // (2 * LINE) * (2 * LINE)
    for r in range(top + (bottom - top - 1) // 4 * 4, top - 1, -4):
        first = r * width + left
        second = min(r + 1, bottom - 1) * width + left
        third = min(r + 2, bottom - 1) * width + left
        fourth = min(r + 3, bottom - 1) * width + left
        s0 = s1 = s2 = s3 = _zero()
        t0 = t1 = t2 = t3 = _zero()
        for k in range(0, pairs, 2 * LINE):
            near, far = _load(c, k), _load(c, k + LINE)
            s0 = _add_product(_load(flat, first + k), near, s0)
            s1 = _add_product(_load(flat, second + k), near, s1)
            s2 = _add_product(_load(flat, third + k), near, s2)
            s3 = _add_product(_load(flat, fourth + k), near, s3)
            t0 = _add_product(_load(flat, first + k + LINE), far, t0)
            t1 = _add_product(_load(flat, second + k + LINE), far, t1)
            t2 = _add_product(_load(flat, third + k + LINE), far, t2)
            t3 = _add_product(_load(flat, fourth + k + LINE), far, t3)
        for k in range(pairs, m, LINE):
            few = _load_few(c, k, m - k)
            s0 = _add_product(_load_few(flat, first + k, m - k), few, s0)
            s1 = _add_product(_load_few(flat, second + k, m - k), few, s1)
            s2 = _add_product(_load_few(flat, third + k, m - k), few, s2)
            s3 = _add_product(_load_few(flat, fourth + k, m - k), few, s3)
        sums = _totals(_add(s0, t0), _add(s1, t1), _add(s2, t2), _add(s3, t3))
        at, missing = r - top, r + 4 - bottom
        out[at] += sums[0]
        if missing < 3:
            out[at + 1] += sums[1]
        if missing < 2:
            out[at + 2] += sums[2]
        if missing < 1:
            out[at + 3] += sums[3]


@inner(types.void(types.boolean, VECTOR, VECTOR, INDEX, INDEX, INDEX, INDEX, INDEX, VECTOR))
def combine(anew, c, flat, width, top, bottom, left, right, out):
    """Set out = sum_r c[r - top] rows[r, left:right], over the rows from top to bottom, or add it to out."""
    m = right - left
    tiles = m // TILE * TILE
    for k in range(0, tiles, TILE):
        first = top * width + left + k
        tile = _zero_tile() if anew else _load_tile(out, k)
        for r in range(bottom - top):
            tile = _add_to_tile(c[r], _load_tile(flat, first), tile)
            first += width
        _store_tile(tile, out, k)
    if tiles < m:
        first, few = top * width + left + tiles, m - tiles
        tile = _zero_tile() if anew else _load_few_of_tile(out, tiles, few)
        for r in range(bottom - top):
            tile = _add_to_tile(c[r], _load_few_of_tile(flat, first, few), tile)
            first += width
        _store_few_of_tile(tile, out, tiles, few)
