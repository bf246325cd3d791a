"""``python -m maml_ode.errata``, the same as ``maml-ode errata``."""

from maml_ode.cli.errata import write_errata

if __name__ == "__main__":
    write_errata(prog_name="python -m maml_ode.errata")
