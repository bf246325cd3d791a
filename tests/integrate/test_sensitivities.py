"""Sensitivities of runs: against differences, against matrix exponentials, and where there are none."""

import pickle

import numpy as np
import pytest
import scipy.linalg

import maml_ode as mo
from maml_ode.flows.switch_rules import as_rule
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.sensitivities.field import AugmentedField
from maml_ode.integrate.sensitivities.parameters import blocks_of, tightened
from maml_ode.integrate.sensitivities.rules import AtRest, time_slopes

from .sensitivity_problems import Problem, callables, relative_errors


@pytest.mark.parametrize("seed", range(40))
def test_derivatives_are_those_of_differences_through_a_switch_and_the_stop(seed):
    problem = Problem(seed)
    name = problem.names[seed % len(problem.names)]
    error, run, _ = relative_errors(seed, [name])
    assert error <= 1e-6
    assert run.stop is mo.StopReason.STATIONARY
    last = problem.flow(problem.good).phases[-1].field(run.w)
    if problem.flow_kind != "bimaml":  # phase 2 may be at rest where it begins
        assert np.linalg.norm(last) == pytest.approx(problem.tol, rel=1e-9)


def quadratic(d=3, M=4, seed=0):
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((M, d, d)), rng.standard_normal((M, d))
    return mo.tasks.Quadratic(A @ A.transpose(0, 2, 1) / d + np.eye(d), b), rng.standard_normal(d)


def propagated(G, dG, c, dc, w0, T):
    """d/dp of w(T), w' = -(G w - c), by the Frechet derivative of the exponential of [[-G, c], [0, 0]]."""
    d = len(c)
    generator, change = np.zeros((2, d + 1, d + 1))
    generator[:d, :d], generator[:d, d] = -T * G, T * c
    change[:d, :d], change[:d, d] = -T * dG, T * dc
    derivative = scipy.linalg.expm_frechet(generator, change, compute_expm=False)
    return (derivative @ np.append(w0, 1.0))[:d]


@pytest.mark.parametrize("method", ["DOP853", "Tsit5", "auto"])
def test_quadratics_agree_with_the_frechet_derivative_of_the_matrix_exponential(method):
    tasks, w0 = quadratic()
    alpha, T, p = np.array([0.1, -0.2, 0.3]), 1.3, tasks.weights
    run = mo.solve(
        mo.maml_flow(tasks, alpha), w0, t_max=T, tol=0.0, method=method, rtol=1e-13, atol=1e-15,
        sensitivities=("alpha", "w0", "weights"),
    )  # fmt: skip
    found = run.sensitivities
    H, b, d = tasks.H, tasks.b, 3
    A = np.eye(d) - np.diag(alpha) @ H
    G_i = A.transpose(0, 2, 1) @ H @ A
    # F_i = f_i(u_i), u_i = A w + D b: c_i = A'(b - H D b)
    c_i = np.einsum("mji,mj->mi", A, b - np.einsum("mij,mj->mi", H, alpha * b))
    G, c = np.tensordot(p, G_i, 1), p @ c_i
    for k in range(d):
        E = np.zeros((d, d))
        E[k, k] = 1.0
        dA = -E @ H
        dG = np.tensordot(p, dA.transpose(0, 2, 1) @ H @ A + A.transpose(0, 2, 1) @ H @ dA, 1)
        dc = p @ (
            np.einsum("mji,mj->mi", dA, b - np.einsum("mij,mj->mi", H, alpha * b))
            - np.einsum("mji,mj->mi", A, np.einsum("mij,mj->mi", H, E[k] * b))
        )
        expected = propagated(G, dG, c, dc, w0, T)
        np.testing.assert_allclose(found["alpha"].state[:, k], expected, rtol=1e-10, atol=1e-11)
    for i in range(tasks.n_tasks):
        expected = propagated(G, G_i[i], c, c_i[i], w0, T)
        np.testing.assert_allclose(found["weights"].state[:, i], expected, rtol=1e-10, atol=1e-11)
    expected = scipy.linalg.expm(-T * G)
    np.testing.assert_allclose(found["w0"].state, expected, rtol=1e-10, atol=1e-11)
    for sensitivity in found.values():
        assert np.isnan(sensitivity.final_time).all()
        np.testing.assert_array_equal(sensitivity.path[:, :, -1], sensitivity.state)
    if method == "auto":
        assert run.method.startswith("DOP853")


