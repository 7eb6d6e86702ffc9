"""Whole runs with evaluation on: killed and resumed, the best taken up and used, and runs that really collapse."""

import json
import shutil
import signal

import pytest
import torch
from e2e.test_runs import assert_equal_runs, assert_equal_states, wait_for_lines, without_times
from processes import Command, run
from safetensors.torch import load_file

from ganshift.cli import main
from ganshift.metrics.score_record import ScoreRecord
from ganshift.training.run_folder import read_log

TRANSFER = ["transfer", "--preset", "tiny", "--data", "bundled:digits", "--evaluate-images", "20"]
DUAL = ["dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--evaluate-images", "6"]
COLLAPSING = ["--warmup-images", "640", "--critic-learning-rate", "2", "--generator-learning-rate", "2"]
"""Rates that rise until nothing can be learned, so that the run begins healthy."""
COMMANDS = {
    "transfer": [*TRANSFER, "--images", "320", "--evaluate-every", "64"],
    "dual": [*DUAL, "--images", "24", "--evaluate-every", "6", "--best-by", "fid"],
    "rollback": [*TRANSFER, "--images", "256", "--evaluate-every", "64", "--on-collapse", "rollback", *COLLAPSING],
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def assert_equal_watched_runs(out, expected):
    """Equal in what was found, too."""
    assert_equal_runs(out, expected)
    ours, theirs = (without_times(read_log(run / "evaluations.jsonl")) for run in (out, expected))
    assert ours == theirs
    last = max((expected / "checkpoints").iterdir()).name
    states = [torch.load(run / "checkpoints" / last, weights_only=True) for run in (out, expected)]
    for name in ("health", "scores", "means"):
        assert_equal_states(*(state[name] for state in states))
    for path in (expected / "best").glob("*.safetensors"):
        assert_equal_states(load_file(out / "best" / path.name), load_file(path))
    assert (out / "health.json").exists() == (expected / "health.json").exists()
    if (expected / "health.json").exists():
        assert (out / "health.json").read_text() == (expected / "health.json").read_text()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Runs by name, from start to end in one go; each is trained when it is first asked for, and only read."""
    folder = tmp_path_factory.mktemp("straight")

    def straight(name):
        if not (folder / name).exists():
            run([*COMMANDS[name], "--out", str(folder / name)], folder / f"{name}.said")
        return folder / name

    return straight


@pytest.mark.ring_two
@pytest.mark.parametrize(
    ("name", "stop"), [("transfer", signal.SIGKILL), ("dual", signal.SIGINT), ("rollback", signal.SIGKILL)]
)
def test_interrupted_run_equals_straight_run(name, stop, straight, tmp_path):
    expected, resumed = straight(name), tmp_path / "resumed"
    evaluations = read_log(expected / "evaluations.jsonl")
    assert [line["images"] for line in evaluations] == (
        [6, 12, 18, 24] if name == "dual" else list(range(64, evaluations[-1]["images"] + 1, 64))
    )
    process = Command([*COMMANDS[name], "--out", str(resumed)], tmp_path / "said")
    wait_for_lines(process, resumed / "evaluations.jsonl", 2)
    process.send_signal(stop)
    assert process.wait(60) in (-9, 130), process.said()
    run([*COMMANDS[name], "--out", str(resumed)], tmp_path / "said")
    assert_equal_watched_runs(resumed, expected)
    if name == "rollback":
        health = json.loads((expected / "health.json").read_text())
        assert health["rollbacks"] >= 1
        assert health["messages"][-1]["kind"] == "rollback"


def test_the_best_generates_is_a_source_and_can_be_resumed(straight, tmp_path):
    whole = shutil.copytree(straight("transfer"), tmp_path / "whole")
    best = whole / "best"
    lines = read_log(whole / "evaluations.jsonl")
    (lowest,) = [line for line in lines if line["score"]["value"] == min(line["score"]["value"] for line in lines)]
    kept = json.loads((best / "evaluation.json").read_text())
    assert kept["images"] == lowest["images"]
    record, *others = (ScoreRecord(**record) for record in kept["cards"])
    assert [other.metric for other in others] == ["precision", "recall", "colour"]
    assert (record.name, record.num_generated, record.num_reference, record.reference_split) == (
        "KID[cifar]",
        20,
        1797,
        "train",
    )
    assert main(["evaluate", str(best), "--reference", "bundled:digits", "-n", "20", "--metrics", "kid"]) == 0
    (path,) = (best / "cards").iterdir()
    assert (
        ScoreRecord(**json.loads(path.read_text())) == record
    )  # the model's hash included: the same way in, the same numbers
    assert main(["generate", str(best), "-n", "4", "-o", str(tmp_path / "sheet.png")]) == 0
    new = ["transfer", "--preset", "tiny", "--data", "bundled:faces", "--images", "8", "--source", str(best)]
    assert main([*new, "--out", str(tmp_path / "new")]) == 0
    run([*COMMANDS["transfer"], "--out", str(best)], tmp_path / "said")
    assert_equal_states(load_file(best / "model.safetensors"), load_file(whole / "model.safetensors"))


def test_the_best_translates(straight, tmp_path):
    whole, photo = straight("dual"), tmp_path / "sheet.png"
    kept = json.loads((whole / "best" / "evaluation.json").read_text())
    assert kept["score"]["name"] == "mean FID[cifar] of both ways"
    assert [record["metric"] for record in kept["cards"]] == [
        *("FID a-b", "precision a-b", "recall a-b", "colour a-b", "L1 a-b-a"),
        *("FID b-a", "precision b-a", "recall b-a", "colour b-a", "L1 b-a-b"),
    ]
    assert {record["reference_split"] for record in kept["cards"]} == {"train"}  # the 14 of val are too few
    assert {"trip/a-b", "trip/b-a", "diversity/translated a-b"} <= kept["signs"].keys()
    photo.write_bytes((whole / "samples" / "a-b-a-000000000024.png").read_bytes())
    assert main(["translate", str(whole / "best"), str(photo), "--to", "b", "-o", str(tmp_path / "out")]) == 0


def test_a_run_that_collapses_says_what_was_seen_and_what_to_try(tmp_path):
    command = [*TRANSFER, "--images", "640", "--evaluate-every", "64", *COLLAPSING, "--out", str(tmp_path / "run")]
    process = Command([*command, "--on-collapse", "stop"], tmp_path / "said")
    assert process.wait() == 2
    said = process.said()
    assert "stopped on signs of collapse at" in said
    # Which sign comes first is up to rounding.
    assert "the critic's gap critic/distance is" in said or "'s gradient norm is" in said
    assert "Try smaller --critic-learning-rate" in said
    assert list((tmp_path / "run" / "checkpoints").iterdir())
