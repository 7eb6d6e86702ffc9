"""What is done with a run that was imported: of one way alone, and of networks that dual did not have before."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch.testing import assert_close

from ganshift import Translator, UserError
from ganshift.cli import main
from ganshift.inference.model_card import COLOURS
from ganshift.inference.translating import translate_files
from ganshift.methods.importing import ImportOptions
from ganshift.tools.evaluate import evaluate
from ganshift.tools.export import export
from ganshift.tools.export.formats import run_onnx
from ganshift.tools.export.graphs import graphs_of
from ganshift.tools.export.page import page_of
from ganshift.tools.importing import import_run
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker

IMPORTED = Path(__file__).parents[1] / "imported"
GENERATORS = sorted(path.stem for path in IMPORTED.glob("*.pth") if path.stem.startswith(("c", "u")))
QUICK = ("cut_resnet9", "cyclegan_resnet6_batchnorm")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    for name in GENERATORS:
        size = 128 if name.startswith("unet") else 32
        import_run(IMPORTED / f"{name}.pth", folder / name, ImportOptions(size=size))
    return folder


def picture(seed=0, height=33, width=42):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def as_bytes(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def save_pictures(folder, count, seed=0):
    folder.mkdir()
    for number in range(count):
        picture(seed + number, 32, 32).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", GENERATORS)
def test_a_folder_is_translated(name, runs, tmp_path):
    photos = save_pictures(tmp_path / "photos", 2)
    assert main(["translate", str(runs / name), str(photos), "-o", str(tmp_path / "out")]) == 0
    model = Translator.from_pretrained(runs / name, "cpu")
    for path in photos.iterdir():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / path.name)), np.asarray(model(path)))


def test_the_way_that_is_not_there_is_refused(runs, tmp_path, capsys):
    run, photos = runs / "cut_resnet9", save_pictures(tmp_path / "photos", 1)
    for more in (["--to", "a"], ["--roundtrip"]):
        assert main(["translate", str(run), str(photos), *more, "-o", str(tmp_path / "out")]) == 2
        assert "this model only translates A to B: there is no network for B to A" in capsys.readouterr().err
    save_pictures(tmp_path / "photos" / "A", 1)
    save_pictures(tmp_path / "photos" / "B", 1)
    model = Translator.from_pretrained(run, "cpu")
    with pytest.raises(UserError, match="only translates A to B"):
        translate_files(model, [tmp_path / "photos"], "both", tmp_path / "out")
    with pytest.raises(UserError, match="only translates A to B"):
        model.translate(torch.zeros(1, 3, 32, 32), to="a")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.ring_two) for n in GENERATORS]
)
def test_onnx_and_the_page(name, runs, tmp_path):
    """The graph takes sizes and batches that it was not checked with; the page offers the one way."""
    (path, _), parities = export(runs / name, tmp_path / "onnx")
    assert path.name == "a2b.onnx"
    assert parities["a2b"]["max_abs_error"] < 1e-4
    model = Translator.from_pretrained(runs / name, "cpu")
    images = 2 * torch.rand(2, 3, 2 * model.step, 3 * model.step) - 1
    assert_close(run_onnx(path.read_bytes())(images), model.translate(images), rtol=0, atol=1e-4)
    graphs = graphs_of(model, uint8=True)
    files = {"a2b.onnx": path.read_bytes()}
    page = page_of(name, model, graphs, files, parities, {"script": b"", "binary": b""}).decode()
    assert ">A to B</option>" in page
    assert ">B to A</option>" not in page


def test_statistics_of_each_image_are_exported(tmp_path):
    """An image's translation does not depend on the others of its batch."""
    import_run(
        IMPORTED / "cyclegan_resnet6_batchnorm.pth", tmp_path / "run", ImportOptions(size=32, image_statistics=True)
    )
    (path, _), _ = export(tmp_path / "run", tmp_path / "onnx")
    images = 2 * torch.rand(3, 3, 40, 32) - 1
    expected = Translator.from_pretrained(tmp_path / "run", "cpu").translate(images[:1])
    assert_close(run_onnx(path.read_bytes())(images)[:1], expected, rtol=0, atol=1e-4)


def test_safetensors_and_saving_keep_all_networks(runs, tmp_path):
    """The critics too, so that what is handed on can be trained further; the card says that there is one way."""
    critic = IMPORTED / "patchgan_basic.pth"
    import_run(IMPORTED / "cyclegan_resnet9.pth", tmp_path / "run", ImportOptions(size=32), {"critic_b": critic})
    export(tmp_path / "run", tmp_path / "exported", format="safetensors")
    Translator.from_pretrained(tmp_path / "run", "cpu").save_pretrained(tmp_path / "saved")
    images = 2 * torch.rand(1, 3, 32, 32) - 1
    expected = Translator.from_pretrained(tmp_path / "run", "cpu").translate(images)
    for folder in (tmp_path / "exported", tmp_path / "saved"):
        assert torch.equal(Translator.from_pretrained(folder, "cpu").translate(images), expected)
        assert (folder / "critics.safetensors").exists()
        assert json.loads((folder / "config.json").read_text())["critic_b"]["kind"] == "patch"
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "A generator that translates pictures of the domain A (colour) to the domain B (colour)" in card
    assert "checkpoint cyclegan_resnet9.pth" in card
    assert (tmp_path / "saved" / "samples-a.png").exists()
    assert not (tmp_path / "saved" / "samples-b.png").exists()


@pytest.mark.parametrize("name", GENERATORS)
def test_serving(name, runs):
    shelf, worker = open_runs([runs / name], "cpu"), Worker(Limits())
    client = TestClient(create_api(shelf, Limits(), worker))
    try:
        (described,) = client.get("/api/models").json()["models"]
        assert described["to"] == ["b"]
        assert described["names"] == {"a": "A", "b": "B"}
        start, end = (COLOURS[described["channels"][domain]] for domain in "ab")
        assert f"of the domain A ({start}) to the domain B ({end})" in described["card"]
        answer = client.post("/api/translate", files={"file": as_bytes(picture())})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == 'attachment; filename="A2B.png"'
        made = Image.open(io.BytesIO(answer.content))
        expected = Translator.from_pretrained(runs / name, "cpu")(picture())
        assert np.array_equal(np.asarray(made), np.asarray(expected))
        for query in ("to=a", "roundtrip=true"):
            refused = client.post(f"/api/translate?{query}", files={"file": as_bytes(picture())})
            assert refused.status_code == 400
            assert "only translates A to B" in refused.json()["detail"]
    finally:
        worker.close()


def test_scores_are_of_the_one_way(runs, tmp_path):
    a, b = save_pictures(tmp_path / "a", 6), save_pictures(tmp_path / "b", 6, seed=50)
    records = evaluate(runs / "cut_resnet9", a=a, b=b, metrics=("kid",), out=tmp_path / "scores")
    assert [record.metric for record in records] == ["KID a-b"]


def test_reports_of_an_imported_run(runs, tmp_path):
    assert main(["report", str(runs / "cut_resnet9"), "-o", str(tmp_path / "report.html")]) == 0
    assert "cut_resnet9" in (tmp_path / "report.html").read_text()