def test_a_run_in_one_dimension_by_hand():
    """f = w^2/2, judged by (w - 1)^2/2: phase 1 is w' = -w until eps0, phase 2 w' = -A (A w - 1), A = 1 - a."""
    tasks, query = mo.tasks.Quadratic([[[1.0]]], [[0.0]]), mo.tasks.Quadratic([[[1.0]]], [[1.0]])
    a, eps0, w0, tol = 0.2, 1.5, 4.0, 0.05
    A = 1.0 - a
    run = mo.solve(
        mo.bimaml_flow(tasks, a, eps0, query=query), [w0], tol=tol, rtol=1e-12, atol=1e-14,
        sensitivities=["alpha", "switch_tol", "w0"],
    )  # fmt: skip
    rest, rate = 1.0 / A, A * A
    # w(T) - rest = tol/rate exactly, wherever phase 2 began; T = log(w0/eps0) + log((eps0 - rest) rate/tol)/rate
    assert run.w[0] == pytest.approx(rest + tol / rate, rel=1e-11)
    assert (run.stop, run.success) == (mo.StopReason.STATIONARY, True)
    span = np.log((eps0 - rest) * rate / tol)
    d_rest, d_rate = 1.0 / A**2, -2.0 * A
    s = run.sensitivities
    assert s["alpha"].state == pytest.approx([d_rest - tol * d_rate / rate**2], rel=1e-9)
    d_span = -d_rest / (eps0 - rest) + d_rate / rate
    assert s["alpha"].final_time == pytest.approx(d_span / rate - span * d_rate / rate**2, rel=1e-9)
    assert s["alpha"].switch_times == pytest.approx([0.0], abs=1e-12)
    assert s["switch_tol"].switch_times == pytest.approx([-1.0 / eps0], rel=1e-10)
    expected = -1.0 / eps0 + 1.0 / ((eps0 - rest) * rate)
    assert s["switch_tol"].final_time == pytest.approx(expected, rel=1e-9)
    assert s["w0"].switch_times == pytest.approx(np.array([[1.0 / w0]]), rel=1e-10)
    assert s["w0"].final_time == pytest.approx([1.0 / w0], rel=1e-9)
    assert s["switch_tol"].state == pytest.approx([0.0], abs=1e-10)
    # at fixed t: in phase 1 nothing depends on eps0; at the switch the value after it
    before = run.t < run.switch_times[0]
    assert (s["switch_tol"].path[:, before] == 0.0).all()
    at = int(np.flatnonzero(run.t == run.switch_times[0])[0])
    jump = -eps0 + A * (A * eps0 - 1.0)
    assert s["switch_tol"].path[0, at] == pytest.approx(jump * -1.0 / eps0, rel=1e-10)


METHODS = ("Tsit5", "DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA", "Rodas5P", "RKC2")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_carries_them(method):
    problem, names = Problem(1), ["alpha", "switch_tol"]
    precise = problem.run(names=names)
    loose = {"RK23": 1e-6, "RKC2": 1e-5, "BDF": 1e-7}.get(method, 1e-8)
    run = problem.run(names=names, method=method, rtol=loose, atol=loose / 100)
    for name in names:
        one, other = precise.sensitivities[name], run.sensitivities[name]
        size = np.abs(one.state).max()
        np.testing.assert_allclose(other.state, one.state, rtol=0, atol=1e-3 * size)
        np.testing.assert_allclose(other.final_time, one.final_time, rtol=1e-3, atol=1e-5)


