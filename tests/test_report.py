"""The report page: what it shows of real (tiny) runs, and that it needs nothing but itself."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganshift import report
from ganshift.data.bundled import faces, photo_sketch
from ganshift.data.images import to_picture
from ganshift.dual import config as dual_config
from ganshift.dual.train import train as train_dual
from ganshift.errors import UserError
from ganshift.evaluation import check_copying
from ganshift.report.chapters import MOST_STEPS
from ganshift.report.page import LARGEST_EXACT, data_uri, duration, to_png
from ganshift.report.runs import summarize, terms
from ganshift.report.watching import watched
from ganshift.tensors import from_uint8, sheet
from ganshift.transfer import config as transfer_config
from ganshift.transfer.train import train as train_transfer

MARKUP = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "img", "input", "br", "link"}


class Page(HTMLParser):
    """Elements in order, as (name, attributes), and the text outside of scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data

    def all(self, tag, *needed):
        return [attrs for name, attrs in self.elements if name == tag and all(key in attrs for key in needed)]


def tiny(presets, **settings):
    return presets["tiny"] | {"log_every": 16, **settings}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A source, a run from it, a run from scratch with other cadences, and a dual run."""
    root = tmp_path_factory.mktemp("runs")
    for name, settings in {
        "source": {"data": Path("bundled:digits"), "images": 16},
        "pretrained": {"data": Path("bundled:faces"), "source": str(root / "source"), "sample_every": 32},
        "scratch": {"data": Path("bundled:faces"), "images": 80, "sample_every": 40},
    }.items():
        settings = tiny(transfer_config.PRESETS, **settings)
        train_transfer(transfer_config.TransferConfig(out=root / name, **settings))
    settings = tiny(dual_config.PRESETS, log_every=2, data=Path("bundled:photo-sketch"))
    train_dual(dual_config.DualConfig(out=root / "dual", **settings))
    return root


@pytest.fixture(scope="module")
def chapters(runs):
    images = from_uint8(faces(32).read(list(range(64))))
    domains = photo_sketch(32, num_per_domain=1, num_val=2)
    pairs = [
        tuple(to_picture(images.read([index])[0].numpy()) for images in (domains.val_a, domains.val_b))
        for index in range(2)
    ]
    return [
        report.transfer_chapter(
            runs / "pretrained",
            scratch=runs / "scratch",
            source="digits",
            real=sheet(images, 8),
            commands=["ganshift transfer --data 'my images'"],
        ),
        report.dual_chapter(
            runs / "dual",
            names=("photo", "sketch"),
            pairs=pairs,
            about_pairs="From nowhere.",
            commands=["ganshift dual"],
        ),
    ]


def render(path, chapters, **settings):
    settings = {
        "title": "Title",
        "introduction": "One.\n\nTwo.",
        "environment": {"torch": "1"},
        "seconds": 61.0,
    } | settings
    report.render(path, chapters=chapters, **settings)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(chapters, runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    return render(path, chapters, environment=report.environment(runs / "pretrained", runs / "dual"))


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def without_logged_terms(runs, tmp_path, name, change):
    """A copy of the run from scratch, with the lines of its log changed."""
    copy = tmp_path / name
    shutil.copytree(runs / "scratch", copy, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    lines = [json.loads(line) for line in (copy / "log.jsonl").read_text().splitlines()]
    (copy / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in change(lines)))
    return copy


def small_chapter(*figures, **settings):
    settings = {"title": "T", "introduction": "I", "facts": [("name", "value")], "commands": ["run"]} | settings
    return report.Chapter(figures=figures, **settings)


def test_page_loads_nothing(page, html):
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not {"srcset", "style", "onclick", "poster", "background"} & set(attributes)
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
    targets = [link["href"][1:] for link in page.all("a", "href")] + [label["for"] for label in page.all("label")]
    assert set(targets) <= set(ids)
    assert {"content", "chapter-1", "chapter-2", "made"} <= set(targets)


def test_every_picture_can_be_read_and_has_alt_text(page):
    pictures = page.all("img")
    assert len(pictures) > 15
    assert all(len(picture["alt"]) > 10 for picture in pictures)
    for picture in pictures:
        kind, content = re.fullmatch(r"data:image/([\w+]+);base64,(.+)", picture["src"]).groups()
        if kind == "svg+xml":
            assert b"<svg" in base64.b64decode(content)
        else:
            Image.open(io.BytesIO(base64.b64decode(content))).load()


def test_page_is_small(html):
    assert len(html) < 3_000_000


def test_slider_stops_at_every_sample_sheet(page, runs):
    def files(run, name):
        return {int(path.stem.removeprefix(f"{name}-")) for path in (runs / run / "samples").glob(f"{name}-*.png")}

    steps = [json.loads(attributes["data-steps"]) for attributes in page.all("div", "data-steps")]
    assert set(steps[0]) == files("pretrained", "samples") | files("scratch", "samples")
    assert set(steps[1]) == files("dual", "a-b-a") == files("dual", "b-a-b")
    assert all(stops == sorted(stops) for stops in steps)
    assert [entry["max"] for entry in page.all("input")] == [str(len(stops) - 1) for stops in steps]


def test_runs_of_different_cadences_show_their_newest_sheet_at_every_step(page, runs):
    frames = page.all("div", "data-from")
    spans = [(int(frame["data-from"]), float(frame["data-until"] or "inf")) for frame in frames]
    starts = [index for index, (first, _) in enumerate(spans) if first == 0]
    assert len(starts) == 4  # two tracks on each of two sliders
    pretrained, scratch = spans[: starts[1]], spans[starts[1] : starts[2]]
    assert pretrained == [(0, 32), (32, 64), (64, 96), (96, float("inf"))]
    assert scratch == [(0, 40), (40, 80), (80, float("inf"))]


def test_without_scripts_the_last_sheets_are_shown(page):
    frames = page.all("div", "data-from")
    assert ["hidden" in frame for frame in frames] == [frame["data-until"] != "" for frame in frames]
    assert all("hidden" in attributes for _, attributes in page.elements if attributes.get("class") == "control")


def test_page_tells_what_ran(page):
    for words in (
        "This one started from digits, and was then shown the 100 images of bundled:faces",
        "Settings that differ",
        "images, source",
        "pretrained: 96; from scratch: 80",
        "A (photo), 210 images, and B (sketch), 210 images",
        "From nowhere.",
        "made sketch",
        "1 min 1 s",
        "processor cores",
        "ganshift transfer --data 'my images'",
    ):
        assert words in page.text


def test_markup_in_any_text_stays_text(tmp_path):
    figure = report.Figure(title=MARKUP, image="<svg/>", caption=MARKUP, alt=MARKUP, columns=[MARKUP])
    slider = report.Slider(
        title=MARKUP, tracks={MARKUP: [(0, pixels(1))]}, caption=MARKUP, alt=MARKUP, columns={MARKUP: [MARKUP]}
    )
    panels = report.Panels(title=MARKUP, panels=[figure], caption=MARKUP)
    chapter = small_chapter(
        figure, panels, slider, title=MARKUP, introduction=MARKUP, facts=[(MARKUP, MARKUP)], commands=[MARKUP]
    )
    html = render(
        tmp_path / "report.html",
        [chapter],
        title=MARKUP,
        introduction=MARKUP,
        environment={MARKUP: MARKUP},
        commands=[MARKUP],
    )
    page = Page(html)
    assert len(page.all("script")) == 1
    assert page.text.count(MARKUP) >= 20
    assert {image["alt"].startswith(MARKUP) for image in page.all("img")} == {True}


def test_evolution_is_in_order_and_keeps_sheets_of_other_names_apart(runs, tmp_path):
    frames = report.evolution(runs / "pretrained", "samples")
    assert [seen for seen, _ in frames] == [0, 32, 64, 96]
    assert frames[-1][1] == (runs / "pretrained/samples/samples-000000000096.png").read_bytes()
    (tmp_path / "samples").mkdir()
    for name in ("a-000000000010", "a-999999999999", "a-b-000000000002", "a-000000000009", "a-last", "b-000000000001"):
        (tmp_path / f"samples/{name}.png").write_bytes(name.encode())
    found = [content.decode() for _, content in report.evolution(tmp_path, "a")]
    assert found == ["a-000000000009", "a-000000000010", "a-999999999999"]


def test_a_run_without_sheets_or_log_is_the_users_to_solve(runs, tmp_path):
    copy = without_logged_terms(runs, tmp_path, "copy", lambda lines: lines)
    shutil.rmtree(copy / "samples")
    with pytest.raises(UserError, match=r"copy has no samples/samples-\*\.png: ") as error:
        report.transfer_chapter(copy, commands=[])
    assert "\n" not in str(error.value)
    (copy / "log.jsonl").unlink()
    with pytest.raises(UserError, match=r"copy has no log\.jsonl"):
        report.loss_curves({"copy": copy})


def test_a_long_run_shows_evenly_spaced_sheets(runs, tmp_path):
    copy = without_logged_terms(runs, tmp_path, "copy", lambda lines: lines)
    for seen in range(100, 150):
        shutil.copy(copy / "samples/samples-000000000000.png", copy / f"samples/samples-{seen:012d}.png")
    chapter = report.transfer_chapter(copy, commands=[])
    steps = next(figure for figure in chapter.figures if figure.kind == "slider").steps
    assert len(steps) == MOST_STEPS
    assert (steps[0], steps[-1]) == (0, 149)


def test_curves_of_one_line_and_of_missing_terms(runs, tmp_path):
    one = without_logged_terms(runs, tmp_path, "one", lambda lines: lines[-1:])
    less = without_logged_terms(
        runs,
        tmp_path,
        "less",
        lambda lines: [line | {"terms": {"critic/distance": 1.0, "odd": float("nan")}} for line in lines],
    )
    found = terms({"one": one, "less": less})
    gradients = ["gradient/critic", "gradient/generator"]
    assert list(found) == ["critic/distance", "critic/penalty", "generator/adversarial", *gradients]
    assert set(found["critic/distance"]) == {"one", "less"}
    assert set(found["critic/penalty"]) == {"one"}
    curves = report.loss_curves({"one": one, "less": less})
    assert list(curves) == list(found)
    assert "<use" in curves["critic/penalty"]  # a marker, since one point makes no line
    assert curves == report.loss_curves({"one": one, "less": less})


def test_a_run_that_has_logged_nothing_yet_has_a_page(runs, tmp_path):
    copy = without_logged_terms(runs, tmp_path, "copy", lambda lines: [])
    assert summarize(copy).images == 0
    html = render(tmp_path / "report.html", [report.transfer_chapter(copy, commands=[])])
    assert "Nothing has been logged yet." in html


def test_curves_follow_light_and_dark(runs):
    (curve, *_) = report.loss_curves({"a": runs / "scratch", "b": runs / "pretrained"}).values()
    assert "prefers-color-scheme:dark" in curve
    assert len(re.findall("#0072b2", curve)) == 1  # in the definition only
    assert "var(--c1)" in curve
    assert "var(--c2)" in curve


def test_chapters_of_single_runs(runs, tmp_path):
    transfer = report.transfer_chapter(runs / "scratch", commands=[])
    dual = report.dual_chapter(runs / "dual", commands=[])
    page = Page(render(tmp_path / "report.html", [transfer, dual]))
    assert "started from random weights" in page.text
    assert "Dual: translate A to B, and back" in page.text
    assert "With your own images" not in page.text


def test_a_checked_run_shows_its_nearest_pairs(runs, tmp_path):
    run = Path(shutil.copytree(runs / "scratch", tmp_path / "run"))
    check_copying(run, num_images=20, device="cpu")
    page = Page(render(tmp_path / "report.html", [report.transfer_chapter(run, commands=[])]))
    assert "Is it copying?" in page.text
    assert "20 generated images lie" in page.text
    assert "8 generated images above their nearest training images." in [
        attrs["alt"] for attrs in page.all("img", "alt")
    ]


def pixels(channels, side=8):
    random = np.random.default_rng(0)
    return to_png(random.integers(0, 256, (side, side, channels), dtype=np.uint8).repeat(3 // channels, axis=2))


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_stored_exactly(channels):
    png = pixels(channels)
    stored = Image.open(io.BytesIO(base64.b64decode(data_uri(png).split(",")[1])))
    np.testing.assert_array_equal(stored.convert("RGB"), Image.open(io.BytesIO(png)))


def test_large_pictures_are_compressed():
    address = data_uri(pixels(3, side=300))
    assert address.startswith("data:image/webp")
    assert len(base64.b64decode(address.split(",")[1])) < LARGEST_EXACT


def test_environment_names_every_version(runs, tmp_path):
    copy = without_logged_terms(runs, tmp_path, "copy", lambda lines: lines)
    config = json.loads((copy / "config.json").read_text())
    config["versions"]["torch"] = "3.0"
    (copy / "config.json").write_text(json.dumps(config))
    found = report.environment(runs / "scratch", runs / "dual", copy)
    assert found["torch"].endswith(", 3.0")
    assert found["torch"].count(",") == 1
    assert {"ganshift", "numpy", "python", "platform", "processor cores"} <= set(found)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "less than a second"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3600.0, "1 h 0 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_scores_and_what_was_said_of_a_run_are_shown(runs, tmp_path):
    """A run of three evaluations, and one that was not evaluated."""
    run = Path(shutil.copytree(runs / "pretrained", tmp_path / "watched"))
    scores = {32: 20.0, 64: 1.25, 96: 2.0}
    lines = [
        {"images": images, "score": {"name": "KID[cifar]", "value": value, "error": 0.25}}
        for images, value in scores.items()
    ]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    message = {"images": 64, "kind": "alike", "message": "generated images have become alike."}
    (run / "health.json").write_text(json.dumps({"rollbacks": 0, "messages": [message]}))
    (part,) = watched({"this": run, "other": runs / "scratch"})
    (figure,) = part.panels
    assert figure.title == "KID[cifar]"
    assert "this: 1.25 ± 0.2 at 64 images" in figure.caption
    assert "logarithmic" in figure.caption
    assert "fill-opacity" in figure.image or "opacity: 0.25" in figure.image
    assert "this, at 64 images: generated images have become alike." in part.caption
    chapter = report.transfer_chapter(run, commands=[])
    assert part.title in [figure.title for figure in chapter.figures]
    page = Page(render(tmp_path / "page.html", [chapter]))
    assert "generated images have become alike." in page.text
    assert watched({"other": runs / "scratch"}) == []
