"""A short run of the fuzzer over seeds of every kind, in the way a long one is run."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import NUM_READERS, read_anything

sys.path.append(str(Path(__file__).parent.parent / "hostile"))
import corpus

RUNS = 500


def seeds(folder):
    """One file for each kind of reader and content."""
    whole = {**corpus.pictures(), "x.zip": corpus.zip_of(("a.png", corpus.pictures()["png-L.png"]))}
    for index, (name, data) in enumerate(whole.items()):
        (folder / name).write_bytes(bytes([2 if name == "x.zip" else index % 2]) + data)
    (folder / "batch").write_bytes(b"\x03" + corpus.batch([1]))
    (folder / "log").write_bytes(b'\x04{"images": 8, "terms": {}}\n')


@settings(max_examples=200, deadline=None)
@given(st.integers(0, NUM_READERS - 1), st.binary(max_size=200))
def test_any_bytes(reader, content):
    read_anything(bytes([reader]) + content)


@pytest.mark.ring_two
@pytest.mark.skipif(sys.platform != "linux", reason="atheris is made for Linux")
def test_a_short_run_of_atheris(tmp_path):
    """It ends with 0: libFuzzer ends with 77 at the first exception that is not for users, and at a wait of 20 s."""
    seeds(tmp_path)
    target = Path(__file__).parent / "readers.py"
    command = [sys.executable, str(target), f"-runs={RUNS}", "-timeout=20", "-seed=1", "-rss_limit_mb=4000"]
    found = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, timeout=95)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "\nDone " in found.stderr