def test_what_is_asked_for_on_the_way_is_there():
    problem = Problem(1)
    times = np.linspace(0.0, 0.5, 6)
    seen = []
    run = problem.run(
        names=["w0", "switch_tol"], t_eval=times, dense_output=True, callback=lambda s: seen.append(s.w.shape),
        diagnostics=True, tol=0.0, t_max=0.5,
    )  # fmt: skip
    plain = mo.solve(
        problem.flow(problem.good), problem.good["w0"], t_eval=times, tol=0.0, t_max=0.5,
        method="DOP853", rtol=1e-11, atol=1e-13,
    )  # fmt: skip
    assert run.y.shape == (2, 6)
    assert run.sensitivities["w0"].path.shape == (2, 2, 6)
    assert run.sensitivities["switch_tol"].path.shape == (2, 6)
    np.testing.assert_array_equal(run.sensitivities["w0"].path[:, :, 0], np.eye(2))
    np.testing.assert_allclose(run.y, plain.y, rtol=1e-8)
    np.testing.assert_allclose(run.loss, plain.loss, rtol=1e-8)
    np.testing.assert_allclose(run.grad_norm, plain.grad_norm, rtol=1e-8)
    assert set(seen) == {(2,)}
    assert run.sol(0.3).shape == (2,)
    h = 1e-5
    e = h * np.eye(2)[0]
    ends = [problem.run({**problem.good, "w0": problem.good["w0"] + s * e}, t_eval=times, tol=0.0, t_max=0.5)
            for s in (1, -1)]  # fmt: skip
    expected = (ends[0].y - ends[1].y) / (2 * h)
    np.testing.assert_allclose(run.sensitivities["w0"].path[:, 0], expected, rtol=1e-6, atol=1e-7)


def test_at_a_switch_that_is_asked_for_the_value_after_it_is_reported():
    problem = Problem(1)
    run = problem.run(names=["switch_tol"])
    t = run.switch_times[0]
    again = problem.run(names=["switch_tol"], t_eval=[0.0, t])
    at = int(np.flatnonzero(run.t == t)[0])
    wanted = run.sensitivities["switch_tol"].path[:, at]
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(again.sensitivities["switch_tol"].path[:, 1], wanted, rtol=1e-9)


def test_rules_of_every_kind_are_differentiated():
    """A user's rule in time and state, a switch that finds itself, the norm of F, and last phases with rules."""
    data, w0, h = np.array([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.7]]), np.array([3.0, -2.0]), 1e-5
    p, v = np.array([0.2, 0.5, 0.3]), np.array([1.0, -2.0, 1.0])

    def own(tasks, F):
        phases = [mo.Phase(mo.ExpectedLoss(tasks), until=lambda t, w: w @ w - 2.0 - t)]
        return mo.Flow([*phases, mo.Phase(F, until=lambda t, w: w[0] - 0.5)], F)

    def norms(tasks, F):
        f = mo.ExpectedLoss(tasks)
        steps = (F, 0.7), (f, 0.8), (F, 0.3), (f, 0.1)  # the second is passed over
        rule = mo.flows.GradientNormBelow
        return mo.Flow([mo.Phase(field, until=rule(F, norm)) for field, norm in steps], F)

    def online(tasks, F):
        return mo.bimaml_flow(tasks, F.alpha, switch="auto")

    settings = {"tol": 1e-2, "rtol": 1e-11, "atol": 1e-13, "method": "DOP853", "diagnostics": False}
    moves = {"alpha": (h, 0.0, 0.0), "w0": (0.0, [h, 0.0], 0.0), "weights": (0.0, 0.0, h * v)}
    along = {"alpha": 1.0, "w0": np.array([1.0, 0.0]), "weights": v}
    for build, expected in ((own, "SWITCHED"), (norms, "SWITCHED"), (online, "STATIONARY")):

        def run(alpha=0.2, start=w0, weights=p, names=("w0",), build=build):
            tasks = callables(data, weights)
            flow = build(tasks, mo.MAMLLoss(tasks, alpha))
            return mo.solve(flow, start, sensitivities=names, **settings)

        found = run(names=tuple(moves))
        assert found.stop.name == expected
        assert found.switch_times.size == {own: 2, norms: 4, online: 1}[build]
        for name, (a, x, q) in moves.items():
            plus, minus = (run(0.2 + s * a, w0 + s * np.array(x), p + s * q) for s in (1, -1))
            for part in ("w", "final_time", "switch_times"):
                mine = getattr(found.sensitivities[name], "state" if part == "w" else part)
                theirs = (getattr(plus, part) - getattr(minus, part)) / (2 * h)
                mine = np.dot(mine, along[name])
                np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_rules_are_differentiated_by_steps_of_the_size_of_the_state():
    """At w = 0, and of a state of 1e6: w' = -(w - b), and h = (w_1/s)^2 - 1 + c (w_1 + t)."""
    b = np.array([2.0, 3.0])
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [b])))
    field = AugmentedField(flow.phases[0].field, blocks_of(flow, ["w0"]))
    for w, c, expected in (
        (np.zeros(2), 1.0, -1.0 / 3.0),
        (np.array([1e6, 1.0]), 0.0, 1.0 / (1e6 - 2.0)),
    ):
        rule = as_rule(lambda t, w, c=c: (w[0] / 1e6) ** 2 - 1.0 + c * (w[0] + t))
        slopes = time_slopes(rule, field, 1.0, w, np.eye(2), 1e-3)
        np.testing.assert_allclose(slopes, [expected, 0.0], rtol=1e-8, atol=1e-20)


