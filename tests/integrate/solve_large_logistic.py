"""Solve a logistic family in 20,000 dimensions and report what it took, as JSON.

Run as ``python solve_large_logistic.py dense`` (or ``sparse``), in a process of its own: the largest
resident memory is a property of a process. Linux only (/proc/self/status).
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import maml_ode as mo

M, N, D = 10, 200, 20_000
L2, ALPHA = 0.03, 2.0


def largest_memory():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def dense_data(rng):
    """Rows about a common mean, so that the largest curvature is several times the ridge."""
    X = np.empty((M, N, D))
    for X_i in X:
        rng.standard_normal(out=X_i)
        X_i /= np.sqrt(D)
        X_i[:, :100] += 0.05
    return X


def sparse_data(rng):
    """The same with 20 entries a row on average, and the mean in four columns."""
    X = []
    for _ in range(M):
        spread = sp.random_array((N, D), density=1e-3, rng=rng, data_sampler=rng.standard_normal)
        mean = sp.hstack([np.full((N, 4), 0.25), sp.csr_array((N, D - 4))])
        X.append(sp.csr_array(spread / np.sqrt(1e-3 * D) + mean))
    return X


def gradient(X, y, w):
    """grad F from its definition, by NumPy alone."""
    total = np.zeros(w.size)
    for X_i, y_i in zip(X, y, strict=True):
        u = w - ALPHA * (X_i.T @ slopes(X_i, y_i, w) / len(y_i) + L2 * w)
        q = X_i.T @ slopes(X_i, y_i, u) / len(y_i) + L2 * u
        s = np.abs(slopes(X_i, y_i, w))
        total += q - ALPHA * (X_i.T @ (s * (1 - s) * (X_i @ q)) / len(y_i) + L2 * q)
    return total / len(X)


def slopes(X, y, w):
    return -y / (1 + np.exp(y * (X @ w)))


def solve(X, y, w0, tol, diagnostics):
    tasks = mo.tasks.LogisticRegression(X, y, l2=L2)
    return mo.solve(mo.maml_flow(tasks, ALPHA), w0, tol=tol, diagnostics=diagnostics)


def main(kind, diagnostics):
    sparse = kind == "sparse"
    tiny = [sp.csr_array(np.eye(2))] if sparse else [np.eye(2)]
    solve(tiny, [[1, -1]], np.ones(2), 1e-3, diagnostics)  # what compilation takes is not counted
    before = largest_memory()
    rng = np.random.default_rng(0)
    X = sparse_data(rng) if sparse else dense_data(rng)
    parts = ("data", "indices", "indptr")
    data = sum(getattr(X_i, a).nbytes for X_i in X for a in parts) if sparse else X.nbytes
    signal, w0 = rng.standard_normal((2, D))
    y = [np.where(X_i @ signal > 0, 1.0, -1.0) for X_i in X]
    w0 /= np.sqrt(D)
    start = np.linalg.norm(gradient(X, y, w0))
    run = solve(X, y, w0, 1e-6 * start, diagnostics)
    used = largest_memory() - before
    return {
        "stop": run.stop.name,
        "reduction": np.linalg.norm(gradient(X, y, run.w)) / start,
        "data": data,
        "used": used,
        "states": run.t.size,
        "hessians": run.counts.hessians,
        "evaluations": run.nfev,
        "seconds": run.elapsed,
        "method": run.method,
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1], sys.argv[2] == "diagnostics"), sys.stdout)
