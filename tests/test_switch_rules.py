"""Rules as values: what they return, how fast they change along a velocity, what that costs, what they refuse."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.switch_rules import CallableRule, EndingRule, OnlineSwitch, Reversed, as_rule

H = np.array([[2.0, 1.0], [1.0, 3.0]])
F = mo.ExpectedLoss(mo.tasks.Quadratic([H], [[0.0, 0.0]]))
W, V = np.array([0.5, -1.5]), np.array([3.0, 0.25])
G = np.array([2 * 0.5 - 1.5, 0.5 - 3 * 1.5])  # H w


def norm_rule():
    """Return a rule with its value, its slope along V and the cost of that: g'H v/(||g|| ||v||)."""
    size = np.hypot(*G)
    rise = G @ np.array([2 * 3.0 + 0.25, 3.0 + 3 * 0.25]) / size / np.hypot(*V)
    return GradientNormBelow(F, 1.5), size - 1.5, rise, mo.Counts(gradients=1, hvps=1)


def declared_rule():
    """Return (t w_0 + w_1^3) with a declared cost: along V it changes by w_0 + t v_0 + 3 w_1^2 v_1 a time."""

    def until(t, w):
        return t * w[0] + w[1] ** 3

    until.cost = mo.Counts(losses=3)
    rise = (0.5 + 2 * 3.0 + 3 * 1.5**2 * 0.25) / np.hypot(*V)
    return as_rule(until), 2 * 0.5 - 1.5**3, rise, mo.Counts(losses=12)


@pytest.mark.parametrize("build", [norm_rule, declared_rule])
def test_a_rule_and_its_reverse(build):
    rule, value, rise, cost = build()
    for sign, seen in ((1, rule), (-1, Reversed(rule)), (1, Reversed(Reversed(rule)))):
        assert seen(2.0, W) == pytest.approx(sign * value, rel=1e-14)
        found, spent = seen.speed(2.0, W, V)
        assert found == pytest.approx(sign * rise, rel=1e-5)
        assert (spent, seen.cost) == (cost, rule.cost)
        assert (seen.sign, seen.strict) == (sign, sign < 0)
        assert (seen.scale, seen.norm_of) == (rule.scale, rule.norm_of)
        assert seen.speed(2.0, W, 0 * V)[0] == 0.0


def test_a_difference_quotient_is_taken_only_along_a_finite_velocity():
    calls = []

    class Constant(EndingRule):
        def __call__(self, t, w):
            calls.append(w)
            return 1.0

    rule = Constant()
    for velocity in (np.zeros(2), np.array([np.inf, 1.0]), np.array([np.nan, 1.0])):
        assert rule.speed(0.0, W, velocity) == (0.0, mo.Counts())
    assert calls == []
    for size in (
        1e-100,
        1e-3,
        1.0,
        1e100,
    ):  # the quotient's step is one of the state, in any units of time
        assert rule.speed(0.0, W, np.array([size, 0.0])) == (0.0, mo.Counts())
        a, b = calls[-2:]
        assert 1e-7 < np.linalg.norm(a - b) < 1e-4
    # and one of the largest state of the run, or of 1 where both are 0
    near = np.array([1e-3, 0.0])
    for seen in (rule, Reversed(rule)):
        for state, reach, length in ((near, (), 1e-9), (near, (5.0,), 5e-6), (0 * near, (), 1e-6)):
            seen.speed(0.0, state, V, *reach)
            a, b = calls[-2:]
            assert np.linalg.norm(a - b) == pytest.approx(length, rel=1e-6)
    assert rule.cost is None
    assert (rule.scale, rule.norm_of) == (None, None)


@pytest.mark.parametrize("t", [0.0, 1e-3, 1e3, 1e8])
def test_a_function_of_time_is_looked_at_a_little_later(t):
    """(t + 1)^3 + w_0 along a slow way: two evaluations for the state, two for the time."""
    times, states = [], []

    def until(time, w):
        times.append(time)
        states.append(w)
        return (time + 1.0) ** 3 + w[0]

    velocity = np.array([0.5, 0.0])
    rise, _ = as_rule(until).speed(t, np.array([1e-3, 0.0]), velocity)
    share = 2.0**-26
    h = share * (t or 1.0)
    late = ((t + h + 1) ** 3 - (t + 1) ** 3) / h
    assert rise == pytest.approx(late / 0.5 + 1.0, rel=1e-7 if t < 1.0 else 1e-6)
    assert max(times) == t + h
    assert len(times) == 4
    assert max(w[0] for w in states) - 1e-3 == pytest.approx(1e-9, rel=1e-6, abs=0)


def test_a_gradient_of_zero_has_a_norm_without_speed():
    rule = GradientNormBelow(F, 0.5)
    assert rule(0.0, np.zeros(2)) == -0.5
    assert rule.speed(0.0, np.zeros(2), V)[0] == 0.0
    for size in (1e-200, 1e-5):
        assert rule.speed(0.0, size * W, V)[0] == pytest.approx(norm_rule()[2], rel=1e-12)


def test_an_online_switch_by_hand():
    """2 alpha ||E H_i g_i||/divisor for two tasks of weights 1/4 and 3/4."""
    tasks = mo.tasks.Quadratic([H, np.eye(2)], [[0.0, 0.0], [1.0, 0.0]], weights=[0.25, 0.75])
    rule = OnlineSwitch(tasks, 0.3, 1.6)
    second = W - [1.0, 0.0]
    force = 0.25 * H @ G + 0.75 * second
    threshold = 2 * 0.3 * np.hypot(*force) / 1.6
    assert rule.threshold(W) == pytest.approx(threshold, rel=1e-14)
    norm = np.hypot(*(0.25 * G + 0.75 * second))
    assert rule(7.0, W) == pytest.approx(norm - threshold, rel=1e-13)
    assert rule.cost == mo.Counts(gradients=1, hvps=1)
    assert (rule.scale, rule.norm_of, rule.sign, rule.strict) == (None, None, 1, False)


def test_what_rules_are_made_of_is_checked_and_kept_as_plain_numbers():
    for number in (2, np.float32(2.0), np.int64(2)):
        assert type(GradientNormBelow(F, number).threshold) is float
        rule = OnlineSwitch(F.tasks, number, number)
        assert type(rule.alpha) is type(rule.divisor) is float
        assert (rule.alpha, rule.divisor) == (2.0, 2.0)
    assert GradientNormBelow(F, 0).threshold == 0.0
    assert OnlineSwitch(F.tasks, 0, 1).alpha == 0.0
    with pytest.raises(TypeError, match="objective"):
        GradientNormBelow(F.tasks, 0.1)
    with pytest.raises(ValueError, match="switch_tol"):
        GradientNormBelow(F, -0.1)
    with pytest.raises(TypeError, match="tasks"):
        OnlineSwitch(F, 0.1, 1.0)
    for alpha in (-0.1, np.array([0.1, 0.2])):
        with pytest.raises(ValueError, match="alpha must be one number of at least 0"):
            OnlineSwitch(F.tasks, alpha, 1.0)
    assert OnlineSwitch(F.tasks, np.array(0.5), 1.0).alpha == 0.5
    with pytest.raises(ValueError, match="divisor must be greater than 0"):
        OnlineSwitch(F.tasks, 0.1, 0.0)
    for wrong, found in ((None, "None"), (np.ones(2), r"ndarray of shape \(2,\)")):
        with pytest.raises(TypeError, match=f"<lambda> returned {found} "):
            CallableRule(lambda t, w, wrong=wrong: wrong)(0.0, W)