def test_counts_are_those_of_an_outside_counter():
    calls = dict.fromkeys(("gradients", "hvps", "third_vectors"), 0)
    a = np.array([[1.0, -0.5], [0.3, 2.0]])

    def counted(name, function):
        def call(*args):
            calls[name] += 1
            return function(*args)

        return call

    def build():
        return mo.tasks.from_callables(
            lambda W: (np.log(np.cosh(W - a)) + 0.25 * W**2).sum(axis=1),
            counted("gradients", lambda W: np.tanh(W - a) + 0.5 * W),
            hvps=counted("hvps", lambda W, V: (1.5 - np.tanh(W - a) ** 2) * V),
            third_vectors=counted(
                "third_vectors",
                lambda W, V, Q: -2.0 * np.tanh(W - a) * (1.0 - np.tanh(W - a) ** 2) * V * Q,
            ),
            n_tasks=2, dim=2, batched=True,
        )  # fmt: skip

    for make in (mo.maml_flow, mo.fomaml_flow, mo.reptile_flow):
        for names in (["w0"], ["alpha"], ["weights"], ["alpha", "weights", "w0"]):
            flow = make(build(), [[0.1], [0.2]], inner_steps=2)
            calls.update(dict.fromkeys(calls, 0))
            run = mo.solve(
                flow,
                [1.0, 2.0],
                tol=0.0,
                t_max=0.3,
                method="RK45",
                diagnostics=False,
                sensitivities=names,
            )
            mine = run.counts.to_dict()
            assert {name: mine[name] for name in calls} == calls, (make.__name__, names)
    tasks = build()
    F, f = mo.MAMLLoss(tasks, 0.1), mo.ExpectedLoss(tasks)
    twice = mo.Flow([mo.Phase(F, until=mo.flows.GradientNormBelow(f, 1e-3))])
    calls.update(dict.fromkeys(calls, 0))
    run = mo.solve(
        twice, [1.0, 2.0], tol=1e-6, t_max=0.3, method="RK45", diagnostics=False, sensitivities="w0"
    )
    assert {name: run.counts.to_dict()[name] for name in calls} == calls


