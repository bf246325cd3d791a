"""A change of one kernel's source discards the machine code of all."""

import os

from maml_ode.compiled.freshness import FOLDERS, discard_stale_code


def test_a_changed_source_discards_what_was_kept_of_all(tmp_path):
    kept = []
    for k, folder in enumerate(FOLDERS):
        (tmp_path / folder / "__pycache__").mkdir(parents=True)
        (tmp_path / folder / f"source{k}.py").write_text("x = 1\n")
        kept.append(tmp_path / folder / "__pycache__" / f"source{k}.function-1.py311.nbi")
    assert discard_stale_code(tmp_path)  # never looked at before
    for file in kept:
        file.write_bytes(b"machine code")
    assert not discard_stale_code(tmp_path)
    assert all(file.exists() for file in kept)
    source = tmp_path / FOLDERS[1] / "source1.py"
    state = source.stat()
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert discard_stale_code(tmp_path)
    assert not any(file.exists() for file in kept)
    assert not discard_stale_code(tmp_path)
    source.write_text("x = 2  # of another length, at the same time\n")
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert discard_stale_code(tmp_path)


def test_a_folder_that_cannot_be_written_to_is_left_alone(tmp_path):
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "compiled" / "__pycache__").write_text("a file where a folder should be")
    assert not discard_stale_code(tmp_path)
