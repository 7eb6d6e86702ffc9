"""The page in a browser that may load nothing, opened from the disk as a user opens it."""

import io
from pathlib import Path

import numpy as np
import pytest
from accessibility import in_the_way
from PIL import Image

from ganshift import Translator, UserError
from ganshift.methods.importing import ImportOptions
from ganshift.tools.export import export
from ganshift.tools.export.web_runtime import PACKAGE, TARBALL, web_runtime
from ganshift.tools.importing import import_run

IMPORTED = Path(__file__).parents[2] / "imported"

PIXELS = """shown => {
  const [width, height] = [shown.naturalWidth ?? shown.width, shown.naturalHeight ?? shown.height];
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(shown, 0, 0);
  return [height, width, Array.from(context.getImageData(0, 0, width, height).data)];
}"""


@pytest.fixture(scope="module")
def drawer(generator, tmp_path_factory):
    return exported(generator.folder, tmp_path_factory)


@pytest.fixture(scope="module")
def drawing(drawer, chromium):
    yield from opened(chromium, drawer)


@pytest.fixture(scope="module")
def both_ways(translator, tmp_path_factory):
    return exported(translator.folder, tmp_path_factory)


@pytest.fixture(scope="module")
def translating(both_ways, chromium):
    yield from opened(chromium, both_ways)


def exported(folder, tmp_path_factory):
    return export(folder, tmp_path_factory.mktemp("page"), format="html")[0][0]


