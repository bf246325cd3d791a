"""What is said of a quadratic whose matrix is known up to a stated error, by hand."""

import math

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.objectives.quadratic_form import QuadraticForm
from maml_ode.theory import Status
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.bounds.step_limits import alpha_limits
from maml_ode.theory.bounds.sublevel_sets import landscapes
from maml_ode.theory.certificates.certify import certify
from maml_ode.theory.quantities import safe_side

from .by_hand import ALPHA, TASKS, known

REL = 1e-9


def facts(*diagonal, error=0.1, c_error=0.0):
    d = len(diagonal)
    return QuadraticFacts(QuadraticForm(np.diag(diagonal), np.zeros(d), 0.0, error, c_error))


def test_the_ends_of_the_spectrum_move_to_the_safe_side():
    own = facts(1.0, 4.0)
    assert own.rate == pytest.approx(0.9, rel=REL)
    assert own.smoothness == pytest.approx(4.1, rel=REL)
    assert own.step_size_limit == pytest.approx(2 / 4.1, rel=REL)
    assert own.status is own.rate.status is own.step_size_limit.status is Status.BOUND
    assert (own.definite, own.unique, own.singular) == (True, True, False)
    sharp = facts(1.0, 4.0, error=0.0)
    assert sharp.rate == 1.0
    assert sharp.step_size_limit == 0.5
    assert sharp.status is Status.EXACT
    assert facts(1e-6, 1.0, error=1e-14).status is Status.BOUND  # one end is enough
    unknown = facts(0.05, 4.0)
    assert (unknown.definite, unknown.unique, unknown.singular) == (None, False, True)
    assert unknown.rate == pytest.approx(-0.15, rel=REL)
    concave = facts(-1.0, 0.05)
    assert (concave.definite, concave.unique, concave.singular) == (False, False, False)
    assert facts(-1.0, -2.0).step_size_limit == math.inf


def test_safe_side():
    assert safe_side(2.0, 1e-10, above=True).status is Status.EXACT
    above, below = safe_side(2.0, 0.5, above=True), safe_side(2.0, 0.5, above=False, note="n")
    assert (above, below) == (2.5, 1.5)
    assert above.status is below.status is Status.BOUND
    assert (above.note, below.note) == ("within 0.5", "n, within 0.5")
    assert safe_side(-2.0, 1e-10, above=False) == -2.0


def test_times_and_counts_use_what_is_certain():
    own, w, tol = facts(1.0, 4.0, c_error=0.3), np.array([2.0, 0.0]), 1e-3
    top = 2.0 + 0.1 * 2.0 + 0.3
    assert own.gradient_norm(w) == pytest.approx(top, rel=REL)
    assert own.time_bound(w, tol) == pytest.approx(math.log(top / tol) / 0.9, rel=REL)
    assert own.decay_time(0.5 * tol, tol) == 0.0
    assert own.iterations(w, tol, 0.25) == math.ceil(math.log(top / tol) / -math.log(1 - 0.225))
    # at 0.45 the fast end decides: 1 - (2 - 0.45 * 4.1) = 0.845
    assert own.iterations(w, tol, 0.45) == math.ceil(math.log(top / tol) / -math.log(0.845))
    assert own.iterations(w, tol, 0.49) == math.inf
    # a step that leaves a quarter: 1 - 0.5 * 1.5
    alone = facts(1.5, error=0.0)
    assert alone.iterations([2.0], tol, 0.5) == math.ceil(math.log(3.0 / tol) / -math.log(0.25))
    time = own.stationarity_time(w, tol)
    assert time == pytest.approx(math.log(2.0 / tol), rel=REL)
    assert time.status is Status.BOUND
    assert facts(1.0, 4.0, error=0.0).stationarity_time(w, tol).status is Status.EXACT
    both = facts(1.0, 4.0, error=0.0).stationarity_time([1.0, 1.0], 0.1)
    assert math.hypot(math.exp(-both), 4 * math.exp(-4 * both)) == pytest.approx(0.1, rel=1e-12)
    assert own.stationarity_time(w, 3.0) == 0.0
    unsure = facts(1.0).stationarity_time([0.95], 1.0)  # 0.95 or 1.045
    assert (unsure, unsure.status) == (0.0, Status.BOUND)
    none = facts(0.05, 4.0)
    assert none.stationarity_time(w, tol) == none.time_bound(w, tol) == math.inf
    assert none.iterations(w, tol, 0.1) == math.inf


