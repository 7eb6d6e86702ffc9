"""The report page: what it shows of real (tiny) runs, and that it needs nothing but itself."""

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import pytest
from PIL import Image
from reports import MARKUP, SHOWN, Page, page_of, pixels

from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.methods.words import ReportWords
from ganshift.tools import report
from ganshift.tools.report.page import Figure, render
from ganshift.tools.report.plots import looks


@pytest.fixture(scope="module")
def html(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    beside = Figure(title="Beside", image=pixels(3), caption="From nowhere.", alt="Pairs of pictures.")
    report.write_report(
        {"pretrained": runs / "pretrained", "from scratch": runs / "scratch", "sketches": runs / "dual"},
        path,
        notes={"sketches": {"figures": [beside]}},
        command="ganshift report 'my run'",
    )
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_loads_nothing(page, html):
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not {"srcset", "onclick", "poster", "background"} & set(attributes)
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/")
        if "href" in attributes:
            assert attributes["href"].startswith("#")
    policy = page.all("meta", "http-equiv")[0]["content"]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not re.search(r"https?://|url\(|@import|fetch\(", html)


def test_page_is_well_formed_and_links_lead_somewhere(page):
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [link["href"][1:] for link in page.all("a", "href")] + [
        label["for"] for label in page.all("label", "for")
    ]
    assert set(targets) <= set(ids)
    assert "content" in targets


def test_every_picture_can_be_read_and_has_alt_text(page):
    pictures = page.all("img")
    assert len(pictures) > 15
    assert all(len(picture["alt"]) > 10 for picture in pictures)
    for picture in pictures:
        kind, content = re.fullmatch(r"data:image/([\w+]+);base64,(.+)", picture["src"]).groups()
        if kind == "svg+xml":
            assert b"<svg" in base64.b64decode(content)
        else:
            stored = Image.open(io.BytesIO(base64.b64decode(content)))
            assert (str(stored.width), str(stored.height)) == (picture["width"], picture["height"])


def test_every_run_has_a_slider_with_all_its_grids(page, runs):
    def files(run, name):
        return len(list((runs / run / "samples").glob(f"{name}-*.png")))

    expected = [("pretrained", "samples"), ("scratch", "samples"), ("dual", "a-b-a"), ("dual", "b-a-b")]
    ranges = page.all("input", "min")
    assert [entry["max"] for entry in ranges] == [str(files(*each) - 1) for each in expected]
    assert [entry["aria-label"].split(":")[0] for entry in ranges] == [
        *("pretrained", "from scratch"),
        *("photo to sketch and back", "sketch to photo and back"),
    ]
    frames = [int(frame["data-seen"]) for frame in page.all("div", "data-seen")]
    assert frames[:7] == [0, 32, 64, 96, 0, 40, 80]


def test_without_scripts_the_last_grids_are_shown(page):
    frames = page.all("div", "data-seen")
    starts = [int(frame["data-seen"]) == 0 for frame in frames]
    assert ["hidden" not in frame for frame in frames] == [*starts[1:], True]
    assert all("hidden" in attributes for _, attributes in page.elements if attributes.get("class") == "control")


def test_page_tells_what_ran(page, runs):
    for words in (
        f"{runs / 'source'}",
        "random weights",
        "bundled:faces: 100",
        "A (photo), 210 images, and B (sketch), 210 images",
        "From nowhere.",
        "to sketch",
        "processor cores",
        "ganshift report 'my run'",
    ):
        assert words in page.text
    assert "What is missing" not in page.text


def test_what_differs_and_nothing_else_is_in_the_table(runs, tmp_path):
    page = page_of([runs / "pretrained", runs / "scratch"], tmp_path / "page.html")
    cells = page.text.split("Settings that differ")[1].split("Everything else")[0].split("|")
    rows = [[cell.strip() for cell in cells[start : start + 3]] for start in range(0, len(cells) - 1, 3)]
    assert rows == [
        ["setting", "pretrained", "scratch"],
        ["images", "96", "80"],
        ["source", str(runs / "source"), "not set"],
        ["sample every", "32", "40"],
    ]
    same = page_of({"one": runs / "scratch", "two": runs / "scratch"}, tmp_path / "same.html")
    assert "All settings but the folder are the same." in same.text


FIGURE = Figure(title=MARKUP, image="<svg/>", caption=MARKUP, alt=MARKUP, columns=[MARKUP])
CHAPTER = {
    "title": MARKUP,
    "introduction": MARKUP,
    "runs": [MARKUP],
    "words": ReportWords(about_grids=MARKUP, about_curves=MARKUP, grid_alt=MARKUP),
    "notes": {"figures": [FIGURE], "folded": [FIGURE], "commands": [MARKUP]},
    "looks": looks([MARKUP]),
    "grids": {MARKUP: [{"label": MARKUP, "frames": [(0, pixels(1))], "columns": [MARKUP]}]},
    **{key: [MARKUP] for key in ("verdict", "problems", "apart", "messages", "commands", "unknown")},
    **{key: [(MARKUP, MARKUP)] for key in ("glance", "records", "differences", "settings")},
    **{key: [FIGURE] for key in ("main", "nearest", "curves")},
}
TEMPLATES = {
    "report.html.j2": {"chapters": [CHAPTER, CHAPTER | {"runs": [MARKUP, MARKUP]}]},
    "study.html.j2": {
        "recipe": {"published": MARKUP, "text": MARKUP},
        "curves": {MARKUP: [FIGURE]},
        "grids": {MARKUP: [FIGURE]},
        "looks": looks([MARKUP]),
        "own": MARKUP,
        "benefit": [
            SimpleNamespace(place=MARKUP, sentence=lambda: MARKUP, tables=lambda: {MARKUP: [[MARKUP], [MARKUP]]})
        ],
        **{key: [MARKUP] for key in ("axes", "scores", "apart")},
        **{key: [(MARKUP, MARKUP)] for key in ("rows", "failed", "facts")},
    },
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_markup_in_any_text_stays_text(template, tmp_path):
    path = tmp_path / "report.html"
    render(
        path,
        template,
        title=MARKUP,
        introduction=MARKUP,
        environment={MARKUP: MARKUP},
        seconds=1.0,
        command=MARKUP,
        **TEMPLATES[template],
    )
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert len(page.all("script")) == 1
    assert page.text.count(SHOWN) >= 20
    assert not {"\u202e", "\x1b"} & set(html)
    assert {image["alt"].startswith(SHOWN) for image in page.all("img")} == {True}


def test_names_of_folders_and_classes_stay_text(copy, tmp_path):
    run = copy(name=MARKUP.replace("/", "_"))
    config = json.loads((run / "config.json").read_text())
    config |= {"classes": [MARKUP, "\udc80"], "versions": {MARKUP: MARKUP}}
    config["training"] |= {"data": MARKUP, "source": MARKUP}
    (run / "config.json").write_text(json.dumps(config))
    page = page_of([run, copy(name="other")], tmp_path / "page.html")
    assert len(page.all("script")) == 1
    assert SHOWN in page.text
    assert "\\udc80" in page.text


def test_a_single_run(runs, tmp_path):
    page = page_of([runs / "scratch"], tmp_path / "transfer.html")
    assert "This one started from random weights, and then learned the 100 images of bundled:faces" in page.text
    assert "All settings" in page.text
    assert "Move the sliders together" not in page.text
    page = page_of([runs / "dual"], tmp_path / "dual.html")
    assert "Dual: translate photo to sketch, and back" in page.text
    assert "Move the sliders together" in page.text


def test_cards_are_laid_beside_their_like_only(runs, copy, tmp_path):
    page = page_of([runs / "pretrained", runs / "scratch"], tmp_path / "page.html")
    table = page.text.split("By ganshift evaluate, with")[0].split("measured|")[1]
    assert table.count("KID[cifar]") == 1
    assert "20 images, of 100 train" in table
    other = copy("pretrained", "other")
    (path,) = (other / "cards").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))
    page = page_of([other, runs / "scratch"], tmp_path / "page.html")
    assert "Scores in more than one row were measured differently. KID[cifar]: seed: 7 / 0." in page.text


