"""What the page says came of runs: from scores, health and copying, and never from settings."""

import json
import shutil

from ganshift.tools.report.runs import open_run
from ganshift.tools.report.verdict import verdict


def said(**runs):
    return verdict({label: open_run(path) for label, path in runs.items()})


def scored(folder, scores):
    lines = [
        {"images": images, "score": {"name": "KID[cifar]", "value": value, "error": 0.25}}
        for images, value in scores.items()
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_score_that_still_falls_and_one_that_rose(copy):
    run = copy("scratch", "run")
    scored(run, {32: 2.0, 64: 1.5, 80: 1.25})
    sentence = "KID[cifar] was best at 80 images: 1.25 ± 0.2, its last evaluation: more training may help."
    assert said(run=run) == [sentence, "No sign of a collapse was seen."]
    scored(run, {32: 1.25, 80: 3.0})
    assert said(run=run)[0] == "KID[cifar] was best at 32 images: 1.25 ± 0.2. At the end it was 3; lower is better."
    scored(run, {80: 1.25})
    assert said(run=run)[0] == "KID[cifar] was best at 80 images: 1.25 ± 0.2, its last evaluation."


def test_cards_where_training_had_no_scores_and_nothing_where_there_are_none(copy):
    run = copy("scratch", "run")
    assert said(run=run)[0].startswith("KID[cifar] is ")
    shutil.rmtree(run / "cards")
    assert said(run=run)[0] == "Not scored yet: ganshift evaluate does that."


def test_runs_are_told_apart_only_where_the_difference_is_clear(copy):
    better, worse = copy("scratch", "better"), copy("scratch", "worse")
    for folder, value in ((better, 1.0), (worse, 2.0)):
        (path,) = (folder / "cards").glob("*.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"value": value, "spread": 0.01}))
    values = "better 1 ± 0.01, worse 2 ± 0.01"
    assert said(better=better, worse=worse)[0] == f"By KID[cifar], better is clearly better: {values}."
    path.write_text(json.dumps(json.loads(path.read_text()) | {"value": 1.0}))
    values = "better 1 ± 0.01, worse 1 ± 0.01"
    assert said(better=better, worse=worse)[0] == f"By KID[cifar], no run is clearly better: {values}."
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))  # measured in another way
    assert said(better=better, worse=worse)[0].startswith("better: KID[cifar] is ")


def test_runs_without_cards_are_compared_by_their_last_evaluation(copy):
    folders = {label: copy("scratch", label) for label in ("pretrained", "scratch")}
    for folder, value in zip(folders.values(), (0.5, 2.0), strict=True):
        (path,) = (folder / "cards").glob("*.json")
        card = json.loads(path.read_text()) | {"value": value, "spread": 0.25}
        path.unlink()
        score = {"name": "KID[cifar]", "value": value, "error": 0.25}
        (folder / "evaluations.jsonl").write_text(json.dumps({"images": 80, "score": score, "cards": [card]}) + "\n")
    better = "By KID[cifar], pretrained is clearly better: pretrained 0.5 ± 0.25, scratch 2 ± 0.25."
    assert said(**folders) == [better, "No sign of a collapse was seen."]
    alone = copy("scratch", "alone")
    shutil.rmtree(alone / "cards")
    scored(alone, {80: 1.25})  # as versions before wrote it
    sentence = "alone: KID[cifar] was best at 80 images: 1.25 ± 0.2, its last evaluation."
    assert said(**folders, alone=alone) == [better, "No sign of a collapse was seen.", sentence]
    line = {"images": 80, "score": score, "cards": 3}
    (alone / "evaluations.jsonl").write_text(json.dumps(line) + "\n")
    assert said(alone=alone)[0] == "KID[cifar] was best at 80 images: 2 ± 0.2, its last evaluation."
    card["metric"] = "charm"
    line = {"images": 80, "score": score, "cards": [card, 3]}
    (folders["scratch"] / "evaluations.jsonl").write_text(json.dumps(line) + "\n")
    assert said(**folders)[-1].startswith("scratch: KID[cifar] was best at 80 images")
    problems = open_run(folders["scratch"]).problems
    assert len(problems) == 2
    assert all(problem.startswith("evaluations.jsonl cannot be read: ") for problem in problems)


def test_an_unfinished_run_and_copies_are_told(copy, runs):
    run = copy("scratch", "run", log=[{"images": 16, "iteration": 2, "seconds": 1.0, "terms": {}}])
    assert said(run=run)[0] == "Not finished: 16 of 80 images were shown."
    assert any("generated images lie" in sentence for sentence in said(run=runs / "pretrained"))
