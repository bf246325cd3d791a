"""A saved trajectory comes back as it was; a damaged or foreign file is refused by name, whatever it holds."""

import dataclasses
import io
import json
import os
import resource
import tracemalloc
import zipfile

import numpy as np
import pytest

import maml_ode as mo
from maml_ode._schema import REQUIRED
from maml_ode.counts import KINDS
from maml_ode.energy import EnergyLedger
from maml_ode.trajectory import COLUMNS, HEADER, SERIES, Trajectory

NEEDED = [name for name, column in COLUMNS.items() if column.default is REQUIRED]


def any_trajectory(rng):
    """Return a trajectory whose fields have the right shapes, and whatever values these allow."""
    n, d, n_events = (int(rng.integers(low, high)) for low, high in ((0, 9), (1, 6), (0, 4)))

    def wild(*shape):
        values = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300, size=shape)
        special = rng.choice([np.nan, np.inf, -np.inf, -0.0, 5e-324], size=shape)
        return np.where(rng.random(shape) < 0.3, special, values)

    def counts(depth):
        apart = counts(depth - 1) if depth and rng.random() < 0.5 else None
        return mo.Counts(*rng.integers(0, 2**40, len(KINDS)).tolist(), diagnostics=apart)

    sizes = rng.integers(0, 3, n_events)
    return Trajectory(
        t=np.cumsum(rng.exponential(size=n) + 1e-9),
        y=np.asfortranarray(wild(d, n)) if rng.random() < 0.5 else wild(d, n),
        **{name: wild(n) for name in SERIES},
        phase=rng.integers(0, n_events + 1, n),
        switch_times=wild(int(sizes.sum())),
        switch_states=wild(int(sizes.sum()), d),
        stop=rng.choice(list(mo.StopReason)),
        message="".join(map(chr, rng.integers(1, 0xD7FF, 20))),
        success=bool(rng.random() < 0.5),
        status=int(rng.integers(-1, 2)),
        counts=counts(2),
        nfev=int(rng.integers(0, 99)),
        njev=0,
        nlu=2**70,
        elapsed=float(rng.exponential()),
        method="RK45 ∇",
        flow_name='a "flow"\n',
        final_state=wild(d),
        final_time=float(rng.choice([0.0, 1e-308, np.inf])),
        final_phase=None if rng.random() < 0.3 else n_events,
        energy=None
        if rng.random() < 0.3
        else EnergyLedger(3, float(wild()), float(wild()), None if rng.random() < 0.5 else np.inf),
        step_size=None if rng.random() < 0.5 else 0.1,
        t_events=[wild(int(size)) for size in sizes],
        y_events=[wild(int(size), d) for size in sizes],
    )


def assert_same(one, other):
    for field in dataclasses.fields(Trajectory):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, (np.ndarray, list)):
            for left, right in zip(a, b, strict=True):
                np.testing.assert_array_equal(left, right, strict=True)
        elif isinstance(a, EnergyLedger):
            assert repr(a) == repr(b)  # NaN is not equal to itself
        else:
            assert a == b or field.name == "sol", field.name