def opened(chromium, path):
    context = chromium.new_context(offline=True, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    page.locator("button:not([disabled])").first.wait_for()
    yield page
    context.close()


def pixels(page, channels=3):
    height, width, values = page.locator("#result, .after").first.evaluate(PIXELS)
    return np.array(values, np.int64).reshape(height, width, 4)[..., :channels]


def test_the_page_draws_what_generate_draws(drawing, generator):
    drawing.get_by_text("The same as ganshift generate with -n 4 --seed 0").wait_for()
    first = [np.asarray(picture) for picture in generator.model.sample(4)]
    drawn = pixels(drawing)
    assert drawn.shape == (66, 66, 3)
    for index, (top, left) in enumerate([(0, 0), (0, 34), (34, 0), (34, 34)]):
        assert np.abs(drawn[top : top + 32, left : left + 32] - first[index]).max() <= 1

    drawing.fill("#seed", "123456789")
    drawing.select_option("#label", label="<b>&")
    drawing.select_option("#count", "1")
    drawing.fill("#truncation", "0.7")
    drawing.get_by_role("button", name="Draw").click()
    drawing.get_by_text("generate with -n 1 --seed 123456789 --truncation 0.7 --label 1").wait_for()
    (picture,) = generator.model.sample(1, "<b>&", seed=123456789, truncation=0.7)
    assert np.abs(pixels(drawing) - np.asarray(picture)).max() <= 1
    drawing.get_by_role("button", name="Next seed").click()
    drawing.get_by_text("--seed 123456790").wait_for()


def test_the_page_loads_nothing_and_fits_a_phone(drawing, translating):
    for page in (drawing, translating):
        assert [url for url in page.requests if not url.startswith(("file:", "blob:"))] == []
        assert page.errors == []
        assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize(("to", "name"), [("b", "a2b"), ("a", "b2a")])
def test_the_page_translates_what_translate_translates(to, name, translating, translator, tmp_path):
    random = np.random.default_rng(0)
    colour = Image.fromarray(random.integers(0, 256, (16, 40, 3), np.uint8))
    picture = colour if to == "b" else colour.convert("L")
    translating.select_option("#direction", name)
    translating.set_input_files("#pictures", [as_file(picture, "picture.png")])
    translating.get_by_text("at 40 x 16 pixels").wait_for()
    wanted = translator.model(picture, to).convert("RGB")
    assert np.abs(pixels(translating) - np.asarray(wanted, np.int64)).max() <= 1
    with translating.expect_download() as download:
        translating.click("text=Download as PNG")
    saved = Image.open(download.value.path()).convert("RGB")
    assert np.array_equal(np.asarray(saved), pixels(translating))


@pytest.mark.parametrize("size", [(21, 3), (8, 17), (1, 1)])
def test_the_page_keeps_sizes_that_are_no_multiples_of_the_step(size, translating, translator):
    """Of the picture whose last row and column go on until they are, what the model makes is cut off there."""
    picture = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    translating.select_option("#direction", "a2b")
    translating.set_input_files("#pictures", [as_file(Image.fromarray(picture), f"{size}.png")])
    translating.get_by_text(f"at {size[0]} x {size[1]} pixels").wait_for()
    padded = np.pad(picture, [(0, -size[1] % 8), (0, -size[0] % 8), (0, 0)], "edge")
    wanted = np.asarray(translator.model(Image.fromarray(padded), "b").convert("RGB"), np.int64)
    assert np.abs(pixels(translating) - wanted[: size[1], : size[0]]).max() <= 1


@pytest.mark.parametrize("path", sorted(IMPORTED.glob("[cu]*.pth")), ids=lambda path: path.stem)
def test_the_page_of_an_imported_translator(path, chromium, tmp_path_factory, tmp_path):
    """It translates the one way that there is, as translate does."""
    import_run(path, tmp_path / "run", ImportOptions(size=128))
    model = Translator.from_pretrained(tmp_path / "run", "cpu")
    height, width = max(16, model.step), max(24, model.step)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    for page in opened(chromium, exported(tmp_path / "run", tmp_path_factory)):
        page.set_input_files("#pictures", [as_file(picture, "picture.png")])
        page.get_by_text(f"Translated A to B at {width} x {height} pixels").wait_for()
        assert np.abs(pixels(page) - np.asarray(model(picture).convert("RGB"), np.int64)).max() <= 1
        assert page.errors == []


def test_large_pictures_are_scaled_and_other_files_refused(translating):
    translating.set_input_files("#pictures", [as_file(Image.new("RGB", (2048, 1024), "red"), "large.png")])
    translating.get_by_text("at 1448 x 724 pixels, scaled from 2048 x 1024").wait_for()
    translating.set_input_files("#pictures", [{"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}])
    translating.get_by_text("This did not work: the browser cannot read a.png as a picture").wait_for()
    assert translating.locator("figure").count() == 0  # nothing of the picture before


def test_several_pictures_keep_their_names(translating, translator):
    """What cannot be read is named, and the others are translated."""
    random = np.random.default_rng(2)
    pictures = [Image.fromarray(random.integers(0, 256, (16, side, 3), np.uint8)) for side in (8, 24)]
    files = [as_file(picture, f"{number} of mine.png") for number, picture in enumerate(pictures)]
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    translating.select_option("#direction", "a2b")
    translating.set_input_files("#pictures", [files[0], broken, files[1]])
    said = "Translated 2 of 3 pictures A to B. This did not work: the browser cannot read broken.png as a picture"
    translating.get_by_text(said).wait_for()
    for number, picture in enumerate(pictures):
        figure = translating.locator("figure").nth(number)
        assert figure.locator("figcaption").text_content() == f"{number} of mine.png"
        assert figure.locator("a").get_attribute("download") == f"{number} of mine A to B.png"
        height, width, _ = figure.locator(".after").evaluate(PIXELS)
        assert (width, height) == picture.size


def test_a_slider_compares_by_keys_and_by_touch(translating):
    translating.set_input_files("#pictures", [as_file(Image.new("RGB", (40, 16), "red"), "red.png")])
    translating.get_by_text("at 40 x 16 pixels").wait_for()
    slider, before = translating.get_by_label("Compare"), translating.locator(".before")

    def hidden():
        return float(before.evaluate("image => getComputedStyle(image).clipPath.match(/([\\d.]+)%/)[1]"))

    assert hidden() == 50
    slider.press("End")
    assert hidden() == 0  # the whole picture covers its translation
    box = before.bounding_box()
    translating.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert abs(hidden() - 75) < 5


def test_everybody_can_draw(tab, drawer):
    """No serious or critical violation of WCAG, and the keyboard comes to everything."""
    tab.goto(drawer.as_uri())
    tab.get_by_role("img", name="4 generated images of seed 0").wait_for()
    tab.get_by_role("button", name="Draw", disabled=False).wait_for()
    assert in_the_way(tab) == []


def test_everybody_can_translate(tab, both_ways):
    """The same, of two pictures: each slider and link says which is its own."""
    tab.goto(both_ways.as_uri())
    tab.locator("button:not([disabled])").wait_for()
    tab.set_input_files(
        "#pictures", [as_file(Image.new("RGB", (40, 16), name), f"{name}.png") for name in ("red", "tan")]
    )
    tab.get_by_text("Translated 2 of 2").wait_for()
    for name in ("red", "tan"):
        assert tab.get_by_role("img", name=f"{name}.png, translated A to B").count() == 1
        assert tab.get_by_role("slider", name=f"Compare {name}.png").count() == 1
        assert tab.get_by_role("link", name=f"Download as PNG: {name} A to B.png").count() == 1
    assert in_the_way(tab) == []


def as_file(picture, name):
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def test_a_runtime_that_is_not_there_or_another(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"cannot read .*nothing\.tgz: No such file"):
        web_runtime(tmp_path / "nothing.tgz")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "ganshift" / TARBALL
    kept.parent.mkdir()
    kept.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"is not the tarball of {PACKAGE}: its SHA-512 differs"):
        web_runtime(kept)
    with pytest.raises(UserError, match=f"needs {PACKAGE} once, but npm is not installed here"):
        web_runtime(None)
