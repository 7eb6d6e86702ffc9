"""Means and intervals against tables of Student's t, rows, and files."""

import csv
import json
from dataclasses import asdict
from math import sqrt

import pytest
from recipes import write_recipe
from scipy import stats

from ganshift.metrics.score_record import ScoreRecord
from ganshift.tools.study.folder import StudyFolder
from ganshift.tools.study.recipe import load_recipe
from ganshift.tools.study.results import as_lines, interval, rows, score_names, write_csv


@pytest.mark.parametrize(
    ("values", "mean", "half_width"),
    [
        ([1.0, 2.0, 3.0], 2.0, 4.302653 / sqrt(3)),  # t at 0.975 with 2 degrees of freedom; the deviation is 1
        ([5.0, 5.0], 5.0, 0.0),
        ([1.0, 3.0], 2.0, 12.706205 * sqrt(2) / sqrt(2)),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 5.0, 2.364624 * sqrt(32 / 7) / sqrt(8)),
    ],
)
def test_interval_by_hand(values, mean, half_width):
    found = interval(values)
    assert (found.mean, found.number) == (mean, len(values))
    assert found.half_width == pytest.approx(half_width, rel=1e-6)


def test_interval_as_scipy_has_it():
    values = [12.5, 11.0, 14.25, 10.0, 13.0]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / 5, scale=stats.sem(values))
    found = interval(values)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_one_value_has_no_interval():
    assert interval([3.0]).half_width is None
    assert str(interval([3.14159])) == "3.142"
    assert str(interval([1.0, 2.0, 3.0])) == "2 ± 2.5"
    assert str(interval([100.0, 300.0])) == "200 ± 1300"


def record(metric, value, **more):
    settings = {
        "metric": metric,
        "protocol": "p",
        "value": value,
        "spread": 0.5,
        "num_generated": 64,
        "num_reference": 100,
        "reference_split": "train",
        "reference_hash": "a",
        "extractor": "cifar",
        "extractor_hash": "b",
        "resize_rule": "none",
        "quantisation": "rounded",
        "seed": 0,
        "model_hash": "m",
        "versions": {"torch": "1"},
    }
    return ScoreRecord(**(settings | more))


@pytest.fixture
def study(tmp_path):
    """A study of which three of four cells are finished, as the folder says; no run lies behind it."""
    recipe = load_recipe(str(write_recipe(tmp_path)))
    folder = StudyFolder(tmp_path / "study")
    folder.open(recipe)
    for cell, fid, kid in zip(recipe.cells[:3], (10.0, 20.0, 7.0), (1.0, 3.0, 5.0), strict=True):
        folder.run(cell).mkdir(parents=True)
        (folder.run(cell) / "model.safetensors").write_bytes(b"")
        records = [asdict(record("KID", kid)), asdict(record("FID", fid))]
        folder.finish(cell, {"images": 48, "seconds": 2.0, "cards": records})
    return folder, recipe


def test_rows_are_means_over_seeds(study):
    table = rows(*study)
    assert [row.labels for row in table] == [{"augment": "no"}, {"augment": "color"}]
    assert score_names(table) == ["FID[cifar]", "KID[cifar]"]
    assert as_lines(table) == [
        {"augment": "no", "n": "2", "FID[cifar]": "15 ± 64", "KID[cifar]": "2 ± 13"},
        {"augment": "color", "n": "1", "FID[cifar]": "7", "KID[cifar]": "5"},
    ]


def test_files(study):
    folder, recipe = study
    write_csv(folder, rows(folder, recipe))
    with (folder.path / "results.csv").open(encoding="utf-8") as file:
        means = list(csv.DictReader(file))
    assert means[0]["augment"] == "no"
    assert (means[0]["score"], means[0]["n"], means[0]["mean"]) == ("KID[cifar]", "2", "2.0")
    assert float(means[0]["high"]) - 2 == pytest.approx(12.706205) == 2 - float(means[0]["low"])
    assert (means[-1]["mean"], means[-1]["low"], means[-1]["high"]) == ("7.0", "", "")
    with (folder.path / "cells.csv").open(encoding="utf-8") as file:
        single = list(csv.DictReader(file))
    assert [line["value"] for line in single] == ["1.0", "10.0", "3.0", "20.0", "5.0", "7.0"]
    assert [line["seed"] for line in single] == ["0", "0", "1", "1", "0", "0"]


def test_files_of_a_study_without_results(tmp_path):
    recipe = load_recipe(str(write_recipe(tmp_path)))
    folder = StudyFolder(tmp_path / "study")
    folder.open(recipe)
    table = rows(folder, recipe)
    write_csv(folder, table)
    assert (folder.path / "results.csv").read_text() == ""
    assert as_lines(table) == [{"augment": "no", "n": "0"}, {"augment": "color", "n": "0"}]


def test_curves_are_means_where_all_seeds_were_measured(study):
    folder, recipe = study
    first, second = recipe.cells[:2]
    for cell, steps in ((first, {16: 30.0, 32: 20.0}), (second, {16: 50.0})):
        lines = [{"images": images, "cards": [asdict(record("FID", fid))]} for images, fid in steps.items()]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder.run(cell) / "evaluations.jsonl").write_text(text, encoding="utf-8")
    with_curve, without = rows(folder, recipe)
    assert with_curve.curves() == {"FID[cifar]": [(16, 40.0), (48, 15.0)], "KID[cifar]": [(48, 2.0)]}
    assert without.curves() == {"FID[cifar]": [(48, 7.0)], "KID[cifar]": [(48, 5.0)]}


def test_a_final_score_got_in_another_way_is_not_on_the_curve(study):
    folder, recipe = study
    cell = recipe.cells[2]
    line = json.dumps({"images": 16, "cards": [asdict(record("FID", 9.0, num_generated=8))]})
    (folder.run(cell) / "evaluations.jsonl").write_text(line + "\n", encoding="utf-8")
    assert rows(folder, recipe)[1].curves() == {"FID[cifar]": [(16, 9.0)], "KID[cifar]": [(48, 5.0)]}


def test_cells_measured_otherwise_are_named(study):
    folder, recipe = study
    table = rows(folder, recipe)
    assert table[0].unlike() == []
    other = [asdict(record("FID", 1.0, num_generated=65)), asdict(record("KID", 1.0))]
    folder.finish(recipe.cells[1], {"images": 48, "seconds": 2.0, "cards": other})
    assert rows(folder, recipe)[0].unlike() == ["num generated: 64 / 65"]


def test_other_settings_are_not_finished(study, tmp_path):
    folder, _ = study
    text = (folder.path / "recipe.toml").read_text(encoding="utf-8")
    for changed in (text.replace("images = 48", "images = 96"), text.replace("num_images = 64", "num_images = 65")):
        recipe = load_recipe(str(write_recipe(tmp_path, changed, "changed")))
        assert [folder.record(cell) for cell in recipe.cells] == [None] * 4
