"""The explorer's numbers are the package's: its JavaScript runs in Node and is compared."""

import csv
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import maml_ode as mo

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "docs" / "_static"
NODE = shutil.which("node")


def test_the_proved_counts_are_those_of_figure_1():
    spec = importlib.util.spec_from_file_location(
        "explorer_data", ROOT / "docs" / "explorer_data.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.script() == (STATIC / "explorer_data.js").read_text(encoding="utf-8")


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_losses_iterates_and_counts_agree_with_the_package():
    with (ROOT / "paper_figures" / "fig1_counts.csv").open(newline="") as lines:
        wide = [
            row
            for row in csv.DictReader(lines)
            if row["proved"] == "true" and float(row["alpha_high"]) - float(row["alpha_low"]) > 0.01
        ]
    alphas = [0.5 * (float(row["alpha_low"]) + float(row["alpha_high"])) for row in wide]
    alphas = [alpha for alpha in alphas if alpha <= 0.45]
    program = f"""
    const m = require({json.dumps(str(STATIC / "explorer_math.js"))});
    const w = Array.from({{length: 41}}, (_, k) => -2 + k / 10);
    console.log(JSON.stringify({{
      losses: w.map((x) => m.mamlLoss(x, 0.4)),
      path: m.eulerIterates(0.6, 0.4, 0.02, 60),
      counts: {json.dumps(alphas)}.map((a) => m.criticalPoints(a, 0.15, 0.65, 4000).length),
      points: m.criticalPoints(0.4, 0.15, 0.65, 4000),
    }}));
    """
    done = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)
    problem = mo.experiments.load("figure1")
    F = mo.MAMLLoss(problem.tasks, 0.4)
    grid = np.linspace(-2, 2, 41)[:, None]
    np.testing.assert_allclose([x["value"] for x in theirs["losses"]], F.values(grid), atol=1e-13)
    np.testing.assert_allclose(
        [x["slope"] for x in theirs["losses"]], F.gradients(grid)[:, 0], atol=1e-12
    )
    run = mo.euler(problem.maml_flow(), [0.6], 0.02, max_iter=60)
    np.testing.assert_allclose(theirs["path"], run.y[0], atol=1e-10)
    proved = mo.theory.count_critical_points(problem.tasks, 0.4)
    np.testing.assert_allclose([p["w"] for p in theirs["points"]], proved.points, atol=1e-9)
    assert [p["minimum"] for p in theirs["points"]] == [k == "minimum" for k in proved.kinds]
    expected = [int(row["critical_points"]) for row in wide][: len(alphas)]
    assert theirs["counts"] == expected
