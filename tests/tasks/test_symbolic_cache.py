"""The files of generated kernels: damaged ones are made again, whatever the damage is."""

import math
import os
import random
import stat
import subprocess
import sys

import pytest

import maml_ode as mo
from maml_ode.tasks.symbolic import load, machine_code

FORMULA = "w**3/3 + exp(-w)"
SCRIPT = f"""
import maml_ode as mo
family = mo.tasks.Symbolic({FORMULA!r}, "w")
print(family.gradients([0.5])[0, 0])
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A directory that holds the machine code of one formula."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MAML_ODE_CACHE_DIR", str(folder))
        patch.delenv("NUMBA_CACHE_DIR", raising=False)
        evaluate()
        yield folder


def evaluate():
    """Evaluate the formula as a new process would."""
    load._loaded.clear()
    family = mo.tasks.Symbolic(FORMULA, "w")
    expected = 0.25 - math.exp(-0.5)
    assert family.gradients([0.5])[0, 0] == pytest.approx(expected, rel=1e-15)
    return family._kernels()


def hits(kernels):
    return sum(sum(kernel.stats.cache_hits.values()) for kernel in vars(kernels).values())


DAMAGE = {
    "empty": lambda content, rng: b"",
    "cut": lambda content, rng: content[: rng.randrange(len(content))],
    "random": lambda content, rng: rng.randbytes(len(content)),
    "one bit": lambda content, rng: flipped(content, rng.randrange(len(content)), rng.randrange(8)),
}


def flipped(content, where, bit):
    return content[:where] + bytes([content[where] ^ (1 << bit)]) + content[where + 1 :]


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        *((kind, suffix) for kind in DAMAGE for suffix in ("nbi", "nbc")),
        ("cut", "json"),
        ("cut", "py"),
    ],
)
def test_damaged_files_are_made_again(cache, kind, suffix):
    rng = random.Random(f"{kind}{suffix}")
    files = sorted(cache.rglob(f"maml_ode_symbolic_*.{suffix}"))
    assert files
    victim = rng.choice(files)
    victim.write_bytes(DAMAGE[kind](victim.read_bytes(), rng))
    evaluate()
    assert hits(evaluate()) == 6  # mended on disk, too
    assert {file.stat().st_mtime for file in cache.glob("*.py")} == {load._TIME}


def test_damage_that_the_seal_does_not_know_of(cache, monkeypatch):
    for file in cache.rglob("*.nbi"):
        file.write_bytes(file.read_bytes()[:50])
    monkeypatch.setattr(load, "is_intact", lambda path: True)
    evaluate()
    monkeypatch.undo()
    assert hits(evaluate()) == 6


def test_files_that_cannot_be_replaced_leave_the_code_in_memory(cache, monkeypatch):
    for file in cache.rglob("*.nbi"):
        file.write_bytes(b"")

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(load, "discard", refuse)
    assert hits(evaluate()) == 0
    monkeypatch.undo()
    evaluate()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_directory_that_cannot_be_written(cache):
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        evaluate()
    finally:
        cache.chmod(stat.S_IRWXU)


def test_processes_that_compile_at_once_agree(tmp_path):
    environment = os.environ | {"MAML_ODE_CACHE_DIR": str(tmp_path / "new"), "NUMBA_CACHE_DIR": ""}
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    together = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)
    ]
    printed = {process.communicate()[0] for process in together}
    assert len(printed) == 1
    assert float(printed.pop()) == pytest.approx(0.25 - math.exp(-0.5), rel=1e-15)
    assert all(process.returncode == 0 for process in together)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(machine_code.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        machine_code.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
