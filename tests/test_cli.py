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
from safetensors.torch import save_file

import ganshift
from ganshift import Generator
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
    assert "commands are demo, doctor, transfer, dual" in refused(capsys, "xyz")
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
    assert "there is no run folder 'here'" in refused(capsys, *tiny, "--data", photos, "--source", "here")
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
    other = [*arguments[:-4], "--source", str(run), "--out", str(tmp_path / "other"), "--images", "8"]
    assert main(other) == 0
    assert "mapped by name for 1 of 2 classes, the mean for the other 1" in capsys.readouterr().err
    assert "cat, rose" in refused(capsys, "generate", run, "--label", "dog", "-o", tmp_path / "x.png")


@pytest.fixture
def conditional_run(tmp_path):
    """A run folder of an untrained generator of 32 pixels with three classes."""
    run = tmp_path / "run"
    run.mkdir()
    network = {"size": 32, "width": 4, "channels": 3, "num_classes": 3, "norm": True}
    classes = ["cat", "dog", "rose"]
    config = {"method": "transfer", "generator": network, "classes": classes}
    (run / "config.json").write_text(json.dumps(config))
    save_file(Generator(network, classes).state_dict(), run / "model.safetensors")
    return run


@pytest.mark.parametrize(
    ("options", "columns", "rows"),
    [
        ("", 8, 8),
        ("-n 5", 3, 2),
        ("-n 5 --truncation 1.5 --label dog", 3, 2),
        ("--interpolate 5", 5, 8),
        ("--interpolate 3 -n 2 --label rose --truncation 1", 3, 2),
        ("--class-grid", 8, 3),
        ("--class-grid -n 4 --truncation 0.5 --batch-statistics", 4, 3),
        ("--published-sheet --seed 2", 10, 10),
    ],
)
def test_sheets(options, columns, rows, conditional_run, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["generate", str(conditional_run), "-o", str(sheet), *options.split()]) == 0
    assert f"wrote {sheet}" in capsys.readouterr().err
    with Image.open(sheet) as picture:
        assert picture.size == (columns * 34 + 2, rows * 34 + 2)


@pytest.mark.parametrize(
    ("options", "number", "size"),
    [
        ("-n 5 --truncation 1.5", 5, (32, 32)),
        ("--interpolate 5 -n 3", 3, (5 * 34 + 2, 36)),
        ("--class-grid -n 2", 6, (32, 32)),
        ("--published-sheet", 100, (32, 32)),
    ],
)
def test_folders_of_pictures_and_strips(options, number, size, conditional_run, tmp_path):
    folder = tmp_path / "many"
    assert main(["generate", str(conditional_run), "-o", str(folder), *options.split()]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [f"{index:05d}.png" for index in range(number)]
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert picture.size == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--class-grid --interpolate 4", "--interpolate and --class-grid are different sheets: choose one"),
        ("--published-sheet --interpolate 4", "--interpolate and --published-sheet are different sheets"),
        ("--class-grid --label cat", "--class-grid draws every class: leave out --label"),
        ("--published-sheet -n 10 --label cat", "fixed but for --seed: leave out --num-images and --label"),
        ("--published-sheet --truncation 2", "leave out --truncation"),
        ("--truncation 0", "truncation must be more than 0 standard deviations, got 0.0"),
        ("--interpolate 1", "at least 2 steps, its two ends; got 1"),
        ("--interpolate 4 -n 0", "the number of strips must be at least 1, got 0"),
        ("--class-grid -n 0", "at least 1, got 0"),
        ("-n 0", "the number of images must be at least 1, got 0"),
        ("--interpolate 4 --label bird", "there is no class 'bird'"),
    ],
)
def test_what_cannot_be_drawn(options, message, conditional_run, tmp_path, capsys):
    assert message in refused(capsys, "generate", conditional_run, "-o", tmp_path / "x.png", *options.split())
    assert not (tmp_path / "x.png").exists()


def test_class_grid_without_classes(tmp_path, capsys):
    digits32 = Path(ganshift.__file__).parent / "sources" / "digits32"
    line = refused(capsys, "generate", digits32, "--class-grid", "-o", tmp_path / "x.png")
    assert "needs a generator with classes" in line
    assert "leave out --class-grid" in line


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
