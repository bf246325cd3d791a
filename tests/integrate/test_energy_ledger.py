"""The energy ledger as a value: what counts as a rise, in exact arithmetic, and sums of ledgers by hand."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.energy import EnergyLedger, count_rises, dissipation, rises
from maml_ode.integrate.warnings import StepSizeWarning

EPS = Fraction(1, 2**52)


def test_a_rise_is_one_of_more_than_8_units_in_the_last_place():
    """Values that differ by k eps of their size, k from -20 to 20, against fractions."""
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        size = rng.choice([-1, 1]) * 10.0 ** rng.uniform(-200, 200)
        steps = rng.integers(-20, 21, 6)
        values = np.cumprod([size, *(1.0 + steps * float(EPS))])
        exact = [Fraction(v) for v in values]
        jumps = [
            b - a for a, b in itertools.pairwise(exact) if b - a > 8 * EPS * max(abs(a), abs(b))
        ]
        number, largest = count_rises(values)
        assert number == len(jumps)
        assert Fraction(largest) == max(jumps, default=0)
        assert rises(*values[:2]) == (count_rises(values[:2])[0] == 1)
        seen.add(number)
    assert {0, 1, 2, 3} <= seen
    assert count_rises(np.array([1.0])) == count_rises(np.array([])) == (0, 0.0)
    assert count_rises(np.array([0.0, 0.0, 0.0])) == (0, 0.0)
    # A run that has fallen far is held to the size at which it is now.
    assert count_rises(np.array([1e10, 1.0, 1.0 + 2.0**-40])) == (1, 2.0**-40)


def test_diverging_values_are_counted_without_a_warning():
    """From the first infinite value on nothing is compared; a rise of more than the largest float is one."""
    assert count_rises(np.array([2.0, 1.0, 1e308, np.inf, np.nan, np.inf])) == (1, 1e308)
    assert count_rises(np.array([-1.5e308, 1.5e308])) == (1, np.inf)
    assert not rises(1.0, np.nan)


def test_ledgers_add_up():
    first, second = EnergyLedger(2, 0.5, 3.0, 2.75), EnergyLedger(1, 0.25, 4.0, 4.5)
    for a, b in ((first, second), (second, first)):
        assert a + b == EnergyLedger(3, 0.5, 7.0, 7.25)
    assert (first.defect, second.defect, (first + second).defect) == (0.25, 0.5, 0.25)
    open_end = EnergyLedger(0, 0.0, 1.0, None)
    assert open_end.defect is None
    for a, b in ((first, open_end), (open_end, first), (open_end, open_end)):
        assert (a + b).dissipated is None
    plain = {"rises": 2, "largest_rise": 0.5, "drop": 3.0, "dissipated": 2.75}
    assert first.to_dict() == plain
    with pytest.raises(TypeError):
        first + 1


def test_dissipation_is_exact_for_polynomials_of_degree_7():
    """Four Gauss nodes: grad = w along w = (t^3, t^(1/2)) gives int t^6 + t, from 0.5 to 3 in uneven steps."""
    found = dissipation(
        lambda w: w, lambda t: np.array([t**3, np.sqrt(t)]), [0.5, 0.7, 1.9, 2.0, 3.0]
    )
    exact = Fraction(3**7 - Fraction(1, 2**7)) / 7 + Fraction(9 - Fraction(1, 4)) / 2
    assert found == pytest.approx(float(exact), rel=1e-14)
    assert dissipation(lambda w: w, lambda t: t, [1.0]) == 0.0


def test_squares_beyond_double_precision_dissipate_infinitely_without_a_warning():
    assert dissipation(lambda w: 1e200 + w, lambda t: np.array([t]), [0.0, 1.0]) == np.inf


def test_iterates_that_grow_rise_at_every_step():
    """F = w^2/2 by Euler steps of 2.5 rises at every step: by w^2 (2.25 - 1)/2."""
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]])))
    with pytest.warns(StepSizeWarning):
        run = mo.euler(flow, [1.0], 2.5, max_iter=4)
    w = (-1.5) ** np.arange(5)
    np.testing.assert_array_equal(run.y[0], w)
    assert run.energy.rises == 4
    assert run.energy.largest_rise == (w[4] ** 2 - w[3] ** 2) / 2
    assert run.energy.drop == (1 - w[4] ** 2) / 2
