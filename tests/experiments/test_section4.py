"""The statements of the paper's Section 4 that these settings reproduce, over seeds, by the oracle's runs."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

import maml_ode as mo

SEEDS = 20  # those behind the figures and the report
# The reference ranges of the SVMs come from other draws than ours: where ours spread further, this share of
# the seeds must lie inside, by which the report counts too.
MOST = 0.75
LOSSES = {
    "linear_regression": "squares",
    "diabetes": "squares",
    "svm": "squared_hinge",
    "svm_digits": "squared_hinge",
}


def scales(problem):
    if problem.options["reduction"] == "sum":
        return [1.0] * problem.tasks.n_tasks
    return [1.0 / n for n in problem.tasks.n_samples]


def assert_inside(values, lowest, highest, share):
    """The median lies in a reference range, and so does this share of the seeds."""
    values = np.array(values)
    assert lowest <= np.median(values) <= highest
    assert np.mean((lowest <= values) & (values <= highest)) >= share


@pytest.fixture(scope="module")
def over_seeds(algorithms):
    @cache
    def run(name, n_seeds=SEEDS):
        problems = [mo.experiments.load(name, seed) for seed in range(n_seeds)]
        runs = [algorithms(p, LOSSES[name], scales(p)) for p in problems]

        def median(quantity):
            return float(np.median([quantity(run) for run in runs]))

        return SimpleNamespace(problem=problems[0], runs=runs, median=median)

    return run


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("linear_regression", 25, 31),
        ("diabetes", 27, 27),
        ("svm", 12, 16),
        ("svm_digits", 24, 32),
    ],
)
def test_switch_comes_where_the_quoted_saving_puts_it(over_seeds, name, lowest, highest):
    result = over_seeds(name)
    switches = [run.bimaml.switch for run in result.runs]
    assert_inside(switches, lowest, highest, MOST if name == "svm" else 1.0)
    saving = np.median(switches) / 50 * 2 / 3
    assert saving == pytest.approx(result.problem.quoted_saving, abs=0.025)


@pytest.mark.parametrize(
    ("name", "step", "maml", "bimaml"),
    [
        ("linear_regression", 25, 0.953, 0.421),
        ("linear_regression", 50, 0.654, 0.290),
        ("diabetes", 25, 97.7, 70.2),
        ("diabetes", 50, 58.8, 46.2),
        ("svm", 25, 0.604, 0.108),
        ("svm", 50, 0.314, 0.047),
        # Not at step 25, where BI-MAML's median is .90 and the reference's .614.
        ("svm_digits", 50, 0.187, 0.26),
    ],
)
def test_gradient_norms_at_steps_25_and_50(over_seeds, name, step, maml, bimaml):
    result = over_seeds(name)
    rel = 1e-3 if name == "diabetes" else 0.15
    assert result.median(lambda run: run.maml.norms[step]) == pytest.approx(maml, rel=rel)
    assert result.median(lambda run: run.bimaml.norms[step]) == pytest.approx(bimaml, rel=rel)


def test_a_hundred_regressions_give_the_reference_digits(over_seeds, digits_of):
    result = over_seeds("linear_regression", 100)
    for step, maml, bimaml in ((25, "0.953", "0.421"), (50, "0.654", "0.290")):
        digits_of(result.median(lambda run, k=step: run.maml.norms[k]), maml)
        digits_of(result.median(lambda run, k=step: run.bimaml.norms[k]), bimaml)
    switches = [run.bimaml.switch for run in result.runs]
    assert (np.median(switches), min(switches), max(switches)) == (28, 25, 31)


def test_digits_end_at_parity(over_seeds):
    ratios = [run.bimaml.F[50] / run.maml.F[50] for run in over_seeds("svm_digits").runs]
    assert_inside(ratios, 0.929, 1.023, MOST)
    for name in ("linear_regression", "diabetes", "svm"):
        assert over_seeds(name).median(lambda run: run.bimaml.F[50] / run.maml.F[50]) < 1.0


@pytest.mark.parametrize("name", LOSSES)
def test_jumps_in_2d_2g_2h_and_nowhere_else(over_seeds, name):
    """A jump: a change at the switch of 5% of the norm's range, or of 2% of the range of F."""

    def norm_jump(run):
        p, k = run.bimaml.plotted, run.bimaml.switch
        return (p[k] - p[k - 1]) / np.ptp(p)

    def loss_drop(run):
        F, k = run.bimaml.F, run.bimaml.switch
        return (F[k] - F[k + 1]) / np.ptp(F)

    result = over_seeds(name)
    norm, loss = result.median(norm_jump), result.median(loss_drop)
    if name == "svm_digits":
        assert norm > 0.05
        assert loss > 0.02
    elif name == "svm":
        assert norm < -0.05
        assert abs(loss) < 0.02
    else:
        assert abs(norm) < 0.05
        assert abs(loss) < 0.02


def test_without_jitter_the_digits_show_no_spike(algorithms):
    for seed in range(3):
        problem = mo.experiments.load("svm_digits", seed, jitter=False)
        run = algorithms(problem, "squared_hinge", scales(problem)).bimaml
        assert run.plotted[run.switch] < run.plotted[run.switch - 1]


def test_printed_hinge_makes_maml_and_bimaml_alike(algorithms):
    for seed in range(3):
        problem = mo.experiments.load("svm", seed, loss="hinge")
        runs = algorithms(problem, "hinge", scales(problem))
        assert runs.bimaml.switch is None
        assert runs.bimaml.F[50] == pytest.approx(runs.maml.F[50], rel=0.02)


def test_printed_sum_diverges_in_linear_regression(algorithms):
    problem = mo.experiments.load("linear_regression", reduction="sum")
    with np.errstate(all="ignore"):
        runs = algorithms(problem, "squares", scales(problem), n_steps=10)
    assert runs.maml.F[10] > 1e10 * runs.maml.F[0]
    assert runs.bimaml.F[10] > 1e10 * runs.bimaml.F[0]


@pytest.mark.parametrize("name", LOSSES)
def test_euler_on_the_flows_is_the_algorithms(over_seeds, name):
    problem, runs = over_seeds(name).problem, over_seeds(name).runs[0]
    maml = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=problem.n_steps)
    bimaml = mo.euler(problem.bimaml_flow(), problem.w0, problem.beta, max_iter=problem.n_steps)
    for got, expected in ((maml, runs.maml), (bimaml, runs.bimaml)):
        np.testing.assert_allclose(got.loss, expected.F, rtol=1e-13)
        np.testing.assert_allclose(got.grad_norm, expected.norms, rtol=1e-12)
    np.testing.assert_allclose(bimaml.switch_times, runs.bimaml.switch * problem.beta, rtol=1e-14)
