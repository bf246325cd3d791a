"""The aggregated quadratic held against its derivation by SymPy."""

import numpy as np
import pytest
import sympy

import maml_ode as mo
from maml_ode.theory.quadratic_formulas import _by_degree, derive


def random_tasks(rng, M=3, d=4):
    roots = rng.normal(size=(M, d, d))
    H = roots @ roots.transpose(0, 2, 1) - 0.5 * np.eye(d)
    return H, rng.normal(size=(M, d)), rng.normal(size=M)


@pytest.mark.parametrize("with_query", [False, True])
@pytest.mark.parametrize("inner_steps", [1, 2, 3, 5])
def test_the_aggregated_form_is_the_one_derived(inner_steps, with_query):
    rng = np.random.default_rng(inner_steps)
    support, query = random_tasks(rng), random_tasks(rng)
    p, alpha = np.array([0.5, 0.3, 0.2]), 0.13
    tasks = mo.tasks.Quadratic(*support, weights=p)
    judge = mo.tasks.Quadratic(*query, weights=p) if with_query else None
    F = mo.MAMLLoss(tasks, alpha, inner_steps=inner_steps, query=judge)
    found = derive(inner_steps, show=None)
    G, c, k = np.zeros((4, 4)), np.zeros(4), 0.0
    for i in range(3):
        own, other = (
            [part[i] for part in terms] for terms in (support, query if with_query else support)
        )
        parts = found.numbers(own[0], own[1], *other, alpha)
        G, c, k = G + p[i] * parts[0], c + p[i] * parts[1], k + p[i] * parts[2]
    size = np.abs(G).max()
    np.testing.assert_allclose(F.quadratic_form.G, G, atol=1e-13 * size)
    np.testing.assert_allclose(F.quadratic_form.c, c, atol=1e-13 * np.abs(c).max())
    assert F.quadratic_form.k == pytest.approx(k, rel=1e-12)


def test_without_inner_steps_it_is_the_query_loss():
    rng = np.random.default_rng(0)
    (H, b, _), (Q, s, e) = random_tasks(rng, M=1), random_tasks(rng, M=1)
    G, c, k = derive(0, show=None).numbers(H[0], b[0], Q[0], s[0], e[0], 0.1)
    np.testing.assert_array_equal(G, Q[0])
    np.testing.assert_array_equal(c, s[0])
    assert k == e[0]


def test_the_steps_are_printed(capsys):
    found = derive(2)
    printed = capsys.readouterr().out.splitlines()
    assert tuple(printed) == found.steps
    assert [line.split(" = ")[0] for line in printed] == [
        "f(w)", "grad f(w)", "u_0", "u_1", "    P_1", "    r_1", "u_2", "    P_2", "    r_2",
        "F(w)", "grad F(w)", "    c", "F(0)",
    ]  # fmt: skip
    assert "u_2 = u_1 - alpha*grad f(u_1) = P_2*w + r_2 with" in printed
    assert printed[9].endswith(", where P = P_2, r = r_2")
    assert "grad F(w) = G*w - c with G = P.T*Q*P" in printed
    assert derive(2, show=None).steps == found.steps
    assert derive(show=None).steps == derive(1, show=None).steps
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="inner_steps must be at least 0"):
        derive(-1)


def test_only_what_is_linear_is_read_off():
    H = sympy.MatrixSymbol("H", 3, 3)
    w, s = sympy.MatrixSymbol("w", 3, 1), sympy.MatrixSymbol("s", 3, 1)
    matrix, vector = _by_degree(2 * H * w + H**2 * w - w + H * s - s, w)
    assert matrix - (2 * H + H**2 - sympy.Identity(3)) == sympy.ZeroMatrix(3, 3)
    assert vector - (H * s - s) == sympy.ZeroMatrix(3, 1)
    for expression in (w * w.T * w, H * w * w.T * H * w):
        with pytest.raises(ValueError, match="is not linear in w"):
            _by_degree(expression, w)
