"""Momentum, Nesterov's flow and a user's larger states: against own loops, closed forms and each other."""

import io

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import jv

import maml_ode as mo
from maml_ode.integrate.evaluation import FieldEvaluator

METHODS = ["auto", "RK45", "DOP853", "Tsit5", "Radau", "BDF", "LSODA", "Rodas5P", "RKC2"]


def random_tasks(seed, d=4, M=5, n=20):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(M, n, d))
    y = np.sign(X @ rng.normal(size=d) + 0.3 * rng.normal(size=(M, n)))
    return mo.tasks.LogisticRegression(X, y, l2=0.1)


TASKS = random_tasks(0)
F, f = mo.MAMLLoss(TASKS, 0.1), mo.ExpectedLoss(TASKS)
W0 = np.random.default_rng(1).normal(size=4)


def quadratic(seed, d=3):
    """F with Hessian G and minimiser w*, made of one task and no inner step."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, d))
    G, best = A @ A.T + 0.1 * np.eye(d), rng.normal(size=d)
    return mo.ExpectedLoss(mo.tasks.Quadratic([G], [G @ best])), G, best, rng.normal(size=d)


def heavy_ball(gradient, w, v, friction, h, steps):
    path = [(w, v)]
    for _ in range(steps):
        v = (1 - friction * h) * v - h * gradient(w)
        w = w + h * v
        path.append((w, v))
    return np.array(path)


def nesterov(gradient, w, r, h, steps):
    x = y = w
    path = [x]
    for k in range(1, steps + 1):
        following = y - h * h * gradient(y)
        y = following + (k - 1) / (k + r - 1) * (following - x)
        x = following
        path.append(x)
    return np.array(path)


def test_euler_on_momentum_is_heavy_ball():
    run = mo.euler(mo.momentum_flow(F, 0.7), W0, 0.2, max_iter=1000)
    path = heavy_ball(F.gradient, W0, np.zeros(4), 0.7, 0.2, 1000)
    np.testing.assert_allclose(run.y.T, path[:, 0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(run.z[4:].T, path[:, 1], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(run.t, np.arange(1001) * 0.2)
    # As the textbook writes it: step h^2, momentum 1 - friction h.
    before, w = W0, W0
    for k in range(200):
        before, w = w, w - 0.04 * F.gradient(w) + (1 - 0.14) * (w - before)
        np.testing.assert_allclose(run.y[:, k + 1], w, rtol=0, atol=1e-13)
    assert mo.euler(mo.momentum_flow(F, 0.7), W0, 0.2, max_iter=20).counts.gradients == 40


@pytest.mark.parametrize("r", [1.0, 3.0, 4.5])
def test_euler_on_nesterovs_flow_is_nesterovs_method(r):
    run = mo.euler(mo.nesterov_flow(F, r), W0, 0.2, max_iter=1000)
    path = nesterov(F.gradient, W0, r, 0.2, 1000)
    np.testing.assert_allclose(run.y.T, path, rtol=0, atol=1e-13)
    np.testing.assert_allclose(run.z[4:8, 1:].T, np.diff(path, axis=0) / 0.2, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(run.z[8], run.t)
    assert mo.euler(mo.nesterov_flow(F, r), W0, 0.2, max_iter=20).counts.gradients == 40


@pytest.mark.parametrize("flow", [mo.momentum_flow(F, 0.7), mo.nesterov_flow(F)])
def test_the_algorithm_follows_its_flow_to_first_order(flow):
    exact = mo.solve(flow, W0, tol=0, t_max=4.0, rtol=1e-11, atol=1e-13).final_z
    errors = [
        np.linalg.norm(mo.euler(flow, W0, h, max_iter=round(4.0 / h)).final_z - exact)
        for h in (0.02, 0.01, 0.005)
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("friction", [0.0, 0.3, 5.0])
def test_momentum_on_a_quadratic_by_every_method(method, friction):
    objective, G, best, w0 = quadratic(3)
    A = np.block([[np.zeros((3, 3)), np.eye(3)], [-G, -friction * np.eye(3)]])
    times = np.array([0.0, 0.3, 1.0, 2.5])
    run = mo.solve(
        mo.momentum_flow(objective, friction), w0, tol=0, t_max=2.5, t_eval=times, method=method,
        rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    start = np.concatenate([w0 - best, np.zeros(3)])
    wanted = np.array([expm(A * t) @ start for t in times]).T
    wanted[:3] += best[:, None]
    # A method of order 2 takes thousands of steps, each of which may err by 1e-8 of a state of size 10.
    np.testing.assert_allclose(run.z, wanted, rtol=0, atol=3e-4 if method == "RKC2" else 3e-6)
    np.testing.assert_array_equal(run.y, run.z[:3])


@pytest.mark.parametrize("method", METHODS)
def test_nesterov_on_a_quadratic_is_a_bessel_function(method):
    objective, G, best, w0 = quadratic(4)
    values, vectors = np.linalg.eigh(G)
    times = np.array([0.5, 1.0, 3.0])
    run = mo.solve(
        mo.nesterov_flow(objective), w0, tol=0, t_max=3.0, t_eval=times, method=method,
        rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    x = np.sqrt(values)[:, None] * times
    wanted = best[:, None] + vectors @ ((2 * jv(1, x) / x) * (vectors.T @ (w0 - best))[:, None])
    np.testing.assert_allclose(run.y, wanted, rtol=0, atol=3e-4 if method == "RKC2" else 3e-6)
    np.testing.assert_allclose(run.z[-1], times, rtol=1e-14)


@pytest.mark.parametrize("r", [3.0])
def test_nesterovs_bound_on_a_thousand_convex_problems(r):
    """F - F* <= (r - 1)^2 |w0 - w*|^2/(2 t^2), and the Lyapunov function of Theorem 5 falls.

    A sum of functions of one coordinate each is as many problems as it has coordinates.
    """
    rng = np.random.default_rng(5)
    n = 1000
    kinds, best, start = np.arange(n) % 4, *rng.normal(size=(2, n))
    size, width = np.exp(rng.normal(size=(2, n)))

    def terms(w):
        x = w - best
        return np.choose(
            kinds,
            [
                size * x**2 / 2,
                size * np.log(np.cosh(width * x)),
                size * x**4,
                size * np.abs(x) ** 3,
            ],
        )

    def slopes(w):
        x = w - best
        return np.choose(
            kinds,
            [
                size * x,
                size * width * np.tanh(width * x),
                4 * size * x**3,
                3 * size * x * np.abs(x),
            ],
        )

    tasks = mo.tasks.from_callables([lambda w: float(terms(w).sum())], [slopes], n_tasks=1, dim=n)
    flow = mo.nesterov_flow(mo.ExpectedLoss(tasks), r)
    run = mo.solve(flow, start, tol=0, t_max=12.0, rtol=1e-7, atol=1e-9, diagnostics=False)
    gap, t = np.array([terms(w) for w in run.y.T]).T, run.t
    square = (start - best) ** 2
    assert (t**2 * gap <= 0.5 * (r - 1) ** 2 * square[:, None] * (1 + 1e-5)).all()
    shifted = run.y - best[:, None] + t * run.z[n : 2 * n] / (r - 1)
    lyapunov = 2 * t**2 / (r - 1) * gap + (r - 1) * shifted**2
    assert (np.diff(lyapunov) <= 1e-5 * lyapunov[:, :1]).all()
    # Nesterov's method itself, with s at most 1/L: here L is that of the first two kinds, the others being held.
    smooth = kinds < 2
    L = (size * np.where(kinds == 0, 1.0, width**2))[smooth].max()
    begin = np.where(smooth, start, best)
    steps = mo.euler(flow, begin, 1 / np.sqrt(L), max_iter=200, diagnostics=False)
    gap = np.array([terms(w) for w in steps.y.T]).T
    assert (steps.t**2 * gap <= 0.5 * (r - 1) ** 2 * square[:, None] * (1 + 1e-9))[smooth].all()


def two_phases(first, second, eps=0.05):
    rule = mo.flows.GradientNormBelow(f, eps)
    return mo.Flow([mo.Phase(first, until=rule), mo.Phase(second)], objective=F)


MOMENTA = mo.fields.MomentumField(f, 0.7), mo.fields.MomentumField(F, 0.7)
NESTEROVS = mo.fields.NesterovField(f), mo.fields.NesterovField(F)
PAIRS = {
    "plain to momentum": (f, MOMENTA[1]),
    "plain to Nesterov": (f, NESTEROVS[1]),
    "momentum to momentum": MOMENTA,
    "Nesterov to Nesterov": NESTEROVS,
    "momentum to Nesterov": (MOMENTA[0], NESTEROVS[1]),
    "Nesterov to momentum": (NESTEROVS[0], MOMENTA[1]),
    "momentum to plain": (MOMENTA[0], F),
}


@pytest.mark.parametrize(("first", "second"), PAIRS.values(), ids=PAIRS)
def test_a_flow_of_two_phases_is_what_its_phases_make_one_by_one(first, second):
    flow = two_phases(first, second)
    run = mo.solve(flow, W0, tol=0, t_max=12.0, dense_output=True, rtol=1e-9, atol=1e-11)
    (switch,) = run.switch_times
    there = run.switch_states[0]
    np.testing.assert_allclose(np.linalg.norm(f.gradient(there)), 0.05, rtol=1e-12)
    np.testing.assert_array_equal(run.y_events[0], [there])
    assert run.z.shape[0] == flow.state_dim
    at = int(np.flatnonzero(run.t == switch)[0])
    np.testing.assert_array_equal(run.y[:, at], there)
    np.testing.assert_allclose(run.sol(run.t)[:4], run.y, rtol=0, atol=1e-13)
    assert run.sol(1.0).shape == (flow.state_dim,)
    # The first phase alone, then SciPy from the state that the second one is to begin in.
    one = mo.Flow([mo.Phase(first)], objective=F)
    before = mo.solve(one, W0, tol=0, t_max=switch, rtol=1e-11, atol=1e-13).final_z
    field = flow.phases[1].field
    begin = np.zeros(field.state_dim)
    begin[:4] = before[:4]
    if before.size > 4 and begin.size > 4:  # both have a velocity
        begin[4:8] = before[4:8]
        if begin.size == 9:
            begin[8] = switch
    from scipy.integrate import solve_ivp

    ref = solve_ivp(
        lambda t, z: field(z), (switch, 12.0), begin, method="DOP853", rtol=1e-11, atol=1e-13
    )
    np.testing.assert_allclose(run.final_z, ref.y[:, -1], rtol=0, atol=2e-7)
    np.testing.assert_allclose(run.z[: begin.size, at], begin, rtol=0, atol=1e-7)
    np.testing.assert_allclose(run.z[begin.size :, at:], 0.0)
    assert run.energy.rises == 0


@pytest.mark.parametrize(("first", "second"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_saved_run_goes_on_as_if_it_had_not_stopped(first, second, share):
    flow = two_phases(first, second)
    whole = mo.solve(flow, W0, tol=0, t_max=25.0, rtol=1e-9, atol=1e-11)
    cut = share * float(whole.switch_times[0])
    file = io.BytesIO()
    mo.solve(flow, W0, tol=0, t_max=cut, rtol=1e-9, atol=1e-11).save(file)
    file.seek(0)
    part = mo.Trajectory.load(file)
    assert part.identity == flow.identity is not None
    joined = mo.solve(flow, resume=part, tol=0, t_max=25.0, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(joined.final_z, whole.final_z, rtol=0, atol=1e-8)
    assert joined.z.shape == (flow.state_dim, joined.t.size)
    np.testing.assert_allclose(joined.switch_times, whole.switch_times, rtol=1e-9)


@pytest.mark.parametrize(("first", "second"), PAIRS.values(), ids=PAIRS)
def test_euler_switches_between_iterates(first, second):
    run = mo.euler(two_phases(first, second), W0, 0.1, max_iter=300, record_every=7)
    k = round(run.switch_times[0] / 0.1)
    norms = [np.linalg.norm(f.gradient(w)) for w in (run.switch_states[0],)]
    assert norms[0] <= 0.05
    assert 0 < k < 300
    if isinstance(first, mo.fields.MomentumField) and isinstance(second, mo.fields.MomentumField):
        path = heavy_ball(f.gradient, W0, np.zeros(4), 0.7, 0.1, k)
        rest = heavy_ball(F.gradient, *path[-1], 0.7, 0.1, 300 - k)
        np.testing.assert_allclose(run.final_z, rest[-1].ravel(), rtol=0, atol=1e-13)
    if first is f and isinstance(second, mo.fields.NesterovField):
        w = W0
        for _ in range(k):
            w = w - 0.1 * f.gradient(w)
        rest = nesterov(F.gradient, w, 3.0, 0.1, 300 - k)
        np.testing.assert_allclose(run.w, rest[-1], rtol=0, atol=1e-13)


def test_at_rest_is_a_small_gradient_and_a_small_velocity():
    run = mo.solve(mo.momentum_flow(F, 0.4), W0, tol=1e-7)
    assert run.stop.name == "STATIONARY"
    assert run.success
    gradients = np.array([np.linalg.norm(F.gradient(w)) for w in run.y.T])
    speeds = np.linalg.norm(run.z[4:], axis=0)
    at_rest = np.maximum(gradients, speeds) <= 1e-7
    assert at_rest[-1]
    assert not at_rest[:-1].any()
    assert (gradients[:-1] <= 1e-7).any() or (speeds[1:-1] <= 1e-6).any()
    discrete = mo.euler(mo.nesterov_flow(F), W0, 0.5, tol=1e-4, max_iter=10_000)
    speeds = np.linalg.norm(discrete.z[4:8], axis=0)
    assert discrete.stop.name == "STATIONARY"
    assert discrete.grad_norm[-1] <= 1e-4
    assert speeds[-1] <= 1e-4


def test_mechanical_energy_falls_by_what_friction_takes():
    for flow in (mo.momentum_flow(F, 0.4), mo.nesterov_flow(F)):
        run = mo.solve(flow, W0, tol=0, t_max=10.0, rtol=1e-10, atol=1e-12, energy="integrate")
        drop = F.value(W0) - F.value(run.w) - 0.5 * np.sum(run.z[4:8, -1] ** 2)
        np.testing.assert_allclose(run.energy.drop, drop, rtol=1e-12)
        assert run.energy.rises == 0
        assert run.energy.defect <= 1e-9
        kept = mo.solve(flow, W0, tol=0, t_max=10.0, rtol=1e-3, atol=1e-4, energy="enforce")
        assert kept.energy.rises == 0


def test_every_jacobian_is_that_of_the_field():
    rng = np.random.default_rng(7)
    for field in (MOMENTA[1], NESTEROVS[1]):
        z, v = rng.normal(size=(2, field.state_dim))
        z[-1] = abs(z[-1])
        quotients = [
            (field(z + 1e-6 * e) - field(z - 1e-6 * e)) / 2e-6 for e in np.eye(field.state_dim)
        ]
        np.testing.assert_allclose(field.jacobian(z), np.array(quotients).T, atol=1e-8)
        np.testing.assert_allclose(field.jacobian_vector(z, v), field.jacobian(z) @ v, atol=1e-12)
        start = field.lift(W0)
        np.testing.assert_allclose(
            field.jacobian_vector(start, v), field.jacobian(start) @ v, atol=1e-12
        )
    # The regular start: v/t -> -grad F/(1 + r).
    run = mo.solve(mo.nesterov_flow(F, 4.0), W0, tol=0, t_max=1e-4, rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(run.z[4:8, -1] / 1e-4, -F.gradient(W0) / 5.0, rtol=1e-6)


def rotating(z):
    """Averaging on top of a gradient flow: w is the running mean that follows q."""
    w, q = z[:4], z[4:8]
    return np.concatenate([q - w, -F.gradient(q)])


def test_a_users_own_state_is_observed():
    field = mo.fields.CallableField(rotating, 8)
    phase = mo.Phase(field, observe=lambda z: z[:4], lift=lambda w: np.concatenate([w, w]))
    flow = mo.Flow([phase], objective=F)
    run = mo.solve(flow, W0, t_max=3.0, tol=0, rtol=1e-9, atol=1e-11, dense_output=True)
    plain = mo.solve(mo.gradient_flow(F), W0, t_max=3.0, tol=0, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(run.final_z[4:], plain.w, atol=1e-8)
    np.testing.assert_array_equal(run.w, run.final_z[:4])
    np.testing.assert_allclose(run.loss, [F.value(w) for w in run.y.T])
    discrete = mo.euler(flow, W0, 0.1, max_iter=50)
    z = np.concatenate([W0, W0])
    for _ in range(50):
        z = z + 0.1 * rotating(z)
    np.testing.assert_allclose(discrete.final_z, z, rtol=0, atol=1e-14)
    assert flow.identity is None


def test_what_a_user_may_get_wrong_is_said():
    field = mo.fields.CallableField(rotating, 8)
    flow = mo.Flow([mo.Phase(field, observe=lambda z: z[:4] + z[4:] + 1.0)], objective=F)
    with pytest.raises(ValueError, match=r"observe\(lift\(w\)\) must be w"):
        mo.solve(flow, W0, t_max=1.0)
    with pytest.raises(ValueError, match="needs observe="):
        mo.Phase(field, lift=lambda w: np.concatenate([w, w]))
    with pytest.raises(TypeError, match="carries its own observe and lift"):
        mo.Phase(MOMENTA[1], observe=lambda z: z[:4])
    with pytest.raises(ValueError, match=r"observe\(z\) must return w of shape"):
        mo.Phase(field, observe=lambda z: 1.0)
    with pytest.raises(ValueError, match="rule='one_way'"):
        two_phases(f, MOMENTA[1]).with_rule("retest")
    with pytest.raises(ValueError, match="d = 8"):
        mo.Flow([mo.Phase(field)], objective=F)
    own = mo.Flow([mo.Phase(field, observe=lambda z: z[:4])], objective=F)
    with pytest.raises(TypeError, match="leave tasks_per_step out"):
        mo.euler(own, W0, 0.1, tasks_per_step=2)
    with pytest.raises(ValueError, match="friction"):
        mo.momentum_flow(F, -1.0)
    with pytest.raises(ValueError, match="r must be"):
        mo.nesterov_flow(F, 0.5)


def test_a_step_beyond_the_algorithms_stability_is_named():
    objective, G, best, w0 = quadratic(6)
    largest = np.linalg.norm(G, 2)
    for flow, limit in (
        (mo.momentum_flow(objective, 0.5), 4 / (0.5 + np.sqrt(0.25 + 4 * largest))),
        (mo.nesterov_flow(objective), np.sqrt(4 / (3 * largest))),
    ):
        with pytest.warns(mo.integrate.StepSizeWarning, match=f"{limit:.6g}"):
            grows = mo.euler(flow, w0, 1.02 * limit, max_iter=4000)
        stays = mo.euler(flow, w0, 0.98 * limit, max_iter=4000)
        assert not grows.loss[-1] < 1e3 * grows.loss[0]
        assert np.linalg.norm(stays.w - best) < np.linalg.norm(w0 - best)


def test_callbacks_rules_and_an_interrupt_see_w(monkeypatch):
    seen = []
    flow = mo.Flow(
        [
            mo.Phase(MOMENTA[0], until=lambda t, w: seen.append(w.size) or 1.0 - t),
            mo.Phase(MOMENTA[1]),
        ],
        objective=F,
    )
    run = mo.solve(flow, W0, t_max=2.0, tol=0, callback=lambda s: seen.append(s.w.size))
    assert set(seen) == {4}
    np.testing.assert_allclose(run.switch_times, [1.0], rtol=1e-12)
    calls = iter(range(60))
    evaluate = FieldEvaluator.__call__

    def key(self, t, w):
        if next(calls) == 40:
            raise KeyboardInterrupt
        return evaluate(self, t, w)

    monkeypatch.setattr(FieldEvaluator, "__call__", key)
    part = mo.solve(mo.nesterov_flow(F), W0, t_max=5.0, tol=0, method="RK45")
    monkeypatch.undo()
    assert part.stop.name == "INTERRUPTED"
    assert part.z.shape == (9, part.t.size)
    whole = mo.solve(mo.nesterov_flow(F), resume=part, t_max=5.0, tol=0, rtol=1e-9, atol=1e-11)
    straight = mo.solve(mo.nesterov_flow(F), W0, t_max=5.0, tol=0, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(whole.final_z, straight.final_z, atol=1e-6)


def test_plain_flows_keep_one_array():
    run = mo.solve(mo.gradient_flow(F), W0, t_max=1.0, tol=0)
    assert run.z is run.y
    assert run.final_z is run.final_state
    assert run.lifted_y is None


def test_theory_of_gradient_flows_does_not_cover_larger_states():
    run = mo.solve(two_phases(f, MOMENTA[1]), W0, tol=0, t_max=12.0)
    seen = mo.theory.monitor(run, TASKS, 0.1)
    assert seen.not_covered == (
        "phase 1 is not covered by the curves: it follows neither -grad f nor -grad F.",
    )
    later = run.phase == 1
    assert np.isnan(seen.grad_bound[later]).all()
    assert np.isfinite(seen.gap_bound[~later]).any()
    assert not mo.theory.monitor(mo.solve(mo.maml_flow(TASKS, 0.1), W0), TASKS, 0.1).not_covered


def test_lyapunovs_method_reads_whole_states():
    least = F.value(mo.solve(mo.maml_flow(TASKS, 0.1), W0, tol=1e-10).w)
    flow = mo.momentum_flow(F, 0.7)
    run = mo.solve(flow, W0, tol=0, t_max=6.0, rtol=1e-10, atol=1e-12)
    energy = lambda z: F.value(z[:4]) - least + 0.5 * float(z[4:] @ z[4:])  # noqa: E731
    found = mo.theory.lyapunov(energy, run, flow=flow)
    assert found.rises.size == 0
    np.testing.assert_allclose(
        found.derivative, -0.7 * np.sum(run.z[4:] ** 2, axis=0), rtol=0, atol=1e-6
    )
