"""What is called proved rests on Arb: its power series against mpmath, and what they do not confirm."""

import re
import subprocess
import sys
from dataclasses import replace

import mpmath
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory.intervals import arrays, cells, derivatives, enclosure
from maml_ode.theory.intervals.arrays import IntervalArray
from maml_ode.theory.intervals.balls import arb, hull, precision
from maml_ode.theory.intervals.cells import Cells, divide, narrowed, unconfirmed
from maml_ode.theory.intervals.derivatives import MAMLEnclosure
from maml_ode.theory.intervals.power_series import BallMAMLLoss
from maml_ode.theory.intervals.work import Work

FIGURE_1 = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])


def contains(ball, value):
    low, high = (mpmath.mpf(x.str(40, radius=False)) for x in (ball.lower(), ball.upper()))
    slack = mpmath.mpf(10) ** -35 * (1 + abs(value))  # of printing
    return low - slack <= value <= high + slack


def by_mpmath(loss, parameters, weights, alpha, w):
    """Return F' and F'' from the loss itself: mpmath differentiates the definition of F numerically."""
    alpha = mpmath.mpf(alpha)

    def F(x):
        total = mpmath.mpf(0)
        for row, p in zip(parameters, weights, strict=True):
            u = x - alpha * mpmath.diff(lambda y, row=row: loss(y, *row), x)
            total += mpmath.mpf(p) * loss(u, *row)
        return total

    with mpmath.workdps(90):
        return mpmath.diff(F, mpmath.mpf(w)), mpmath.diff(F, mpmath.mpf(w), 2)


EVERYTHING = [
    "sin(c*w) + cos(w)*w",
    "tan(w/4) + asin(w/4) - c*acos(w/5)",
    "atan(c*w)*w + exp(w/2) - log(w**2 + c)",
    "sinh(w) + c*cosh(w) - tanh(3*w)",
    "asinh(w) + c*acosh(w + 5) + atanh(w/6)",
    "erf(w)*w + sqrt(1 + w**2) + c*(3 + w)**(2/3)",
    "(3 + w)**w/9 + c/(w + 4)**3 + (5 + w)**(-1/2)",
    "pi*w**5/50 + c*(w**2 + 2)**(3/2) - 1/e",
]


def read_by_mpmath(formula):
    code = re.sub(r"(\d+)", r"mpf(\1)", formula)
    names = {name: getattr(mpmath, name) for name in dir(mpmath) if name[0] != "_"}
    return lambda w, c: eval(code, names, {"w": w, "c": c})


@pytest.mark.parametrize("formula", EVERYTHING)
def test_power_series_and_enclosures_against_differentiation_by_mpmath(formula):
    c, weights = [0.7, 1.3], [0.25, 0.75]
    tasks = mo.tasks.Symbolic(formula, "w", {"c": c}, weights)
    balls, enclose = BallMAMLLoss(tasks), MAMLEnclosure(tasks)
    for w, alpha in ((-1.2, 0.05), (0.45, 0.02), (1.1, 0.0)):
        exactly = by_mpmath(read_by_mpmath(formula), [[x] for x in c], weights, alpha, w)
        found = enclose(IntervalArray.of([alpha]), IntervalArray.of([w]))
        with precision(200):
            sharp = balls.derivatives(arb(alpha), arb(w))
            wide = hull(w - 1e-3, w + 2e-3)
            around = (
                balls.derivatives(arb(alpha), wide),
                balls.sharper_derivatives(arb(alpha), wide),
            )
        for value, ball, box, *others in zip(exactly, sharp, found, *around, strict=True):
            with mpmath.workdps(60):
                middle = mpmath.mpf(ball.mid().str(50, radius=False))
                assert abs(middle - value) < mpmath.mpf(10) ** -25 * (1 + abs(value))
                assert ball.rad() < 1e-30
                assert all(contains(other, value) for other in others)
                assert box.lower[0] <= value <= box.upper[0]
            assert box.upper[0] - box.lower[0] < 1e-11 * (1 + abs(value))


