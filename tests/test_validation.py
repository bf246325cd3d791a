"""The strict door: whatever is passed, wherever, is either read as numbers or refused in a sentence."""

import math
import re

import numpy as np
import pytest

from .validation.entrances import ENTRANCES
from .validation.hostile import CATALOGUE, EXTREMES, NoRealNumbers, plain


def outcome(entrance, argument, value):
    """Return what a call comes to as an array, or the sentence that refuses it."""
    try:
        result = entrance.call(**{**entrance.good, argument: value})
    except (TypeError, ValueError) as error:
        sentence = str(error)
    else:
        return np.asarray(result, dtype=float)
    called = entrance.called.get(argument, argument)
    assert re.search(rf"(?<!\w)({called})", sentence), f"{sentence!r} does not name {called}"
    return sentence


def meaning(kind, argument, value):
    """Return what a value means as an argument of this kind, or raise NoRealNumbers."""
    if kind.endswith("?") and value is None:
        return None
    kind = kind.removesuffix("?")
    if kind == "count":
        if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (int, np.integer)):
            raise NoRealNumbers
        return int(value)
    numbers = plain(value, booleans=kind == "data")
    if kind == "real" and numbers.ndim:
        raise NoRealNumbers
    short = getattr(value, "dtype", float) in (np.float16, np.float32)
    if argument == "weights" and short and numbers.ndim:
        return numbers / math.fsum(numbers)
    return numbers[()] if numbers.ndim == 0 else numbers


def check(entrance, argument, name):
    kind = entrance.kinds[argument]
    got = outcome(entrance, argument, CATALOGUE[name]())
    if kind == "other":
        return
    try:
        means = meaning(kind, argument, CATALOGUE[name]())
    except NoRealNumbers:
        sparse = argument == "X" and name in ("list of sparse", "boolean sparse")
        assert isinstance(got, str) or sparse, f"nonsense was accepted and gave {got}"
        return
    wanted = outcome(entrance, argument, means)
    assert isinstance(got, str) == isinstance(wanted, str), f"{got} where {wanted} is right"
    if not isinstance(got, str):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.name)
def test_hostile_arguments_are_read_rightly_or_refused_in_a_sentence_that_names_them(entrance):
    for argument in entrance.kinds:
        for name in CATALOGUE:
            if entrance.extremes or name not in EXTREMES:
                try:
                    check(entrance, argument, name)
                except Exception as error:
                    raise AssertionError(f"{argument} = {name}: {error!r}") from error


def test_the_catalogue_is_large():
    places = sum(len(entrance.kinds) for entrance in ENTRANCES)
    assert places * len(CATALOGUE) > 20_000
