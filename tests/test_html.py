"""What notebooks show: read back by an HTML parser, numbers equal to the fields, nothing unescaped."""

from html.parser import HTMLParser

import numpy as np

import maml_ode as mo
from maml_ode._html import html_table
from maml_ode.counts import Counts


class Cells(HTMLParser):
    """Collects the text of every cell, row by row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert not self.open, "a tag was left open"

    def handle_starttag(self, tag, attrs):
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_text_is_escaped_and_numbers_keep_six_digits():
    rows = Cells(html_table([["<script>", 1 / 3, None, True, "a & b"]], list("vwxyz"))).rows
    assert rows == [list("vwxyz"), ["<script>", "0.333333", "", "True", "a & b"]]
    assert "<script>" not in html_table([["<script>"]], caption="<script>")


def test_counts_say_what_was_evaluated_in_one_line():
    counts = Counts(gradients=1200, hvps=7, steps=3, diagnostics=Counts(losses=4))
    assert str(counts) == "1,200 gradients, 7 HVPs, 3 steps; diagnostics: 4 losses"
    assert str(Counts()) == "nothing"
    assert str(Counts(losses=1, gradients=1, rejected=1)) == "1 loss, 1 gradient, 1 rejected step"
    rows = {row[0]: row[1:] for row in Cells(counts._repr_html_()).rows}
    assert rows["gradients"] == ["1200", "0"]
    assert rows["losses"] == ["0", "4"]
    assert "hessians" not in rows


def test_a_run_shows_its_reason_its_end_and_its_switch():
    problem = mo.experiments.load("diabetes")
    run = mo.solve(problem.bimaml_flow(), problem.w0, t_max=5.0)
    rows = dict(Cells(run._repr_html_()).rows)
    assert rows["ended"] == run.message
    assert float(rows["last ||grad F||"]) == np.float64(f"{run.grad_norm[-1]:.6g}")
    assert rows["switched at t ="] == f"{run.switch_times[0]:.6g}"
    assert rows["counts"] == str(run.counts)


def test_certificates_show_every_verdict_and_the_summary():
    problem = mo.experiments.load("linear_regression")
    certificates = mo.theory.certify(problem.tasks, problem.alpha, w0=problem.w0)
    html = certificates._repr_html_()
    rows = Cells(html).rows
    assert [row[0] for row in rows[1:]] == [item.name for item in certificates]
    assert {row[1] for row in rows[1:]} <= {"yes", "no", "undecided"}
    assert certificates.summary()[:40].split("<")[0] in html


def test_an_experiment_shows_its_constants_and_looks_for_none():
    problem = mo.experiments.load("diabetes")
    rows = Cells(problem._repr_html_()).rows
    told = {row[0]: row[1] for row in rows}
    assert told["Euler's step size beta"] == f"{problem.beta:.6g}"
    assert told["switch tolerance eps0"] == "80"
    ours = [row[1] for row in rows if row[0] == "Ours"]
    assert tuple(ours) == problem.ours
    open_ones = mo.Experiment(problem.tasks, 0.1, name="<i>", notes=["said: <b>"])
    html = open_ones._repr_html_()
    assert "beta" not in vars(open_ones)
    assert "<i>" not in html
    assert "<b>" not in html
    assert len(repr(problem)) < 80


def test_tables_of_comparisons_sweeps_and_ensembles_hold_their_rows():
    problem = mo.experiments.load("diabetes")
    found = mo.compare(
        problem.maml_flow(), problem.w0, t_max=1.0, methods=["RK45"], rtols=[1e-3], step_sizes=[0.1]
    )
    header, *rows = Cells(found._repr_html_()).rows
    assert [row[header.index("method")] for row in rows] == [row["method"] for row in found.rows]
    assert rows[0][header.index("error")] == f"{found.rows[0]['error']:.6g}"

    def run(alpha):
        if alpha < 0:
            raise ValueError("<b>no</b>")
        return {"name": "<script>", "alpha squared": alpha**2}

    swept = mo.sweep(run, {"alpha": [0.5, -1.0]}, progress=False)
    html = swept._repr_html_()
    header, *rows = Cells(html).rows
    assert "<script>" not in html
    assert "<b>" not in html
    assert rows[0][header.index("alpha squared")] == "0.25"
    assert "<b>no</b>" in rows[1][header.index("exception")]

    runs = mo.ensemble(problem.maml_flow(), np.stack([problem.w0, 2 * problem.w0]), t_max=1.0)
    told = dict(Cells(runs._repr_html_()).rows)
    assert told["members"] == "2 of dimension 8"
    assert told["ended"] == "2 HORIZON"