def test_sinusoids_and_parabolas_against_differentiation_by_mpmath():
    rng = np.random.default_rng(4)
    for _ in range(4):
        a, b, omega = rng.uniform(0.2, 1.5, (3, 3))
        weights = rng.dirichlet(np.ones(3))
        waves = mo.tasks.Sinusoid(a, b, omega, weights)
        parabolas = mo.tasks.Quadratic(a[:, None, None], b[:, None], None, weights)
        for tasks, loss, rows in (
            (waves, lambda x, a, b, o: a * x * x - b * mpmath.sin(o * x), zip(a, b, omega)),  # noqa: B905
            (parabolas, lambda x, h, b: h * x * x / 2 - b * x, zip(a, b)),  # noqa: B905
        ):
            w, alpha = rng.normal(), rng.uniform(0.0, 0.4)
            exactly = by_mpmath(
                loss, [list(map(mpmath.mpf, row)) for row in rows], weights, alpha, w
            )
            with precision(200):
                found = BallMAMLLoss(tasks).derivatives(arb(alpha), arb(w))
            with mpmath.workdps(60):
                for value, ball in zip(exactly, found, strict=True):
                    assert abs(mpmath.mpf(ball.mid().str(50, radius=False)) - value) < 1e-25


def test_balls_contain_sampled_values_and_mean_values_are_sharper():
    balls, F = BallMAMLLoss(FIGURE_1), mo.MAMLLoss(FIGURE_1, 0.4)
    rng, shares = np.random.default_rng(5), []
    for low in rng.uniform(-1, 1, 20):
        w, alpha = hull(low, low + 1e-3), hull(0.4, 0.4001)
        plain, sharp = balls.derivatives(alpha, w), balls.sharper_derivatives(alpha, w)
        for point in np.linspace(low, low + 1e-3, 9):
            values = F.gradient([point])[0], F.hessian([point])[0, 0]
            for value, one, other in zip(values, plain, sharp, strict=True):
                assert one.contains(arb(value)) or abs(float(one.mid()) - value) < 1e-12
                assert other.contains(arb(value)) or abs(float(other.mid()) - value) < 1e-12
        one_alpha = arb(0.4), w
        bends = [f(*one_alpha)[1].rad() for f in (balls.sharper_derivatives, balls.derivatives)]
        shares.append(float(bends[0]) / float(bends[1]))
        # hardly wider than the values themselves are spread, at one alpha
        narrow = balls.sharper_derivatives(arb(0.4), hull(low, low + 1e-5))[0].rad()
        ends = (F.gradient([low + x])[0] for x in (0.0, 1e-5))
        assert narrow < 0.51 * abs(np.subtract(*ends)) + 1e-9
    # u(w) by its mean-value form makes F'' narrower too
    assert np.median(shares) < 0.95
    assert max(shares) <= 1 + 1e-6


@pytest.mark.parametrize(
    ("formula", "w"),
    [("log(w)", (0.0, 1.0)), ("1/w", (-0.1, 0.2)), ("w**(1/2)", (0.0, 1.0)), ("acosh(w)", (0.5, 2.0)),
     ("asin(w)", (0.5, 1.0)), ("tan(w)", (1.0, 2.0)), ("w**w", (-1.0, 1.0)), ("exp(exp(exp(w)))", (7.0, 8.0))],
)  # fmt: skip
def test_nothing_is_confirmed_outside_domains(formula, w):
    loss = BallMAMLLoss(mo.tasks.Symbolic(formula, "w"))
    for method in (loss.derivatives, loss.sharper_derivatives):
        for ball in method(arb(0.1), hull(*w)):
            assert not ball > 0
            assert not ball < 0


