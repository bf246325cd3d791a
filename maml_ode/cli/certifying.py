"""``maml-ode certify NAME``."""

from __future__ import annotations

import click

from maml_ode.cli.output import echo_json, load_experiment, overrides_of, seed_option, usage_errors

__all__ = ["certify_experiment"]


@click.command("certify")
@click.argument("name")
@click.option("--alpha", type=float, default=None, help="Inner step size, instead of the paper's.")
@click.option("--switch-tol", type=float, default=None, help="BI-MAML's eps0, instead of ours.")
@click.option(
    "--tol", type=float, default=1e-8, show_default=True, help="The gradient norm asked for."
)
@seed_option("Of data and w0.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another reading, e.g. loss=smooth_squared_hinge; may be repeated.",
)
@click.option("--markdown", is_flag=True, help="Print the table with its notes as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
def certify_experiment(
    name: str,
    alpha: float | None,
    switch_tol: float | None,
    tol: float,
    seed: int,
    settings: tuple[str, ...],
    markdown: bool,
    as_json: bool,
) -> None:
    """Say which theorems apply to the experiment NAME, what they promise, and what was printed.

    NAME is one that maml-ode list shows, or package.module:function of your own.

    The last line names the guarantee that applies. Exit code 0 whatever the verdicts are: a certificate
    that does not hold is an answer.
    """
    if markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other.")
    with usage_errors():
        from maml_ode import theory

        overrides = overrides_of(settings, alpha=alpha, switch_tol=switch_tol)
        problem = load_experiment(name, seed, overrides)
        if problem.query is not None or problem.inner_steps != 1:
            raise ValueError(
                f"the theorems are of one inner step judged by the tasks' own losses, and {name} has other ones; "
                "name a package.module:function whose Experiment has inner_steps=1 and no query=."
            )
        certificates = theory.certify(
            problem.tasks,
            problem.alpha,
            w0=problem.w0,
            switch_tol=problem.switch_tol,
            tol=tol,
        )
    if as_json:
        content = {"certificates": certificates.to_dicts(), "summary": certificates.summary()}
        echo_json({"experiment": problem.constants(), **content})
        return
    from maml_ode.objectives.step_sizes import written

    click.echo(
        f"{problem.title}: alpha = {written(problem.alpha)}, eps0 = {problem.switch_tol:g}\n"
    )
    click.echo(certificates.to_markdown() if markdown else certificates.table())