def test_the_error_of_a_state_that_was_flown_to():
    """One eigenvalue 2 +- 0.1: exp(-1.9 t)(0.1 t (norm + bar) + bar) of the gradient, over 1.9 of the state."""
    own, w, t = facts(2.0), np.array([3.0]), 0.7
    bar = 0.1 * 3.0
    gradient = math.exp(-1.9 * t) * (0.1 * t * (6.0 + bar) + bar)
    assert own.state_error(t, w) == pytest.approx(gradient / 1.9, rel=1e-6)
    assert own.state(t, w) == pytest.approx(3.0 * math.exp(-2.0 * t), rel=1e-14)
    shifted = QuadraticFacts(QuadraticForm(np.diag([2.0]), np.array([4.0]), 0.0))
    assert shifted.state(t, [3.0]) == pytest.approx(2.0 + math.exp(-2.0 * t), rel=1e-14)
    assert shifted.minimizer == pytest.approx([2.0])


def test_the_last_digits_are_allowed_for():
    """Beside the error of the matrix: of two long logarithms, of a step next to nothing, of the state itself."""
    eps, own = np.finfo(float).eps, facts(1.0, 4.0)
    total = math.log(2.0) + 4 * eps * (math.log(1e200) + math.log(5e199))
    assert own.decay_time(1e200, 5e199) == pytest.approx(total / 0.9, rel=2e-13, abs=0.0)
    assert facts(1.0, error=0.0).iterations([1.0], 0.5, 2 * eps) == math.inf
    assert facts(1.0, error=0.0).iterations([1.0], 0.5, 8 * eps) < math.inf
    sharp, w = facts(2.0, error=0.0), np.array([3.0])
    norm, bar = sharp.form.field.norm(w)
    assert sharp.state_error(0.0, w) * sharp.rate == pytest.approx(
        8 * eps * (norm + bar) + bar, rel=1e-6, abs=0.0
    )
    shifted = QuadraticFacts(QuadraticForm(np.diag([2.0]), np.array([4.0]), 0.0, 0.1, 0.0))
    bar = 0.1 * 3.0
    gradient = math.exp(-1.9 * 0.7) * (0.07 * (2.0 + bar) + bar)
    # its own centre, w = 2, is known up to 0.1 * 2 of the field
    assert shifted.state_error(0.7, w) == pytest.approx((gradient + 0.2) / 1.9, rel=1e-6)


def test_what_a_switch_may_have_missed_is_added_to_the_bound(monkeypatch):
    tasks = mo.tasks.Quadratic([[[2.0]]], [[0.0]])
    arguments = {"w0": [3.0], "switch_tol": 0.5, "tol": 1e-3}
    monkeypatch.setattr(QuadraticFacts, "state_error", lambda self, t, w: 0.05)
    item = certify(tasks, 0.1, **arguments)["bimaml_time"]
    entry = 0.5 * 0.64 + 1.28 * 2 * 0.05
    wanted = math.log(6 / 0.5) / 2 + math.log(entry / 1e-3) / 1.28
    assert item.bound == pytest.approx(wanted, rel=REL)
    assert item.status is Status.BOUND
    assert "computed; the switch is at t" in item.note


def test_the_printed_limits_that_alpha_respects_are_named():
    """1/(2L) binds none of them here: each is named as long as alpha is below it, and no corrected one is."""
    limits = alpha_limits(known())
    note = certify(TASKS, ALPHA, constants=known())["alpha_limits"].note
    named = note.split("printed limits respected: ")[1].split(", ")
    assert named == [x.name for x in limits if x.printed and x.value > ALPHA]
    tiny = certify(TASKS, 1e-6, constants=known())["alpha_limits"].note
    assert tiny.endswith(", ".join(x.name for x in limits if x.printed))
    assert "psi > 0" not in tiny


NUMBERS = {
    "unique_minimum": ("value", max),
    "critical_set": ("bound", min),
    "time_bound": ("bound", min),
    "bimaml_time": ("bound", min),
    "iteration_bound": ("bound", min),
    "step_size_limit": ("bound", max),
}


@pytest.mark.parametrize(
    ("constant", "affine"), [(0.31, (0.6, 0.9)), (1.0, (0.1, 0.05))], ids=["first", "second"]
)
@pytest.mark.parametrize("w0", [None, [1.7]])
def test_the_better_model_of_the_noise_decides(constant, affine, w0):
    def numbers(**noise):
        k = known(**noise)
        # on a region nothing is counted, and its radius is no limit here
        object.__setattr__(k, "region", mo.theory.Ball(k.minimizer, 1e6))
        report = certify(TASKS, ALPHA, w0=w0, switch_tol=0.3, tol=1e-4, constants=k)
        return {name: getattr(report[name], number) for name, (number, _) in NUMBERS.items()}

    one = numbers(sigma=constant)
    other = numbers(sigma=math.inf, sigma0=affine[0], nu=affine[1])
    both = numbers(sigma=constant, sigma0=affine[0], nu=affine[1])
    for name, (_, better) in NUMBERS.items():
        if w0 is None and name in ("time_bound", "bimaml_time", "iteration_bound"):
            continue
        assert both[name] == pytest.approx(better(one[name], other[name]), rel=1e-12), name


