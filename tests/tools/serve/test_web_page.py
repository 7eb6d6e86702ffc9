"""The page in headless Chromium, at the widths of a desk and a phone: every control, and what it must never do."""

import io
import re
import urllib.request
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from accessibility import SCREENS, barriers
from live import CLASSES, leaks, picture
from PIL import Image
from playwright.sync_api import expect

from ganshift import Generator, Translator

TABS = ("Translate", "Generate", "Files", "Video", "About")
WAY = "photo to line drawing 画"
GRADIO_SAYS = "Method not implemented."
"""What Gradio's own stand-in for an EventSource says whenever an upload is over."""
expect.set_options(timeout=60_000)  # machines that test may be busy


@pytest.fixture(scope="module", params=SCREENS)
def visit(request, chromium, server):
    """A page that has been opened, and what it has said and asked for since."""
    context = chromium.new_context(viewport=SCREENS[request.param])
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(server[1])
    page.get_by_role("button", name="Translate", exact=True).wait_for()
    yield page
    context.close()


@pytest.fixture
def page(visit):
    """The page, of which nothing may have been said, and nobody else asked, when a test is over."""
    visit.said.clear()
    yield visit
    assert [said for said in visit.said if said != GRADIO_SAYS] == []
    home = visit.url.rstrip("/")
    assert [url for url in visit.asked if not url.startswith((home, f"blob:{home}", "data:"))] == []
    assert visit.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()
    panel = page.locator("[role=tabpanel]:visible")
    expect(panel).to_have_count(1)
    return panel


def choose(page, panel, label, option):
    panel.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def number(panel, label, value):
    field = panel.get_by_role("spinbutton", name=label)
    field.fill(str(value))
    field.press("Tab")


def give(panel, *files):
    """Files are uploaded when the page shows them."""
    panel.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": kind, "buffer": data} for name, kind, data in files]
    )


def clear(panel):
    """Take away what was given, whatever Gradio calls that."""
    panel.locator(".ask").get_by_role("button", name="Remove Image").or_(
        panel.locator(".ask").get_by_role("button", name="Clear")
    ).first.click()


def press(panel, name, said):
    panel.get_by_role("button", name=name, exact=True).click()
    expect(panel.locator(".result .prose").last).to_contain_text(said)


def saved(page, locator):
    with page.expect_download() as waiting:
        locator.click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def fetched(page, image):
    """The bytes of a picture that is shown."""
    source = image.get_attribute("src")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the usual one remembers another test's
    with direct.open(source) as response:
        return response.read()


def test_the_first_screen_has_examples_and_a_result(page, runs):
    panel = open_tab(page, "Translate")
    expect(panel.locator(".result .prose").last).to_have_text(f"Translated {WAY}, 192 x 128 pixels.")
    start, made = panel.locator(".result img").all()
    expected = Translator.from_pretrained(runs[2], "cpu")(Image.open(io.BytesIO(fetched(page, start))))
    assert Image.open(io.BytesIO(fetched(page, made))).tobytes() == expected.tobytes()
    expect(panel.get_by_role("button", name="Thumbnail")).to_have_count(6)
    expect(panel.get_by_role("img", name="The picture to translate")).to_be_visible()


def test_an_upload_clears_the_result_and_is_translated(page, runs):
    panel = open_tab(page, "Translate")
    data = picture((70, 45), form="JPEG")
    clear(panel)
    give(panel, ("photo.jpg", "image/jpeg", data))
    expect(panel.locator(".ask img")).to_have_attribute("src", re.compile(r"photo\.jpg$"))
    expect(panel.locator(".result img")).to_have_count(0)
    press(panel, "Translate", f"Translated {WAY}, 70 x 45 pixels.")
    expect(panel.locator(".result img").first).to_be_in_viewport(ratio=0.9)  # without scrolling, also on a phone
    name, there = saved(page, panel.get_by_label("Download").or_(panel.locator(".result a[download]")).first)
    assert name == "photo2line-drawing-画.png"
    expected = Translator.from_pretrained(runs[2], "cpu")(Image.open(io.BytesIO(data)))
    assert Image.open(io.BytesIO(there)).tobytes() == expected.tobytes()


def test_an_example_brings_its_way_and_its_result(page):
    panel = open_tab(page, "Translate")
    panel.get_by_role("button", name="Thumbnail 5 of 6").click()
    expect(panel.locator(".result .prose").last).to_have_text("Translated line drawing 画 to photo, 192 x 192 pixels.")
    expect(panel.get_by_label("Translate", exact=True).first).to_have_value("line drawing 画 to photo")


def test_there_and_back_at_the_size_of_training(page):
    panel = open_tab(page, "Translate")
    choose(page, panel, "Translate", f"{WAY} and back")
    panel.get_by_label("cropped and scaled as in training").check()
    press(panel, "Translate", f"Translated {WAY} and back, 32 x 32 pixels. The way back ends 0.")
    panel.get_by_label("at most 1024 pixels a side").check()
    choose(page, panel, "Translate", WAY)


def test_refusals_are_shown(page):
    panel = open_tab(page, "Translate")
    clear(panel)
    give(panel, ("x.png", "image/png", picture((64, 64), form="JPEG")[:500]))
    panel.get_by_role("button", name="Translate", exact=True).click()
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("Truncated file.")
    assert not leaks(toast.inner_text())
    page.get_by_test_id("toast-close").click()
    expect(toast).to_have_count(0)


def test_cancelling(page):
    """What goes on is ended, and the next is computed."""
    panel = open_tab(page, "Files")
    give(panel, *((f"{at}.png", "image/png", picture((540, 540), mode="L")) for at in range(30)))
    expect(panel.get_by_role("row", name="29.png")).to_be_visible()
    panel.get_by_role("button", name="Translate all").click()
    panel.get_by_role("button", name="Cancel").click()
    clear(panel)
    give(panel, ("a.png", "image/png", picture((64, 64))))
    expect(panel.get_by_role("row", name="a.png")).to_be_visible()
    press(panel, "Translate all", "Translated 1 of 1 pictures")
    clear(panel)