def test_what_is_saved_comes_back_field_by_field(tmp_path):
    for seed in range(60):
        run = any_trajectory(np.random.default_rng(seed))
        run.save(tmp_path / "run.npz")
        assert_same(run, Trajectory.load(tmp_path / "run.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_what_shrinks_most_is_not_taken_for_damage(tmp_path):
    run = any_trajectory(np.random.default_rng(0))
    n, d = 200, 20_000
    flat = dict.fromkeys(SERIES, np.zeros(n)) | {"phase": np.zeros(n, dtype=np.int64)}
    still = dataclasses.replace(
        run, **flat, t=np.arange(n) + 0.0, y=np.zeros((d, n)), final_state=np.zeros(d),
        switch_times=np.empty(0), switch_states=np.empty((0, d)), t_events=[], y_events=[],
        final_phase=0,
    )  # fmt: skip
    still.save(tmp_path / "run")
    assert (tmp_path / "run.npz").stat().st_size < 50_000  # of 32 MB
    assert_same(still, Trajectory.load(tmp_path / "run"))


@pytest.mark.parametrize("name", ["run", "run.npz", "run.v2", "a b[bold]", "x" * 251])
def test_load_finds_what_save_wrote(tmp_path, monkeypatch, quadratic, name):
    monkeypatch.chdir(tmp_path)
    run = mo.euler(mo.maml_flow(quadratic, 0.3), np.ones(4), 0.5, max_iter=3)
    run.save(name)
    assert os.listdir() == [name if name.endswith(".npz") else f"{name}.npz"]
    for path in (name, tmp_path / name, name.encode()):
        assert_same(run, Trajectory.load(path))


def test_file_objects_are_written_and_read(tmp_path, quadratic):
    run = mo.euler(mo.maml_flow(quadratic, 0.3), np.ones(4), 0.5, max_iter=3)
    buffer = io.BytesIO()
    run.save(buffer)
    buffer.seek(0)
    assert_same(run, Trajectory.load(buffer))
    with open(tmp_path / "run", "w+b") as stream:
        run.save(stream)
        stream.seek(0)
        assert_same(run, Trajectory.load(stream))
    with open(tmp_path / "text", "w+") as stream:
        with pytest.raises(TypeError, match="for writing bytes"):
            run.save(stream)
        with pytest.raises(TypeError, match="for reading bytes"):
            Trajectory.load(stream)
    with pytest.raises(TypeError, match="a path or a file"):
        Trajectory.load(None)
    with pytest.raises(ValueError, match="what the file object gives is not a saved Trajectory"):
        Trajectory.load(io.BytesIO(b"nothing"))


def test_what_is_missing_or_forbidden_stays_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trajectory.load(tmp_path / "run.npz")
    with pytest.raises(IsADirectoryError):
        Trajectory.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        any_trajectory(np.random.default_rng(0)).save(tmp_path / "no" / "run")


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "run.npz"
    old = any_trajectory(np.random.default_rng(1))
    old.save(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match="too large"):
            any_trajectory(np.random.default_rng(2)).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_same(old, Trajectory.load(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_permissions_and_a_link_its_place(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.npz", tmp_path / "link.npz"
    run = any_trajectory(np.random.default_rng(3))
    run.save(real)
    umask = os.umask(0)
    os.umask(umask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~umask
    real.chmod(0o640)
    link.symlink_to(real)
    any_trajectory(np.random.default_rng(4)).save(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with a switch, as a file's members."""
    tasks = mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 3.0]]], [[3.0, -3.0]])
    run = mo.solve(mo.bimaml_flow(tasks, 0.1, 0.5), [2.0, 1.0], method="DOP853", tol=1e-4)
    path = tmp_path_factory.mktemp("saved") / "run.npz"
    run.save(path)
    with np.load(path) as archive:
        return path.read_bytes(), {name: archive[name] for name in archive.files}


def write(path, members):
    np.savez_compressed(path, **members)


def header(members, **changes):
    plain = json.loads(str(members["header"])) | changes
    plain = {name: value for name, value in plain.items() if value is not KeyError}
    return members | {"header": np.array(json.dumps(plain))}


HEADER_DAMAGE = {
    "text for a flag": {"success": "yes"},
    "another status": {"status": 5},
    "a phase that does not exist": {"final_phase": 99},
    "a negative count": {"nfev": -1},
    "a count with a fraction": {"njev": 0.5},
    "a flag for a count": {"nlu": True},
    "text for a number": {"final_time": "late"},
    "no time": {"final_time": float("nan")},
    "an unknown reason": {"stop": "TIRED"},
    "a list for a reason": {"stop": ["STATIONARY"]},
    "what is no field": {"sol": "evil"},
    "negative gradients": {"counts": dict.fromkeys(KINDS, -1) | {"diagnostics": None}},
    "counts without kinds": {"counts": {"diagnostics": None}},
    "counts of something else": {"counts": dict.fromkeys(KINDS, 1) | {"diagnostics": 3}},
    "an energy that is a number": {"energy": 1.0},
    "an energy of other terms": {"energy": {"rises": 0, "sound": 1.0}},
    "many events": {"n_events": 10**9},
    "negative events": {"n_events": -1},
    "one event less": {"n_events": 0},
    "another format": {"format": "maml_ode trajectory 7"},
    "no message": {"message": KeyError},
    "no events": {"n_events": KeyError},
}


@pytest.mark.parametrize("how", HEADER_DAMAGE)
def test_a_header_that_is_not_ours_is_refused(saved, tmp_path, how):
    path = tmp_path / "run.npz"
    write(path, header(saved[1], **HEADER_DAMAGE[how]))
    with pytest.raises(ValueError, match=r"run\.npz "):
        Trajectory.load(path)


ARRAY_DAMAGE = {
    "t shorter than y": lambda m: {"t": m["t"][:-1]},
    "y transposed": lambda m: {"y": m["y"].T},
    "y of another d": lambda m: {"y": np.vstack([m["y"], m["y"]])},
    "text in t": lambda m: {"t": np.full(m["t"].size, "soon")},
    "complex t": lambda m: {"t": m["t"] + 0j},
    "float32": lambda m: {"y": m["y"].astype(np.float32)},
    "t turned round": lambda m: {"t": m["t"][::-1]},
    "NaN in t": lambda m: {"t": np.where(m["t"] == m["t"][1], np.nan, m["t"])},
    "a time that stands twice": lambda m: {"t": np.maximum(m["t"], m["t"][1])},
    "phases that are floats": lambda m: {"phase": m["phase"].astype(float)},
    "negative phases": lambda m: {"phase": m["phase"] - 1},
    "phases beyond the last": lambda m: {"phase": m["phase"] + 1},
    "switch states as a vector": lambda m: {"switch_states": m["switch_states"][0]},
    "one switch more": lambda m: {"switch_times": np.ones(2)},
    "events of another d": lambda m: {"y_events_0": m["y_events_0"][:, :1]},
    "one more time of an event": lambda m: {"t_events_0": np.ones(2)},
    "an array too many": lambda m: {"t_events_7": np.ones(2)},
    "a header of numbers": lambda m: {"header": np.ones(3)},
    "a header that is a list": lambda m: {"header": np.array("[1, 2]")},
    "a header that is no JSON": lambda m: {"header": np.array("format")},
    "a deep header": lambda m: {"header": np.array("[" * 100_000)},
    "two headers": lambda m: {"header": np.array([str(m["header"])] * 2)},
}


@pytest.mark.parametrize("how", ARRAY_DAMAGE)
def test_arrays_that_contradict_each_other_are_refused(saved, tmp_path, how):
    path = tmp_path / "run.npz"
    write(path, saved[1] | ARRAY_DAMAGE[how](saved[1]))
    with pytest.raises(ValueError, match=r"run\.npz is not a saved Trajectory"):
        Trajectory.load(path)


@pytest.mark.parametrize("name", ["header", *NEEDED, "y_events_0"])
def test_every_part_is_needed(saved, tmp_path, name):
    path = tmp_path / "run.npz"
    write(path, {key: array for key, array in saved[1].items() if key != name})
    if name in ("t_events", "y_events"):
        assert Trajectory.load(path).t_events  # these are written as lists
    else:
        with pytest.raises(ValueError, match=r"run\.npz is not a saved Trajectory"):
            Trajectory.load(path)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def zipped(**contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


FOREIGN = {
    "empty": lambda: b"",
    "text": lambda: b"t, y\n0, 1\n",
    "an array": lambda: npy(np.ones(3)),
    "a pickle": lambda: npy(np.array([{}], dtype=object)),
    "an empty zip": lambda: zipped(),
    "a zip of text": lambda: zipped(header="not an array"),
    "an object as header": lambda: zipped(header=npy(np.array({"format": 1}, dtype=object))),
    "a header of 128 MiB": lambda: zipped(header=npy(np.array("x" * 2**12))[:128] + bytes(2**27)),
    "64 MiB of spaces": lambda: zipped(header=npy(np.array(" " * 2**24))),
}


@pytest.mark.parametrize("how", FOREIGN)
def test_other_files_are_refused_by_name_and_cheaply(tmp_path, how):
    path = tmp_path / "run.npz"
    path.write_bytes(FOREIGN[how]())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"run\.npz is not a saved Trajectory"):
            Trajectory.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_an_array_that_promises_more_than_its_bytes_hold_reserves_nothing(saved, tmp_path):
    path = tmp_path / "run.npz"
    for shape in ("(9999999999,)", "(99999999999999999999,)", "(-4, -3)"):
        members = {name: npy(array) for name, array in saved[1].items()}
        head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
        members["final_state"] = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        members["final_state"] += head.ljust(117).encode() + b"\n" + bytes(16)
        path.write_bytes(zipped(**members))
        with pytest.raises(ValueError, match=r"run\.npz is not a saved Trajectory"):
            Trajectory.load(path)


def load_or_refuse(path):
    """Return whether a file was taken for a trajectory; what is taken can be saved again."""
    try:
        run = Trajectory.load(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
        return False
    run.save(path)
    assert_same(run, Trajectory.load(path))
    return True


def test_random_damage_to_the_bytes_is_refused_or_harmless(saved, tmp_path):
    path, content = tmp_path / "run.npz", saved[0]
    rng = np.random.default_rng(7)
    taken = 0
    for _ in range(400):
        data = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            # Half of the places in the zip's own directory, which is a small part of the file.
            place = int(rng.integers(len(data)) if rng.random() < 0.5 else -rng.integers(1, 900))
            place %= len(data)
            match rng.integers(4):
                case 0:
                    data[place] ^= 1 << int(rng.integers(8))
                case 1:
                    data[place] = int(rng.integers(256))
                case 2:
                    data[place:] = data[place - 50 : place]
                case 3:
                    data[place:place] = rng.bytes(int(rng.integers(1, 20)))
        path.write_bytes(data)
        taken += load_or_refuse(path)
    assert 0 < taken < 200


JUNK = [None, True, -1, 0, 2, 99, 1.5, float("nan"), 10**30, "yes", "", [], {}, [1], {"a": 1}]


def test_random_edits_of_the_header_are_refused_or_make_a_trajectory(saved, tmp_path):
    path = tmp_path / "run.npz"
    rng = np.random.default_rng(8)
    plain = json.loads(str(saved[1]["header"]))
    taken = 0
    for _ in range(300):
        edited = json.loads(json.dumps(plain))
        place = edited
        if rng.random() < 0.4:
            place = edited[str(rng.choice(["counts", "energy"]))]
        name = str(rng.choice(list(place)))
        match rng.integers(3):
            case 0:
                place[name] = JUNK[rng.integers(len(JUNK))]
            case 1:
                del place[name]
            case 2:
                place[f"{name}_"] = place.pop(name)
        write(path, saved[1] | {"header": np.array(json.dumps(edited))})
        taken += load_or_refuse(path)
    assert 0 < taken < 150


def test_an_entry_with_a_default_may_be_missing(saved, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    monkeypatch.setitem(
        HEADER, "flow_name", dataclasses.replace(HEADER["flow_name"], default="unnamed")
    )
    monkeypatch.setitem(
        COLUMNS, "final_state", dataclasses.replace(COLUMNS["final_state"], default=None)
    )
    members = header(saved[1], flow_name=KeyError)
    write(path, {name: array for name, array in members.items() if name != "final_state"})
    run = Trajectory.load(path)
    assert (run.flow_name, run.final_state) == ("unnamed", None)
    run.save(path)
    assert Trajectory.load(path).final_state is None


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    run = any_trajectory(np.random.default_rng(5))
    for changes in (
        {"t": run.t[:-1]},
        {"nfev": -1},
        {"y": run.y.astype(object)},
        {"final_phase": 9},
    ):
        with pytest.raises(ValueError, match="this Trajectory cannot be saved"):
            dataclasses.replace(run, **changes).save(tmp_path / "run")
    assert not list(tmp_path.iterdir())
    dataclasses.replace(run, nfev=np.int64(3)).save(tmp_path / "run")
    assert Trajectory.load(tmp_path / "run").nfev == 3
