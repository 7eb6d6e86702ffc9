"""The demo in its quick form, as `ganshift demo --quick` runs it."""

import re

import pytest
from accessibility import in_the_way
from processes import run

from ganshift.cli import main

FOLDERS = ("transfer", "scratch", "dual")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "demo"
    run(["demo", "--quick", "--out", out], out.with_name("said"))
    return out


def test_everybody_can_use_the_page(tab, finished):
    """No serious or critical violation of WCAG, and the keyboard comes to everything."""
    tab.goto((finished / "report.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == tab.viewport_size["width"]
    assert in_the_way(tab) == []


def test_a_phone_shows_what_matters_on_a_short_page(chromium, finished):
    """What came of the runs, pictures and one curve; everything else is folded."""
    tab = chromium.new_page(viewport={"width": 390, "height": 844})
    tab.goto((finished / "report.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollHeight") < 3_500
    assert tab.locator("img.drawing:visible").count() == 1
    assert tab.locator("img:visible").count() == 7, "two sheets, pairs, photographs, two ways there and back, the curve"
    assert tab.locator("h2, li").all_inner_texts()[1] == "Not scored yet: ganshift evaluate does that."
    tab.close()


@pytest.mark.ring_two
def test_quick_demo(finished, capsys):
    out, messages = finished, finished.with_name("said").read_text()
    assert "1/3 transfer" in messages
    assert f"open {out}/report.html" in messages
    assert {path.name for path in out.iterdir()} == {*FOLDERS, "report.html"}
    page = re.sub(r"<[^>]+>", "", (out / "report.html").read_text(encoding="utf-8"))
    assert f"ganshift demo --out {out} --seed 0 --quick" in page

    models = {name: (out / name / "model.safetensors").stat().st_mtime_ns for name in FOLDERS}
    (out / "report.html").unlink()
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    assert capsys.readouterr().err.count("nothing to do") == 3
    assert (out / "report.html").exists()
    assert {name: (out / name / "model.safetensors").stat().st_mtime_ns for name in FOLDERS} == models
