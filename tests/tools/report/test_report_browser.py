"""The page in a browser: the slider moves the picture, nothing is loaded, nothing is wider than a phone."""

import json

import pytest
from accessibility import in_the_way
from reports import MARKUP

from ganshift.tools import report


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    """A page of runs of both methods, one of which has a name that is long and odd."""
    path = tmp_path_factory.mktemp("browser") / "report.html"
    names = {"pretrained": "pretrained", f"{MARKUP} {'long' * 30}": "scratch", "sketches": "dual", "other": "dual"}
    report.write_report({label: runs / name for label, name in names.items()}, path)
    return path.as_uri()


def opened(chromium, address, width, mode):
    """A tab with the page, and what it asked for or complained about."""
    tab = chromium.new_page(viewport={"width": width, "height": 844}, color_scheme=mode)
    wrong = []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: request.url.startswith(("data:", "file:")) or wrong.append(request.url))
    tab.goto(address)
    return tab, wrong


@pytest.mark.parametrize(("width", "mode"), [(390, "light"), (1280, "dark")])
def test_nothing_is_loaded_or_wider_than_the_screen(chromium, address, width, mode):
    tab, wrong = opened(chromium, address, width, mode)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 21, 24)"
    assert dark == (mode == "dark")
    assert wrong == []
    tab.close()


@pytest.mark.parametrize("name", ["several", "pretrained", "dual"])
def test_everybody_can_use_it(tab, address, runs, tmp_path, name):
    """No serious or critical violation of WCAG, folded or not, and the keyboard comes to everything."""
    if name != "several":
        report.write_report([runs / name], tmp_path / "report.html")
        address = (tmp_path / "report.html").as_uri()
    tab.goto(address)
    assert in_the_way(tab) == []


def test_a_phone_shows_what_matters_on_a_short_page(chromium, copy, tmp_path):
    """What came of the run, its pictures and one curve; everything else is folded, and opens with the keyboard."""
    for name in ("pretrained", "scratch", "dual"):
        run = copy(name, name)
        warned = {"images": 8, "kind": "alike", "message": "A warning says what was seen and what to try instead. " * 4}
        (run / "health.json").write_text(json.dumps({"rollbacks": 0, "messages": [warned]}))
        report.write_report([run], tmp_path / f"{name}.html")
        tab, wrong = opened(chromium, (tmp_path / f"{name}.html").as_uri(), 390, "light")
        assert tab.evaluate("document.documentElement.scrollHeight") < 3_500
        assert tab.locator("section > ul.notices").first.is_visible()
        assert tab.locator("img.drawing:visible").count() == 1, "one curve"
        folded = tab.locator("summary", has_text="All settings")
        folded.focus()
        tab.keyboard.press("Enter")
        assert tab.locator("details[open] dt", has_text="seed").first.is_visible()
        assert wrong == []
        tab.close()


def test_so_does_a_page_of_several_runs(chromium, runs, tmp_path):
    four = {"one": "pretrained", "two": "scratch", "three": "pretrained", "four": "scratch"}
    report.write_report({label: runs / name for label, name in four.items()}, tmp_path / "report.html")
    tab, wrong = opened(chromium, (tmp_path / "report.html").as_uri(), 390, "light")
    assert tab.evaluate("document.documentElement.scrollHeight") < 3_500
    assert wrong == []
    tab.close()


def test_arrow_keys_move_the_picture(chromium, address):
    tab, wrong = opened(chromium, address, 1280, "light")
    slider = tab.locator("[data-slider]").first
    ranges, outputs = slider.locator("input[type=range]"), slider.locator("output")
    assert outputs.all_inner_texts() == ["96", "80"]
    before = slider.locator("img:visible").first.get_attribute("src")
    ranges.first.focus()
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab.keyboard.press("ArrowLeft")
    assert outputs.all_inner_texts() == ["64", "40"]  # the other shows its newest by then
    assert slider.locator("img:visible").count() == 2
    assert slider.locator("img:visible").first.get_attribute("src") != before
    tab.keyboard.press("Home")
    assert outputs.all_inner_texts() == ["0", "0"]
    slider.get_by_label("Move the sliders together").uncheck()
    ranges.first.focus()
    tab.keyboard.press("End")
    assert outputs.all_inner_texts() == ["96", "0"]
    assert wrong == []
    tab.close()


def test_the_first_tab_stop_skips_to_the_results(chromium, address):
    tab, wrong = opened(chromium, address, 390, "dark")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    assert wrong == []
    tab.close()
