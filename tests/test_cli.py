"""The command line: help, presets, clear errors, exit codes."""

import json
import os
import pty
import re
import subprocess
import sys
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

import ganshift
from ganshift import Generator
from ganshift.cli import COMMANDS, OVERVIEW, main
from ganshift.cli.training import explanations
from ganshift.methods.dual.config import PRESETS as DUAL_PRESETS
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.registry import methods
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.methods.transfer.config import TransferConfig


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


def misused(capsys, *arguments):
    """What tyro says on standard error of a command line that it cannot parse, in words without frames and breaks."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return " ".join(re.sub("[╭╮╰╯─│]", " ", captured.err).split())


def test_overview_names_every_command(capsys):
    assert main([]) == main(["--help"]) == 0
    assert capsys.readouterr().out == OVERVIEW * 2
    assert [line.split()[0] for line in OVERVIEW.splitlines() if line.startswith("  ") and line[2:10].strip()][
        : len(COMMANDS)
    ] == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_every_command(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: ganshift {command}" in text
    assert "None" not in text
    titles = [line.strip("╭─╮ ") for line in text.splitlines()]
    assert "options" in titles
    assert "\x1b" not in text
    _, examples = text.split("\nexamples\n")
    assert examples.startswith(f"  ganshift {command}")


def options_shown(text):
    return set(re.findall(r"^[│ ] (--[a-z][\w-]*)", text, re.MULTILINE))


@pytest.mark.parametrize("command", ["transfer", "dual"])
def test_help_of_training_has_ten_options_and_says_where_all_are(command, capsys):
    assert main([command, "--help"]) == 0
    short = capsys.readouterr().out
    assert len(options_shown(short)) == 10
    assert f"all options: ganshift {command} --help-all" in short
    assert main([command, "--help-all"]) == main([command, "--preset", "tiny", "--help", "--help-all"]) == 0
    text = capsys.readouterr().out
    settings = {f"--{field.name.replace('_', '-')}" for field in fields(methods()[command].config)}
    assert options_shown(text) >= settings | options_shown(short)
    assert "all options:" not in text


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_imports_no_torch(command):
    code = (
        "import sys, ganshift.cli\n"
        f"ganshift.cli.main([{command!r}, '--help'])\n"
        "assert not {'torch', 'rich.progress', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_presets_are_explained_and_their_defaults_shown(capsys):
    for command, presets in (("transfer", TRANSFER_PRESETS), ("dual", DUAL_PRESETS)):
        assert all(name in methods()[command].help.presets for name in presets)
        for options, shown in ((["--preset", "small"], True), (["--preset", "small", "--epochs", "3"], False)):
            assert main([command, *options, "--help"]) == 0
            budget = f"(default: {presets['small']['images']})"
            assert (budget in capsys.readouterr().out) is shown


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("transfer --dta x --data x --out o", ["Unrecognized options: --dta", "Perhaps you meant: --data PATH"]),
        ("transfer --data x --out o --presett small", ["--presett", "Perhaps you meant: --preset {few-shot,"]),
        ("generate run -o x.png --published_shet", ["Perhaps you meant: --published-sheet"]),
        ("evaluate run --frobnicate", ["Unrecognized options: --frobnicate", "run ganshift evaluate --help"]),
        ("transfer --data x --out o --preset smal", ["invalid choice 'smal' for argument '--preset'", "'small'"]),
        ("dual --out o --loss=wgangp", ["invalid choice 'wgangp' for argument '--loss'", "'wgan-gp'"]),
        (
            "transfer --data x --out o --size 48",
            ["invalid choice '48' for argument '--size'", "('32', '64', '128', 'None')"],
        ),
        ("transfer --data x --out o --critic-norm yes", ["invalid choice 'yes'", "--critic-norm", "'True'", "'False'"]),
        ("completion csh", ["invalid choice 'csh' for argument 'shell'", "'fish'"]),
        ("transfer --data x --out o --seed x", ["Error parsing --seed: 'x' is not a whole number"]),
        (
            "transfer --data x --out o --images 1e5",
            ["Error parsing --images: '1e5' is not a whole number such as 20000"],
        ),
        ("dual --out o --weight-a=ten", ["Error parsing --weight-a: 'ten' is not a number such as 0.5"]),
        ("generate run -n many -o x.png", ["Error parsing -n/--num-images: 'many' is not a whole number"]),
        ("transfer --preset", ["Missing value for argument '--preset'"]),
        ("transfer --preset small --out=o", ["Missing from ganshift transfer: --data PATH Images to learn"]),
        ("transfer", ["Missing from ganshift transfer: --data PATH", "--out PATH"]),
        ("generate", ["Missing from ganshift generate: RUN", "-o PATH, --out PATH"]),
        ("generate -o x.png", ["Missing from ganshift generate: RUN Run folder of ganshift transfer"]),
        ("translate run a.png", ["Missing from ganshift translate: -o PATH, --out PATH Folder for the translations"]),
    ],
)
def test_what_is_misspelt_or_missing_is_told(arguments, messages, capsys):
    said = misused(capsys, *arguments.split())
    assert [message for message in messages if message not in said] == []


@pytest.mark.parametrize(
    "arguments", [("transfer", "--data", "", "--out", "o"), ("doctor", ""), ("report", "a", "-o", "")]
)
def test_an_empty_name_is_not_the_current_folder(arguments, capsys):
    assert "it is empty: give a name, or . for the current folder" in misused(capsys, *arguments)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_the_first_says_what_is_misspelt(rank, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    said = misused(capsys, "transfer", "--data", "x", "--out", "o", "--imags", "5")
    assert ("Perhaps you meant: --images" in said) is (rank == "0")


def test_help_by_name(capsys):
    assert main(["help", "transfer"]) == 0
    assert "usage: ganshift transfer" in capsys.readouterr().out


def completion(shell):
    arguments = [sys.executable, "-m", "ganshift", "completion", shell]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    script = tmp_path_factory.mktemp("completion") / "ganshift.bash"
    script.write_text(completion("bash"))
    return script


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], ["transfer", "translate"]),
        (["dual", "--preset", "s"], ["sketch-photo", "small"]),
        (["transfer", "--generator-norm", "T"], ["True"]),
        (["transfer", "--data", "x", "--warm"], ["--warmup-images"]),
        (["dual", "--no-f"], ["--no-fast", "--no-flip"]),
        (["import", "--keep"], ["--keep-channel-order"]),
        # Names of files, which bash completes where nothing is offered.
        (["generate", "some"], []),
        (["generate", "''"], []),
        (["generate", "run", "-o", "some"], []),
        (["transfer", "--data", "some"], []),
    ],
)
def test_completion_in_bash(words, offered, bash_script, tmp_path):
    """What bash offers for the last of these words."""
    (tmp_path / "some-folder").mkdir()
    line = f"source {bash_script}; COMP_WORDS=(ganshift {' '.join(words)}); COMP_CWORD={len(words)}; _ganshift"
    shell = ["bash", "-c", line + '; printf "%s\\n" "${COMPREPLY[@]}"']
    found = subprocess.run(shell, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split()
    assert sorted(found) == offered


@pytest.mark.parametrize(
    ("shell", "marks"), [("zsh", ("#compdef ganshift\n", "&& _files\n")), ("fish", ("complete ", "--force-files\n"))]
)
def test_completion_in_other_shells(shell, marks):
    script = completion(shell)
    assert all(mark in script for mark in (*marks, *COMMANDS, "--warmup-images", "sketch-photo"))


def on_a_terminal(arguments, **environment):
    """All that a program writes to a terminal, and its exit code."""
    parent, child = pty.openpty()
    more = {"TERM": "xterm-256color", "COLUMNS": "100"} | environment
    process = subprocess.Popen(arguments, stdin=child, stdout=child, stderr=child, env=os.environ | more)
    os.close(child)
    text = b""
    try:
        while part := os.read(parent, 65536):
            text += part
    except OSError:  # Linux: the program has closed its end
        pass
    os.close(parent)
    return text.decode(), process.wait()


PROGRESS = """
import time
from ganshift.training import log
log.PLAIN_SECONDS = 0
with log.ProgressLine("opening", 4) as line:
    for done in range(1, 5):
        time.sleep(0.02)
        line.update(done, f"note {done}")
