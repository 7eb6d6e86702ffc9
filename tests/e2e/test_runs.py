"""Whole runs of both methods from the command line: train, interrupt, resume, use; bit for bit and file by file."""

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from processes import Command, run
from safetensors.torch import load_file

from ganshift.cli import main
from ganshift.training.run_folder import read_log

COMMANDS = {
    "transfer": ["transfer", "--preset", "tiny", "--data", "bundled:digits", "--images", "320"],
    "dual": ["dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--images", "24"],
}
FILES = {
    "transfer": {".lock", "config.json", "critic.safetensors", "log.jsonl", "model.safetensors"},
    "dual": {".lock", "config.json", "log.jsonl", "model.safetensors"},
}
GRIDS = {"transfer": ["samples"], "dual": ["a-b-a", "b-a-b"]}
SAMPLED_AT = {"transfer": (0, 48, 96, 144, 192, 240, 288, 320), "dual": (0, 4, 8, 12, 16, 20, 24)}
CHECKPOINTS = {"transfer": (288, 320), "dual": (20, 24)}


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def straight(request, tmp_path_factory):
    """A run from start to end in one go."""
    out = tmp_path_factory.mktemp(request.param) / "straight"
    run([*COMMANDS[request.param], "--out", str(out)], out.with_name("said"))
    return request.param, out


def wait_for_lines(process, log, count):
    """Until the log has so many lines; the run must still be going on then."""
    while not log.exists() or len(read_log(log)) < count:
        assert process.poll() is None, process.said()
        time.sleep(0.01)


def assert_equal_states(one, other):
    """Nested states are equal to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_states(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal_states(left, right)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def without_times(lines):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def assert_equal_runs(out, expected):
    """States, models, logs and sheets are equal; only times may differ."""
    last = max((expected / "checkpoints").iterdir()).name
    ours, theirs = (torch.load(folder / "checkpoints" / last, weights_only=True) for folder in (out, expected))
    assert_equal_states(ours["state"], theirs["state"])
    for path in expected.glob("*.safetensors"):
        assert_equal_states(load_file(out / path.name), load_file(path))
    assert without_times(read_log(out / "log.jsonl")) == without_times(read_log(expected / "log.jsonl"))
    for path in (expected / "samples").iterdir():
        assert (out / "samples" / path.name).read_bytes() == path.read_bytes()


def test_output_tree(straight):
    method, out = straight
    assert {path.name for path in out.iterdir() if path.is_file()} == FILES[method]
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"checkpoints", "samples", "tensorboard"}
    grids = {f"{name}-{images:012d}.png" for name in GRIDS[method] for images in SAMPLED_AT[method]}
    assert {path.name for path in (out / "samples").iterdir()} == grids
    assert {path.name for path in (out / "checkpoints").iterdir()} == {f"{n:012d}.pt" for n in CHECKPOINTS[method]}
    assert json.loads((out / "config.json").read_text())["method"] == method


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.ring_two),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.ring_two),
        pytest.param(signal.SIGUSR1, 138, marks=pytest.mark.ring_two),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.ring_two),  # test_kills has it in ring one
    ],
)
def test_interrupted_run_equals_straight_run(straight, tmp_path, stop, code):
    method, expected = straight
    out = tmp_path / "resumed"
    process = Command([*COMMANDS[method], "--out", str(out)], tmp_path / "said")
    wait_for_lines(process, out / "log.jsonl", 3)
    process.send_signal(stop)
    ended, messages = process.wait(60), process.said()
    assert ended == code, messages
    if stop != signal.SIGKILL:
        assert f"stopped by {stop.name}" in messages
        assert "The same command goes on from here" in messages
    run([*COMMANDS[method], "--out", str(out)], tmp_path / "said")
    assert_equal_runs(out, expected)


def closed_before(command):
    """As a service may start it: with neither output."""
    return subprocess.run(f"{shlex.join(command)} >&- 2>&-", shell=True, check=False, timeout=120).returncode


def reader_gone(command):
    """Who read standard error has left, as with 2>&1 | head."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(command, stdout=writing, stderr=writing)
    os.close(writing)
    return process.wait(120)