def test_a_checked_run_shows_its_nearest_pairs(runs, tmp_path):
    page = page_of([runs / "pretrained"], tmp_path / "report.html")
    assert "20 generated images lie" in page.text
    assert "8 generated images above their nearest training images." in [
        attributes["alt"] for attributes in page.all("img", "alt")
    ]


def test_scores_and_what_was_said_of_a_run_are_shown(runs, copy, tmp_path):
    """A run of three evaluations, and one that was not evaluated."""
    run = copy("pretrained", "watched")
    scores = {32: 20.0, 64: 1.25, 96: 2.0}
    lines = [
        {"images": images, "score": {"name": "KID[cifar]", "value": value, "error": 0.25}}
        for images, value in scores.items()
    ]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    message = {"images": 64, "kind": "alike", "message": "generated images have become alike."}
    (run / "health.json").write_text(json.dumps({"rollbacks": 0, "messages": [message]}))
    page = page_of([run, runs / "scratch"], tmp_path / "page.html")
    band = "The band shows one standard error to each side. The scale is logarithmic."
    assert f"Best: watched: 1.25 ± 0.2 at 64 images. {band}" in page.text
    assert "watched, at 64 images: generated images have become alike." in page.text
    assert "watched: KID[cifar] was best at 64 images: 1.25 ± 0.2. At the end it was 2; lower is better." in page.text
    assert "watched: There was a warning at 64 images: generated images have become alike." in page.text
    assert "scratch: No sign of a collapse was seen." in page.text
    page = page_of([run], tmp_path / "page.html")
    assert "At 64 images: generated images have become alike." in page.text
    assert "KID[cifar] 1.25 ± 0.2 at 64 images" in page.text


