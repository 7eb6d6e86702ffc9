"""Whole reports: findings, advice, JSON, exit codes, and what the terminal shows."""

import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, scene, write
from PIL import Image
from rich.console import Console

from ganshift.cli import main
from ganshift.methods.transfer.advice import CLASS_CURVE, CURVE
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.tools.doctor import advise, examine
from ganshift.tools.doctor.findings import WORDS, DataFinding
from ganshift.tools.doctor.parts import find_parts
from ganshift.tools.doctor.scan import scan
from ganshift.tools.doctor.screen import show

BROKEN = b"no picture"


def many(prefix, count, size=(64, 64), start=0, mode="RGB"):
    return {f"{prefix}{i:03d}.png": encoded(scene(start + i, size).convert(mode)) for i in range(count)}


def found(folder, *more):
    """Findings by code, without training."""
    return {finding.code: finding for finding in examine(folder, *more, seconds=0).findings}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Where runs/ is empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_repeats_and_leaks(tmp_path):
    picture = scene(500, (80, 80))
    files = (
        many("train/x/", 4) | many("train/y/", 4, start=10) | many("val/x/", 2, start=20) | many("val/y/", 2, start=30)
    )
    files |= {
        "train/x/copy.png": files["train/x/000.png"],
        "train/y/wrong.png": files["train/x/001.png"],
        "train/x/large.png": encoded(picture),
        "val/x/small.jpg": encoded(picture.resize((72, 72)), "JPEG"),
    }
    findings = found(write(tmp_path / "d", files))
    assert findings["duplicates"].what == "2 exact copies of other files, in 2 groups"
    assert findings["duplicates"].examples[0] == "train: x/000.png = train: x/copy.png"
    assert findings["near_duplicates"].examples == ["train: x/large.png = val: x/small.jpg"]
    assert findings["leak"].what == "1 picture of val also in train, exactly or nearly"
    assert findings["two_classes"].examples == ["train: x/001.png = train: y/wrong.png"]


def test_a_clean_set_has_no_repeats(tmp_path):
    report = examine(write(tmp_path / "d", many("train/", 120) | many("val/", 60, start=200)), seconds=0)
    assert [finding.code for finding in report.findings] == ["prefer_kid"]
    assert report.exit_code == 0


def test_class_imbalance(tmp_path):
    findings = found(write(tmp_path / "d", many("rare/", 2) | many("common/", 7, start=50)))
    assert findings["class_imbalance"].what == "train: class common has 7 images, rare has 2"
    assert "class_imbalance" not in found(write(tmp_path / "e", many("rare/", 2) | many("common/", 6, start=50)))


def test_gray_a_and_colour_b(tmp_path):
    files = many("A/", 3, mode="L") | many("B/", 10, start=50)
    findings = found(write(tmp_path / "d.zip", files))
    assert findings["domain_modes"].what == "train A is gray, train B is colour"
    assert findings["domain_imbalance"].what == "train B has 10 images, train A has 3"
    assert "domain_chroma" not in findings


def test_texture_of_domains(tmp_path):
    rough = {f"B/{i}.png": encoded(scene(i, (6, 6)).resize((64, 64), 0)) for i in range(3)}
    findings = found(write(tmp_path / "d", many("A/", 3, start=50) | rough))
    assert findings["domain_texture"].what.startswith("train B has ")


def test_the_same_picture_in_both_domains(tmp_path):
    files = many("A/", 3) | many("B/", 3, start=50) | {"B/x.png": many("A/", 1)["A/000.png"]}
    assert found(write(tmp_path / "d", files))["both_domains"].examples == ["train A: 000.png = train B: x.png"]


def test_cropped_and_enlarged(tmp_path):
    files = many("wide/", 2, (90, 30)) | many("wide/x", 2, (40, 40), start=50) | many("wide/s", 1, (20, 20), start=90)
    findings = found(write(tmp_path / "d", files))
    assert findings["cropped"].what == "train: cropping to 32 x 32 cuts off 27% of all pixels"  # 2 x 2/3 of 5
    assert findings["cropped"].severity == "note"
    assert findings["enlarged"].what == "train: 3 of 5 images are smaller than 32 x 32"
    assert findings["enlarged"].severity == "warning"