def test_they_survive_a_file_and_a_pickle(tmp_path):
    run = Problem(1).run(names=Problem(1).names)
    run.save(tmp_path / "run")
    for again in (mo.Trajectory.load(tmp_path / "run"), pickle.loads(pickle.dumps(run))):
        assert set(again.sensitivities) == set(run.sensitivities)
        for name, found in run.sensitivities.items():
            for part, array in vars(found).items():
                np.testing.assert_array_equal(getattr(again.sensitivities[name], part), array)
    assert set(run.to_dict()["sensitivities"]["alpha"]) == {
        "state", "path", "switch_times", "final_time"
    }  # fmt: skip
    plain = Problem(0).run(names=())
    plain.save(tmp_path / "plain")
    assert mo.Trajectory.load(tmp_path / "plain").sensitivities is None


def test_a_path_that_only_touches_a_switch_or_the_stop_is_refused():
    """f = (w1^2 - w2^2)/2: ||grad f||^2 = a^2 exp(-2t) + b^2 exp(2t) has its least value, 2ab, where it turns."""
    saddle = mo.tasks.Quadratic([np.diag([1.0, -1.0])], [[0.0, 0.0]])
    f, bowl = (
        mo.ExpectedLoss(saddle),
        mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[1.0, 1.0]])),
    )
    a, b = 1.0, 1e-2
    least = np.sqrt(2 * a * b)
    for above in (1e-15, 1e-13):
        flow = mo.Flow(
            [mo.Phase(f, until=mo.flows.GradientNormBelow(f, least * (1 + above))), mo.Phase(bowl)]
        )
        with pytest.raises(
            ValueError, match=r"touches the surface where the gradient norm is .*move the tolerance"
        ):
            mo.solve(flow, [a, b], t_max=4.0, tol=0.0, sensitivities="w0")
        with pytest.raises(ValueError, match="touches the surface where the norm of the field"):
            mo.solve(
                mo.gradient_flow(f), [a, b], t_max=4.0, tol=least * (1 + above), sensitivities="w0"
            )
    moved = mo.Flow([mo.Phase(f, until=mo.flows.GradientNormBelow(f, least * 1.1)), mo.Phase(bowl)])
    assert mo.solve(moved, [a, b], t_max=4.0, tol=0.0, sensitivities="w0").switch_times.size == 1


