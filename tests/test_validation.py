"""The strict door: whatever is passed, wherever, is either read as numbers or refused in a sentence."""

import math
import re

import numpy as np
import pytest

import maml_ode as mo
from maml_ode._validation import (
    as_array,
    as_rng,
    check_count,
    check_flag,
    check_real,
    evaluation_point,
    real_array,
)
from maml_ode.fields import CallableField
from maml_ode.flows.switch_rules import OnlineSwitch

from .validation.entrances import ENTRANCES
from .validation.hostile import CATALOGUE, EXTREMES, NoRealNumbers, plain

# Functions that return float16 or float32 are read, and it is said once that they are short.
pytestmark = pytest.mark.filterwarnings("ignore::maml_ode.tasks.base.PrecisionWarning")


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


def test_what_a_mask_hides_is_never_computed_with():
    X, y = np.ones((4, 1)), np.ma.masked_equal([1.0, 2.0, -999.0, 4.0], -999.0)
    with pytest.raises(ValueError, match=r"y\[0\] must have no masked entry, but y\[0\]\[2\] is"):
        mo.tasks.LinearRegression([X], [y])
    with pytest.raises(ValueError, match=r"but y\[0\]\[2\] is masked"):
        mo.tasks.LinearRegression([X], np.ma.array([y]))  # through an outer masked (M, n) array
    rows = np.ma.array(np.ones((2, 1, 1)), mask=[[[False]], [[True]]])
    with pytest.raises(ValueError, match=r"but X\[1\]\[0, 0\] is masked"):
        mo.tasks.SVM(rows, [[1], [1]])
    known = ~np.ma.getmaskarray(y)
    assert mo.tasks.LinearRegression([X[known]], [y[known]]).losses([0.0]) == pytest.approx(7.0)


def test_the_mask_that_an_object_hands_over_is_seen_in_a_list_too():
    class Holder:
        def __array__(self, dtype=None, copy=None):
            return np.ma.array([1.0, 2.0], mask=[False, True])

    for given in (Holder(), [Holder(), Holder()], (np.ones(2), Holder())):
        with pytest.raises(ValueError, match="masked"):
            real_array("w", given)


def test_the_error_of_an_object_that_cannot_be_an_array_is_passed_on():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise ValueError("the object's own sentence")

    with pytest.raises(ValueError, match="the object's own sentence"):
        mo.MAMLLoss(mo.tasks.Quadratic([[[1.0]]], [[1.0]]), 0.1).value(Broken())


def test_booleans_are_samples_but_neither_points_nor_weights():
    X, y = [[True, False], [False, True], [True, True]], [True, False, True]
    numbers = mo.tasks.LinearRegression([np.array(X, float)], [np.array(y, float)])
    for given in (X, np.array(X), np.array(X, dtype=object)):
        tasks = mo.tasks.LinearRegression([given], [y])
        np.testing.assert_array_equal(tasks.losses([0.3, 0.7]), numbers.losses([0.3, 0.7]))
    with pytest.raises(TypeError, match=r"w\[0\] is True"):
        numbers.losses([True, 0.0])
    with pytest.raises(TypeError, match="weights"):
        mo.tasks.LinearRegression([X], [y], weights=[True])


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_weights_of_a_short_type_are_made_to_sum_to_one_in_double(kind):
    rng = np.random.default_rng(14)
    for _ in range(200):
        M = int(rng.integers(2, 60))
        logits = rng.normal(size=M).astype(kind)
        softmax = np.exp(logits - logits.max())
        for p in (softmax / softmax.sum(), logits**2 / np.sum(logits**2)):
            assert p.dtype == kind
            tasks = mo.tasks.Sinusoid(*np.ones((3, M)), weights=p)
            assert math.fsum(tasks.weights) == pytest.approx(1.0, abs=4e-16 * M)
            np.testing.assert_allclose(tasks.weights, p.astype(float), rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_weights_that_are_wrong_by_more_than_their_type_are_not_rescaled(kind):
    for p in ([0.5, 0.48], [0.3, 0.3], [1.0, 1.0]):
        with pytest.raises(ValueError, match=r"weights must sum to 1.*np\.sum\(weights\)"):
            mo.tasks.Sinusoid(*np.ones((3, 2)), weights=np.array(p, dtype=kind))
    exact = mo.tasks.Sinusoid(*np.ones((3, 2)), weights=[0.3, 0.7 + 5e-10]).weights
    assert exact.tolist() == [0.3, 0.7 + 5e-10]  # double: what was given, to the last bit


def test_an_evaluation_takes_the_integrators_array_as_it_is():
    w = np.array([0.3, np.nan])
    assert evaluation_point("w", w, 2) is w
    for other in (
        w[::-1],
        w.astype(np.float32),
        np.ma.array(w),
        np.broadcast_to(w, (2,)),
        [0.3, 0.7],
    ):
        point = evaluation_point("w", other, 2)
        assert type(point) is np.ndarray
        assert point.dtype == np.float64
        assert point.flags.carray
        assert not np.shares_memory(point, w)
        np.testing.assert_array_equal(point, np.asarray(other, dtype=float))


def test_a_field_of_the_users_can_neither_change_the_state_nor_keep_it():
    w, kept = np.array([1.0, 2.0]), []

    def careless(x):
        kept.append(x)
        x *= -1.0
        return x

    field = CallableField(careless, 2, jacobian=careless_jacobian)
    first = field(w)
    np.testing.assert_array_equal(w, [1.0, 2.0])
    np.testing.assert_array_equal(first, [-1.0, -2.0])
    kept[0][:] = 7.0
    np.testing.assert_array_equal(first, [-1.0, -2.0])
    np.testing.assert_array_equal(field.jacobian(w), -np.eye(2))
    np.testing.assert_array_equal(w, [1.0, 2.0])


def careless_jacobian(x):
    x[:] = 9.0
    return -np.eye(2)


def test_a_fields_imaginary_part_is_refused_not_dropped():
    with pytest.raises(TypeError, match="field's function must hold real numbers, not complex128"):
        CallableField(lambda w: w * 1j, 2)(np.ones(2))


def test_a_switching_rule_does_not_blame_the_caller_for_gradients_that_are_not_finite():
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.0, lambda i, w: w * np.inf, hvps=lambda i, w, v: v, n_tasks=1, dim=1
    )
    assert not math.isfinite(OnlineSwitch(tasks, 0.1, 1.4).threshold(np.ones(1)))