def test_modes_are_noted(tmp_path):
    files = many("", 3) | {"g.png": encoded(scene(9).convert("L")), "readme.txt": b"text", "bad.png": BROKEN}
    findings = found(write(tmp_path / "d", files))
    assert findings["mixed_modes"].what == "train: 3 colour, 1 gray"
    assert findings["passed_over"].what == "train: files that are skipped, since they are not images: 1 .txt"
    assert findings["unreadable"].what == "train: 1 of 5 image files cannot be read"
    assert findings["unreadable"].examples == [
        "bad.png: not a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, HEIC or PNM picture"
    ]


def test_findings_come_worst_first(tmp_path):
    files = {"A/bad.png": BROKEN, "A/good.png": encoded(scene(0)), "B/bad.png": BROKEN}
    severities = [finding.severity for finding in examine(write(tmp_path / "d", files), seconds=0).findings]
    assert severities == sorted(severities, key=["problem", "warning", "note"].index)
    assert severities[0] == "problem"


FAILING = {
    "empty": {},
    "no images": {"a.txt": b"text"},
    "broken": {"a.png": BROKEN, "b.jpg": b""},
    "val only": {"val/x.png": encoded(scene(0)), "test/x.png": encoded(scene(1))},
    "one domain": {"train/A/x.png": encoded(scene(0)), "val/B/x.png": encoded(scene(1))},
    "one domain broken": {"A/x.png": encoded(scene(0)), "B/x.png": BROKEN},
}