log.say("wrote [1] thing")
"""


def test_a_terminal_gets_a_bar_and_colours_unless_it_wants_none():
    program = [sys.executable, "-c", PROGRESS]
    coloured, _ = on_a_terminal(program)
    assert "4/4" in coloured
    assert "\x1b[38;5;" in coloured
    plain, _ = on_a_terminal(program, NO_COLOR="1")
    assert "4/4" in plain
    assert "\x1b[38;5;" not in plain
    for environment, expected in (({}, True), ({"NO_COLOR": "1"}, False)):
        text, code = on_a_terminal([sys.executable, "-m", "ganshift", "compare", "--help"], **environment)
        assert ("\x1b[" in text) is expected
        assert code == 0


def test_a_pipe_gets_plain_lines_with_the_time_left():
    result = subprocess.run([sys.executable, "-c", PROGRESS], capture_output=True, text=True, check=True)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("opening 1/4 images, ")
    assert " left  note 1" in lines[0]
    assert lines[-1] == "wrote [1] thing"
    assert "\x1b" not in result.stderr


def test_quiet_says_warnings_and_errors_only(capsys, tmp_path, photos):
    run = tmp_path / "out"
    arguments = ["transfer", "--preset", "tiny", "--data", str(photos), "--out", str(run), "--images", "8", "--quiet"]
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    assert main([*arguments[:-4], str(tmp_path / "other"), *arguments[-3:]]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert main(["--quiet", "generate", str(run), "-n", "2", "-o", str(tmp_path / "two")]) == 0
    assert capsys.readouterr().err == ""
    assert "there is no run folder" in refused(capsys, "generate", tmp_path / "none", "-o", "x.png", "--quiet")
    assert main(["generate", str(run), "-n", "2", "-o", str(tmp_path / "two")]) == 0
    assert f"Next: ganshift evaluate {run}" in capsys.readouterr().err


def test_who_reads_may_stop_reading():
    arguments = [sys.executable, "-m", "ganshift", "--help"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


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


def test_unknown_command(capsys):
    assert "did you mean transfer?" in refused(capsys, "trasnfer")
    assert "commands are demo, doctor, transfer, dual" in refused(capsys, "xyz")


@pytest.mark.parametrize("command", ["transfer", "dual", "generate", "translate"])
def test_nothing_given(command, capsys):
    assert "--out" in misused(capsys, command)


def test_bad_places(capsys, tmp_path, photos):
    tiny = ("transfer", "--preset", "tiny", "--out", tmp_path / "out")
    assert "none/here" in refused(capsys, *tiny, "--data", "none/here")
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refused(capsys, *tiny, "--data", tmp_path / "empty")
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    assert "no.zip" in refused(capsys, *tiny, "--data", tmp_path / "no.zip")
    assert "there is no bundled set of images 'dogs'; " in refused(capsys, *tiny, "--data", "bundled:dogs")
    assert "there is no run folder 'here'" in refused(capsys, *tiny, "--data", photos, "--source", "here")
    assert "no run" in refused(capsys, *tiny[:3], "--data", photos, "--out", photos)
    assert "is not a page" in refused(capsys, "report", tmp_path, "-o", photos)
    assert not (tmp_path / "out").exists()


def test_bad_settings(capsys, tmp_path, photos):
    tiny = ("transfer", "--preset", "tiny", "--data", photos, "--out", tmp_path / "out")
    assert "batch must be at least 1, got 0" in refused(capsys, *tiny, "--batch", "0")
    assert "images must be more than 0, got -4" in refused(capsys, *tiny, "--images", "-4")
    assert "'gpu9' is not here; available: auto, cpu" in refused(capsys, *tiny, "--device", "gpu9")
    assert "needs classes" in refused(capsys, *tiny, "--conditioning", "acgan")
    assert "epochs must be finite, got inf" in refused(capsys, *tiny, "--epochs", "inf")
    assert "seed must be at most 9,223,372,036,854,775,807" in refused(capsys, *tiny, "--seed", str(10**30))
    assert "critic_learning_rate must be finite" in refused(capsys, *tiny, "--critic-learning-rate", "inf")
    wider = refused(capsys, *tiny, "--source", "digits32", "--critic-width", "4")
    assert "source digits32 has critic_width 32, but this run (by option or preset) 4" in wider
    both = ("translate", "photo-sketch", "--to", "both", "-o", tmp_path / "out")
    assert "got a.jpg: of pictures say which domain, --to photo or sketch" in refused(capsys, *both, "a.jpg")
    assert "got 2 names: of pictures say" in refused(capsys, *both, "a", "b")
    dual = ("dual", "--preset", "tiny", "--out", tmp_path / "out")
    assert "give --data, or both --a and --b" in refused(capsys, *dual)
    assert "--data" in refused(capsys, *dual, "--a", photos)
    assert str(photos) in refused(capsys, *dual, "--data", photos)
    assert "got 16" in refused(capsys, *dual, "--a", photos, "--b", photos, "--size", "16")
    assert not (tmp_path / "out").exists()


def test_bad_runs(capsys, tmp_path, photos):
    assert "there is no run folder" in refused(capsys, "generate", tmp_path / "none", "-o", tmp_path / "x.png")
    assert "is not a run folder" in refused(capsys, "translate", photos, photos, "-o", tmp_path / "x")


def test_tables_pass_any_encoding(tmp_path):
    """The plus-minus sign of a score is none of ASCII's."""
    card = {"metric": "FID", "protocol": "p", "value": 1.0, "spread": 0.5, "num_generated": 9, "num_reference": 9}
    card |= {"reference_split": "all", "reference_hash": "0" * 64, "extractor": "cifar", "extractor_hash": "0" * 64}
    card |= {"resize_rule": "none", "quantisation": "uint8", "seed": 0, "model_hash": "0" * 64, "versions": {}}
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "fid.json").write_text(json.dumps(card))
    done = subprocess.run(
        [sys.executable, "-m", "ganshift", "compare", str(tmp_path), str(tmp_path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"+0 \\xb1 0.71" in done.stdout


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("digits32", "generate {} -o x.png"),
        ("photo-sketch", "translate {} photos -o x"),
        ("photo-sketch", "evaluate {} --reference photos"),
        ("photo-sketch", "export {}"),
        ("photo-sketch", "serve {} --port 0"),
    ],
)
def test_dot_slash_names_the_folder_and_not_the_bundled_model(name, rest, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert f"{name} is not a run folder" in refused(capsys, *rest.format(f"./{name}").split())


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


def test_more_images_than_memory_holds_are_refused(tmp_path, capsys):
    too_many = refused(capsys, "generate", "digits32", "-n", 10**15, "-o", tmp_path / "sheet.png")
    assert "out of memory" in too_many
    assert "fewer or smaller images need less" in too_many


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
    image_grid = tmp_path / "sheet.png"
    assert main(["generate", str(conditional_run), "-o", str(image_grid), *options.split()]) == 0
    assert f"wrote {image_grid}" in capsys.readouterr().err
    with Image.open(image_grid) as picture:
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
        ("--published-sheet -n 10 --label cat", "takes only --seed: leave out --num-images and --label"),
        ("--published-sheet --truncation 2", "leave out --truncation"),
        ("--truncation 0", "truncation must be more than 0 standard deviations, got 0.0"),
        ("--interpolate 1", "its two ends among them, must be at least 2, got 1"),
        ("--interpolate 4 -n 0", "the number of strips must be at least 1, got 0"),
        ("--class-grid -n 0", "at least 1, got 0"),
        ("-n 0", "the number of images must be at least 1, got 0"),
        ("--interpolate 4 --label bird", "there is no class 'bird'"),
    ],
)
def test_what_cannot_be_drawn(options, message, conditional_run, tmp_path, capsys):
    assert message in refused(capsys, "generate", conditional_run, "-o", tmp_path / "x.png", *options.split())
    assert not (tmp_path / "x.png").exists()


