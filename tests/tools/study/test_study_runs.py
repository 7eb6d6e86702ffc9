"""Whole studies of tiny runs: shared, interrupted, killed, with cells that fail; and the page they end in."""

import csv
import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accessibility import in_the_way
from filelock import FileLock
from processes import Command, run
from recipes import TINY, write_recipe
from safetensors.torch import load_file

from ganshift.cli import main
from ganshift.methods.transfer.trainer import train
from ganshift.tools.study.cell import STATE
from ganshift.tools.study.recipe import open_study
from ganshift.tools.study.run import write_results
from ganshift.tools.study.worker import FAILED, train_and_measure
from ganshift.training.run_folder import read_log


def start(recipe, out, said="said", **environment):
    """Run a study in a process of its own, as one of several that a launcher starts if the environment says so."""
    return Command(["study", recipe, "--out", out], recipe.with_name(said), **environment)


def study_in(folder, text=TINY):
    """A study in a folder that is there."""
    study = open_study(str(write_recipe(folder, text)), out=folder / "study")
    (study.out / STATE).mkdir(parents=True, exist_ok=True)
    return study


def wait_until(process, condition):
    """Until the condition holds; the study must still be going on then. A wait for what never comes ends, too."""
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.said()
        assert time.monotonic() < end, process.said()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study whose cells were trained and measured in this process."""
    study = study_in(tmp_path_factory.mktemp("finished"))
    assert [train_and_measure(cell) for cell in study.cells] == [None] * 4
    assert main(["study", str(study.out.parent / "tiny.toml"), "--out", str(study.out)]) == 0
    return study


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """A study that two processes, which a launcher started, did together, and what they printed and said."""
    study = study_in(tmp_path_factory.mktemp("launched"))
    recipe = study.out.parent / "tiny.toml"
    processes = [start(recipe, study.out, f"said{rank}", RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    codes = [process.wait(300) for process in processes]
    said = [(process.printed(), process.said()) for process in processes]
    assert codes == [0, 0], said
    return study, said


@pytest.mark.ring_two
def test_each_cell_is_trained_once(launched):
    study, said = launched
    begun = [[line.split()[0] for line in messages.splitlines() if " started;" in line] for _, messages in said]
    assert sorted(begun[0] + begun[1]) == sorted(cell.place for cell in study.cells)
    assert all(begun)
    for cell in study.cells:
        assert {"config.json", "model.safetensors", "cards", "log.jsonl"} <= {path.name for path in cell.run.iterdir()}
        assert read_log(cell.run / "log.jsonl")[-1]["images"] == 48


@pytest.mark.ring_two
def test_each_process_waits_for_the_others_and_shows_all_results(launched):
    _, said = launched
    assert [output.count("color") for output, _ in said] == [2, 2]
    assert said[0][0] == said[1][0]


@pytest.mark.ring_two
def test_cells_are_ordinary_runs(launched, tmp_path):
    cell = launched[0].cells[2]
    train(replace(cell.config, out=tmp_path / "run"))
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run", cell.run))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_finished_cells_are_skipped(finished, capsys):
    study = finished
    models = [(cell.run / "model.safetensors").stat().st_mtime_ns for cell in study.cells]
    recipe_file = str(study.out / "recipe.toml")
    assert main(["study", recipe_file, "--out", str(study.out)]) == 0
    output = capsys.readouterr()
    assert "0 cells to train, 4 finished" in output.err
    assert "started" not in output.err
    assert models == [(cell.run / "model.safetensors").stat().st_mtime_ns for cell in study.cells]
    for text in ("augment", "FID[cifar]", "KID[cifar]", "color", "±"):
        assert text in output.out
    assert main(["study", recipe_file, "--out", str(study.out), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("finished") == 4


def test_everybody_can_use_the_page(tab, finished):
    """No serious or critical violation of WCAG, and the keyboard comes to everything."""
    tab.goto((finished.out / "results.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollHeight") < 3_500
    assert in_the_way(tab) == []


def test_page_and_files(finished):
    study = finished
    html = (study.out / "results.html").read_text(encoding="utf-8")
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")  # nothing is loaded
    assert html.count('<th scope="col"') == 4
    assert html.count('class="pixels"') == 2  # a sheet for each row
    for text in ("Does anything change?", "Nowhere.", "4 of 4", "64 images, reference 100 of train", "[settings]"):
        assert text in html
    with (study.out / "results.csv").open(encoding="utf-8") as file:
        assert [line["n"] for line in csv.DictReader(file)] == ["2"] * 4
    assert (study.out / "recipe.toml").read_text(encoding="utf-8") == study.recipe.text


ONE = TINY.replace('[{ label = "no", augment = "" }, "color"]', '["color"]').replace("[0, 1]", "[0]")
LONG = ONE.replace("images = 48", "images = 320\ncheckpoint_every = 32")


@pytest.mark.ring_two
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_study_goes_on(tmp_path, stop, code):
    """A killed study leaves its cell, which notices, saves and stops; nothing is lost but the iteration.

    The same command may be given at once: the cell then waits until what was left behind has saved.
    """
    study = study_in(tmp_path, LONG)
    (cell,) = study.cells
    recipe, log = tmp_path / "tiny.toml", cell.run / "log.jsonl"
    process = start(recipe, study.out)
    wait_until(process, lambda: log.exists() and len(read_log(log)) >= 3)
    process.send_signal(stop)
    assert process.wait(60) == code, process.said()
    assert not cell.finished
    assert read_log(log)[-1]["images"] < 320
    assert cell.failure() is None

    assert main(["study", str(recipe), "--out", str(study.out)]) == 0
    said = cell.messages.read_text(encoding="utf-8")
    assert said.count("stopped by SIG") == 1
    assert f"resuming {cell.run} at" in said
    assert read_log(log)[-1]["images"] == 320
    assert cell.finished
    straight = ["transfer", "--preset", "tiny", "--data", "bundled:faces", "--augment", "color", "--images", "320"]
    run([*straight, "--out", tmp_path / "straight"], tmp_path / "said-straight")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (cell.run, tmp_path / "straight"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.ring_two
def test_ctrl_c_twice_stops_at_once(tmp_path):
    study = study_in(tmp_path, LONG.replace("images = 320", "images = 320_000"))
    (cell,) = study.cells
    log = cell.run / "log.jsonl"
    process = start(tmp_path / "tiny.toml", study.out)
    wait_until(process, lambda: log.exists() and read_log(log))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, process.said()
    assert f"{cell.place} stopped" in process.said()
    assert cell.failure() is None


FAILING = ONE.replace(
    "[grid]",
    """[sources.digits]
