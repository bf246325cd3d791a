"""Where certificates hold: within a region, from a start, in any unit."""

import dataclasses
import math

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import Quantity, Status, certify
from maml_ode.theory.bounds import printed
from maml_ode.theory.bounds.sublevel_sets import landscapes
from maml_ode.theory.certificates import setting as settings
from maml_ode.theory.certificates.certificate import Certificate, Certificates, Hypothesis
from maml_ode.theory.certificates.certify import _constants_for
from maml_ode.theory.certificates.of_a_run import bimaml_certificate

from .by_hand import (
    ALPHA,
    C_INF,
    EPS0,
    G0,
    HIGH,
    KAPPA,
    KAPPA_I,
    L_F,
    L_I,
    LOW,
    MU,
    MU_F,
    MU_I,
    OMEGA,
    REPORT,
    SIGMA,
    TASKS,
    TOL,
    W0,
    W_F,
    X_STAR,
    A,
    B,
    L,
    M_of,
    ball_terms,
    known,
    slope,
)


@pytest.mark.parametrize("s", [1e-9, 1e9])
def test_the_unit_of_the_losses_decides_nothing(s):
    """f -> s f and alpha -> alpha/s: every verdict stays, times shrink by s, counts and lengths stay."""
    tasks = mo.tasks.Sinusoid(s * A, s * B, OMEGA)
    k = known(
        **{name: s * x for name, x in {"mu": MU, "L": L, "kappa": KAPPA, "mu_f": MU_F}.items()},
        L_f=s * L_F, sigma=s * SIGMA,
    )  # fmt: skip
    for name, values in (("mu_i", MU_I), ("L_i", L_I), ("kappa_i", KAPPA_I)):
        object.__setattr__(k, name, s * values)
    other = certify(tasks, ALPHA / s, w0=[W0], switch_tol=s * EPS0, tol=s * TOL, constants=k)
    powers = {
        "time_bound": -1, "bimaml_time": -1, "iteration_bound": 0, "step_size_limit": -1,
        "critical_set": 0, "local_minimum": 1, "fallback_stationarity": -1, "descent": 2,
        "gradient_transfer": 1, "hessian_bounds": 1, "moreau_rate": 1, "fomaml_floor": 1,
        "alpha_limits": -1,
    }  # fmt: skip
    for item in REPORT:
        assert other[item.name].holds is item.holds, item.name
        if item.name in powers:
            scale = s ** powers[item.name]
            for number in ("bound", "slack"):
                wanted = getattr(item, number)
                if wanted is not None:
                    got = getattr(other[item.name], number) / scale
                    assert got == pytest.approx(wanted, rel=1e-6, abs=1e-9), item.name


def test_assumptions():
    """Each constant as it was given, with its note; a bound that fails decides nothing."""
    for name, value in (("smoothness", L), ("strong_convexity", MU), ("lipschitz_hessian", KAPPA)):
        assert REPORT[name].value == value
        assert REPORT[name].holds is True
        assert REPORT[name].status is Status.BOUND
    assert REPORT["strong_convexity"].slack == MU
    assert REPORT["gradient_variance"].value == SIGMA
    assert "always" not in REPORT["gradient_variance"].note
    report = certify(TASKS, ALPHA, constants=known(sigma0=0.2, nu=0.1))
    assert "always: sd <= 0.2 + 0.1 ||grad f||" in report["gradient_variance"].note
    for only in ({"sigma0": 0.2}, {"nu": 0.1}):
        report = certify(TASKS, ALPHA, constants=known(**only))
        assert "always" not in report["gradient_variance"].note
    unknown = certify(TASKS, ALPHA, constants=known(mu=-0.1, kappa=math.inf, sigma=math.inf, L=9.0))
    for name in ("strong_convexity", "gradient_variance", "lipschitz_hessian"):
        assert unknown[name].holds is None
    exact = known()
    object.__setattr__(exact, "mu", Quantity(0.0))
    assert certify(TASKS, ALPHA, constants=exact)["strong_convexity"].holds is False
    without = certify(TASKS, ALPHA, constants=exact)
    assert without["alpha_limits"].bound == 0.0
    assert without["alpha_limits"].slack == -ALPHA
    assert "no limit is positive" in without["alpha_limits"].note