@pytest.mark.parametrize("case", FAILING)
def test_what_training_refuses_is_a_problem(tmp_path, case, capsys):
    (tmp_path / "d").mkdir()
    write(tmp_path / "d", FAILING[case])
    assert main(["doctor", str(tmp_path / "d"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["findings"][0]["severity"] == "problem"
    assert (report["exit_code"], report["advice"], report["pace"]) == (1, None, None)
    command = ["dual"] if "domain" in case else ["transfer"]
    assert main([*command, "--data", str(tmp_path / "d"), "--preset", "tiny", "--out", str(tmp_path / "run")]) == 2
    assert main(["doctor", str(tmp_path / "d")]) == 1
    assert "No command: training would fail" in capsys.readouterr().out


def test_a_damaged_zip_is_a_problem(tmp_path):
    (tmp_path / "d.zip").write_bytes(b"PK")
    assert examine(tmp_path / "d.zip", seconds=0).exit_code == 1


@pytest.mark.parametrize(
    "given", [["nothing/here"], ["bundled:dogs"], ["facads"], ["bundled:faces", "--seconds", "-1"]]
)
def test_wrong_names_are_usage_errors(given, capsys):
    assert main(["doctor", *given]) == 2
    assert capsys.readouterr().err.startswith("error: ")


COMMANDS = {
    "colour": (many("", 5), ["--source", "cifar10-small"], "small-few"),
    "more": (many("", 501, (8, 8)), ["--source", "cifar10-small"], "small"),
    "gray": (many("", 5, mode="L"), ["--source", "digits32"], "small"),
    "classes": (
        many("x/", 100, (8, 8)) | many("y/", 100, (8, 8), 500),
        ["--conditioning", "acgan", "--source", "cifar10-small"],
        "small-few",
    ),
    "domains": (many("A/", 3) | many("B/", 3, start=9), [], "small"),
    "oblong": (many("A/", 3, (120, 80)) | many("B/", 3, (150, 100), 9), ["--aspect", "3:2"], "small"),
    "low": (many("A/", 3, (48, 48)) | many("B/", 3, (20, 20), 9), ["--size", "32", "--receptive-field", "17"], "small"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_the_command_can_be_typed(tmp_path, case, capsys):
    files, settings, preset = COMMANDS[case]
    advice = examine(write(tmp_path / "with blanks", files), seconds=0).advice
    words = shlex.split(advice.command)
    assert words[words.index("--preset") + 1] == advice.preset == preset
    extra = words[words.index("--preset") + 2 : words.index("--out")]
    assert extra == settings
    capsys.readouterr()
    assert main([*words[1:], "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == advice.config.to_json()


ACCELERATED = {
    "few-shot": (many("", 5), ["--source", "cifar10-small"]),
    "few-shot of gray": (many("", 5, (8, 8), mode="L"), ["--source", "digits32"]),
    "cifar10": (many("", 1001, (8, 8)), ["--conditioning", "none", "--source", "cifar10-small"]),
    "authors64": (many("", 1001, (64, 70)), []),
    "cifar10 of classes": (
        many("x/", 500, (8, 8)) | many("y/", 501, (8, 8), 500),
        ["--conditioning", "acgan", "--source", "cifar10-classes"],
    ),
    "sketch-photo": (many("A/", 3, (256, 300)) | many("B/", 3, (300, 256), 9), []),
    "sketch-photo of small ones": (many("A/", 3) | many("B/", 3, start=9), ["--size", "64"]),
}


@pytest.mark.parametrize("case", ACCELERATED)
def test_the_command_for_an_accelerator(tmp_path, case, capsys):
    files, settings = ACCELERATED[case]
    train = [scan(part) for part in find_parts(write(tmp_path / "d", files))]
    (advice,) = advise(train, tmp_path / "d", None, on_accelerator=True)
    words = shlex.split(advice.command)
    assert advice.preset == case.split()[0]
    assert words[words.index("--preset") + 1 : words.index("--out")] == [advice.preset, *settings]
    assert main([*words[1:], "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == advice.config.to_json()


def test_two_folders_and_a_run_that_is_there(tmp_path):
    a, b = write(tmp_path / "a", many("", 3)), write(tmp_path / "b", many("", 5, start=50))
    Path("runs/a-b").mkdir(parents=True)
    advice = examine(a, b, seconds=0).advice
    assert shlex.split(advice.command)[1:] == [
        *("dual", "--a", str(a), "--b", str(b), "--preset", "small", "--out", "runs/a-b-2")
    ]
    assert (advice.budget, advice.num_images) == (12_000, 3)


def test_published_numbers(tmp_path):
    """As in the paper's figure 4 and table 4 (Wang et al. 2018)."""
    assert CURVE[1_000] == (256.1, 93.4)
    assert CURVE[1_000_000] == (21.0, 18.5)
    assert CLASS_CURVE[100] == (186.6, 109.1)
    few = examine(write(tmp_path / "d", many("", 3)), seconds=0).advice.published
    assert few[0] == (
        "No published run had so few images. The nearest: ImageNet to LSUN bedrooms (Wang et al. 2018), "
        "1,000 images: FID 93.4 pretrained, 256.1 from scratch."
    )
    digits = examine(Path("bundled:digits"), seconds=0).advice.published
    assert "1,000 images: FID 93.4 pretrained, 256.1 from scratch; 5,000 images: FID 74.3" in digits[0]
    assert "100 images a class: FID 109.1" in digits[1]


PART = {
    *("name", "split", "domain", "files", "images", "unreadable", "passed_over", "classes", "smallest", "median"),
    *("largest", "aspects", "channels", "modes", "gray_as_colour", "sixteen_bit", "animated", "mean_colour", "chroma"),
    *("texture", "cropped_to_square", "value_range"),
}


def test_json_has_everything(tmp_path, capsys):
    folder = write(tmp_path / "d", many("A/", 4, (40, 40)) | many("B/", 3, (40, 40), 9) | {"B/x.png": BROKEN})
    assert main(["doctor", str(folder), "--json", "--seconds", "0.01"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {
        *("format", "ganshift", "data", "exit_code", "parts", "duplicates", "near_duplicates", "findings", "advice"),
        "pace",
    }
    assert [set(part) for part in report["parts"]] == [PART, PART]
    assert [part["images"] for part in report["parts"]] == [4, 3]
    assert report["parts"][1]["unreadable"][0]["name"] == "x.png"
    assert all(set(finding) == {"severity", "code", "what", "do", "examples"} for finding in report["findings"])
    assert set(report["advice"]) == {"command", "preset", "size", "budget", "epochs", "why", "published"}
    assert (report["advice"]["size"], report["advice"]["epochs"]) == ([40, 40], 4000)
    pace = report["pace"]
    assert set(pace) == {"device", "images", "seconds", "seconds_per_1000_images", "total_seconds"}
    assert pace["total_seconds"] == pytest.approx(pace["seconds_per_1000_images"] * 12, rel=1e-3)
    assert not Path("runs").exists()


def test_documented_codes_are_those_there_are():
    """The docstring of findings, which the reference shows, explains every code, and no other."""
    assert set(re.findall(r"^ +- `(\w+)`: ", DataFinding.__doc__, re.MULTILINE)) == {
        *WORDS,
        "cannot_open",
        "training_fails",
    }


def test_it_fits_80_columns(tmp_path):
    long = "a-rather-long-name-of-a-file-" * 2
    files = many("train/A/", 3) | many("train/B/", 2, start=50, mode="L") | many("val/A/", 1, start=90)
    files |= {f"train/B/{long}.png": BROKEN, "val/B/1.png": encoded(scene(99)), "train/A/x.png": encoded(scene(0))}
    console = Console(width=80, record=True, file=io.StringIO())
    report = examine(write(tmp_path / "d", files), seconds=0)
    show(report, console)
    lines = console.export_text().splitlines()
    assert all(finding.what.split()[0] in "\n".join(lines) for finding in report.findings)
    too_long = [line for line in lines if len(line) > 80]
    assert too_long == [f"  {report.advice.command}"]  # to be copied in one piece


def test_the_table_of_80_columns_cuts_nothing(tmp_path):
    """Four parts, each with pictures of every kind of channels, whose shares wrap."""
    files = {}
    for folder in ("train/A/", "train/B/", "val/A/", "val/B/"):
        files |= many(f"{folder}gray", 1, mode="L") | many(f"{folder}colour", 2, start=10)
        for index in range(3):
            transparent = scene(20 + index)
            transparent.putalpha(128)
            files[f"{folder}transparent{index}.png"] = encoded(transparent)
    console = Console(width=80, record=True, file=io.StringIO())
    show(examine(write(tmp_path / "d", files), seconds=0), console)
    table = [line.split("│")[1:-1] for line in console.export_text().splitlines() if line.startswith("│")]
    _, *columns = (" ".join(cell.strip() for cell in column) for column in zip(*table, strict=True))
    assert len(columns) == 4
    for column in columns:
        assert "transparent 50%, colour 33%, gray 17%" in column
        assert "…" not in column


def test_training_that_fails_is_a_problem(tmp_path, monkeypatch):
    """A preset whose steps are far too large really diverges."""
    rates = {"generator_learning_rate": 1e30, "critic_learning_rate": 1e30}
    monkeypatch.setitem(TRANSFER_PRESETS, "small-few", TRANSFER_PRESETS["tiny"] | rates)
    report = examine(write(tmp_path / "d", many("", 3)), seconds=60)
    assert report.exit_code == 1
    assert report.findings[0].code == "training_fails"
    assert report.throughput is None


def test_values_of_more_than_eight_bits(tmp_path):
    """The range that training would use is said; val is looked at as train is."""
    files = {}
    for split, factor in (("train", 4), ("test", 2)):
        for index in range(4):
            values = np.random.default_rng(index).integers(0, 1000, (40, 40)).astype(np.uint16) * factor
            files[f"{split}/{index}.png"] = encoded(Image.fromarray(values))
    report = examine(write(tmp_path / "d", files), seconds=0)
    assert report.facts[0].value_range == report.facts[1].value_range
    said = next(finding for finding in report.findings if finding.code == "sixteen_bit")
    assert f"{report.facts[0].value_range.in_words()}. --range" in said.do


@pytest.mark.parametrize(("level", "code"), [(3, "nearly_black"), (200, "nearly_constant")])
def test_images_without_content(tmp_path, level, code):
    files = {f"{index}.png": encoded(Image.new("L", (40, 40), level + index % 2)) for index in range(5)}
    found = {finding.code: finding.severity for finding in examine(write(tmp_path / "d", files), seconds=0).findings}
    assert found[code] == "warning"
    assert not {"nearly_black", "nearly_constant"} - {code} & set(found)
