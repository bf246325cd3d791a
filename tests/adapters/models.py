"""Small losses for both frameworks, and F as its definition says, for any of them."""

import numpy as np

# M, d per layer, samples: from one task of one parameter on.
CASES = {
    "one task, one parameter": {"M": 1, "hidden": 0, "n": 2, "seed": 0},
    "three tasks": {"M": 3, "hidden": 2, "n": 4, "seed": 1},
    "five tasks": {"M": 5, "hidden": 4, "n": 3, "seed": 2},
}
WEIGHTS = {1: [1.0], 3: [0.5, 0.2, 0.3], 5: [0.1, 0.3, 0.0, 0.4, 0.2]}


def parameters(hidden, seed):
    """A slope alone, or a network with one hidden layer."""
    rng = np.random.default_rng(seed)
    if not hidden:
        return {"slope": rng.normal(size=())}
    return {
        "in": rng.normal(size=(2, hidden)),
        "shift": 0.3 * rng.normal(size=hidden),
        "out": rng.normal(size=hidden),
    }


def samples(M, n, seed):
    """Inputs (M, n, 2), targets (M, n) and a mask of the samples that count."""
    rng = np.random.default_rng(100 + seed)
    mask = np.ones((M, n))
    mask[-1, -1] = 0.0  # tasks of different sizes, padded
    return {"x": rng.normal(size=(M, n, 2)), "y": rng.normal(size=(M, n)), "mask": mask}


def masked_square_error(tanh, params, data):
    """The loss of the model, in whatever framework ``tanh`` is of."""
    if "slope" in params:
        prediction = tanh(params["slope"] * data["x"][:, 0])
    else:
        prediction = tanh(data["x"] @ params["in"] + params["shift"]) @ params["out"]
    return (data["mask"] * (prediction - data["y"]) ** 2).sum() / data["mask"].sum()


def F_by_definition(loss, gradient, add, params, data, query, alpha, count, weights):
    """Sum p_i g_i(u_i), task by task: ``gradient`` is the framework's, ``add(u, g)`` is u - alpha g."""
    total = 0.0
    for d, e, p in zip(data, query, weights, strict=True):
        u = params
        for _ in range(count):
            u = add(u, gradient(u, d), alpha)
        total = total + p * loss(u, e)
    return total
