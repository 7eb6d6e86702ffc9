"""Means and intervals against tables of Student's t, rows, and files."""

import csv
import json
from dataclasses import asdict, replace
from math import sqrt

import pytest
from recipes import TINY, write_recipe
from scipy import stats

from ganshift.metrics.score_record import ScoreRecord
from ganshift.tools.study.cell import STATE
from ganshift.tools.study.recipe import open_study
from ganshift.tools.study.results import interval, kept_apart, means, rows, score_names, write_csv


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


def study_in(folder, text=TINY):
    """A study whose folder is there."""
    study = open_study(str(write_recipe(folder, text)), out=folder / "study")
    (study.out / STATE).mkdir(parents=True, exist_ok=True)
    return study


def finish(cell, *records):
    """Leave the files of a run of 48 images and 2 seconds in the cell's folder, and what was measured of it."""
    cell.run.mkdir(parents=True, exist_ok=True)
    config = {"method": "transfer", "training": cell.config.to_json()}
    (cell.run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (cell.run / "log.jsonl").write_text('{"images": 48, "seconds": 2.0, "terms": {}}\n', encoding="utf-8")
    (cell.run / "model.safetensors").write_bytes(b"")
    cell.finish(records)


def measure_on_the_way(cell, steps):
    """Leave evaluations, FID by images shown, in the cell's folder."""
    lines = [
        {
            "images": images,
            "score": {"name": "FID[cifar]", "value": fid, "error": 0.5},
            "cards": [record("FID", fid).to_json()],
        }
        for images, fid in steps.items()
    ]
    (cell.run / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def study(tmp_path):
    """A study of which three of four cells are finished, as its files say."""
    study = study_in(tmp_path)
    for cell, fid, kid in zip(study.cells[:3], (10.0, 20.0, 7.0), (1.0, 3.0, 5.0), strict=True):
        finish(cell, record("KID", kid), record("FID", fid))
    return study


def test_rows_are_means_over_seeds(study):
    table = rows(study)
    assert [(row.labels, len(row.results)) for row in table] == [({"augment": "no"}, 2), ({"augment": "color"}, 1)]
    assert score_names(table) == ["FID[cifar]", "KID[cifar]"]
    assert [(labels["augment"], name, found.number, str(found)) for labels, name, found in means(table)] == [
        ("no", "FID[cifar]", 2, "15 ± 64"),
        ("color", "FID[cifar]", 1, "7"),
        ("no", "KID[cifar]", 2, "2 ± 13"),
        ("color", "KID[cifar]", 1, "5"),
    ]


def test_files(study):
    write_csv(study.out, rows(study))
    with (study.out / "results.csv").open(encoding="utf-8") as file:
        averaged = list(csv.DictReader(file))
    first, second, third, _ = averaged
    assert (first["augment"], first["score"], first["n"], first["mean"]) == ("no", "FID[cifar]", "2", "15.0")
    assert (second["mean"], second["low"], second["high"]) == ("7.0", "", "")
    assert float(third["high"]) - 2 == pytest.approx(12.706205) == 2 - float(third["low"])
    with (study.out / "cells.csv").open(encoding="utf-8") as file:
        single = list(csv.DictReader(file))
    assert [line["value"] for line in single] == ["1.0", "10.0", "3.0", "20.0", "5.0", "7.0"]
    assert [line["seed"] for line in single] == ["0", "0", "1", "1", "0", "0"]
    assert {(line["images"], line["seconds"]) for line in single} == {("48", "2.0")}


def test_files_of_a_study_without_results(tmp_path):
    study = study_in(tmp_path)
    table = rows(study)
    write_csv(study.out, table)
    assert (study.out / "results.csv").read_text() == ""
    assert [len(row.results) for row in table] == [0, 0]
    assert means(table) == []


def test_curves_are_means_where_all_seeds_were_measured(study):
    measure_on_the_way(study.cells[0], {16: 30.0, 32: 20.0})
    measure_on_the_way(study.cells[1], {16: 50.0})
    with_curve, without = rows(study)
    assert with_curve.curve("FID[cifar]") == [(16, 40.0)]
    assert with_curve.curve("KID[cifar]") == without.curve("FID[cifar]") == []


def test_scores_that_cannot_be_compared_are_kept_apart(study):
    assert kept_apart(rows(study)) == []
    finish(study.cells[1], record("FID", 1.0, num_generated=65), record("KID", 1.0))
    table = rows(study)
    assert kept_apart(table) == ["FID[cifar] #1 and FID[cifar] #2 cannot be compared (num generated: 64 / 65)"]
    assert [(labels["augment"], name, found.number, str(found)) for labels, name, found in means(table)] == [
        ("no", "FID[cifar] #1", 1, "10"),
        ("color", "FID[cifar] #1", 1, "7"),
        ("no", "FID[cifar] #2", 1, "1"),
        ("no", "KID[cifar]", 2, "1 ± 0"),
        ("color", "KID[cifar]", 1, "5"),
    ]
    measure_on_the_way(study.cells[0], {16: 30.0})
    measure_on_the_way(study.cells[1], {16: 50.0})
    assert [result.curve("FID[cifar] #2") for result in rows(study)[0].results] == [{}, {16: 50.0}]


def test_scores_that_are_not_finite_are_kept(study):
    finish(study.cells[0], record("PSNR", float("inf")))
    assert study.cells[0].records()[0].value == float("inf")


def test_other_settings_are_not_finished(study, tmp_path):
    text = study.recipe.text
    for changed in (text.replace("images = 48", "images = 96"), text.replace("num_images = 64", "num_images = 65")):
        assert [cell.finished for cell in study_in(tmp_path, changed).cells] == [False] * 4
    watched = text.replace("images = 48", "images = 48\nlog_every = 1\nworkers = 1")
    assert [cell.finished for cell in study_in(tmp_path, watched).cells] == [True, True, True, False]


def test_a_damaged_cell_is_not_finished(study):
    first, second, third, _ = study.cells
    first.state("json").write_text('{"evaluation": ', encoding="utf-8")
    (second.run / "config.json").write_text("[]", encoding="utf-8")
    (third.run / "model.safetensors").unlink()
    assert not any(cell.finished for cell in study.cells)


def test_a_study_that_was_moved_is_finished(study, tmp_path):
    """Runs keep the whole path of the source they started from, which another machine may see elsewhere."""
    text = TINY.replace("[grid]", "[sources.digits]\ndata = 'bundled:digits'\n[grid]\nsource = ['digits']")
    before = study_in(tmp_path, text)
    for cell in before.cells:
        finish(cell)
    (before.out).rename(tmp_path / "moved")
    assert all(cell.finished for cell in open_study(str(tmp_path / "tiny.toml"), out=tmp_path / "moved").cells)


def test_cells_that_older_versions_finished_are_finished(study):
    """They kept settings, images, seconds and versions beside what is kept now."""
    cell = study.cells[0]
    kept = json.loads(cell.state("json").read_text(encoding="utf-8"))
    older = {"settings": {"images": 48}, "images": 48, "seconds": 2.0, "versions": {"torch": "2"}}
    cell.state("json").write_text(json.dumps(older | kept), encoding="utf-8")
    assert [asdict(found) for found in cell.records()] == [asdict(record("KID", 1.0)), asdict(record("FID", 10.0))]
    assert replace(cell, evaluation={**cell.evaluation, "reference": "other"}).records() is None
