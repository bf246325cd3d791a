"""The search for a switch inside a step, by itself: where it lands, and how many steps it takes anew."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.switch_rules import Reversed, as_rule
from maml_ode.integrate import locate as room
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator
from maml_ode.integrate.locate import Landing, locate
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Crossing

START, END = 2.0, 3.0


def evaluator(rule):
    field = FieldEvaluator(CallableField(lambda w: -w, 1), Tally())
    return RuleEvaluator(rule if hasattr(rule, "strict") else as_rule(rule), field, False)


class Method:
    """A method whose path from w = 1 at t = 2 is known, and its interpolant, which is off by ``off``."""

    def __init__(self, path, off):
        self.path, self.off, self.taken = path, off, []

    def dense(self, t):
        return np.array([self.path(t) + self.off * (t - START)])

    def restep(self, t):
        self.taken.append(t)
        piece = object()
        return Landing(t, np.array([self.path(t)]), [2.25, t], [None, piece])

    def land(self, rule, low=START, high=END):
        rule = rule if isinstance(rule, RuleEvaluator) else evaluator(rule)
        return locate(Crossing(START, np.array([1.0]), low, high, self.dense), rule, self.restep)


def straight(t):
    return 1.0 - (t - START)


def test_a_phase_that_ends_at_its_step_s_start_takes_no_step():
    method = Method(straight, 0.01)
    rules = {
        "a mere bracket": lambda t, w: 1.0,
        "met": lambda t, w: -1.0,
        "met at 0": lambda t, w: 0.0,
    }
    for name, rule in rules.items():
        landing = method.land(rule, high=START if name == "a mere bracket" else END)
        assert (landing.t, landing.w, landing.times, landing.interpolants) == (
            START,
            [1.0],
            [],
            [],
        ), name
    assert method.taken == []
    # What the reverse of a rule says at exactly 0 is: not yet.
    landing = method.land(Reversed(as_rule(lambda t, w: max(0.5 - w[0], 0.0))))
    assert landing.t == pytest.approx(2.5, abs=1e-9)


def test_a_bracket_whose_lower_end_meets_the_rule_is_stepped_to():
    method = Method(straight, 0.01)
    landing = method.land(lambda t, w: 0.8 - w[0] - 1.0, low=2.375)
    assert method.taken == [2.375]
    assert (landing.t, landing.w) == (2.375, [0.625])


def test_the_secant_rule_by_hand():
    """The interpolant crosses 1/2 at 0.5/0.99 of the step, where the path is 0.5 - 0.5/0.99."""
    method = Method(straight, 0.01)
    landing = method.land(lambda t, w: w[0] - 0.5)
    first = 0.5 / 0.99
    second = first - (first - 0.5) / 0.99
    assert np.array(method.taken) - START == pytest.approx([first, second, 0.5], rel=1e-11)
    assert landing.t == pytest.approx(2.5, abs=4e-16)
    assert landing.w == pytest.approx([0.5], abs=4e-16)
    assert landing.times == [2.25, landing.t]


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_a_norm_is_landed_on_to_a_share_of_its_threshold(size):
    """The path is off by 5e-14 and 2e-13 of the threshold where the interpolant meets it: good, and not yet."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[size]]], [[0.0]]))
    rule = evaluator(GradientNormBelow(f, 0.5 * size))
    assert not rule.shares_field
    for off, steps in ((5e-14, 1), (2e-13, 2)):
        method = Method(straight, off)
        landing = method.land(rule)
        assert len(method.taken) == steps
        assert landing.w[0] == pytest.approx(0.5, rel=1.01e-13, abs=0)