def test_scalars_of_every_kind_are_read_as_what_they_are():
    assert check_real("x", np.array(2)) == 2.0
    assert check_real("x", np.ma.array(0.5)) == 0.5
    assert check_flag("x", np.True_) is True
    assert as_array("x", [2**64, 1.5]).tolist() == [2.0**64, 1.5]
    with pytest.raises(TypeError, match="x must be True or False, not 1"):
        check_flag("x", 1)
    with pytest.raises(
        ValueError, match="x must be at most 9223372036854775807, not an integer of"
    ):
        check_count("x", 10**5000)
    with pytest.raises(ValueError, match="x is too large for double precision"):
        check_real("x", 10**400)


def test_in_one_dimension_a_number_is_a_point():
    tasks = mo.tasks.Sinusoid([0.5], [1.0], [2.0])
    F, w = mo.MAMLLoss(tasks, 0.1), np.array([0.3])
    for number in (0.3, np.float64(0.3), np.array(0.3)):
        np.testing.assert_array_equal(tasks.gradients(number), tasks.gradients(w))
        np.testing.assert_array_equal(tasks.hvps(w, number), tasks.hvps(w, w))
        assert F.value(number) == F.value(w)
        assert mo.euler(mo.maml_flow(tasks, 0.1), number, 0.1, max_iter=0).w.tolist() == [0.3]
    with pytest.raises(ValueError, match=r"w must have shape \(2,\), but it has shape \(\)"):
        mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[0, 0]])).value(0.3)


def test_a_list_that_holds_itself_is_refused_at_once():
    endless = [1.0]
    endless += [endless, endless]
    with pytest.raises(ValueError, match="x is nested too deeply"):
        real_array("x", endless)
    with pytest.raises(ValueError, match="x is nested too deeply"):
        real_array("x", [[[[[[[[[1.0]]]]]]]]])
    assert real_array("x", [[[[[[[[1.0]]]]]]]]).ndim == 8


def test_a_generator_is_taken_as_it_is_and_a_seed_makes_one():
    generator = np.random.default_rng(3)
    assert as_rng("rng", generator) is generator
    assert as_rng("rng", None).random() == np.random.default_rng(0).random()
    assert as_rng("rng", np.int64(5)).random() == np.random.default_rng(5).random()
    for bad in (
        -1,
        2**64,
        2**128,
        0.0,
        [None],
        True,
        np.eye(1).view(np.matrix),
        np.random.RandomState(1),
    ):
        with pytest.raises((TypeError, ValueError), match="rng must be"):
            as_rng("rng", bad)