@pytest.mark.parametrize(
    ("formula", "interval", "roots"),
    [("log(w) + 1/w", (1e-2, 3.0), [1.0]), ("acosh(w) - w/4", (1.001, 9.0), [17**0.5]),
     ("asin(w) - 2*w", (-0.999, 0.999), [-(0.75**0.5), 0.75**0.5]), ("w**w", (0.01, 2.0), [np.exp(-1)]),
     ("(w**2 + 1)**(3/2) - 3*w", (0.1, 1.0), [((5**0.5 - 1) / 2) ** 0.5]),
     ("1/w**2 + w", (0.3, 5.0), [2 ** (1 / 3)])],
)  # fmt: skip
def test_formulas_with_domains_are_counted_inside_them(formula, interval, roots):
    """Alpha is so small that the roots of F' are those of f'."""
    found = mo.theory.count_critical_points(mo.tasks.Symbolic(formula, "w"), 1e-9, interval)
    assert found.count == len(roots), found.note
    assert found.points == pytest.approx(roots, abs=1e-7)


def test_functions_without_interval_version_prove_nothing(monkeypatch):
    cubes = mo.tasks.Symbolic("(w**2)**(3/2) - sin(w)", "w")
    assert mo.theory.count_critical_points(cubes, 0.1, (0.1, 1.0)).count == 1
    monkeypatch.delitem(enclosure.FUNCTIONS, "sin")
    found = mo.theory.count_critical_points(cubes, 0.1, (0.1, 1.0))
    assert (found.count, found.certified) == (None, False)
    assert found.note == "not proved: sin has no interval version"
    assert mo.theory.count_by_alpha(cubes, 0.1, interval=(0.1, 1.0))[0].count is None
    assert mo.theory.constants(cubes, mo.theory.Interval(0.1, 1.0)).L.status.value == "estimate"


def wrong_cosine(x):
    found = arrays.cos(x)
    return IntervalArray(-found.upper, -found.lower)


def without_the_lower_half(lower, upper):
    return IntervalArray(0.5 * lower + 0.5 * upper, upper)


def lower_ends(x, y):
    return IntervalArray(x.lower, x.lower)


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [(derivatives, "cos", wrong_cosine), (arrays, "_outwards", without_the_lower_half),
     (IntervalArray, "meet", lower_ends),
     (arrays, "_meets_integer", lambda x, shift: np.zeros(x.lower.shape, bool))],
    ids=["sign", "ends", "meet", "crests"],
)  # fmt: skip
def test_a_mistake_in_the_arrays_proves_nothing(monkeypatch, owner, name, broken):
    """Each of these makes the search see signs that are not there; the count must not be believed."""
    monkeypatch.setattr(owner, name, broken)
    found = mo.theory.count_critical_points(FIGURE_1, 0.4)
    assert (found.count, found.certified, found.unique) == (None, False, None)
    assert found.note.startswith("not proved: ball arithmetic does not confirm the sign of F'")


def searched(alpha=0.4, interval=(-1.0, 1.0)):
    step = np.array([alpha])
    (found,) = divide(MAMLEnclosure(FIGURE_1), interval, step, step, Work())
    return found


def test_cells_that_leave_gaps_or_bear_wrong_signs_are_not_confirmed():
    loss, good = BallMAMLLoss(FIGURE_1), searched()
    assert unconfirmed(loss, good, (-1.0, 1.0), Work()) == ""
    for interval in ((-1.1, 1.0), (-1.0, 1.1)):
        assert unconfirmed(loss, good, interval, Work()) == "the cells do not cover the interval"
    k = good.low.size // 2
    columns = ("low", "high", "slope", "bend")
    shorter = replace(good, **{name: np.delete(getattr(good, name), k) for name in columns})
    assert "do not cover" in unconfirmed(loss, shorter, (-1.0, 1.0), Work())
    for j in (0, 3, k, good.low.size - 1):
        name = "slope" if good.slope[j] else "bend"
        turned = getattr(good, name).copy()
        turned[j] *= -1
        found = unconfirmed(loss, replace(good, **{name: turned}), (-1.0, 1.0), Work())
        primes = "'" if name == "slope" else "''"
        assert f"the sign of F{primes} near w = " in found
    assert "ended after 1e-09 s" in unconfirmed(loss, good, (-1.0, 1.0), Work(1e-9))


