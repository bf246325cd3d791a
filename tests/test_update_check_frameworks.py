"""Training steps as people write them in torch and JAX, wrapped in two lines."""

import numpy as np
import pytest

import maml_ode as mo

ALPHA, BETA = 0.1, 0.05
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 3, 8, 4)), RNG.normal(size=(2, 3, 8))
SUPPORT, QUERY = (mo.tasks.LinearRegression(X[k], Y[k]) for k in (0, 1))


@pytest.mark.parametrize("create_graph", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loop_in_torch(create_graph, dtype):
    torch = pytest.importorskip("torch")
    x, y = (torch.tensor(a, dtype=getattr(torch, dtype)) for a in (X, Y))

    def train_step(weight):
        optimizer = torch.optim.SGD([weight], lr=BETA)
        total = 0.0
        for i in range(3):
            loss = ((y[0, i] - x[0, i] @ weight) ** 2).mean()
            (gradient,) = torch.autograd.grad(loss, weight, create_graph=create_graph)
            adapted = weight - ALPHA * gradient
            total = total + ((y[1, i] - x[1, i] @ adapted) ** 2).mean()
        optimizer.zero_grad()
        (total / 3).backward()
        optimizer.step()
        return weight

    def update(w):
        weight = torch.tensor(w, dtype=x.dtype, requires_grad=True)
        return train_step(weight).detach().numpy()

    found = mo.identify_update(update, SUPPORT, ALPHA, BETA, query=QUERY)
    assert found.rows[0][0] == ("MAML" if create_graph else "FO-MAML")
    if dtype == "float64":
        assert found.best == found.rows[0][0]
        assert found.factor == pytest.approx(1.0, abs=1e-9)
    else:
        assert found.rows[0][1] < 10 * found.resolution


@pytest.mark.parametrize("stop", [False, True])
def test_a_loop_in_jax(stop):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    with jax.enable_x64(True):

        def loss(w, k, i):
            return jnp.mean((jnp.asarray(Y)[k, i] - jnp.asarray(X)[k, i] @ w) ** 2)

        def meta_loss(w):
            def of_task(i):
                gradient = jax.grad(loss)(w, 0, i)
                return loss(
                    w - ALPHA * (jax.lax.stop_gradient(gradient) if stop else gradient), 1, i
                )

            return sum(of_task(i) for i in range(3))  # a sum

        found = mo.identify_update(
            lambda w: w - BETA * jax.grad(meta_loss)(jnp.asarray(w)),
            SUPPORT,
            ALPHA,
            BETA,
            query=QUERY,
        )
    assert found.best == ("FO-MAML" if stop else "MAML")
    assert found.factor == pytest.approx(3.0, rel=1e-9)