def test_corrections_end_where_they_no_longer_improve():
    """A path of steps 1e-3 high cannot come closer to 0.5005 than half of that; the best one is kept."""
    method = Method(lambda t: round(straight(t), 3), 1e-5)
    landing = method.land(lambda t, w: w[0] - 0.5004)
    assert 1 < len(method.taken) <= 4
    assert abs(landing.w[0] - 0.5004) == min(abs(method.path(t) - 0.5004) for t in method.taken)
    # One whose steps are 0.1 high is of no use to the secant rule: such a rule jumps.
    method = Method(lambda t: round(straight(t), 1), 1e-5)
    assert method.path(method.land(lambda t, w: w[0] - 0.46).t) in (0.4, 0.5)


@pytest.mark.parametrize(
    "shape", [np.sign, lambda x: x + np.sign(x), lambda x: np.inf if x > 0 else x, lambda x: x > 0]
)
@pytest.mark.parametrize("place", [0.5, 1e-3, 1 - 1e-3])
def test_jumps_are_landed_on_where_the_path_of_the_method_has_them(shape, place):
    """The shifted interpolant is off by 1% of what is left: 1e-2, 1e-4, ... of the step, to 1e-9."""
    method = Method(straight, 0.01)
    landing = method.land(lambda t, w: shape(w[0] - (1.0 - place)))
    assert landing.t - START == pytest.approx(place, rel=1e-10)
    assert landing.w == pytest.approx([1.0 - place], abs=1e-9 * place)
    assert straight(landing.t) == pytest.approx(landing.w[0], abs=2e-11 * place)
    assert len(method.taken) <= 7
    assert landing.times == [2.25, landing.t]


def test_a_path_that_never_meets_the_rule_ends_where_the_interpolant_does():
    """The interpolant dips to 0.4, the path only to 0.6: all that there is to land on is the first time."""
    method = Method(lambda t: 1.0 - 0.4 * (t - START), -0.2)
    landing = method.land(lambda t, w: w[0] > 0.5)
    assert method.taken == [landing.t]
    assert landing.t == pytest.approx(START + 0.5 / 0.6, rel=1e-15)


def test_the_slope_is_a_difference_over_a_ten_thousandth_of_the_way():
    crossing = Crossing(START, np.array([4.0]), START, END, lambda t: np.array([t * t]))
    rule = evaluator(lambda t, w: 3.0 * w[0])
    for t in (2.5, 3.0):
        expected = 3.0 * (2 * t - 1e-4 * (t - START))
        assert room._slope(rule, crossing, crossing.interpolant, t) == pytest.approx(
            expected, rel=1e-10
        )
    assert room._slope(rule, crossing, crossing.interpolant, np.nextafter(START, END)) == 0.0


def test_brackets_widen_to_the_whole_step():
    """The rule comes to be met at 2.3 along the path: from 1e-9 of the step's length on, ten times wider each."""
    path, rule = (lambda t: np.array([t])), evaluator(lambda t, w: w[0] < 2.3)

    def bracket(t, start=2.0, end=4.0):
        return room._bracket(rule, path, t, start, end)

    for off in (1e-9, 5e-7, 3e-4, 0.1):
        width = 2e-9
        while width < off:
            width *= 10
        for t in (2.3 + off, 2.3 - off):
            low, high = bracket(t)
            assert (low, high) == pytest.approx(
                (max(t - width, 2.0), min(t + width, 4.0)), rel=1e-14
            )
    for length in np.random.default_rng(0).uniform(0.5, 5.0, 50):
        low, high = bracket(2.0 + length, 2.0, 2.0 + length)
        assert (low, high) == (pytest.approx(2.0, rel=1e-14), 2.0 + length)
    assert bracket(2.5, 2.4, 2.6) is None
    assert bracket(2.2, 2.1, 2.25) is None


def test_bisection_goes_to_the_last_bits():
    path, rule = (lambda t: np.array([t])), evaluator(lambda t, w: w[0] < 2.3)
    assert 0 <= room._first_met(rule, path, 2.0, 3.0) - 2.3 <= 2 * np.spacing(2.3)
    assert room._first_met(rule, path, 2.0, 2.2) == 2.2
    zero = evaluator(lambda t, w: -w[0])
    assert 0 <= room._first_met(zero, path, -1.0, 3.0) <= 1e-300