def test_without_a_start_there_are_no_times():
    report = certify(TASKS, ALPHA, constants=known())
    for name in ("time_bound", "bimaml_time", "iteration_bound"):
        assert (report[name].holds, report[name].bound) == (None, None)
        assert report[name].note.startswith("pass w0=")
        assert str(report[name].hypotheses[0]) == "w0 is given: undecided"
    assert report["fallback_stationarity"].hypotheses[0].name == "w0 is given"
    names = {item.name for item in report}
    assert not names & {"descent", "gradient_transfer", "hessian_bounds", "gradient_identity"}
    step = report["step_size_limit"]
    assert step.bound == pytest.approx(2 / M_of(C_INF), rel=1e-13)
    assert (step.value, step.slack) == (None, None)
    assert "V(c_inf)" in step.note
    zero = certify(TASKS, ALPHA, w0=[W0], switch_tol=0.0, constants=known())["bimaml_time"]
    assert zero.holds is None
    assert zero.hypotheses[0].name == "switch_tol > 0 is given"


CENTRE = X_STAR + 0.25


def reach_of(level):
    """How far V(level) and its one-step images can be from the region's centre."""
    r = math.sqrt(2 * level / MU_F)
    forces = max(abs(slope(i, X_STAR)) for i in (0, 1))
    return max(r, HIGH * r + ALPHA * forces) + 0.25


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("unique_minimum", C_INF),
        ("critical_set", C_INF),
        ("time_bound", G0**2 / (2 * MU_F)),
        ("bimaml_time", G0**2 / (2 * MU_F)),
        ("iteration_bound", G0**2 / (2 * MU_F)),
        ("step_size_limit", G0**2 / (2 * MU_F)),
    ],
)
def test_a_claim_holds_from_the_radius_on_that_its_reach_needs(name, level):
    reach = reach_of(level)
    for radius, holds in ((reach * (1 + 1e-6), True), (reach * (1 - 1e-6), None)):
        k = dataclasses.replace(known(), region=mo.theory.Ball([CENTRE], radius))
        item = certify(TASKS, ALPHA, w0=[W0], switch_tol=EPS0, tol=TOL, constants=k)[name]
        assert item.holds is holds
        within = item.hypotheses[-1]
        assert within.holds is bool(holds)
        assert within.detail == f"reach {reach:.4g} of {radius:.4g}"
    # without argmin f nothing is known to be inside; on a sublevel set its level decides
    for region, least, holds in (
        (mo.theory.Ball([CENTRE], 1e3), None, None),
        (mo.theory.Sublevel(level * (1 + 1e-6)), X_STAR, True),
        (mo.theory.Sublevel(level * (1 - 1e-6)), X_STAR, None),
    ):
        where = None if least is None else np.array([least])
        k = dataclasses.replace(known(), region=region, minimizer=where)
        item = certify(TASKS, ALPHA, w0=[W0], switch_tol=EPS0, tol=TOL, constants=k)[name]
        assert item.holds is holds


def test_a_local_minimum_holds_where_its_ball_and_its_images_are_inside():
    base, per_radius = ball_terms(W_F)
    start = abs(W_F - CENTRE) + ALPHA * max(abs(slope(i, W_F)) for i in (0, 1))
    # An inner step takes a distance to at most |1 - alpha h| times itself, mu <= h <= L: alpha L = 5 overshoots.
    for changed, widest in (({}, max(1.0, HIGH, LOW)), ({"L": 5.0 / ALPHA}, 4.0)):
        reach = start + widest * 0.5 * base / per_radius
        for radius, holds in ((reach * (1 + 1e-6), True), (reach * (1 - 1e-6), None)):
            k = dataclasses.replace(known(**changed), region=mo.theory.Ball([CENTRE], radius))
            item = certify(TASKS, ALPHA, w0=[W0], constants=k)["local_minimum"]
            assert item.holds is holds
    jump = certify(TASKS, ALPHA, w0=[W0], constants=known(kappa=math.inf))["local_minimum"]
    assert (jump.holds, jump.bound) == (None, None)


