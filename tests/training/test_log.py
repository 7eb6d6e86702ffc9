"""log.jsonl and TensorBoard events, and what they must not cost."""

import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganshift.training.log import ProgressLine, RunLog, duration
from ganshift.training.run_folder import read_log


def scalars(out, name):
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def write(out, resumed_at, *lines):
    log = RunLog(out, resumed_at)
    for images, value in lines:
        log.write(images, {"loss": value})
    log.close()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "less than a second"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3600.0, "1 h 0 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("done", "after", "said"),
    [
        (10, 5.0, "train 10/80 images, 2/s, 35 s left  loss 0.5"),
        (2, 5.0, "train 2/80 images, 2.5 s each, 3 min 15 s left  loss 0.5"),
        (0, 5.0, "train 0/80 images  loss 0.5"),
    ],
)
def test_plain_progress_says_how_fast_and_how_long(done, after, said, monkeypatch, capsys):
    clock = iter([0.0, after])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = ProgressLine("train", 80)
    progress._last_line = -1e9  # long ago
    progress.update(done, "loss 0.5")
    monkeypatch.undo()
    assert capsys.readouterr().err == said + "\n"


def test_lines_and_events(tmp_path):
    write(tmp_path, 0, (8, 0.5), (16, 0.25))
    assert read_log(tmp_path / "log.jsonl") == [
        {"images": 8, "terms": {"loss": 0.5}},
        {"images": 16, "terms": {"loss": 0.25}},
    ]
    assert scalars(tmp_path, "loss") == [(8, 0.5), (16, 0.25)]


def test_what_a_resumed_run_repeats_is_there_once(tmp_path):
    write(tmp_path, 0, (8, 1.0), (16, 2.0), (24, 3.0))
    write(tmp_path, 8, (16, 4.0))
    assert scalars(tmp_path, "loss") == [(8, 1.0), (16, 4.0)]
    write(tmp_path, 0, (8, 5.0))  # killed before its first checkpoint
    assert scalars(tmp_path, "loss") == [(8, 5.0)]
    assert [line["terms"]["loss"] for line in read_log(tmp_path / "log.jsonl")] == [5.0]


def test_events_do_not_import_tensorflow(tmp_path):
    """Where it is installed, its import takes longer than a small run."""
    code = (
        "import sys; from pathlib import Path; from ganshift.training.log import RunLog\n"
        f"RunLog(Path({str(tmp_path)!r}), 0).close(); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