@pytest.mark.parametrize(("curvature", "widest"), [({"mu": -3.0}, 1.15), ({"L": 60.0}, 2.0)])
def test_the_images_of_a_ball_may_be_wider_than_it(curvature, widest):
    """I - alpha H_i stretches by |1 - alpha mu| or |1 - alpha L| where that is above 1."""
    k = known(**curvature)
    radius = float(certify(TASKS, ALPHA, w0=[1.7], constants=k)["local_minimum"].note.split()[1])
    F = mo.MAMLLoss(TASKS, ALPHA)
    w = mo.solve(mo.maml_flow(TASKS, ALPHA), [1.7], tol=1e-13).w
    reach = abs(float(w[0]) - float(k.minimizer[0]))
    reach += ALPHA * float(np.abs(F.tasks.gradients(w)).max()) + widest * radius
    for size, holds in ((reach * 1.002, True), (reach * 0.998, None)):
        object.__setattr__(k, "region", mo.theory.Ball(k.minimizer, size))
        assert certify(TASKS, ALPHA, w0=[1.7], constants=k)["local_minimum"].holds is holds


def test_slacks_of_two_eigenvalues():
    tasks = mo.tasks.Quadratic([np.diag([1.0, 4.0])], [[0.0, 0.0]])
    report = certify(tasks, 0.0, w0=[0.1, 1.0], switch_tol=0.5, tol=1e-3)
    for name in ("time_bound", "bimaml_time"):
        item = report[name]
        assert item.slack == pytest.approx(item.bound - item.value, rel=1e-12)
        assert item.slack > 0.1
    # 0.1 exp(-t) and 4 exp(-4 t): the fast one is gone by log(100)
    assert report["time_bound"].value == pytest.approx(math.log(0.1 / 1e-3), rel=1e-6)
    assert report["time_bound"].bound == pytest.approx(math.log(math.hypot(0.1, 4) / 1e-3), rel=REL)


def test_a_printed_time_needs_every_printed_limit():
    figure_1 = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    terms = {x.name: x for x in alpha_limits(mo.theory.constants(figure_1), 0.1)}
    for name, certificate in (("Theorem 3.6", "time_bound"), ("Theorem 3.7", "bimaml_time")):
        limit = terms[name].value
        for share, given in ((0.99, True), (1.01, False)):
            item = certify(figure_1, share * limit, w0=[-5.0], switch_tol=0.1)[certificate]
            assert (item.printed is not None) is given


def test_what_is_exact_says_so_and_what_is_computed_too():
    sharp = mo.tasks.Quadratic([np.diag([1.0, 4.0])], [[0.0, 0.0]])
    vague = mo.tasks.Quadratic([np.diag([1e-9, 1.0])], [[0.0, 0.0]])
    for tasks, word in ((sharp, "exact"), (vague, "computed")):
        item = certify(tasks, 0.0, w0=[1.0, 1.0], tol=1e-12)["time_bound"]
        assert item.holds is True
        assert item.note == f"quadratic losses: the value is the {word} time"


def test_the_step_of_the_iteration_bound():
    """1/(2 L_f) or 1/M at twice the floor, whichever is smaller."""
    for k, smaller in ((known(), "L_f"), (known(L_f=0.8, mu_f=0.7), "M")):
        model = landscapes(k, ALPHA)[0]
        steps = {"L_f": 0.5 / k.L_f, "M": 1.0 / model.smoothness(2.0 * model.level_floor)}
        assert min(steps, key=steps.__getitem__) == smaller
        note = certify(TASKS, ALPHA, w0=[1.7], constants=k)["iteration_bound"].note
        assert float(note.split("= ")[1]) == pytest.approx(steps[smaller], rel=1e-12)


def test_alpha_is_small_enough_only_where_uniqueness_is_certified_everywhere():
    assert certify(TASKS, ALPHA, constants=known())["alpha_limits"].holds is True
    assert certify(TASKS, 0.35, constants=known())["alpha_limits"].holds is None
    k = known()
    object.__setattr__(k, "region", mo.theory.Ball(k.minimizer, 1e6))
    assert certify(TASKS, ALPHA, constants=k)["alpha_limits"].holds is None
    assert certify(TASKS, 0.35, constants=k)["alpha_limits"].holds is None


