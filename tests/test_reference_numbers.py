"""The paper's problems, run by the package, give the reference digits."""

import numpy as np
import pytest

import maml_ode as mo

# w, F, F', F'' of Figure 1 at alpha = 0.4, computed to 20 digits outside this package.
FIGURE_1 = [
    (-5.0, 4.4582290727232702182, -0.81932748040857664654, -52.88880008784115054),
    (-1.0, 0.31051984411576800613, -0.72791106107580705513, 10.630480277806430926),
    (0.0, -0.15432460207144067836, -0.15562501797498835222, 0.70392018348266362617),
    (0.25, -0.17701005214289014686, -0.025811822635436282081, -2.6980783743004969215),
    (1.0, -0.10559420610714882417, 0.26275904773211930003, -10.322800724654198667),
]


@pytest.mark.parametrize(("w", "F", "slope", "curvature"), FIGURE_1)
def test_figure_1(w, F, slope, curvature):
    problem = mo.experiments.load("figure1")
    objective = mo.MAMLLoss(problem.tasks, problem.alpha)
    assert objective.value([w]) == pytest.approx(F, rel=2e-13)
    assert objective.gradient([w])[0] == pytest.approx(slope, rel=2e-13)
    assert objective.hessian([w])[0, 0] == pytest.approx(curvature, rel=2e-13)
    symbolic = mo.tasks.Symbolic(
        "a*w**2 - b*sin(omega*w)",
        ["w"],
        {"a": problem.tasks.a, "b": problem.tasks.b, "omega": problem.tasks.omega},
    )
    assert mo.MAMLLoss(symbolic, 0.4).hessian([w])[0, 0] == pytest.approx(curvature, rel=2e-13)


def test_figure_1_flows_end_where_they_should():
    """From -5 MAML ends at the first of four local minima; where BI-MAML ends depends on eps0."""
    problem = mo.experiments.load("figure1")
    run = mo.solve(problem.maml_flow(), [-5.0], tol=1e-10)
    assert run.w[0] == pytest.approx(0.288087736343721, abs=1e-9)
    ends = {0.3: 0.288087736343721, 0.1: 0.344866361881597, 0.03: 0.402744483281065}
    for eps0, end in ends.items():
        flow = mo.bimaml_flow(problem.tasks, problem.alpha, eps0)
        for method in ("DOP853", "Radau", "LSODA"):
            assert mo.solve(flow, [-5.0], tol=1e-10, method=method).w[0] == pytest.approx(
                end, abs=1e-8
            )


def test_diabetes_from_zero():
    problem = mo.experiments.load("diabetes", w0=np.zeros(8))
    maml = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=50)
    assert maml.loss[0] == pytest.approx(2411055.43998, rel=1e-11)
    assert maml.loss[1] == pytest.approx(2408079.90431, rel=1e-11)
    assert maml.loss[50] == pytest.approx(2351193.8683, rel=1e-11)
    assert maml.grad_norm[0] == pytest.approx(173.523366335, rel=1e-11)
    assert maml.grad_norm[50] == pytest.approx(58.8449828406, rel=1e-11)
    bimaml = mo.euler(problem.bimaml_flow(), problem.w0, problem.beta, max_iter=50)
    assert int(np.argmax(bimaml.phase == 1)) == 27
    assert bimaml.loss[1] == pytest.approx(2403505.26115, rel=1e-11)
    assert bimaml.loss[50] == pytest.approx(2348726.1584, rel=1e-11)
    run = mo.solve(problem.maml_flow(), problem.w0)
    assert run.loss[-1] == pytest.approx(2333273.20835, rel=1e-11)
    assert run.final_time == pytest.approx(4810.5, abs=0.5)
    assert mo.solve(problem.bimaml_flow(), problem.w0).final_time == pytest.approx(4811, abs=0.5)
    spectrum = maml_spectrum(problem)
    assert spectrum[0] == pytest.approx(0.00406332, rel=1e-5)
    assert spectrum[-1] == pytest.approx(0.271916, rel=1e-5)
    assert spectrum[-1] / spectrum[0] == pytest.approx(66.9, abs=0.05)


def maml_spectrum(problem):
    return np.linalg.eigvalsh(mo.MAMLLoss(problem.tasks, problem.alpha).hessian(problem.w0))


def test_portable_linear_regression():
    problem = mo.experiments.load("linear_regression", generator="splitmix64", seed=0)
    assert problem.switch_tol == pytest.approx(0.578312387673, rel=1e-11)
    maml = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=50)
    for k, F in ((0, 6.25322846729), (25, 4.53094007863), (50, 3.73866898521)):
        assert maml.loss[k] == pytest.approx(F, rel=1e-11)
    bimaml = mo.euler(problem.bimaml_flow(), problem.w0, problem.beta, max_iter=50)
    assert int(np.argmax(bimaml.phase == 1)) == 27
    for k, F in ((1, 5.66161312252), (25, 3.24004071799), (50, 3.11858765598)):
        assert bimaml.loss[k] == pytest.approx(F, rel=1e-11)
    assert mo.solve(problem.maml_flow(), problem.w0).loss[-1] == pytest.approx(3.00542837681)


def test_distance_of_euler_from_the_flow_at_the_same_times():
    """At t = k beta, 0.30% and 0.23% of ||w0 - w*||; the order is 1.00 under halving."""
    for name, share in (("linear_regression", 0.0030), ("diabetes", 0.0023)):
        problem = mo.experiments.load(name)
        flow, n = problem.maml_flow(), problem.n_steps
        gaps = []
        for halvings in range(3):
            beta, steps = problem.beta / 2**halvings, n * 2**halvings
            run = mo.euler(flow, problem.w0, beta, max_iter=steps)
            exact = mo.solve(flow, problem.w0, t_eval=run.t, t_max=run.t[-1], tol=0)
            gaps.append(np.linalg.norm(run.y - exact.y, axis=0).max())
        w_star = mo.solve(flow, problem.w0).w
        assert gaps[0] / np.linalg.norm(problem.w0 - w_star) == pytest.approx(share, rel=0.05)
        orders = np.log2(np.array(gaps[:-1]) / gaps[1:])
        assert orders == pytest.approx([1.0, 1.0], abs=0.02)
