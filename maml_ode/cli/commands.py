"""The ``maml-ode`` command with its subcommands, imported one by one when they are called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

import maml_ode
from maml_ode._validation import unknown_name

__all__ = ["main"]

# Name -> module, function, one-line help. The modules are imported when the command is called, so that
# --help is instant.
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "list": ("maml_ode.cli.listing", "list_experiments", "List the paper's experiments."),
    "solve": ("maml_ode.cli.solving", "solve_experiment", "Run an experiment's flow or algorithm."),
    "certify": ("maml_ode.cli.certifying", "certify_experiment", "Say which theorems apply."),
    "compare": ("maml_ode.cli.comparing", "compare_methods", "Say what accuracy costs, by method."),
    "sweep": ("maml_ode.cli.sweeping", "sweep_function", "Call a function on a grid, and keep it."),
    "errata": ("maml_ode.cli.errata", "write_errata", "Show where the paper is wrong."),
    "reproduce": ("maml_ode.cli.reproducing", "reproduce_paper", "Regenerate the paper's figures."),
}


class Commands(click.Group):
    """A group that imports a subcommand when it is called and suggests a name that is nearly right."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand."""
        if cmd_name not in COMMANDS:
            raise click.UsageError(unknown_name("command", cmd_name, COMMANDS), ctx)
        module, function, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(maml_ode.__version__, prog_name="maml-ode")
def main() -> None:
    """Gradient-based meta-learning as an initial value problem.

    Exit codes: 0 done, 2 usage, 3 a run that did not reach what was asked for, 130 interrupted.
    """