@pytest.mark.parametrize("verb", ["solve", "euler"])
def test_the_monitor_knows_the_decay_of_a_quadratic(verb):
    """exp(-lambda_min t), or the larger of |1 - h lambda| over both ends, to the number of steps."""
    tasks = mo.tasks.Quadratic([np.diag([1.0, 4.0])], [[1.0, 0.0]])
    low, high = 0.9**2, 4 * 0.6**2  # 0.81 and 1.44
    flow = mo.maml_flow(tasks, 0.1)
    for step in (0.5, 1.2):
        if verb == "solve":
            run = mo.solve(flow, [3.0, 1.0], tol=1e-4)
            falls = np.exp(-low * run.t)
        else:
            run = mo.euler(flow, [3.0, 1.0], step, max_iter=9)
            factor = max(abs(1 - step * low), abs(1 - step * high))
            falls = factor ** np.round(run.t / step)
        report = mo.theory.monitor(run, tasks, 0.1)
        np.testing.assert_allclose(report.grad_bound, run.grad_norm[0] * falls, rtol=1e-9)
        assert report.ok


def test_an_alpha_above_the_inverse_of_L_is_named():
    item = certify(TASKS, 1.3 / 2.6, constants=known())["critical_set"]
    above = next(x for x in item.hypotheses if x.name == "alpha < 1/L")
    assert (above.holds, above.detail) == (False, "alpha L = 1.3")
    assert item.holds is None


def test_constants_of_two_quadratics():
    """H = 1 and 3, b = 1 and -1: x* = 0, sd(0) = 1, nu = (1/2) spread/mean = 1/2; and what rounding takes."""
    k = mo.theory.constants(mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[1.0], [-1.0]]))
    assert (k.mu, k.L, k.mu_f, k.L_f) == (1.0, 3.0, 2.0, 2.0)
    assert (k.sigma0, k.nu, k.sigma) == pytest.approx((1.0, 0.5, math.inf), rel=1e-14)
    moved = mo.theory.constants(mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [1.0]]))
    # x* = 1: gradients -2 and 2
    assert moved.sigma0 == pytest.approx(2.0, rel=1e-14)
    vague = mo.theory.constants(
        mo.tasks.Quadratic([np.diag([1e-8, 1.0]), np.diag([3e-8, 1.0])], np.ones((2, 2)))
    )
    assert 1.9e-8 < vague.mu_f < 2e-8
    assert vague.mu_f.status is Status.BOUND
    assert 0.5 <= vague.nu < 0.51  # (1/2) 2e-8/2e-8, and a bound
    assert vague.nu.status is Status.BOUND
    assert vague.L_f.status is Status.EXACT
    lost = mo.theory.constants(
        mo.tasks.Quadratic([np.diag([7e-15, 7.0]), np.diag([21e-15, 7.0])], np.ones((2, 2)))
    )
    assert lost.nu == pytest.approx(0.5 * (lost.L - lost.mu) / lost.mu_f)


def test_step_size_limit_on_a_ball():
    F, k = mo.MAMLLoss(TASKS, ALPHA), known()
    limit = mo.theory.step_size_limit(F, mo.theory.Ball([0.5], 0.3), k)
    terms = 0.0
    slopes = np.abs(TASKS.gradients([0.5]).ravel())
    for mu, top, kappa, g in zip(k.mu_i, k.L_i, k.kappa_i, slopes, strict=True):
        wide = max(abs(1 - ALPHA * mu), abs(1 - ALPHA * top))
        terms += 0.5 * (top * wide**2 + ALPHA * kappa * wide * (g + top * 0.3))
    assert limit == pytest.approx(2 / terms, rel=1e-13)
    closed = alpha_limits(k, 0.3)["BI-MAML, closed form"]
    scale = max(0.31, math.sqrt(2.6 / 1.5) * 0.3)
    wanted = [0.25 / 2.6, 0.25 * math.sqrt(1.5 / 2.6) / 2.6, 1.5 / (4 * 0.9 * scale)]
    assert list(closed.terms.values()) == pytest.approx(wanted, rel=1e-13)
    assert not closed.printed
    assert not alpha_limits(k)["zeta_1 > 0"].printed
    unbounded = alpha_limits(known(sigma=math.inf), 0.3)["BI-MAML, closed form"]
    assert (unbounded.value, unbounded.note) == (0.0, "needs a finite sigma")