def terminal_gone(command):
    """The terminal that shows a bar is closed, and its hangup is ignored, as nohup has it."""
    ours, theirs = pty.openpty()
    script = f"trap '' HUP; exec {shlex.join(command)}"
    process = subprocess.Popen(["sh", "-c", script], stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.read(ours, 1)
    process.send_signal(signal.SIGHUP)
    os.close(ours)
    return process.wait(120)


@pytest.mark.ring_two
@pytest.mark.parametrize("alone", [closed_before, reader_gone, terminal_gone], ids=lambda alone: alone.__name__)
def test_training_needs_nobody_to_listen(tmp_path, alone):
    command = [sys.executable, "-m", "ganshift", *COMMANDS["transfer"], "--out", str(tmp_path / "run")]
    assert alone(command) == 0
    assert read_log(tmp_path / "run" / "log.jsonl")[-1]["images"] == 320


OTHER_SETTINGS = {
    "classes": ["transfer", "--data", "bundled:digits-5-9", "--images", "192", "--conditioning", "acgan"],
    "classes by norm": [
        *("transfer", "--data", "bundled:digits-5-9", "--images", "192", "--conditioning", "norm"),
        *(
            "--critic-norm",
            "True",
            "--fake-labels",
            "uniform",
            "--as-published",
            "--augment",
            "color,translation,cutout",
        ),
    ],
    "streaming": ["transfer", "--data", "FOLDER", "--images", "192", "--memory-budget", "1e-9", "--workers", "2"],
    "classic": [
        *(
            "dual",
            "--data",
            "bundled:photo-sketch",
            "--images",
            "16",
            "--loss",
            "classic",
            "--critic",
            "patch",
            "--receptive-field",
            "17",
        ),
        *("--dropout", "0.5", "--optimizer", "adam"),
    ],
    "clipped": [
        *("dual", "--data", "bundled:photo-sketch", "--images", "24", "--loss", "wgan", "--critic-steps", "2"),
        *("--batch", "2", "--reconstruction", "l2"),
    ],
    "oblong": [
        "dual",
        "--a",
        "FOLDER",
        "--b",
        "FOLDER",
        "--images",
        "24",
        "--aspect",
        "3:2",
        "--memory-budget",
        "1e-9",
    ],
}


@pytest.mark.ring_two
@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_other_settings_resume_exactly_too(name, tmp_path):
    """Stopped by SIGTERM to the whole group of processes, as a service manager or a job queue does it."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(7):
        Image.effect_noise((40, 36), 40 + 10 * index).save(folder / f"{index}.png")
    command = [str(folder) if word == "FOLDER" else word for word in [*OTHER_SETTINGS[name], "--preset", "tiny"]]
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    run([*command, "--out", str(straight)], tmp_path / "said-straight")
    process = Command([*command, "--out", str(resumed)], tmp_path / "said")
    wait_for_lines(process, resumed / "log.jsonl", 2)
    os.killpg(process.pid, signal.SIGTERM)
    code, messages = process.wait(60), process.said()
    assert code == 143, messages
    assert messages.count("stopping after this iteration") == 1
    run([*command, "--out", str(resumed)], tmp_path / "said")
    assert_equal_runs(resumed, straight)
    if command[0] == "dual":
        assert main(["translate", str(resumed), str(folder / "0.png"), "-o", str(tmp_path / "translated")]) == 0
        with Image.open(tmp_path / "translated" / "0.png") as picture:
            assert picture.size == (40, 36)


def test_finished_run_has_nothing_to_do(straight, capsys):
    method, out = straight
    before = {path: path.stat().st_mtime_ns for path in (out / "checkpoints").iterdir()}
    assert main([*COMMANDS[method], "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "nothing to do" in said
    shown = json.loads((out / "log.jsonl").read_text().splitlines()[-1])["images"]
    assert f"done: {shown:,} images shown, " in said
    assert "of training in all" in said
    assert {path: path.stat().st_mtime_ns for path in (out / "checkpoints").iterdir()} == before


def test_other_settings_are_refused_and_listed(straight, capsys):
    method, out = straight
    rate = "--learning-rate" if method == "dual" else "--critic-learning-rate"
    assert main([*COMMANDS[method], "--out", str(out), "--batch", "3", rate, "0.5"]) == 2
    message = capsys.readouterr().err
    assert "batch was" in message
    assert "is 3" in message
    assert "learning_rate was" in message
    assert "seed" not in message


def test_a_run_from_before_a_setting_existed_goes_on(tmp_path, straight, capsys):
    """What its config.json does not name had its default."""
    method, straight_run = straight
    out = tmp_path / "run"
    shutil.copytree(straight_run, out)
    config = json.loads((out / "config.json").read_text())
    for name in ("fast", "aspect"):
        config["training"].pop(name, None)
    (out / "config.json").write_text(json.dumps(config))
    assert main([*COMMANDS[method], "--out", str(out)]) == 0
    capsys.readouterr()
    (out / "config.json").write_text(json.dumps(config))
    assert main([*COMMANDS[method], "--out", str(out), "--fast"]) == 2
    assert "fast was False, is True" in capsys.readouterr().err


def test_generate(tmp_path, straight):
    method, run = straight
    if method == "dual":
        assert main(["generate", str(run), "-o", str(tmp_path / "x.png")]) == 2
        return
    image_grid, folder = tmp_path / "sheet.png", tmp_path / "many"
    assert main(["generate", str(run), "-n", "9", "-o", str(image_grid)]) == 0
    with Image.open(image_grid) as picture:
        assert picture.size == (3 * 34 + 2, 3 * 34 + 2)
    assert main(["generate", str(run), "-n", "3", "--seed", "5", "-o", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    with Image.open(folder / "00000.png") as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")


def test_translate(tmp_path, straight):
    method, run = straight
    photo = tmp_path / "in" / "photo.jpg"
    photo.parent.mkdir()
    Image.effect_noise((50, 37), 80).convert("RGB").save(photo)
    (photo.parent / "broken.png").write_bytes(b"no picture")
    arguments = ["translate", str(run), str(photo.parent), "--to", "b", "-o", str(tmp_path / "out")]
    if method == "transfer":
        assert main(arguments) == 2
        return
    assert main(arguments) == 1  # one of the two files is left out
    (translated,) = (tmp_path / "out").iterdir()
    assert translated.name == "photo.png"
    with Image.open(translated) as picture:
        assert (picture.size, picture.mode) == ((50, 37), "L")


def test_a_run_is_a_source(tmp_path, straight, capsys):
    method, run = straight
    arguments = ["transfer", "--preset", "tiny", "--data", "bundled:faces", "--out", str(tmp_path / "new")]
    if method == "dual":
        assert main([*arguments, "--source", str(run)]) == 2
        assert "must be a transfer run" in capsys.readouterr().err
        return
    assert main([*arguments, "--source", str(run), "--images", "8"]) == 0
    wider = [*arguments[:-1], str(tmp_path / "wider"), "--source", str(run), "--generator-width", "8"]
    assert main(wider) == 2
    assert "has generator_width 4, but this run (by option or preset) 8" in capsys.readouterr().err


def test_damaged_checkpoint_falls_back(tmp_path, straight):
    method, expected = straight
    out = tmp_path / "run"
    process = Command([*COMMANDS[method], "--out", str(out)], tmp_path / "said")
    wait_for_lines(process, out / "log.jsonl", 7)
    process.kill()
    process.wait(60)
    newest = max((out / "checkpoints").glob("*.pt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 255
    newest.write_bytes(content)
    process = Command([*COMMANDS[method], "--out", str(out)], tmp_path / "said-later")
    assert process.wait() == 0, process.said()
    assert "is damaged" in process.said()
    assert "falling back" in process.said()
    assert_equal_runs(out, expected)
