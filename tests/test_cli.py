"""The command line: help, presets, clear errors, exit codes."""

import ast
import inspect
import json
import subprocess
import sys
import zipfile
from abc import ABC
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from ganshift.cli import COMMANDS, OVERVIEW, main
from ganshift.dual.config import PRESETS as DUAL_PRESETS
from ganshift.dual.config import DualConfig
from ganshift.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.transfer.config import TransferConfig


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        Image.effect_noise((40, 40), 50 + index).convert("RGB").save(folder / f"{index}.png")
    return folder


def refused(capsys, *arguments):
    """The one line on standard error of a command that exits with 2."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_overview_names_every_command(capsys):
    assert main([]) == main(["--help"]) == 0
    assert capsys.readouterr().out == OVERVIEW * 2
    assert [line.split()[0] for line in OVERVIEW.splitlines() if line.startswith("  ") and line[2:10].strip()][
        : len(COMMANDS)
    ] == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: ganshift {command}" in text
    assert "(default: " in text


def test_module_and_script_answer():
    script = str(Path(sys.executable).with_name("ganshift"))
    for arguments in ([sys.executable, "-m", "ganshift"], [script]):
        result = subprocess.run([*arguments, "--version"], capture_output=True, text=True, check=True)
        assert result.stdout.startswith("ganshift 0.")


@pytest.mark.parametrize(
    ("command", "preset", "rest"),
    [("transfer", name, ["--data", "x"]) for name in TRANSFER_PRESETS]
    + [("dual", name, ["--a", "x", "--b", "y"]) for name in DUAL_PRESETS],
)
def test_presets_by_dry_run(command, preset, rest, capsys):
    """Every preset resolves, and a budget on the command line takes the place of its own."""
    overrides = {"transfer": TRANSFER_PRESETS, "dual": DUAL_PRESETS}[command][preset]
    arguments = [command, "--preset", preset, *rest, "--out", "o", "--dry-run"]
    assert main(arguments) == 0
    resolved = json.loads(capsys.readouterr().out)
    assert {name: resolved[name] for name in overrides} == overrides
    assert main([*arguments, f"--preset={preset}", "--epochs=2", "--seed", "9"]) == 0
    resolved = json.loads(capsys.readouterr().out)
    assert (resolved["images"], resolved["iterations"], resolved["epochs"], resolved["seed"]) == (None, None, 2, 9)


def test_two_budgets_are_refused(capsys):
    line = refused(capsys, "transfer", "--data", "x", "--out", "o", "--images", "5", "--epochs", "2")
    assert "one budget" in line


def test_unknown_command_and_option(capsys):
    assert "did you mean transfer?" in refused(capsys, "trasnfer")
    assert "commands are demo, transfer, dual" in refused(capsys, "xyz")
    with pytest.raises(SystemExit) as stop:
        main(["transfer", "--data", "x", "--out", "y", "--pressset", "tiny"])
    assert stop.value.code == 2
    assert "--preset" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["transfer", "dual", "generate", "translate"])
def test_nothing_given(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command])
    assert stop.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_bad_places(capsys, tmp_path, photos):
    tiny = ("transfer", "--preset", "tiny", "--out", tmp_path / "out")
    assert "none/here" in refused(capsys, *tiny, "--data", "none/here")
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refused(capsys, *tiny, "--data", tmp_path / "empty")
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    assert "no.zip" in refused(capsys, *tiny, "--data", tmp_path / "no.zip")
    assert "bundled are bundled:digits" in refused(capsys, *tiny, "--data", "bundled:dogs")
    assert "there is no source 'here'" in refused(capsys, *tiny, "--data", photos, "--source", "here")
    assert "no run" in refused(capsys, *tiny[:3], "--data", photos, "--out", photos)
    assert not (tmp_path / "out").exists()


def test_bad_settings(capsys, tmp_path, photos):
    tiny = ("transfer", "--preset", "tiny", "--data", photos, "--out", tmp_path / "out")
    assert "32, 64, 128" in refused(capsys, *tiny, "--size", "48")
    assert "batch must be at least 1, got 0" in refused(capsys, *tiny, "--batch", "0")
    assert "images must be more than 0, got -4" in refused(capsys, *tiny, "--images", "-4")
    assert "'gpu9' is not here; available: auto, cpu" in refused(capsys, *tiny, "--device", "gpu9")
    assert "needs classes" in refused(capsys, *tiny, "--conditioning", "acgan")
    assert "epochs must be finite, got inf" in refused(capsys, *tiny, "--epochs", "inf")
    assert "seed must be from 0 to 2^63 - 1" in refused(capsys, *tiny, "--seed", str(10**30))
    assert "critic_learning_rate must be finite" in refused(capsys, *tiny, "--critic-learning-rate", "inf")
    wider = refused(capsys, *tiny, "--source", "digits32")
    assert "source digits32 has generator_width 32, but this run (by option or preset) 4" in wider
    dual = ("dual", "--preset", "tiny", "--out", tmp_path / "out")
    assert "--data" in refused(capsys, *dual)
    assert "--data" in refused(capsys, *dual, "--a", photos)
    assert str(photos) in refused(capsys, *dual, "--data", photos)
    assert "got 16" in refused(capsys, *dual, "--a", photos, "--b", photos, "--size", "16")
    assert not (tmp_path / "out").exists()


def test_bad_runs(capsys, tmp_path, photos):
    assert "there is no run folder" in refused(capsys, "generate", tmp_path / "none", "-o", tmp_path / "x.png")
    assert "is not a run folder" in refused(capsys, "translate", photos, photos, "-o", tmp_path / "x")


def test_training_goes_on_without_broken_files(capsys, tmp_path, photos):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (photos / "empty.png").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.iterdir():
            archive.write(path, f"top/{path.name}")
    for number, data in enumerate((photos, tmp_path / "photos.zip")):
        out = tmp_path / f"out{number}"
        assert main(["transfer", "--preset", "tiny", "--data", str(data), "--out", str(out), "--images", "8"]) == 0
        warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
        assert len(warnings) == 1
        assert "broken.jpg" in warnings[0]
        assert "empty.png" in warnings[0]
        assert json.loads((out / "config.json").read_text())["data"]["images"] == 3


def test_conditional_run_generates_by_class_name(tmp_path, photos, capsys):
    for name in ("cat", "rose"):
        (photos / name).mkdir()
        (photos / f"{len(name) - 3}.png").rename(photos / name / "1.png")
    (photos / "2.png").rename(photos / "rose" / "2.png")
    run = tmp_path / "run"
    arguments = ["transfer", "--preset", "tiny", "--data", str(photos), "--out", str(run), "--images", "8"]
    assert main([*arguments, "--conditioning", "acgan"]) == 0
    assert main(["generate", str(run), "--label", "rose", "-n", "2", "-o", str(tmp_path / "roses")]) == 0
    assert len(list((tmp_path / "roses").iterdir())) == 2
    (photos / "rose").rename(photos / "tulip")
    capsys.readouterr()
    other = (*arguments[:-4], "--conditioning", "acgan", "--source", run, "--out", tmp_path / "other")
    assert "classes cat, rose, this run (conditioning=acgan) the classes cat, tulip" in refused(capsys, *other)
    assert "cat, rose" in refused(capsys, "generate", run, "--label", "dog", "-o", tmp_path / "x.png")


@pytest.mark.parametrize("config", [TransferConfig, DualConfig])
def test_every_setting_is_explained(config):
    """The string below a field is its help; inherited fields have theirs in the base class."""
    explained = set()
    for base in config.__mro__[:-1]:
        tree = ast.parse(Path(inspect.getsourcefile(base)).read_text(encoding="utf-8")) if base is not ABC else None
        body = [node.body for node in tree.body if getattr(node, "name", "") == base.__name__] if tree else []
        for field, text in pairwise(body[0] if body else []):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                explained.add(field.target.id)
    assert {field.name for field in fields(config)} == explained
