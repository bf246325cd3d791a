"""Packs of numbers that stay in the vector registers, for loops that LLVM does not find a good form of.

What is asked for is a vector of LLVM's: a processor with narrower registers takes several for a pack.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["PackFunctions", "pack_functions"]

_INDEX = ir.IntType(64)
_REAL = ir.DoubleType()
_BYTES = 8  # what a number takes, and the least that its place in memory is a multiple of


class _Pack(types.Type):
    """Numba type of so many numbers."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(f"Pack({width})")


@register_model(_Pack)
class _PackModel(models.PrimitiveModel):
    def __init__(self, manager: Any, pack: _Pack) -> None:
        super().__init__(manager, pack, ir.VectorType(_REAL, pack.width))


class PackFunctions(NamedTuple):
    """The functions of packs of one width."""

    zero: Any
    load: Any
    load_few: Any
    store: Any
    store_few: Any
    add: Any
    add_multiple: Any
    add_product: Any
    totals: Any


def _place(context: Any, builder: Any, array: Any, value: Any, index: Any, vector: Any) -> Any:
    """Return the pointer to a pack in an array."""
    view = context.make_array(array)(context, builder, value=value)
    return builder.bitcast(builder.gep(view.data, [index]), vector.as_pointer())


def _spread(builder: Any, number: Any, vector: Any) -> Any:
    """Return a vector of one number."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, _INDEX(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, first, places)


def _chosen(builder: Any, numbers: Any, others: Any, places: Iterable[int]) -> Any:
    """Return the numbers in some places of two vectors that stand one after the other."""
    integer = ir.IntType(32)
    constants = [integer(place) for place in places]
    kind = ir.VectorType(integer, len(constants))
    return builder.shuffle_vector(numbers, others, ir.Constant(kind, constants))


def _sums_of_pairs(builder: Any, numbers: Any, others: Any, apart: int) -> Any:
    """Return the sums of numbers so far apart: so many of the first vector, so many of the other, and so on."""
    width = numbers.type.count
    near = [
        half + place + offset
        for place in range(0, width, 2 * apart)
        for half in (0, width)
        for offset in range(apart)
    ]
    left = _chosen(builder, numbers, others, near)
    return builder.fadd(left, _chosen(builder, numbers, others, (j + apart for j in near)))


def _first_few(builder: Any, count: Any, width: int) -> Any:
    """Return which of the places in a pack are among the first so many."""
    places = ir.VectorType(_INDEX, width)
    numbers = ir.Constant(places, [_INDEX(j) for j in range(width)])
    return builder.icmp_signed("<", numbers, _spread(builder, count, places))


def _masked(builder: Any, name: str, kind: Any) -> Any:
    return cgutils.get_or_insert_function(builder.module, kind, name)


@cache
def pack_functions(width: int) -> PackFunctions:
    """Return the functions of packs of so many numbers, to be called in compiled functions."""
    pack, vector = _Pack(width), ir.VectorType(_REAL, width)
    mask, alignment = ir.VectorType(ir.IntType(1), width), ir.IntType(32)
    end = f"v{width}f64.p0"

    @intrinsic
    def zero(typing_context):
        """Return zeros."""
        return pack(), lambda context, builder, signature, arguments: ir.Constant(vector, None)

    @intrinsic
    def load(typing_context, array, index):
        """Return the numbers of an array from an index on."""

        def generate(context, builder, signature, arguments):
            return builder.load(_place(context, builder, array, *arguments, vector), align=_BYTES)

        return pack(array, types.int64), generate

    @intrinsic
    def load_few(typing_context, array, index, count):
        """Return the first so many numbers from an index on, and zeros behind them."""

        def generate(context, builder, signature, arguments):
            place = _place(context, builder, array, *arguments[:2], vector)
            kind = ir.FunctionType(vector, [place.type, alignment, mask, vector])
            chosen = _first_few(builder, arguments[2], width)
            rest = ir.Constant(vector, None)
            function = _masked(builder, f"llvm.masked.load.{end}", kind)
            return builder.call(function, [place, alignment(_BYTES), chosen, rest])

        return pack(array, types.int64, types.int64), generate

    @intrinsic
    def store(typing_context, numbers, array, index):
        """Write the numbers into an array from an index on."""

        def generate(context, builder, signature, arguments):
            place = _place(context, builder, array, *arguments[1:], vector)
            builder.store(arguments[0], place, align=_BYTES)
            return context.get_dummy_value()

        return types.void(pack, array, types.int64), generate

    @intrinsic
    def store_few(typing_context, numbers, array, index, count):
        """Write the first so many of the numbers into an array from an index on."""

        def generate(context, builder, signature, arguments):
            place = _place(context, builder, array, *arguments[1:3], vector)
            kind = ir.FunctionType(ir.VoidType(), [vector, place.type, alignment, mask])
            chosen = _first_few(builder, arguments[3], width)
            function = _masked(builder, f"llvm.masked.store.{end}", kind)
            builder.call(function, [arguments[0], place, alignment(_BYTES), chosen])
            return context.get_dummy_value()

        return types.void(pack, array, types.int64, types.int64), generate

    def added(builder: Any, factor: Any, numbers: Any, others: Any) -> Any:
        product = builder.fmul(factor, numbers, flags=["contract"])
        return builder.fadd(product, others, flags=["contract"])

    @intrinsic
    def add(typing_context, numbers, others):
        """Return numbers + others."""
        return pack(pack, pack), lambda context, builder, signature, arguments: builder.fadd(
            *arguments
        )

    @intrinsic
    def add_multiple(typing_context, factor, numbers, others):
        """Return factor numbers + others."""

        def generate(context, builder, signature, arguments):
            return added(builder, _spread(builder, arguments[0], vector), *arguments[1:])

        return pack(types.float64, pack, pack), generate

    @intrinsic
    def add_product(typing_context, numbers, factors, others):
        """Return numbers factors + others, place by place."""
        return pack(pack, pack, pack), lambda context, builder, signature, arguments: added(
            builder, *arguments
        )

    @intrinsic
    def totals(typing_context, first, second, third, fourth):
        """Return the sum of the numbers of each of four packs."""

        def generate(context, builder, signature, arguments):
            # Sums of the even and the odd places of two packs stand in one, again and again, until four are left.
            halves = [_sums_of_pairs(builder, *arguments[j : j + 2], 1) for j in (0, 2)]
            sums = _sums_of_pairs(builder, *halves, 2)
            while sums.type.count > 4:
                half = sums.type.count // 2
                low = _chosen(builder, sums, sums, range(half))
                sums = builder.fadd(low, _chosen(builder, sums, sums, range(half, 2 * half)))
            parts = [builder.extract_element(sums, _INDEX(j)) for j in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float64, 4)(pack, pack, pack, pack), generate

    return PackFunctions(
        zero, load, load_few, store, store_few, add, add_multiple, add_product, totals
    )