def one_cell(alpha, low, high, slope):
    arrays_of_one = (np.array([x]) for x in (low, high, slope, 0))
    return Cells(alpha, *arrays_of_one, "")


def test_a_proof_halves_cells_and_ranges_of_alpha_that_balls_are_too_wide_for():
    loss = BallMAMLLoss(FIGURE_1)
    # F' < 0 on [-1, 0.25] and F' > 0 on [0.5, 1], shown on one cell each for a wide range of alpha
    for low, high, sign in ((-1.0, 0.25, -1), (0.5, 1.0, 1)):
        for claim, holds in ((sign, True), (-sign, False)):
            one = one_cell((0.35, 0.4), low, high, claim)
            with precision(64):
                wide = loss.sharper_derivatives(hull(0.35, 0.4), hull(low, high))[0]
            assert wide.contains(0)
            assert (unconfirmed(loss, one, (low, high), Work()) == "") is holds


def test_only_so_many_parts_are_examined():
    """F' = 0 at w = 0.345 cannot be shown to have a sign, however often the cell is halved."""
    asked = []

    class Counting(BallMAMLLoss):
        def derivatives(self, alpha, w):
            asked.append(w)
            return super().derivatives(alpha, w)

    one = one_cell((0.4, 0.4), 0.34, 0.35, 1)
    assert "does not confirm" in unconfirmed(Counting(FIGURE_1), one, (0.34, 0.35), Work())
    assert 10 < len(asked) <= cells._MOST_PARTS


def test_narrowed_brackets_still_hold_a_change_of_sign():
    loss, enclose, found = BallMAMLLoss(FIGURE_1), MAMLEnclosure(FIGURE_1), searched()
    brackets, rises = found.brackets()
    assert len(brackets) == 7
    assert rises == (1, -1, 1, -1, 1, -1, 1)
    wide = np.array(brackets)
    narrow = narrowed(enclose, loss, np.full(7, 0.4), wide, np.array(rises), Work())
    assert (wide[:, 0] <= narrow[:, 0]).all()
    assert (narrow[:, 1] <= wide[:, 1]).all()
    assert (narrow[:, 1] - narrow[:, 0] < 1e-14).all()
    for (low, high), rise in zip(narrow, rises, strict=True):
        with precision(192):
            before, after = (loss.derivatives(arb(0.4), arb(float(w)))[0] for w in (low, high))
        assert before * rise < 0 < after * rise


def test_brackets_on_which_the_curvature_changes_its_sign_are_bisected():
    loss, enclose = BallMAMLLoss(FIGURE_1), MAMLEnclosure(FIGURE_1)
    exactly = mo.theory.count_critical_points(FIGURE_1, 0.1)
    for ends in ((-0.99, 0.5), (0.3, 0.99), (-0.99, 0.99)):
        ((low, high),) = narrowed(
            enclose, loss, np.array([0.1]), np.array([ends]), np.array([1]), Work()
        )
        assert high - low < 1e-14
        assert low <= exactly.points[0] <= high


def test_an_end_at_the_root_itself_is_moved_off_it():
    """w - 1 has the root 1: neither end of a bracket of width 0 has a sign."""
    line = mo.tasks.Quadratic([[[1.0]], [[1.0]]], [[1.0], [1.0]])
    loss = BallMAMLLoss(line)
    for sign, bracket in ((1, 1.5), (-1, 0.5)):
        with precision(192):
            end = cells._confirmed_end(loss, arb(0.1), 1.0, 0.0, bracket, sign)
        assert 0 < sign * (end - 1.0) < 1e-15
        assert cells._confirmed_end(loss, arb(0.1), bracket, 0.0, bracket, sign) == bracket
        # an end that is bracketed wrongly moves no farther than the bracket
        assert cells._confirmed_end(loss, arb(0.1), 1.0, 1e-3, bracket, -sign) == bracket


