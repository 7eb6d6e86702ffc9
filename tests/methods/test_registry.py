"""Methods of other packages: a command, help, completion and a page for each, and no harm from a broken one."""

import json
from pathlib import Path
from tempfile import mkdtemp

import pytest
from processes import Command

from ganshift.cli import OVERVIEW
from ganshift.errors import UserError
from ganshift.methods.registry import method_named

THIRD = """
from dataclasses import dataclass, replace

from ganshift.methods.advice import Advice, command_line
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.method import TRANSFER
from ganshift.methods.words import ReportWords


@dataclass(frozen=True, kw_only=True)
class ThirdConfig(TransferConfig):
    \"\"\"Teach a generator in a third way.\"\"\"

    strength: float = 0.5
    \"\"\"How hard to try.\"\"\"


def advise(train, where, out, on_accelerator):
    return Advice(
        config=ThirdConfig(**PRESETS["tiny"], **where, out=out),
        command=command_line({name!r}, "tiny", {{}}, where, out),
        preset="tiny",
        size=(32, 32),
        num_images=len(train[0].pictures),
        why=["It is the third."],
        published=[],
    )


METHOD = replace(
    TRANSFER, name={name!r}, summary="a third way", config=ThirdConfig, words=ReportWords(), advise=advise
)
"""
"""A method as another package may have it."""


def install(folder, content, entry="third = third:METHOD"):
    """Put a package where Python finds it, with an entry point."""
    (folder / "third.py").write_text(content)
    about = folder / "third-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[ganshift.methods]\n{entry}\n")


def ganshift(folder, *arguments):
    """Run a command where the packages of a folder are installed: its exit code, what it printed and said."""
    process = Command(arguments, Path(mkdtemp(dir=folder)) / "said", packages=folder)
    return process.wait(), process.printed(), process.said()


def test_a_method_of_another_package_has_a_command(tmp_path):
    install(tmp_path, THIRD.format(name="third"))
    lines = ganshift(tmp_path, "--help")[1].splitlines()
    assert lines.pop(next(number for number, line in enumerate(lines) if "  dual  " in line) + 1).split() == [
        *("third", "a", "third", "way")
    ]
    assert lines == OVERVIEW.splitlines()
    _, said, _ = ganshift(tmp_path, "third", "--help-all")
    assert "usage: ganshift third" in said
    assert "How hard to try." in said
    assert "--strength" in ganshift(tmp_path, "completion", "bash")[1]
    settings = ("--data", "x", "--preset", "tiny", "--out", tmp_path / "run", "--strength", "2", "--dry-run")
    assert json.loads(ganshift(tmp_path, "third", *settings)[1])["strength"] == 2.0


def test_a_method_without_words_has_a_page(tmp_path):
    install(tmp_path, THIRD.format(name="third"))
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "config.json").write_text('{"method": "third", "data": {"images": 7}, "training": {"data": "x"}}')
    (run / "log.jsonl").write_text('{"images": 8, "terms": {"some/loss": 1.5}}\n')
    source = Path(__file__).parents[1] / "old_runs" / "transfer" / "samples"
    for file in source.glob("*.png"):
        (run / "samples" / file.name.replace("samples", "{a} faces")).write_bytes(file.read_bytes())
    code, _, said = ganshift(tmp_path, "report", run)
    assert code == 0, said
    page = (run / "report.html").read_text(encoding="utf-8")
    for text in ("Third: a third way", "<p>A third way.</p>", "some/loss", "x: 7", "A faces"):
        assert text in page


def test_the_doctor_shows_what_another_package_advises(tmp_path):
    install(tmp_path, THIRD.format(name="third"))
    report = json.loads(ganshift(tmp_path, "doctor", "bundled:digits-5-9", "--seconds", "0", "--json")[1])
    assert report["advice"]["command"].startswith("ganshift transfer --data")
    (other,) = report["other_advice"]
    assert other["command"] == "ganshift third --data bundled:digits-5-9 --preset tiny --out runs/digits-5-9"
    assert other["why"] == ["It is the third."]
    shown = ganshift(tmp_path, "doctor", "bundled:digits-5-9", "--seconds", "0")[1]
    assert shown.index("ganshift transfer") < shown.index("ganshift third")


@pytest.mark.parametrize(
    ("content", "entry", "said"),
    [
        ("import no_such_module", "third = third:METHOD", "method third of third:METHOD cannot be loaded: No module"),
        ("METHOD = 3", "third = third:METHOD", "method third of third:METHOD is left out: it is not a ganshift Method"),
        (THIRD.format(name="transfer"), "transfer = third:METHOD", ""),
        (THIRD.format(name="demo"), "demo = third:METHOD", ""),
    ],
)
def test_no_other_package_breaks_ours(tmp_path, content, entry, said):
    install(tmp_path, content, entry)
    code, printed, warned = ganshift(tmp_path, "--help")
    assert (code, printed) == (0, OVERVIEW)
    assert len(warned.splitlines()) == bool(said)
    assert said in warned
    assert "strength" not in ganshift(tmp_path, "transfer", "--help-all")[1]
    assert "strength" not in ganshift(tmp_path, "demo", "--help")[1]


def test_a_method_that_there_is_not():
    with pytest.raises(
        UserError, match=r"^here is of method 'dul', which ganshift does not have: did you mean dual\?$"
    ):
        method_named("dul", "here")