def test_the_ball_on_which_constants_are_sought():
    """f_i = w^4/4 + w^2/2 - b_i w: f is least at 0, and 2 (|w0| + alpha max ||grad f_i||) is not left soon."""
    tasks = mo.tasks.Symbolic("w**4/4 + w**2/2 - b*w", "w", {"b": [1.0, -1.0]})
    for w0, moves in ((0.3, 0.327 + 1.0), (-2.0, 10.0 + 1.0)):
        region = _constants_for(tasks, 0.1, np.array([w0])).region
        assert region.center == pytest.approx([0.0], abs=1e-9)
        assert region.radius == pytest.approx(2 * (abs(w0) + 0.1 * moves), rel=1e-9)
    alone = mo.tasks.Symbolic("w**4/4 + w**2/2", "w")
    small = _constants_for(alone, 0.1, np.array([0.1])).region
    assert small.radius == pytest.approx(2 * (0.1 + 0.1 * 0.101), rel=1e-9)
    # at rest in the minimiser there is no length: a ball of radius 1
    assert _constants_for(alone, 0.1, np.array([0.0])).region.radius == 1.0


def test_what_certify_takes_for_granted():
    quadratic = mo.tasks.Quadratic([[[2.0]]], [[0.0]])
    time = certify(quadratic, 0.1, w0=[1.0])["time_bound"]
    assert time.value == pytest.approx(math.log(1.28 / 1e-8) / 1.28, rel=1e-12)  # tol = 1e-8
    with pytest.raises(TypeError, match="tasks"):
        certify("tasks", 0.1)
    assert REPORT["strong_convexity"].bound == 0.0
    identity = REPORT["gradient_identity"]
    norms = 0.5 * sum(abs(slope(i, W0)) for i in (0, 1))
    assert identity.bound == pytest.approx(1e-8 * norms, rel=1e-12, abs=0.0)
    assert identity.slack == identity.bound - identity.value
    assert 0.0 <= identity.value <= 1e-14


def test_a_certificate_in_words():
    one = Certificate(
        "name", "it is so.", "", (Hypothesis("a", True), Hypothesis("b", None, "why")), None,
        value=1.5, slack=0.0, status=Status.BOUND, note="a | b",
    )  # fmt: skip
    assert str(one).splitlines() == [
        "name: undecided [bound]  it is so.", "  a: yes", "  b: undecided (why)",
        "  value = 1.5, slack = 0", "  a | b",
    ]  # fmt: skip
    bare = Certificate("a longer name", "s", "", (), True)
    assert str(bare) == "a longer name: yes [exact]  s"
    both = Certificates([one, bare], "In short.")
    head, first, second, gap, last = both.table().splitlines()
    assert (gap, last) == ("", "In short.")
    assert head.index("holds") == first.index("undecided") == second.index("yes") == 15
    assert head.index("value") == first.index("1.5")
    assert head.index("status") == first.index("bound") == second.index("exact")
    assert both.to_markdown().splitlines()[2:4] == [
        "| name | undecided | 1.5 |  | 0 | bound |  | a \\| b |",
        "| a longer name | yes |  |  |  | exact |  |  |",
    ]
    plain = dataclasses.replace(one, bound=math.inf, slack=math.nan).to_dict()
    assert [plain[key] for key in ("value", "bound", "slack", "printed")] == [1.5, None, None, None]
    assert plain["hypotheses"][1] == {"name": "b", "holds": None, "detail": "why"}


def test_what_holds_on_sampled_constants_is_called_estimated():
    words = "estimated, not proved: the constants are sampled"
    sampled = {"status": Status.ESTIMATE, "hypotheses": ()}
    assert Certificate("n", "s", "", holds=True, note="n", **sampled).note == f"n; {words}"
    assert Certificate("n", "s", "", holds=True, **sampled).note == words
    assert Certificate("n", "s", "", holds=True, note="estimated", **sampled).note == "estimated"
    for holds in (None, False):
        assert Certificate("n", "s", "", holds=holds, note="n", **sampled).note == "n"
    assert Certificate("n", "s", "", (), True, note="n", status=Status.BOUND).note == "n"