def test_several_files(page):
    panel = open_tab(page, "Files")
    give(panel, ("one.png", "image/png", picture((40, 30))), ("two.jpg", "image/jpeg", picture((30, 40), form="JPEG")))
    expect(panel.get_by_role("row", name="two.jpg")).to_be_visible()
    press(panel, "Translate all", f"Translated 2 of 2 pictures {WAY}.")
    name, packed = saved(page, panel.locator(".result a[download]").first)
    assert name == "photo2line-drawing-画.zip"
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["one.png", "two.png"]
    clear(panel)
    expect(panel.locator(".result a[download]")).to_have_count(0)


def test_a_video(page, tmp_path):
    with av.open(str(tmp_path / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(0, 250, 50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), format="rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
    panel = open_tab(page, "Video")
    give(panel, ("clip.mp4", "video/mp4", (tmp_path / "clip.mp4").read_bytes()))
    expect(panel.locator(".ask video")).to_be_visible()
    press(panel, "Translate", f"Translated 5 frames {WAY}.")
    expect(panel.locator(".result video")).to_be_visible()


def test_pictures_of_a_class(page, runs):
    panel = open_tab(page, "Generate")
    choose(page, panel, "Class", CLASSES[2])
    number(panel, "Seed", 5)
    number(panel, "number input for Truncation", 0.5)
    number(panel, "number input for Pictures", 4)
    press(panel, "Generate", "Drawn: 4 pictures of seed 5.")
    shown = panel.locator(".result .grid-container img")
    expect(shown).to_have_count(4)
    expected = Generator.from_pretrained(runs[0], "cpu").sample(4, CLASSES[2], 5, truncation=0.5)
    assert [Image.open(io.BytesIO(fetched(page, image))).tobytes() for image in shown.all()] == [
        each.tobytes() for each in expected
    ]
    expect(panel.locator(".caption-label").first).to_have_text(CLASSES[2])
    panel.get_by_role("button", name="Thumbnail 2 of 4").click()  # enlarged
    large = panel.locator(".preview img").first
    expect(large).to_be_visible()
    assert large.bounding_box()["width"] > 2 * shown.first.evaluate("image => image.naturalWidth")
    name, png = saved(page, panel.get_by_role("link", name="Download").or_(panel.get_by_label("Download")).first)
    assert Image.open(io.BytesIO(png)).tobytes() == expected[1].tobytes()
    assert name == "images-001.png"
    page.keyboard.press("Escape")


def test_classes_follow_the_model(page):
    panel = open_tab(page, "Generate")
    choose(page, panel, "Model", "plain-best")
    panel.get_by_label("Class", exact=True).click()
    expect(page.get_by_role("option")).to_contain_text(["all in turn"])
    page.keyboard.press("Escape")
    panel.get_by_label("some of each class").check()
    panel.get_by_role("button", name="Generate").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("A class grid needs a generator with classes")
    page.get_by_test_id("toast-close").click()
    choose(page, panel, "Model", "flowers")
    panel.get_by_label("Class", exact=True).click()
    expect(page.get_by_role("option")).to_contain_text(["all in turn", *CLASSES])
    page.keyboard.press("Escape")
    number(panel, "number input for Pictures", 2)
    press(panel, "Generate", "Drawn: 6 pictures of seed 5.")
    panel.get_by_label("steps from one to the next").check()
    number(panel, "number input for Pictures", 5)
    press(panel, "Generate", "Drawn: 5 pictures of seed 5.")
    expect(panel.locator(".caption-label").last).to_have_text("step 5")


def test_cards(page):
    panel = open_tab(page, "About")
    expect(panel.get_by_role("heading", level=1)).to_have_text(["flowers", "plain-best", "sketch"])
    expect(panel.locator("img")).to_have_count(4)
    expect(panel).to_contain_text("SHA-256 of model.safetensors")
    text = panel.inner_text()
    assert text.index("of 3 classes, of 32 x 32 pixels") < text.index("SHA-256")
    assert "Classes: cat, dog, <b>rose</b>." in text
    assert "FID[cifar]" in text
    assert panel.locator("b").count() == 0
    assert not leaks(text)


def test_the_keyboard_alone_translates(page):
    panel = open_tab(page, "Translate")
    panel.get_by_role("button", name="Thumbnail 1 of 6").click()
    expect(panel.locator(".result .prose").last).to_have_text(f"Translated {WAY}, 192 x 128 pixels.")
    page.get_by_role("tab", name="Translate").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText?.trim()") == "Translate":
            page.keyboard.press("Enter")
            break
    else:
        pytest.fail("no Translate button by the keyboard")
    expect(panel.locator(".result .prose").last).to_have_text(f"Translated {WAY}, 192 x 128 pixels.")


EXCEPTIONS = {("aria-prohibited-attr", "empty"): "Gradio says 'Empty value' in a div where a result will be"}
"""Rules and classes of elements that are Gradio's own, which styles cannot mend."""


def test_everybody_can_use_it(tab, server):
    """No serious or critical violation of WCAG, as axe finds them, but for the exceptions above."""
    tab.goto(server[1])
    tab.get_by_role("button", name="Translate", exact=True).wait_for()
    found = []
    for name in TABS:
        open_tab(tab, name)
        found += [
            (name, rule, html)
            for rule, html in barriers(tab)
            if not any(rule == excepted and f'class="{kind} ' in html for excepted, kind in EXCEPTIONS)
        ]
    assert found == []