def test_scores_as_json(conditional_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = tmp_path / "real"
    real.mkdir()
    for index in range(20):
        Image.effect_noise((32, 32), 20 + index).convert("RGB").save(real / f"{index}.png")
    arguments = ["evaluate", str(conditional_run), "--reference", str(real), "-n", "20", "--metrics", "kid"]
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert [(record["metric"], record["num_generated"]) for record in found["cards"]] == [("KID", 20)]
    assert found["copying"] is None
    assert captured.err.splitlines()[-1].startswith("Next: ganshift compare")


def test_class_grid_without_classes(tmp_path, capsys):
    digits32 = Path(ganshift.__file__).parent / "sources" / "digits32"
    line = refused(capsys, "generate", digits32, "--class-grid", "-o", tmp_path / "x.png")
    assert "needs a generator with classes" in line
    assert "leave out --class-grid" in line


@pytest.mark.parametrize("config", [TransferConfig, DualConfig])
def test_every_setting_is_explained(config):
    """The string below a field is its help; inherited fields have theirs in the base class."""
    assert {field.name for field in fields(config)} == set(explanations(config))


@pytest.mark.parametrize(
    ("given", "set_to"),
    [
        ({}, "100000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
    ],
)
def test_how_threads_wait_is_set_by_the_command_line_alone(given, set_to):
    program = "import os, ganshift; {} print(os.environ.get('GOMP_SPINCOUNT'))"
    ours = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    for run, expected in (
        ("from ganshift.cli import main;", given.get("GOMP_SPINCOUNT", "None")),
        ("from ganshift.cli import main; main(['--version']);", set_to),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format(run)], capture_output=True, text=True, check=True, env=ours | given
        )
        assert done.stdout.split()[-1] == expected
