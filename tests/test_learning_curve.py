"""Learning curves: the states are those of the run itself, the passes those of an outside counter."""

import numpy as np
import pytest

import maml_ode as mo

M, D = 6, 3
RNG = np.random.default_rng(5)
H = np.array([A @ A.T + np.eye(D) for A in RNG.normal(size=(M, D, D))])
B = RNG.normal(size=(M, D))
W0 = np.array([2.0, -1.0, 0.5])
ALPHA, BETA = 0.05, 0.02


class Counted:
    """Callables that count how often a single task is evaluated."""

    def __init__(self):
        self.single = 0
        self.tasks = mo.tasks.from_callables(
            lambda i, w: 0.5 * w @ H[i] @ w - B[i] @ w,
            self.gradient,
            hvps=self.hvp,
            n_tasks=M,
            dim=D,
        )

    def gradient(self, i, w):
        self.single += 1
        return H[i] @ w - B[i]

    def hvp(self, i, w, v):
        self.single += 1
        return H[i] @ v


FLOWS = {
    "MAML": lambda t: mo.maml_flow(t, ALPHA),
    "BI-MAML": lambda t: mo.bimaml_flow(t, ALPHA, 1.5),
    "FO-MAML": lambda t: mo.fomaml_flow(t, ALPHA),
    "Reptile": lambda t: mo.reptile_flow(t, ALPHA, 2),
    "momentum": lambda t: mo.momentum_flow(mo.MAMLLoss(t, ALPHA), 0.5),
    "Nesterov": lambda t: mo.nesterov_flow(mo.MAMLLoss(t, ALPHA)),
    # Phases that end by the clock, between looks, and hand a velocity and the time on.
    "two clocks": lambda t: mo.Flow(
        [
            mo.Phase(
                mo.momentum_flow(mo.ExpectedLoss(t), 0.5).phases[0].field, lambda t, w: 0.19 - t
            ),
            *mo.nesterov_flow(mo.MAMLLoss(t, ALPHA)).phases,
        ],
        objective=mo.MAMLLoss(t, ALPHA),
    ),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("size", [None, 2])
def test_an_algorithm_looked_at_is_the_algorithm(name, size):
    counted = Counted()
    drawn = {} if size is None else {"tasks_per_step": size}
    times = np.array([5, 6, 40]) * BETA
    curve = mo.learning_curve(
        FLOWS[name](counted.tasks), W0, times, step_size=BETA, **drawn, **({"rng": 3} if size else {})
    )  # fmt: skip
    plain = Counted()
    run = mo.euler(
        FLOWS[name](plain.tasks), W0, BETA, max_iter=40, diagnostics=False,
        **drawn, **({"rng": 3} if size else {}),
    )  # fmt: skip
    np.testing.assert_array_equal(curve.w, run.y[:, [0, 5, 6, 40]])
    np.testing.assert_allclose(curve.t, [0.0, *times], rtol=1e-14)
    # A look in the first phase asks the switch's rule once more; else a look is free.
    extra = curve.passes[-1] - run.counts.gradient_equivalents()
    looks = np.count_nonzero(curve.t[1:] < run.switch_times) if name == "BI-MAML" else 0
    assert extra == pytest.approx(looks, abs=1e-12)
    exact = mo.MAMLLoss(mo.tasks.Quadratic(H, B), ALPHA, inner_steps=2 if name == "Reptile" else 1)
    np.testing.assert_allclose(curve.loss, [exact.value(w) for w in curve.w.T], rtol=1e-12)
    if name == "BI-MAML":
        assert run.switch_times.size == 1
        assert curve.run.flow_name == "BI-MAML"


CARRIES = {
    "momentum": lambda F: mo.momentum_flow(F, 0.5),
    "Nesterov": mo.nesterov_flow,
    "time": lambda F: mo.Flow(
        [mo.Phase(mo.ExpectedLoss(F.tasks), until=lambda t, w: 0.55 - t), mo.Phase(F)], objective=F
    ),
    "both": lambda F: mo.Flow(
        [mo.Phase(F, until=lambda t, w: 0.55 - t), *mo.nesterov_flow(F).phases], objective=F
    ),
}


@pytest.mark.parametrize("name", CARRIES)
def test_a_look_takes_nothing_from_what_an_algorithm_carries(name):
    """Velocity, time and phase go on where the look found them."""
    flow = CARRIES[name](mo.MAMLLoss(mo.tasks.Quadratic(H, B), ALPHA))
    h = 0.1
    curve = mo.learning_curve(flow, W0, np.array([1, 5, 6, 130]) * h, step_size=h)
    run = mo.euler(flow, W0, h, max_iter=130, diagnostics=False)
    np.testing.assert_allclose(curve.w, run.y[:, [0, 1, 5, 6, 130]], rtol=1e-13)
    np.testing.assert_allclose(curve.t, run.t[[0, 1, 5, 6, 130]], rtol=1e-14)


def test_a_flow_that_its_own_rule_ended_is_looked_at_once():
    flow = mo.Flow(
        [mo.Phase(mo.MAMLLoss(mo.tasks.Quadratic(H, B), ALPHA), until=lambda t, w: 0.35 - t)]
    )
    curve = mo.learning_curve(flow, W0, [0.2, 0.4, 0.6], step_size=0.1)
    np.testing.assert_allclose(curve.t, [0.0, 0.2, 0.4])


@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_key_leaves_what_was_reached(at):
    seen = []

    def test(w):
        seen.append(w)
        if len(seen) == at:
            raise KeyboardInterrupt
        return mo.meta_test(w, mo.tasks.Quadratic(H, B), 0.1, 2)

    flow = FLOWS["MAML"](mo.tasks.Quadratic(H, B))
    curve = mo.learning_curve(flow, W0, [0.2, 0.4, 0.6], step_size=0.1, test=test)
    whole = mo.learning_curve(flow, W0, [0.2, 0.4, 0.6], step_size=0.1)
    np.testing.assert_array_equal(curve.w, whole.w)
    np.testing.assert_array_equal(curve.loss[:at], whole.loss[:at])
    assert np.isnan(curve.loss[at:]).all()
    assert len(curve.tests) == at - 1
    if at > 1:
        assert np.isfinite(curve.adapted).all(axis=1).tolist() == [k < at - 1 for k in range(4)]
        assert len(curve.table().splitlines()) == 5


@pytest.mark.parametrize("size", [None, 2])
def test_passes_are_what_an_outside_counter_says(size):
    counted = Counted()
    seen = []
    curve = mo.learning_curve(
        FLOWS["MAML"](counted.tasks),
        W0,
        [3 * BETA, 10 * BETA],
        step_size=BETA,
        tasks_per_step=size,
        test=lambda w: seen.append(w) or mo.meta_test(w, mo.tasks.Quadratic(H, B), 0.1, 2),
    )
    B_or_M = M if size is None else size
    np.testing.assert_allclose(curve.passes, np.array([0, 3, 10]) * 3 * B_or_M / M, rtol=1e-14)
    # Of the counter's, three evaluations of F take M gradients each and are no part of the run.
    assert counted.single == round(M * curve.passes[-1]) + 3 * M
    np.testing.assert_array_equal(np.array(seen).T, curve.w)
    assert curve.adapted.shape == (3, 3)
    assert set(curve.to_dict()) == {"t", "passes", "loss", "adapted"}
    head, first = (line.split() for line in curve.table().splitlines()[:2])
    assert head == ["t", "passes", "F", "before", "adapted"]
    assert first[3:] == [f"{x:.6g}" for x in curve.adapted[0, [0, 2]]]
    assert repr(curve).startswith("LearningCurve(MAML to t = 0.2: F ")


@pytest.mark.parametrize("name", ["MAML", "BI-MAML"])
def test_a_flow_looked_at_is_the_flow(name, tug_of_war):
    times = [0.5, 1.0, 8.0]
    flow = FLOWS[name](mo.tasks.Quadratic(H, B))
    curve = mo.learning_curve(flow, W0, times, method="exact", tol=0.0)
    whole = mo.solve(flow, W0, t_max=8.0, t_eval=times, method="exact", tol=0.0)
    np.testing.assert_allclose(curve.w[:, 1:], whole.y, rtol=1e-10, atol=1e-12)
    assert (np.diff(curve.passes) >= 0).all()
    ended = mo.learning_curve(flow, W0, [100.0, 200.0], tol=1e-3)
    assert ended.t.size == 2
    assert ended.t[-1] < 100.0
    with pytest.raises(ValueError, match="nothing was tested"):
        _ = ended.adapted


def test_refusals(tug_of_war):
    flow = mo.maml_flow(tug_of_war, 0.1)
    for arguments, error, words in [
        ({"times": [0.2, 0.25], "step_size": 0.1}, ValueError, "multiples of step_size = 0.1"),
        ({"times": [0.1, 0.1 + 1e-12], "step_size": 0.1}, ValueError, "an iteration or more apart"),
        ({"times": []}, ValueError, "n at least 1"),
        ({"times": [1.0, 1.0]}, ValueError, "increasing"),
        ({"times": [1.0, np.nan]}, ValueError, "times must be finite"),
        ({"times": None}, TypeError, "times must hold real numbers, not None"),
        ({"times": [1.0], "t_eval": [0.5]}, TypeError, "t_eval follows from the times"),
        ({"times": [1e30], "step_size": 1e-3}, ValueError, "1e.33 iterations of 0.001, more than"),
        ({"times": [1e300], "step_size": 1e-300}, ValueError, "inf iterations"),
        ({"times": [1.0], "hvp": -1}, ValueError, "hvp must be at least 0"),
        ({"times": [1.0], "rng": 0}, TypeError, "rng is the algorithm's"),
        ({"times": [1.0], "step_size": 0.1, "method": "RK45"}, TypeError, "method is an option of the flow"),
        ({"times": [1.0], "test": 3}, TypeError, "test must be callable"),
        ({"times": [1.0], "test": lambda w: 3}, TypeError, "what test returns must be an Adaptation"),
        ({"times": [1.0], "flow": 3}, TypeError, "flow must be a Flow"),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            mo.learning_curve(**({"flow": flow, "w0": [1.0]} | arguments))
    retest = mo.bimaml_flow(tug_of_war, 0.1, 0.5, rule="retest")
    with pytest.raises(ValueError, match='use rule="one_way"'):
        mo.learning_curve(retest, [1.0], [1.0], step_size=0.1)
