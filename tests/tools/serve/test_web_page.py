"""The page in headless Chromium, at the widths of a desk and a phone: every control, and what it must never do."""

import io
import json
import urllib.request
import zipfile
from pathlib import Path

import pytest
from live import CLASSES, leaks, picture
from playwright.sync_api import expect

from ganshift.data.images import load_picture

WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}
expect.set_options(timeout=60_000)  # machines that test may be busy
EVENT = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
  return data;
}"""


@pytest.fixture(scope="module", params=WIDTHS)
def visit(request, chromium, server):
    """A page that has been opened, and what it has said and asked for since."""
    width, height = WIDTHS[request.param]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(server[1])
    page.get_by_role("button", name="Generate").wait_for()
    yield page
    context.close()


@pytest.fixture
def page(visit):
    """The page, of which nothing may have been said, and nobody else asked, when a test is over."""
    visit.said.clear()
    yield visit
    assert visit.said == []
    home = visit.url.rstrip("/")
    assert [url for url in visit.asked if not url.startswith((home, f"blob:{home}", "data:"))] == []
    assert visit.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()
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


def press(panel, name, status, begins):
    panel.get_by_role("button", name=name, exact=True).click()
    expect(panel.page.locator(f"#{status}-status")).to_contain_text(begins)
    return panel.page.locator(f"#{status}-status").inner_text()


def downloaded(page, locator):
    with page.expect_download() as waiting:
        locator.click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def answered(page, path, body, kind="application/json"):
    asked = urllib.request.Request(page.url.rstrip("/") + path, body, {"Content-Type": kind})
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # the usual one remembers another test's proxy
    with direct.open(asked) as response:
        return response.read()


def drawn(page, **request):
    return answered(page, "/api/generate", json.dumps(request).encode())


def names_in(packed):
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return archive.namelist()


def test_images_of_a_class(page):
    panel = open_tab(page, "Generate")
    choose(page, panel, "Class", CLASSES[2])
    number(panel, "Seed", 5)
    number(panel, "number input for Truncation", 0.5)
    number(panel, "number input for Images", 4)
    number(panel, "number input for Columns", 4)
    press(panel, "Generate", "generate", "Drawn: 4 generated images, seed 5.")
    request = {"model": "flowers", "label": CLASSES[2], "seed": 5, "truncation": 0.5, "count": 4}
    name, image_grid = downloaded(page, panel.get_by_role("link", name="Download the sheet"))
    assert (name, image_grid) == ("images.png", drawn(page, **request, columns=4))
    shown = panel.get_by_alt_text("Sheet of 4 generated images, seed 5")
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [138, 36]
    name, packed = downloaded(page, panel.get_by_role("button", name="Download single images"))
    assert (name, packed) == ("images.zip", drawn(page, **request, columns=4, result="zip"))
    panel.get_by_role("slider", name="range slider for Columns").press("Home")
    panel.get_by_role("button", name="Reset to default value").nth(1).click()
    press(panel, "Generate", "generate", "Drawn: 16 generated images, seed 5.")


def test_class_grid_and_another_seed(page):
    panel = open_tab(page, "Generate")
    number(panel, "number input for Images", 3)
    number(panel, "Seed", 1)
    panel.get_by_role("button", name="Other seed").click()
    expect(panel.get_by_role("spinbutton", name="Seed")).not_to_have_value("1")
    seed = int(panel.get_by_role("spinbutton", name="Seed").input_value())
    panel.get_by_role("radio", name="class grid").check()
    press(panel, "Generate", "generate", f"Drawn: a grid of 3 generated images of each class, seed {seed}.")
    shown = panel.get_by_alt_text(f"Sheet of a grid of 3 generated images of each class, seed {seed}")
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [104, 104]
    panel.get_by_role("radio", name="images").check()


def test_classes_follow_the_model(page):
    panel = open_tab(page, "Generate")
    choose(page, panel, "Model", "plain-best")
    panel.get_by_label("Class", exact=True).click()
    expect(page.get_by_role("option")).to_contain_text(["all in turn"])
    page.keyboard.press("Escape")
    panel.get_by_role("radio", name="class grid").check()
    panel.get_by_role("button", name="Generate").click()
    status = page.locator("#generate-status.error")
    expect(status).to_contain_text("A class grid needs a generator with classes")
    assert page.said.pop().startswith("Failed to load resource: the server responded with a status of 400")
    panel.get_by_role("radio", name="images").check()
    press(panel, "Generate", "generate", "Drawn")
    choose(page, panel, "Model", "flowers")
    panel.get_by_label("Class", exact=True).click()
    expect(page.get_by_role("option")).to_contain_text(["all in turn", *CLASSES])
    page.keyboard.press("Escape")


def test_interpolation_slides(page):
    panel = open_tab(page, "Interpolate")
    choose(page, panel, "Class", "dog")
    number(panel, "Seed", 2)
    number(panel, "number input for Truncation", 1)
    number(panel, "number input for Steps", 5)
    press(panel, "Interpolate", "interpolate", "Drawn: 5 steps from one picture of seed 2 to the next.")
    request = {"kind": "interpolation", "count": 1, "label": "dog", "model": "flowers", "seed": 2, "steps": 5}
    request["truncation"] = 1
    with zipfile.ZipFile(io.BytesIO(drawn(page, **request, result="zip"))) as packed:
        steps = [packed.read(name) for name in packed.namelist()]
    way = panel.get_by_role("slider", name="range slider for Way")
    for key, step in (("Home", 1), ("End", 5), ("PageDown", None)):
        way.press(key)
        if step:
            expect(panel.get_by_alt_text(f"Step {step} of 5 between two generated pictures")).to_be_visible()
            name, picture = downloaded(page, panel.get_by_role("link", name="Download this picture"))
            assert (name, picture) == (f"step-{step}.png", steps[step - 1])
    number(panel, "number input for Way", 50)
    expect(panel.get_by_alt_text("Step 3 of 5 between two generated pictures")).to_be_visible()
    name, strip = downloaded(page, panel.get_by_role("button", name="Download the strip"))
    assert (name, strip) == ("strip.png", drawn(page, **request))
    name, packed = downloaded(page, panel.get_by_role("button", name="Download all pictures"))
    assert (name, len(names_in(packed))) == ("interpolation.zip", 5)


def test_round_trip_of_an_upload(page, tmp_path):
    panel = open_tab(page, "Translate")
    data = picture((70, 45), form="JPEG")
    (tmp_path / "photo.jpg").write_bytes(data)
    panel.get_by_label("Picture to translate", exact=True).set_input_files(tmp_path / "photo.jpg")
    expect(page.locator("#upload-status")).to_contain_text("photo.jpg")
    expect(panel.get_by_alt_text("The picture to translate")).to_be_visible()
    panel.get_by_role("radio", name="photo to line drawing 画").check()
    panel.get_by_role("checkbox", name="Round trip").check()
    said = press(panel, "Translate", "translate", "Translated from photo to line drawing 画. The way back ends 0.")
    assert said.endswith("from the picture, on average, of at most 2.")
    name, there = downloaded(page, panel.get_by_role("link", name="Download photo2line-drawing-画.png"))
    assert (name, there) == ("photo2line-drawing-画.png", answered(page, "/api/translate?to=b", data))
    name, back = downloaded(page, panel.get_by_role("link", name="Download photo2line-drawing-画2photo.png"))
    assert (name, back) == ("photo2line-drawing-画2photo.png", answered(page, "/api/translate?roundtrip=true", data))
    assert load_picture(back).size == (70, 45)
    for caption in ("Its translation", "And back"):
        expect(panel.get_by_alt_text(caption)).to_be_visible()
    name, packed = downloaded(page, panel.get_by_role("button", name="Download all pictures"))
    assert (name, names_in(packed)) == (
        "translation.zip",
        ["photo.png", "photo2line-drawing-画.png", "photo2line-drawing-画2photo.png"],
    )
    panel.get_by_role("checkbox", name="Round trip").uncheck()


def test_pasted_and_dropped_pictures_go_the_other_way(page):
    panel = open_tab(page, "Translate")
    panel.get_by_role("radio", name="line drawing 画 to photo").check()
    panel.get_by_role("checkbox", name="Crop and scale").check()
    for name, size in (("paste", (40, 30)), ("drop", (30, 40))):
        data = picture(size)
        given = page.evaluate_handle(EVENT, list(data))
        page.evaluate(
            """([name, data]) => (name === "drop" ? document.getElementById("upload") : document).dispatchEvent(
              name === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
            )""",
            [name, given],
        )
        expect(page.locator("#upload-status")).to_contain_text(f"given.png, {len(data) / 1e6:.2f} MB.")
        press(panel, "Translate", "translate", "Translated from line drawing 画 to photo.")
        _, there = downloaded(page, panel.get_by_role("link", name="Download line-drawing-画2photo.png"))
        assert there == answered(page, "/api/translate?to=a&training_size=true", data)
    panel.get_by_role("checkbox", name="Crop and scale").uncheck()


def test_button_pastes(page):
    panel = open_tab(page, "Translate")
    page.evaluate(
        """async (bytes) => navigator.clipboard.write(
          [new ClipboardItem({ "image/png": new Blob([new Uint8Array(bytes)], { type: "image/png" }) })])""",
        list(picture((50, 20))),
    )
    press(panel, "Paste from the clipboard", "upload", "clipboard")
    press(panel, "Translate", "translate", "Translated")
    page.evaluate("navigator.clipboard.writeText('words')")
    press(panel, "Paste from the clipboard", "upload", "There is no picture in the clipboard.")


@pytest.mark.parametrize(
    ("data", "sentence", "status"),
    [
        (picture((600, 501)), "The picture has 600 x 501 pixels, which is more than the 300,000", 413),
        (picture((64, 64))[:300], "", 400),
        (bytes(1_000_001), "More than the 1,000,000 bytes that may be sent here.", 413),
    ],
    ids=["large", "damaged", "long"],
)
def test_refusals_are_shown(page, data, sentence, status):
    panel = open_tab(page, "Translate")
    upload = panel.get_by_label("Picture to translate", exact=True)
    upload.set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": data})
    panel.get_by_role("button", name="Translate", exact=True).click()
    shown = page.locator("#translate-status.error")
    expect(shown).to_contain_text(sentence)
    assert shown.inner_text().endswith(".")
    assert not leaks(shown.inner_text())
    assert f"status of {status}" in page.said.pop()


def test_texts_are_no_pictures(page):
    panel = open_tab(page, "Translate")
    upload = panel.get_by_label("Picture to translate", exact=True)
    upload.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"words"})
    expect(page.locator("#upload-status.error")).to_have_text("That is no picture.")


def test_cards(page):
    panel = open_tab(page, "Models")
    expect(panel.get_by_role("heading", level=2)).to_have_text(["flowers", "plain-best", "sketch"])
    flowers = panel.get_by_role("article").first
    expect(flowers.get_by_role("row", name="classes")).to_contain_text("cat, dog, <b>rose</b>")
    expect(flowers.get_by_role("table", name="Scores")).to_contain_text("FID[cifar]12.35 ± 0.5")
    settings = flowers.locator("summary", has_text="Settings")
    expect(flowers.get_by_role("table", name="Settings")).to_contain_text("flowers")
    settings.click()
    expect(flowers.get_by_role("table", name="Settings")).to_be_hidden()
    settings.click()
    assert panel.locator("b").count() == 0
    assert not leaks(panel.inner_text())


@pytest.mark.parametrize("tab", ["Generate", "Interpolate", "Translate", "Models"])
def test_everything_has_a_name(page, tab):
    """Whatever can be used or seen says what it is to those who do not see it."""
    panel = open_tab(page, tab)
    unnamed = panel.evaluate(
        """panel => [...panel.querySelectorAll("input, select, textarea, button, a, img")]
          .filter((each) => each.checkVisibility())
          .filter((each) => !(each.alt || each.ariaLabel || each.labels?.length || each.innerText?.trim()
            || each.closest("label")))
          .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")