data = "bundled:digits"
images = 16

[sources.broken]
data = "nowhere"

[grid]
start = [
    { label = "too many", subset = 1_000 },
    { label = "digits", source = "digits" },
    { label = "broken", source = "broken" },
]""",
)


def test_a_plan_of_nothing_but_failures_is_an_error(tmp_path, capsys):
    study = study_in(tmp_path, TINY.replace("bundled:faces", "nowhere"))
    assert main(["study", str(tmp_path / "tiny.toml"), "--out", str(study.out), "--dry-run"]) == 2
    assert "error: none of 4 cells can train: nowhere does not exist" in capsys.readouterr().err


@pytest.mark.ring_two
def test_failed_cells_are_reported_and_the_rest_carried_on(tmp_path, capsys):
    study = study_in(tmp_path, FAILING)
    command = ["study", str(tmp_path / "tiny.toml"), "--out", str(study.out)]
    assert main([*command, "--processes", "2"]) == FAILED
    cells = {cell.place: cell for cell in study.cells}
    ends = "_augment-color_seed-0"
    assert {place for place, cell in cells.items() if cell.finished} == {"sources/digits", f"cells/start-digits{ends}"}
    failures = {place: cell.failure() for place, cell in cells.items() if not cell.finished}
    too_many = "subset must be at most the number of images, 100, got 1,000"
    assert failures.pop(f"cells/start-too-many{ends}") == too_many
    assert failures.pop(f"cells/start-broken{ends}") == "its source broken failed"
    assert "nowhere does not exist" in failures.pop("sources/broken")
    assert not failures
    assert capsys.readouterr().err.count(" failed (") == 3
    html = (study.out / "results.html").read_text(encoding="utf-8")
    assert "Cells that failed" in html
    assert "its source broken failed" in html
    assert main([*command, "--dry-run"]) == 0
    output = capsys.readouterr()
    assert too_many in " ".join(re.findall(r"[^\s│]+", output.out))
    assert "3 cells to train, 2 finished" in output.err

    study = study_in(tmp_path, FAILING.replace("1_000", "10"))  # what was wrong is put right: it is tried again
    source, cell = study.cells[0], study.cells[2]
    log = source.run / "log.jsonl"
    *lines, last = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join([*lines, json.dumps(json.loads(last) | {"seconds": 3600.0}) + "\n"]), encoding="utf-8")
    assert main(command) == FAILED
    html = (study.out / "results.html").read_text(encoding="utf-8")
    assert "Training took 1 h" in html  # the time of a source that the recipe trains counts
    assert re.search(r"Sources trained.*?1 of 2", html, re.DOTALL)
    assert cell.finished
    assert cell.failure() is None


@pytest.mark.ring_two
def test_a_cell_that_is_killed_has_failed(tmp_path):
    study = study_in(tmp_path, LONG)
    (cell,) = study.cells
    log = cell.run / "log.jsonl"
    process = start(tmp_path / "tiny.toml", study.out)
    wait_until(process, lambda: log.exists() and read_log(log))
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    children = " ".join((thread / "children").read_text(encoding="ascii") for thread in threads).split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    assert process.wait(60) == FAILED, process.said()
    assert "its process ended with SIGKILL" in cell.failure()


def test_cells_of_others_are_left_to_them(tmp_path):
    """They are waited for; when their process ends without having finished them, they are trained here."""
    study = study_in(tmp_path, TINY.replace("[0, 1]", "[0]"))
    locks = [FileLock(cell.state("lock")) for cell in study.cells]
    for lock in locks:
        lock.acquire()
    process = start(tmp_path / "tiny.toml", study.out)

    def begun():
        return [line.split()[0] for line in process.said().splitlines() if " started;" in line]

    wait_until(process, lambda: "\nwaiting" in process.said())
    assert not any(cell.run.exists() for cell in study.cells)
    locks[1].release()
    wait_until(process, begun)
    assert begun() == [study.cells[1].place]
    locks[0].release()
    assert process.wait() == 0, process.said()
    assert begun() == [study.cells[1].place, study.cells[0].place]


def test_study_of_translators(tmp_path, capsys):
    text = """