def test_the_lowest_losses_are_found_by_momentum_and_beside_a_loss_that_falls_for_ever():
    def lowest(tasks, w0):
        return settings.Setting(tasks, 0.0, mo.theory.constants(tasks), w0, None, 1.0).lowest_loss()

    # without momentum (1 - 1/400)^300 of the way to the middle axis would be left
    steep = mo.tasks.Quadratic([np.diag([1.0, 2.0, 400.0])], [[2.0, 0.0, 0.0]])
    assert lowest(steep, np.array([5.0, 5.0, 5.0])) == pytest.approx(-2.0, rel=1e-9)
    beside = mo.tasks.Quadratic([[[3.0]], [[-100.0]]], [[1.0], [1.0]], weights=[1.0, 0.0])
    assert lowest(beside, np.array([0.5])) == pytest.approx(-1 / 6, rel=1e-12)
    assert lowest(mo.tasks.Quadratic(beside.H, beside.b), np.array([0.5])) is None


def test_a_minimiser_of_F_is_computed_up_to_some_size(monkeypatch):
    for most, found in ((1, True), (0, False)):
        monkeypatch.setattr(settings, "MATRIX_IN_A_DESCENT", most)
        own = settings.Setting(TASKS, ALPHA, known(), np.array([W0]), None, TOL)
        assert (own.solution is not None) is found


def test_what_is_not_known_of_mu_is_not_held_against_it():
    for status, verdict in (("bound", None), ("exact", False)):
        k = known()
        object.__setattr__(k, "mu", Quantity(-0.1, status))
        first = settings.Setting(TASKS, ALPHA, k, None, None, TOL).standing()[0]
        assert (first.name[:6], first.holds) == ("mu > 0", verdict)
    assert settings.Setting(TASKS, ALPHA, known(), None, None, TOL).standing()[0].holds is True


def test_a_printed_time_needs_an_alpha_below_its_limit():
    edge = min(printed.printed_alpha_3_7(MU, L, KAPPA, SIGMA, EPS0).values())
    for alpha, there in ((edge, False), (edge * (1 - 1e-12), True)):
        own = settings.Setting(TASKS, alpha, known(), np.array([W0]), EPS0, TOL)
        assert (bimaml_certificate(own).printed is not None) is there


def test_a_step_is_short_enough_for_the_curvature_of_F_beyond_its_floor():
    """Where tasks are much steeper than f, 1/M(2 c_inf) is below 1/(2 L_f)."""
    k = known(mu=0.5, mu_f=0.6, L_f=0.8, sigma=0.05)
    (model,) = landscapes(k, ALPHA)
    wanted = 1 / model.smoothness(2 * model.level_floor)
    assert wanted < 0.5 / 0.8
    item = certify(TASKS, ALPHA, w0=[W0], tol=TOL, constants=k)["iteration_bound"]
    assert float(item.note.split("= ")[1]) == pytest.approx(wanted, rel=1e-12)
    assert abs(1 / model.smoothness(4 * model.level_floor) - wanted) > 1e-6


def test_the_reach_goes_by_the_strongest_force():
    """Curvature 2 and slopes -3 and 1 at argmin f = 0: a step from V(c) ends within 0.8 sqrt(c) + 0.1 * 3."""
    tasks = mo.tasks.Quadratic([[[2.0]], [[2.0]]], [[3.0], [-1.0]], weights=[0.25, 0.75])
    for radius, holds in ((0.4 + 0.3 + 1e-9, True), (0.4 + 0.3 - 1e-9, False)):
        k = mo.theory.constants(tasks, mo.theory.Ball([0.0], radius))
        own = settings.Setting(tasks, 0.1, k, None, None, TOL)
        assert own.inside(0.25).holds is holds