@pytest.mark.parametrize("shift", [-3e-10, 3e-10])
def test_brackets_narrowed_wrongly_are_widened_until_arb_sees_the_signs(monkeypatch, shift):
    """A Newton step that misses the root leaves ends of one sign; they are moved outwards again."""
    loss, enclose, found = BallMAMLLoss(FIGURE_1), MAMLEnclosure(FIGURE_1), searched()
    brackets, rises = map(np.array, found.brackets())
    true = narrowed(enclose, loss, np.full(7, 0.4), brackets, rises, Work())
    plain = MAMLEnclosure.slope

    def off(self, alpha, w):
        return plain(self, alpha, IntervalArray(w.lower + shift, w.upper + shift))

    monkeypatch.setattr(MAMLEnclosure, "slope", off)
    narrow = narrowed(enclose, loss, np.full(7, 0.4), brackets, rises, Work())
    assert (narrow[:, 0] <= true[:, 0] + 1e-15).all()
    assert (true[:, 1] - 1e-15 <= narrow[:, 1]).all()
    assert (narrow[:, 1] - narrow[:, 0] > 1e-10).all()


def test_without_python_flint_a_sentence_says_what_is_missing():
    code = (
        "import sys; sys.modules['flint'] = None\n"
        "import maml_ode as mo\n"
        "tasks = mo.tasks.Quadratic([[[1.0]]], [[1.0]])\n"
        "assert mo.theory.certify(tasks, 0.1)['unique_minimum'].holds\n"
        "try: mo.theory.count_critical_points(tasks, 0.1)\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        done.stdout == "enclosures and proved counts need python-flint: pip install python-flint.\n"
    )


def test_an_end_moves_by_doubled_steps_until_its_sign_is_known():
    class Slope:
        """F' is known to be positive only up to -4.5 and from 4.5 on."""

        def derivatives(self, alpha, w):
            return (arb(1) if abs(float(w)) >= 4.5 else arb(0)), arb(0)

    alpha = arb(0.1)
    for side in (-1.0, 1.0):
        ends = [cells._confirmed_end(Slope(), alpha, 0.0, 1.0, side * x, 1) for x in (100.0, 6.0)]
        assert ends == [side * 7.0, side * 6.0]  # 0, 1, 3, 7; and not beyond the bracket
        assert cells._confirmed_end(Slope(), alpha, 0.0, 1.0, side * 100.0, -1) == side * 100.0
        assert cells._confirmed_end(Slope(), alpha, side * 5.0, 1.0, side * 9.0, 1) == side * 5.0
    assert cells._confirmed_end(Slope(), alpha, 0.0, 0.0, 4.0, 1) == 4.0  # from a width of 0


class Dot:
    """F' is positive, but on the cells that meet one point nothing is known."""

    batch = 1000

    def __init__(self, at):
        self.at = at

    def __call__(self, alpha, w):
        known = (w.lower > self.at) | (w.upper < self.at)
        return IntervalArray(np.where(known, 1.0, -1.0), np.ones(w.lower.size)), IntervalArray(
            -np.ones(w.lower.size), np.ones(w.lower.size)
        )


@pytest.mark.parametrize("ends", [(0.5, 0.75), (-4.0, 1e-3), (2.0**20, 2.0**21)])
@pytest.mark.parametrize("spread", [0.0, 2.0**-20])
def test_cells_are_halved_down_to_a_share_of_the_interval(ends, spread):
    lower, upper = ends
    alpha = np.array([0.125])
    (found,) = divide(Dot(lower + 0.3 * (upper - lower)), ends, alpha, alpha + spread, Work(np.inf))
    assert "not separated from 0 near" in found.trouble
    narrowest = max(2.0**-36 * (upper - lower), 0.02 * spread)
    widths = (found.high - found.low)[found.high > found.low]
    assert 0.5 * narrowest <= widths.min() < narrowest
    assert widths.max() == pytest.approx((upper - lower) / 64)