method = "dual"
[settings]
preset = "tiny"
data = "bundled:photo-sketch"
images = 4
[grid]
loss = ["classic"]
code = [{ label = "repaired", as_published = false }]
[evaluation]
metrics = ["kid"]
"""
    study = study_in(tmp_path, text)
    assert train_and_measure(study.cells[0]) is None
    write_results(study, "a-command")
    assert {"SSIM a-b", "KID[cifar] b-a"} <= set(re.findall(r"\S+ [ab-]+(?= )", capsys.readouterr().out))
    html = (study.out / "results.html").read_text(encoding="utf-8")
    for text in ("KID[cifar] a-b", "L1 b-a-b", "SSIM a-b", "From photo to sketch and back: loss classic", "a-command"):
        assert text in html


@pytest.mark.parametrize(
    ("data", "evaluation", "measured"),
    [
        ("bundled:digits-5-9", "", ("test", 796)),
        ("bundled:digits-5-9", 'split = "train"', ("train", 100)),
        ("bundled:digits-5-9", 'reference = "bundled:digits"', ("train", 1797)),
        ("bundled:faces", "", ("train", 100)),
    ],
)
def test_held_out_images_are_compared_with_where_there_are_some(data, evaluation, measured, tmp_path):
    text = TINY.replace("bundled:faces", data).replace("num_images = 64", f"num_images = 64\n{evaluation}")
    cell = study_in(tmp_path, text).cells[0]
    assert train_and_measure(cell) is None
    assert {(record.reference_split, record.num_reference) for record in cell.records()} == {measured}


def test_curves_on_the_page(finished):
    """Runs that were measured on the way have a curve each."""
    study = finished
    for cell in study.cells:
        records = [record.to_json() for record in cell.records()]
        score = {"name": records[0]["metric"], "value": records[0]["value"], "error": 0.0}
        lines = [json.dumps({"images": images, "score": score, "cards": records}) + "\n" for images in (16, 32)]
        (cell.run / "evaluations.jsonl").write_text("".join(lines), encoding="utf-8")
    write_results(study, "")
    html = (study.out / "results.html").read_text(encoding="utf-8")
    assert html.count('class="drawing"') == 2
    assert "FID[cifar] while training" in html


def test_errors(tmp_path, capsys):
    assert main(["study"]) == 2
    assert "--list" in capsys.readouterr().err
    assert main(["study", "table1-small", "--processes", "0"]) == 2
    assert "processes must be at least 1" in capsys.readouterr().err
    recipe = write_recipe(tmp_path, TINY.replace('["fid", "kid"]', '["fidd"]'))
    assert main(["study", str(recipe), "--out", str(tmp_path / "study")]) == 2
    assert "no metric 'fidd'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["study", str(write_recipe(tmp_path)), "--out", str(tmp_path / "file" / "study")]) == 2
    assert "cannot write to --out" in capsys.readouterr().err


def test_list(capsys):
    assert main(["study", "--list"]) == 0
    assert "table1-small" in capsys.readouterr().out