@pytest.mark.parametrize(("share", "touches"), [(0.98e-6, True), (1.02e-6, False)])
def test_a_path_touches_a_surface_that_it_crosses_by_less_than_a_millionth(share, touches):
    """On the saddle at (1, 1 + s) norms change by s of their slope; a user's rule by s of its size in a time t."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, -1.0])], [[0.0, 0.0]]))
    flow = mo.gradient_flow(f)
    field = AugmentedField(flow.phases[0].field, blocks_of(flow, ["w0"]))
    w = np.array([1.0, 1.0 + share])
    cases = [(rule, 3.0) for rule in (AtRest(field, 1.0), mo.flows.GradientNormBelow(f, 1.0))]
    cases += [
        (as_rule(lambda t, w, t_0=t_0: 1.0 - share * t / (t_0 or 1.0)), t_0) for t_0 in (0.0, 0.5)
    ]
    for rule, t in cases:
        if touches:
            with pytest.raises(ValueError, match="touches the surface"):
                time_slopes(rule, field, t, w, np.eye(2), 1.0)
        else:
            assert np.isfinite(time_slopes(rule, field, t, w, np.eye(2), 1.0)).all()


def test_what_has_no_sensitivity_is_refused_before_the_run():
    tasks, w0 = quadratic()
    svm = mo.tasks.SVM(np.ones((2, 3, 3)), np.ones((2, 3)), loss="hinge")
    maml, joint = mo.maml_flow(tasks, 0.1), mo.gradient_flow(mo.ExpectedLoss(tasks))
    field = mo.fields.CallableField(lambda w: -w, 3)
    own = mo.Flow([mo.Phase(field)], mo.ExpectedLoss(tasks))
    logistic = mo.tasks.LogisticRegression(np.ones((1, 2, 3)), [[1.0, -1.0]])
    modified = mo.modified_flow(mo.MAMLLoss(logistic, 0.1), 0.1)
    F = mo.MAMLLoss(tasks, 0.1)
    others = mo.tasks.Quadratic(tasks.H, tasks.b, weights=[0.1, 0.2, 0.3, 0.4])

    def then(last):
        return mo.Flow([mo.Phase(F, until=mo.flows.GradientNormBelow(F, 0.1)), mo.Phase(last)], F)

    then_modified = then(mo.fields.ModifiedField(F, 0.1))
    no_thirds = mo.tasks.from_callables(
        lambda i, w: 0.5 * w @ w, lambda i, w: w, hvps=lambda i, w, v: v, n_tasks=1, dim=3
    )
    for flow, names, options, sentence in (
        (maml, "switch_tol", {}, "none of its phases ends at a gradient norm; leave it out"),
        (joint, "alpha", {}, "takes no inner steps, so it has no alpha; leave it out"),
        (maml, "beta", {}, "unknown sensitivities 'beta'"),
        (mo.maml_flow(svm, 0.1), "alpha", {}, "has no sensitivities: the field jumps at the kinks"),
        (own, "w0", {}, "no Jacobian; pass jacobian= to CallableField"),
        (modified, "w0", {}, "fourth derivatives"),
        (then_modified, "weights", {}, "no derivative by the weights here"),
        (then(mo.MAMLLoss(tasks, 0.2)), "alpha", {}, "the phases have different inner step sizes"),
        (then(mo.MAMLLoss(others, 0.1)), "weights", {}, "families with different weights"),
        (mo.momentum_flow(mo.MAMLLoss(logistic, 0.1), 1.0), "w0", {}, "its state is larger than w"),
        (mo.maml_flow(no_thirds, 0.1), "alpha", {}, "lacks the derivatives; give it"),
        (mo.bimaml_flow(tasks, 0.1, 0.1, rule="retest"), "alpha", {}, "phases of this one come again"),
        (maml, "alpha", {"method": "exact"}, 'closed form has no sensitivities here; .* pass "DOP853"'),
        (maml, "alpha", {"energy": "enforce"}, "leave energy= out"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            mo.solve(flow, w0, sensitivities=names, **options)
    first = mo.solve(maml, w0, t_max=0.1, tol=0.0)
    with pytest.raises(ValueError, match="pass w0 and the whole horizon"):
        mo.solve(maml, resume=first, t_max=1.0, sensitivities="alpha")
    with pytest.raises(TypeError, match="sensitivities must be a sequence"):
        mo.solve(maml, w0, sensitivities=3)
    # what the sentences advise is taken
    given = mo.fields.CallableField(lambda w: -w, 3, jacobian=lambda w: -np.eye(3))
    run = mo.solve(
        mo.Flow([mo.Phase(given)], mo.ExpectedLoss(tasks)),
        w0,
        t_max=1.0,
        tol=0.0,
        sensitivities="w0",
    )
    np.testing.assert_allclose(run.sensitivities["w0"].state, np.exp(-1.0) * np.eye(3), rtol=1e-8)
    mo.solve(maml, w0, t_max=0.1, method="DOP853", sensitivities="alpha")
    form = mo.modified_flow(mo.MAMLLoss(tasks, 0.1), 0.1)
    G = mo.MAMLLoss(tasks, 0.1).quadratic_form.G
    run = mo.solve(form, w0, t_max=0.5, tol=0.0, sensitivities="w0")
    expected = scipy.linalg.expm(-0.5 * (G + 0.05 * G @ G))
    np.testing.assert_allclose(run.sensitivities["w0"].state, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((1e-6, 1e-8, False, False), (1e-10, 1e-12)),
        ((1e-11, 1e-13, False, False), (1e-11, 1e-13)),
        ((1e-6, 1e-8, True, True), (1e-6, 1e-8)),
    ],
)
def test_derivatives_are_asked_for_to_ten_digits_where_the_caller_says_nothing(given, taken):
    found = tightened(Tolerances(*given))
    assert (found.rtol, found.atol) == pytest.approx(taken, rel=1e-15, abs=0)


def test_limits_leave_what_was_computed():
    problem = Problem(1)
    run = problem.run(names=problem.names, max_steps=3)
    assert run.stop is mo.StopReason.STEP_LIMIT
    found = run.sensitivities["w0"]
    assert found.path.shape == (2, 2, run.t.size)
    np.testing.assert_array_equal(found.path[:, :, -1], found.state)
    assert np.isnan(found.final_time).all()


def test_diffrax_says_the_same_through_a_switch_and_the_stop():
    """Its events are located by a root finder and differentiated by the implicit function theorem."""
    diffrax = pytest.importorskip("diffrax")
    import jax
    import optimistix
    from jax import numpy as jnp

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((3, 5, 2)), rng.choice([-1.0, 1.0], (3, 5))
    tasks = mo.tasks.LogisticRegression(X, y, l2=0.2)
    w0, alpha, eps0, tol, horizon = np.array([1.0, -2.0]), 0.3, 0.3, 0.1, 2.0
    settings = {"rtol": 1e-12, "atol": 1e-14, "method": "DOP853"}
    names = ("alpha", "w0", "switch_tol")
    flow = mo.bimaml_flow(tasks, alpha, eps0)
    run = mo.solve(flow, w0, tol=tol, sensitivities=names, **settings)
    plain = mo.solve(
        mo.maml_flow(tasks, alpha), w0, t_max=horizon, tol=0.0, sensitivities=names[:2], **settings
    )
    assert run.stop.name == "STATIONARY"
    assert 0 < run.switch_times[0] < run.final_time
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():

        def task_loss(u, x, z):
            return jnp.mean(jax.nn.softplus(-z * (x @ u))) + 0.1 * u @ u

        def mean(one):
            return jnp.mean(jax.vmap(one)(jnp.asarray(X), jnp.asarray(y)))

        def f(w, alpha):
            return mean(lambda x, z: task_loss(w, x, z))

        def F(w, alpha):
            return mean(lambda x, z: task_loss(w - alpha * jax.grad(task_loss)(w, x, z), x, z))

        def advance(value, w, alpha, start, end, level=None):
            gradient = jax.grad(value)
            event = None
            if level is not None:

                def above(t, y, args, **_):
                    return jnp.linalg.norm(gradient(y, args)) - level

                event = diffrax.Event(above, optimistix.Newton(1e-13, 1e-13))
            found = diffrax.diffeqsolve(
                diffrax.ODETerm(lambda t, w, a: -gradient(w, a)), diffrax.Dopri8(), start, end, 0.01, w,
                alpha, stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-14),
                adjoint=diffrax.ForwardMode(), event=event,
            )  # fmt: skip
            return found.ys[-1], found.ts[-1]

        def biphasic(alpha, w, eps0):
            w, switch = advance(f, w, alpha, 0.0, 50.0, eps0)
            w, stop = advance(F, w, alpha, switch, 50.0, tol)
            return (w, switch, stop), (w, switch, stop)

        given = alpha, jnp.asarray(w0), eps0
        differentiated = jax.jacfwd(biphasic, argnums=(0, 1, 2), has_aux=True)
        theirs, ends = jax.jit(differentiated)(*given)
        by_alpha, by_w0 = jax.jit(
            jax.jacfwd(lambda a, w: advance(F, w, a, 0.0, horizon)[0], argnums=(0, 1))
        )(*given[:2])
    for mine, other in zip((run.w, run.switch_times[0], run.final_time), ends, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9)
    for place, name in enumerate(names):
        found = run.sensitivities[name]
        mine = found.state, found.switch_times[0], found.final_time
        for value, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(value, other[place], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(plain.sensitivities["alpha"].state, by_alpha, rtol=1e-8)
    np.testing.assert_allclose(plain.sensitivities["w0"].state, by_w0, rtol=1e-8)
