"""Peak memory of grad F of a small network against the number of inner steps: what a kept graph costs."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.race import Timing

__all__ = ["inner_steps"]

HEAD = """
import sys
import numpy as np
K, M, n, d = int(sys.argv[1]), 20, 20000, 10
rng = np.random.default_rng(0)
X, y = rng.standard_normal((M, n, d)), np.where(rng.random((M, n)) < 0.5, -1.0, 1.0)
w = np.zeros(d)
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
def start():
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
    return peak()
"""
OURS = """
import maml_ode as mo
F = mo.MAMLLoss(mo.tasks.LogisticRegression(X, y, l2=0.1), 0.3, inner_steps=K)
mo.MAMLLoss(F.tasks, 0.3, inner_steps=1).gradient(w)
before = start(); F.gradient(w); print(peak() - before)
"""
JAX = """
import jax, jax.numpy as jnp
X, y = jnp.asarray(X), jnp.asarray(y)
loss = lambda w, X, y: jnp.mean(jnp.logaddexp(0.0, -y * (X @ w))) + 0.05 * w @ w
def adapted(w, X, y):
    u = w
    for _ in range(K): u = u - 0.3 * jax.grad(loss)(u, X, y)
    return loss(u, X, y)
F = lambda w: jnp.mean(jax.vmap(adapted, (None, 0, 0))(w, X, y))
g = jax.jit(jax.grad(F)).lower(w).compile()
before = start(); g(w).block_until_ready(); print(peak() - before)
"""
TORCH = """
import torch
torch.set_num_threads(1)
X, y = torch.from_numpy(X), torch.from_numpy(y)
w = torch.zeros(d, dtype=torch.float64, requires_grad=True)
def loss(w):
    margins = y * (X @ w.unsqueeze(-1)).squeeze(-1)
    return torch.nn.functional.softplus(-margins).mean(1) + 0.05 * (w * w).sum(-1)
u = w.expand(M, d)
loss(u).sum(); before = start()
for _ in range(K):
    (g,) = torch.autograd.grad(loss(u).sum(), u, create_graph=True)
    u = u - 0.3 * g
loss(u).mean().backward(); print(peak() - before)
"""


def _megabytes(body: str, steps: int) -> tuple[float, str]:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body, str(steps)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return float("nan"), (done.stderr.splitlines() or ["failed"])[-1][:200]
    return float(done.stdout.split()[-1]), ""


def inner_steps(rounds: int) -> list[Timing]:
    """Megabytes beyond the data for 1, 4, 16 and 64 inner steps (held in ``error``, no time is measured)."""
    found = []
    for steps in (1, 4, 16, 64):
        for name, body, ours in [
            ("maml_ode", OURS, True),
            ("JAX", JAX, False),
            ("torch", TORCH, False),
        ]:
            megabytes, failure = _megabytes(body, steps)
            timing = Timing("", f"{name}, {steps} inner steps", ours, unit="MB", failure=failure)
            timing.error = megabytes
            found.append(timing)
    return found
