"""A sweep on a Dask cluster of two processes on this machine, one of which is killed in the middle."""

import os
import time

import numpy as np
import pytest

import maml_ode as mo

distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")

pytestmark = pytest.mark.filterwarnings("default")  # what a cluster warns of is its own concern


@pytest.fixture
def client(tmp_path, study):
    import dask

    settings = {
        "temporary-directory": str(tmp_path),
        "distributed.admin.tick.limit": "1h",
        "distributed.worker.memory.terminate": False,
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        yield client


def test_a_sweep_on_dask_outlives_one_of_its_workers(client, study, tmp_path):
    grid = {"a": [1, 4, 9.0], "b": [0.5, np.float64(2.0)]}
    here = mo.sweep(study.root, grid, progress=False)
    study.calls()
    store = tmp_path / "points.db"
    executor = client.get_executor()
    there = mo.sweep(study.root, grid, executor=executor, store=store, progress=False)
    assert len(study.calls()) == 6
    for row, other in zip(here.rows, there.rows, strict=True):
        assert list(row) == list(other)
        assert all(np.array_equal(row[name], other[name]) for name in row)

    failing = mo.sweep(study.fails_at_first, {"a": [1, 2, 3]}, executor=executor, progress=False)
    assert [row["exception"] for row in failing.failed] == ["ArithmeticError: two is one too many"]
    (tmp_path / "study" / "mended").touch()
    mended = mo.sweep(study.fails_at_first, {"a": [1, 2, 3]}, executor=executor, progress=False)
    assert mended.failed == []  # Dask would have given the old failure back

    before = set(client.run(os.getpid).values())
    start = time.monotonic()
    killed = mo.sweep(
        study.dies_once, {"a": list(range(12))}, executor=executor, store=tmp_path / "killed.db",
        progress=False,
    )  # fmt: skip
    assert killed.rows == [{"a": a, "square": a * a} for a in range(12)]
    assert int((tmp_path / "study" / "died at 2").read_text()) in before
    assert time.monotonic() - start < 60
    study.calls()
    again = mo.sweep(
        study.dies_once, {"a": list(range(12))}, store=tmp_path / "killed.db", progress=False
    )
    assert again.rows == killed.rows