def test_a_score_taken_once_is_no_curve(copy, runs, tmp_path):
    """Of a run by itself the first loss stands there instead; those of several critics have no scale in common."""
    run = copy("pretrained", "once")
    line = {"images": 96, "score": {"name": "KID[cifar]", "value": 1.25, "error": 0.25}}
    (run / "evaluations.jsonl").write_text(json.dumps(line) + "\n")

    def shown(*folders):
        text = page_of(folders, tmp_path / "page.html").text
        return text.split("What ran")[0].partition("While it learned")[2]

    assert "critic/distance" in shown(run)
    assert shown(run, runs / "scratch") == ""
    assert "a/reconstruction" in shown(runs / "dual", copy("dual", "other"))
    (run / "evaluations.jsonl").write_text("".join(json.dumps(line | {"images": seen}) + "\n" for seen in (48, 96)))
    assert "KID[cifar]" in shown(run, runs / "scratch")


def test_the_command_writes_into_the_run_or_where_it_is_told(copy, tmp_path, capsys, monkeypatch):
    run = copy()
    assert main(["report", str(run)]) == 0
    assert f"wrote {run}/report.html" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(run), str(copy(name="other")), "-o", "new/page.html"]) == 0
    text = Page((tmp_path / "new/page.html").read_text(encoding="utf-8")).text
    assert "2 runs: copy, other" in text
    assert f"ganshift report {run}" in text


def test_what_cannot_be_reported_is_one_line(runs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/config.json").write_text("{")
    for arguments, words in (
        ([tmp_path / "none"], "is not a run folder"),
        ([tmp_path / "empty"], "there is no config.json in it"),
        ([tmp_path / "foreign"], "is of method None, which ganshift does not have"),
        ([tmp_path / "damaged"], "cannot read"),
        ([runs / "dual", tmp_path / "empty"], "there is no config.json in it"),
        ([runs / "dual", "-o", tmp_path], "is not a page"),
    ):
        assert main(["report", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    with pytest.raises(UserError, match="at most 16 runs"):
        report.write_report({str(number): runs / "dual" for number in range(17)}, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_folders_of_one_name_are_told_apart(runs, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(runs / "scratch", tmp_path / name / "run", ignore=shutil.ignore_patterns("*.pt"))
    page = page_of([tmp_path / "a/run", tmp_path / "b/run", tmp_path / "a/../a/run"], tmp_path / "page.html")
    assert "2 runs: a/run, b/run" in page.text
