"""Runs that are unfinished, damaged or mean ill: what is missing is said, and nothing else happens."""

import json
import os
import random
import shutil

import pytest
from reports import page_of

from ganshift.data.domain_names import UNNAMED, shared_names
from ganshift.errors import UserError
from ganshift.inference.names import bundled_models
from ganshift.tools.report.plots import MOST_POINTS, plot_curves
from ganshift.tools.report.runs import environment, open_run

ABSURD = [None, -1, 0, 2**70, 1.5, float("nan"), "x", True, [], [1, 2, 3], {"a": 1}, "\x1b[31m\n", 10**400]
LINE = {"images": 5, "terms": {"a": 10**400, "b": 1e300, "c": -1e29, "d": 1e29}}
SCORE = {"images": 5, "score": {"name": "KID", "value": 1e29, "error": 1e29}}


@pytest.fixture
def quiet_run(copy):
    """A run without a log or grids, whose page has few pictures."""
    run = copy(log=[])
    shutil.rmtree(run / "samples")
    shutil.rmtree(run / "cards")
    return run


def said_of(run, tmp_path):
    """The page's text, or the line that says why there is none."""
    try:
        return page_of([run], tmp_path / "page.html").text
    except UserError as error:
        (line,) = str(error).splitlines()
        return line


def test_a_model_without_a_run_says_what_is_missing(tmp_path):
    model = shutil.copytree(bundled_models()["digits32"], tmp_path / "digits32")
    text = said_of(model, tmp_path)
    assert "What is missing" in text
    assert "There are no sample grids (samples/samples-*.png)." in text
    assert "There is nothing in log.jsonl" in text


def test_an_unfinished_run_says_how_far_it_is(copy, tmp_path):
    run = copy(log=[{"images": 48, "iteration": 6, "seconds": 1.0, "terms": {"loss": 1.0}}])
    (run / "model.safetensors").unlink()
    text = said_of(run, tmp_path)
    assert "48 of 80; the same command goes on" in text
    assert "There is no model.safetensors: no model was saved yet." in text


def test_descriptions_with_anything_in_place_of_anything(quiet_run, tmp_path):
    whole = json.loads((quiet_run / "config.json").read_text())
    draws = random.Random(0)
    places = [(name,) for name in whole] + [(part, name) for part in ("training", "data") for name in whole[part]]
    for *parts, last in places:
        for value in draws.sample(ABSURD, 2):
            config = json.loads(json.dumps(whole))
            within = config[parts[0]] if parts else config
            within[last] = value
            (quiet_run / "config.json").write_text(json.dumps(config))
            assert said_of(quiet_run, tmp_path)
    (quiet_run / "config.json").write_text(json.dumps(whole | {"versions": {"torch": 3, "numpy": [], "python": "4"}}))
    assert environment([open_run(quiet_run)]).keys() == {"python", "this page written on"}


@pytest.mark.parametrize(
    "name",
    [
        *("log.jsonl", "evaluations.jsonl", "health.json", "copying.json", "copying.png", "cards/a.json"),
        *("samples/samples-000000000096.png", "left-out.txt", "model.safetensors"),
    ],
)
def test_damaged_files_are_told_or_passed_over(quiet_run, name, tmp_path):
    path = quiet_run / name
    path.parent.mkdir(exist_ok=True)
    contents = [b"", b"[]", b"\xff\xfe", b"[" * 200_000, b"null", json.dumps(LINE).encode(), json.dumps(SCORE).encode()]
    for content in (*contents, b'{"messages": 3}', b'{"messages": [{"images": 1e400, "message": []}]}'):
        path.write_bytes(content)
        assert "Run copy" in said_of(quiet_run, tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert "Run copy" in said_of(quiet_run, tmp_path)
    path.unlink()
    path.mkdir()
    assert "Run copy" in said_of(quiet_run, tmp_path)


def test_verdicts_of_any_value(quiet_run, runs, tmp_path):
    whole = json.loads((runs / "pretrained/copying.json").read_text())
    for number, name in enumerate(whole):
        value = ABSURD[number % len(ABSURD)]
        (quiet_run / "copying.json").write_text(json.dumps(whole | {name: value}))
        assert said_of(quiet_run, tmp_path)
    (quiet_run / "copying.json").write_text(json.dumps(whole | {"median_distance": "far"}))
    assert "What a check for copies found cannot be read" in said_of(quiet_run, tmp_path)


def test_a_damaged_grid_leaves_the_others(copy, tmp_path):
    run = copy()
    first = run / "samples/samples-000000000000.png"
    first.write_bytes(first.read_bytes()[:200])
    page = page_of([run], tmp_path / "page.html")
    assert page.text.count("This picture cannot be shown") == 1
    assert len(page.all("div", "data-seen")) == 3


def test_grids_are_in_order_and_those_of_other_names_apart(quiet_run):
    (quiet_run / "samples").mkdir()
    for name in ("a-000000000010", "a-999999999999", "a-b-000000000002", "a-000000000009", "a-last", "b-000000000001"):
        (quiet_run / f"samples/{name}.png").write_bytes(b"")
    found = open_run(quiet_run).grid_files("a")
    assert [path.stem for _, path in found] == ["a-000000000009", "a-000000000010", "a-999999999999"]


def test_logs_of_one_line_and_of_many(copy, tmp_path):
    one = copy(name="one", log=[{"images": 8, "terms": {"loss": 1.0, "odd": float("nan")}}])
    many = copy(name="many", log=[{"images": 8 * n, "terms": {"loss": n % 7}} for n in range(5_000)])
    page_of([one, many], tmp_path / "page.html")
    alone = plot_curves({"one": [(8, 1.0)]}, ["one"], 8)
    assert "<use" in alone  # a marker, since one point makes no line
    curve = [(8 * n, float(n % 7)) for n in range(5_000)]
    long = plot_curves({"many": curve}, ["many"], 40_000)
    assert long.count("\nL ") < 2 * MOST_POINTS
    assert long == plot_curves({"many": curve}, ["many"], 40_000)


def test_curves_follow_light_and_dark():
    curve = plot_curves({"a": [(0, 1.0), (9, 2.0)], "b": [(0, 1.0), (9, 2.0)]}, ["a", "b"], 9)
    assert "prefers-color-scheme:dark" in curve
    assert curve.count("#0072b2") == 1  # in the definition only
    assert "var(--c1)" in curve
    assert "var(--c2)" in curve


def test_no_runs_have_no_names_of_domains():
    """As on the page of a study that was stopped before a cell had finished."""
    assert shared_names([]) == UNNAMED
