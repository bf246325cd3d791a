"""Made-up artefacts, for tests of what makes the real ones."""

import sys
from types import ModuleType

from matplotlib.figure import Figure

import maml_ode.reproduce as package
from maml_ode.reproduce import Artefact, Table
from maml_ode.runs.executor import Task

__all__ = ["Workshop"]


class Workshop:
    """Two artefacts, the second of which needs the first; what they do is counted and can fail."""

    def __init__(self):
        self.calls, self.pieces = [], []
        self.fail_in = None
        self.slope = 2.0
        self.seconds = 0.25

    @classmethod
    def opened(cls, monkeypatch):
        """Return a workshop whose artefacts, "one" and "two", stand in place of the real ones."""
        shop = cls()
        names = {"one": (), "two": ("one",)}
        for name, requires in names.items():
            module = ModuleType(f"made_up_{name}")
            module.ARTEFACT = shop.artefact(name, requires)
            monkeypatch.setitem(sys.modules, module.__name__, module)
        artefacts = {name: f"made_up_{name}" for name in names}
        monkeypatch.setattr(package, "ARTEFACTS", artefacts)
        monkeypatch.setattr("maml_ode.reproduce.pipeline.ARTEFACTS", artefacts)
        return shop

    def artefact(self, name, requires=()):
        def step(what):
            self.calls.append(f"{what} {name}")
            if self.fail_in == f"{what} {name}":
                raise KeyboardInterrupt

        def piece(number):
            self.pieces.append(f"{name} {number}")
            if number == 0:
                step("compute")
            if self.fail_in == f"piece {number} of {name}":
                raise KeyboardInterrupt
            return 0.1 * number

        def pieces(settings):
            return [Task(piece, (k,), f"piece {k}") for k in range(settings.seeds)]

        def combine(settings, x, inputs):
            y = [self.slope * value + settings.seed for value in x]
            if requires:
                y = inputs[requires[0]][f"{requires[0]}_line"]["y"] ** 2
            clock = Table(f"{name}_clock", {"seconds": [0.5, self.seconds]}, timing=True)
            return {f"{name}_line": Table(f"{name}_line", {"x": x, "y": y}), clock.name: clock}

        def draw(tables, settings):
            step("draw")
            figure = Figure(figsize=(2, 2))
            axis = figure.subplots()
            axis.plot(tables[f"{name}_line"]["x"], tables[f"{name}_line"]["y"])
            seconds = tables[f"{name}_clock"]["seconds"].sum()
            axis.set_title(f"{settings.seeds} points in {seconds} s")
            return {name: figure}

        return Artefact(
            name=name,
            title=f"The artefact {name}",
            caption="A line.",
            pieces=pieces,
            combine=combine,
            alone=not requires,
            draw=draw,
            constants=lambda settings: {} if requires else {"slope": self.slope},
            requires=requires,
            texts=lambda tables, settings: {f"{name}.md": "# A line\n"},
            key_numbers=lambda tables: {
                "last": " ".join(f"{y:.3f}" for y in tables[f"{name}_line"]["y"][-1:])
            },
        )
