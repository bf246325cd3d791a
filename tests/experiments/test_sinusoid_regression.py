"""The sine waves are Finn's, drawn as documented; what the experiment's flows do is what JAX says by hand."""

import subprocess
import sys

import numpy as np
import pytest

import maml_ode as mo

SMALL = {"n_tasks": 3, "shots": 4, "query_shots": 4, "hidden": 3}


def by_hand(seed, n_tasks, shots, query_shots, hidden):
    tasks, start = np.random.SeedSequence(seed).spawn(2)
    rng, other = np.random.default_rng(tasks), np.random.default_rng(start)
    a, phase = rng.uniform(0.1, 5.0, n_tasks), rng.uniform(0.0, np.pi, n_tasks)
    x = rng.uniform(-5.0, 5.0, (n_tasks, shots + query_shots))
    y = a[:, None] * np.sin(x - phase[:, None])
    shapes = [(1, hidden), (hidden, hidden), (hidden, 1)]
    return x, y, [other.standard_normal(s) / np.sqrt(s[0]) for s in shapes]


@pytest.mark.parametrize(
    ("activation", "function"), [("tanh", np.tanh), ("relu", lambda z: z * (z > 0))]
)
def test_losses_are_those_of_the_network_on_the_documented_draws(activation, function):
    pytest.importorskip("jax", reason="needs the extra 'jax'")
    p = mo.experiments.load("sinusoid_regression", 7, activation=activation, **SMALL)
    x, y, weights = by_hand(7, **SMALL)

    def losses(part):
        h = function(function(x[:, part, None] @ weights[0]) @ weights[1]) @ weights[2]
        return ((h[..., 0] - y[:, part]) ** 2).mean(axis=1)

    np.testing.assert_allclose(p.tasks.losses(p.w0), losses(slice(0, 4)), rtol=1e-13)
    np.testing.assert_allclose(p.query.losses(p.w0), losses(slice(4, None)), rtol=1e-13)
    smooth = mo.tasks.Smoothness.CONTINUOUS if activation == "relu" else mo.tasks.Smoothness.SMOOTH
    assert p.tasks.smoothness == smooth
    assert p.tasks.dim == 3**2 + 4 * 3 + 1


def test_every_flow_sees_the_query_losses_and_the_inner_steps():
    jax = pytest.importorskip("jax", reason="needs the extra 'jax'")
    from maml_ode.tasks.adapters.jax_programs import double_precision

    p = mo.experiments.load("sinusoid_regression", 7, inner_steps=2, alpha=0.05, **SMALL)
    x, y, _ = by_hand(7, **SMALL)

    def loss(w, x, y):
        tree, h = p.tasks.unravel(p.w0), x[:, None]
        # The same order as the family's: leaf by leaf.
        parts, k = [], 0
        for leaf in jax.tree.leaves(tree):
            parts.append(w[k : k + leaf.size].reshape(leaf.shape))
            k += leaf.size
        for weights, biases in zip(parts[:-2:2], parts[1:-2:2], strict=True):
            h = jax.numpy.tanh(h @ weights + biases)
        return (((h @ parts[-2] + parts[-1])[:, 0] - y) ** 2).mean()

    def adapted(w, i):
        steps = []
        for _ in range(2):
            steps.append(jax.grad(loss)(w, x[i, :4], y[i, :4]))
            w = w - 0.05 * steps[-1]
        return w, sum(steps)

    def F(w):
        return sum(loss(adapted(w, i)[0], x[i, 4:], y[i, 4:]) for i in range(3)) / 3

    w = np.array(p.w0) + 0.1
    with double_precision():
        maml = jax.grad(F)(w)
        fomaml = sum(jax.grad(loss)(adapted(w, i)[0], x[i, 4:], y[i, 4:]) for i in range(3)) / 3
        reptile = sum(adapted(w, i)[1] for i in range(3)) / 3
        value = float(F(w))
    for flow, expected in [
        (p.maml_flow(), maml),
        (p.fomaml_flow(), fomaml),
        (p.reptile_flow(), reptile),
    ]:
        field = flow.phases[0].field(w)
        np.testing.assert_allclose(field, -np.asarray(expected), rtol=1e-9, atol=1e-12)
        assert flow.objective.value(w) == pytest.approx(value, rel=1e-12)
    two = p.bimaml_flow()
    np.testing.assert_allclose(two.phases[1].field(w), -np.asarray(maml), rtol=1e-9, atol=1e-12)
    assert p.constants()["inner_steps"] == 2


def test_without_jax_a_sentence_names_the_extra():
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "import maml_ode as mo\n"
        "assert 'sinusoid_regression' in mo.experiments.names()\n"
        "try: mo.experiments.load('sinusoid_regression')\n"
        "except ImportError as error: print(error)\n"
        "from maml_ode.cli import main\n"
        "sys.argv = ['maml-ode', 'solve', 'sinusoid_regression']\n"
        "try: main()\n"
        "except SystemExit as end: print('exit', end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    sentence = "sinusoid_regression needs JAX; install it with pip install 'maml_ode[jax]'."
    assert done.stdout.split("\n")[:2] == [sentence, "exit 2"]
    assert sentence in " ".join(done.stderr.split())


def test_own_problems_have_query_losses_and_inner_steps_too():
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    query = mo.tasks.Quadratic([[[2.0]], [[1.0]]], [[1.0], [1.0]])
    problem = mo.Experiment(tasks, 0.1, query=query, inner_steps=3)
    F = mo.MAMLLoss(tasks, 0.1, inner_steps=3, query=query)
    w = np.array([0.7])
    assert problem.maml_flow().objective.value(w) == F.value(w)
    assert problem.beta == pytest.approx(1.0 / F.hessian(w)[0, 0])
    assert any("without query losses" in note for note in problem.notes)
    assert problem.changed(inner_steps=1).beta != problem.beta
    assert problem.constants()["inner_steps"] == 3
    assert "inner_steps" not in mo.Experiment(tasks, 0.1).constants()
