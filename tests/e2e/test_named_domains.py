"""Names of domains from training to every use of a model, on one tiny run; and runs that have none."""

import io
import json
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from processes import run as run_process
from starlette.testclient import TestClient

from ganshift import Translator, UserError
from ganshift.cli import main
from ganshift.tools.export.graphs import graphs_of
from ganshift.tools.export.page import page_of
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker

OLD_RUNS = Path(__file__).parents[1] / "old_runs"
TINY = (
    *("dual", "--preset", "tiny", "--generator-width", "2", "--critic-width", "2", "--log-every", "2"),
    *("--evaluate-every", "0", "--tracker", "none"),
)


def run_command(arguments, said):
    """Run a command of training, and give what it said."""
    said.unlink(missing_ok=True)
    run_process(arguments, said)
    return said.read_text()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders of photographs and of gray drawings."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, channels in (("photos", 3), ("line drawings", 1)):
        (folder / name).mkdir()
        for number in range(6):
            pixels = random.integers(0, 256, (32, 32, channels), np.uint8)
            Image.fromarray(pixels.squeeze()).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def places(data):
    return "--a", str(data / "photos"), "--b", str(data / "line drawings")


@pytest.fixture(scope="module")
def trained(places, tmp_path_factory):
    """The run folder, and what was said."""
    folder = tmp_path_factory.mktemp("trained")
    said = run_command([*TINY, *places, "--images", "4", "--out", folder / "run"], folder / "said")
    return folder / "run", said


@pytest.fixture(scope="module")
def run(trained):
    return trained[0]


def names_in(run):
    return json.loads((run / "config.json").read_text()).get("names")


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_the_folders_names_are_the_domains(trained):
    run, said = trained
    assert names_in(run) == {"a": "photos", "b": "line drawings"}
    assert "6 images of photos in 3 channels, 6 of line drawings in 1" in said
    assert f"ganshift translate {run} IMAGES... --to line-drawings" in said


def test_names_may_change_when_a_run_is_resumed(run, places, tmp_path):
    """They are words: what is learned is the same, bit for bit; and they stay as they are where none are given."""
    resumed, straight = Path(shutil.copytree(run, tmp_path / "resumed")), tmp_path / "straight"
    command = [*TINY, *places, "--images", "8", "--out"]
    run_command([*command, resumed, "--names", "Fotos,Zeichnungen"], tmp_path / "said")
    assert names_in(resumed) == {"a": "Fotos", "b": "Zeichnungen"}
    said = run_command([*command, resumed, "--images", "10"], tmp_path / "said")
    assert names_in(resumed) == {"a": "Fotos", "b": "Zeichnungen"}
    assert "6 images of Fotos" in said
    run_command([*command, straight, "--images", "10", "--names", "x,y"], tmp_path / "said")
    ours, theirs = (
        torch.load(max((folder / "checkpoints").glob("*.pt")), weights_only=True)["state"]
        for folder in (resumed, straight)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_names_that_cannot_be_are_refused(places, tmp_path, capsys):
    for names in ("photo", "b,a", "x,X", "x,\x1b[2J"):
        assert main([*TINY, *places, "--out", str(tmp_path / "run"), "--names", names]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert "\x1b" not in error
    assert not (tmp_path / "run").exists()


def test_files_are_translated_by_any_of_the_names(run, data, tmp_path, capsys):
    outs = []
    for number, to in enumerate(("b", "B", "line drawings", "Line-Drawings")):
        outs.append(tmp_path / str(number))
        assert main(["translate", str(run), str(data / "photos"), "--to", to, "-o", str(outs[-1])]) == 0
    first, *others = map(files_below, outs)
    assert len(first) == 6
    assert all(other == first for other in others)
    capsys.readouterr()
    assert main(["translate", str(run), str(data / "photos"), "--to", "drawings", "-o", str(tmp_path / "no")]) == 2
    assert "there is no domain 'drawings'; did you mean line-drawings?" in capsys.readouterr().err
    assert main(["translate", str(run), str(data / "photos"), "--to", "x", "-o", str(tmp_path / "no")]) == 2
    assert "there are a, photos, b, line drawings, line-drawings" in capsys.readouterr().err


def test_folders_of_round_trips(run, data, tmp_path, capsys):
    photos, out = data / "photos", tmp_path / "out"
    assert main(["translate", str(run), str(photos), "--roundtrip", "-o", str(out)]) == 0
    folders = ("photos", "photos2line-drawings", "photos2line-drawings2photos")
    assert set(files_below(out)) == {f"{folder}/{number}.png" for folder in folders for number in range(6)}
    assert "round trip photos2line-drawings2photos: mean |photos2line-drawings2photos - photos| =" in (
        capsys.readouterr().err
    )
    shutil.copytree(photos, tmp_path / "both" / "A")
    shutil.copytree(data / "line drawings", tmp_path / "both" / "B")
    assert main(["translate", str(run), str(tmp_path / "both"), "--to", "both", "-o", str(tmp_path / "ways")]) == 0
    assert {path.name for path in (tmp_path / "ways").iterdir()} == {"photos2line-drawings", "line-drawings2photos"}


def test_python_takes_names(run, data):
    model = Translator.from_pretrained(run, "cpu")
    assert model.names == {"a": "photos", "b": "line drawings"}
    photo = data / "photos" / "0.png"
    assert model(photo, to="line drawings").tobytes() == model(photo, to="b").tobytes()
    images = 2 * torch.rand(2, 3, 32, 32) - 1
    drawn = model.translate(images, to="line-drawings")
    assert torch.equal(drawn, model.network("b")(images))
    assert torch.equal(model.translate(drawn, to="Photos"), model.translate(drawn, to="a"))
    for call in (partial(model, photo), partial(model.translate, drawn), partial(model.load, photo), model.network):
        with pytest.raises(UserError, match=r"there is no domain 'phots'; did you mean photos\?"):
            call(to="phots")
    with pytest.raises(UserError, match="images of line drawings have 1 channels, got 3"):
        model.translate(images, to="photos")
    assert set(model.grids({"photos": [photo]})) == {"samples-a.png"}


def test_a_saved_model_keeps_its_names(run, tmp_path):
    Translator.from_pretrained(run, "cpu").save_pretrained(tmp_path / "saved")
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "between the domains photos (colour) and line drawings (gray)" in card
    assert 'translator("picture.jpg", to="line-drawings")' in card
    assert "pictures/ --to line-drawings -o translated/" in card
    assert Translator.from_pretrained(tmp_path / "saved", "cpu").direction("b") == "photos to line drawings"


def test_scores_are_said_by_names_and_kept_by_letters(run, places, tmp_path, capsys):
    out = tmp_path / "scores"
    assert main(["evaluate", str(run), *places, "--metrics", "kid", "--out", str(out)]) == 0
    table = capsys.readouterr().out
    assert "KID[cifar] photos to line drawings" in table
    assert "L1 line drawings to photos to line drawings" in table
    metrics = {json.loads(path.read_text())["metric"] for path in (out / "cards").glob("*.json")}
    assert metrics == {"KID a-b", "KID b-a", "L1 a-b-a", "L1 b-a-b"}


def test_exported_models_say_their_names(run, tmp_path):
    assert main(["export", str(run), "-o", str(tmp_path / "onnx")]) == 0
    assert {path.name for path in (tmp_path / "onnx").glob("*.onnx")} == {"a2b.onnx", "b2a.onnx"}
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "onnx" / "a2b.onnx").metadata_props}
    assert json.loads(said["names"]) == {"a": "photos", "b": "line drawings"}
    assert said["direction"] == "a to b"
    graphs = graphs_of(Translator.from_pretrained(run, "cpu"), uint8=True)
    files = {f"{graph.name}.onnx": b"" for graph in graphs}
    parities = {graph.name: {"max_abs_error": 0.0} for graph in graphs}
    page = page_of("x", Translator.from_pretrained(run, "cpu"), graphs, files, parities, {"script": b"", "binary": b""})
    for option in ('value="a2b">photos to line drawings<', 'value="b2a">line drawings to photos<'):
        assert option in page.decode()


def test_served_models_take_and_say_names(run):
    shelf, worker = open_runs([run], "cpu"), Worker(Limits())
    client, buffer = TestClient(create_api(shelf, Limits(), worker)), io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    try:
        by_name, by_letter = (
            client.post("/api/translate", params={"to": to, "result": "zip"}, files={"file": buffer.getvalue()})
            for to in ("line drawings", "b")
        )
        assert by_name.status_code == 200, by_name.text
        assert by_name.content == by_letter.content
        with zipfile.ZipFile(io.BytesIO(by_name.content)) as packed:
            assert packed.namelist() == ["photos.png", "photos2line-drawings.png"]
        (described,) = client.get("/api/models").json()["models"]
        assert "line drawings (gray)" in described["card"]
    finally:
        worker.close()


def test_reports_say_names(run, tmp_path):
    assert main(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    html = (tmp_path / "report.html").read_text()
    for words in (
        "Dual: translate photos to line drawings, and back",
        "6 of photos, 6 of line drawings",
        "<span>to line drawings</span>",
        "The adversarial loss of the generator from photos to line drawings",
    ):
        assert words in html
    shutil.copytree(OLD_RUNS / "dual-finished", tmp_path / "old")
    shutil.copytree(OLD_RUNS / "dual", tmp_path / "old", dirs_exist_ok=True)
    assert main(["report", str(run), str(tmp_path / "old"), "--out", str(tmp_path / "both.html")]) == 0
    html = (tmp_path / "both.html").read_text()
    assert "Dual: translate A to B, and back" in html, "where the runs differ"
    assert "6 of photos, 6 of line drawings" in html


def test_damaged_names_are_said(run, tmp_path, capsys):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"names": {"a": "photos"}}))
    assert main(["translate", str(copy), str(copy / "samples"), "-o", str(tmp_path / "out")]) == 2
    assert "names in config.json must name a and b" in capsys.readouterr().err
    assert main(["report", str(copy)]) == 0
    assert "What the domains are called cannot be read" in (copy / "report.html").read_text()


def test_runs_of_the_first_version_have_no_names_until_they_get_some(tmp_path):
    old = ("--data", "bundled:photo-sketch", "--critic-steps", "2", "--checkpoint-every", "100")
    command = [*TINY[:7], *TINY[-2:], *old, "--log-every", "2", "--keep-checkpoints", "1", "--sample-every", "1000"]
    run = Path(shutil.copytree(OLD_RUNS / "dual", tmp_path / "old"))
    said = run_command([*command, "--images", "16", "--out", run], tmp_path / "said")
    assert names_in(run) is None
    assert "210 images of A in 3 channels" in said
    model = Translator.from_pretrained(run, "cpu")
    assert (model.names, model.direction("b")) == ({"a": "A", "b": "B"}, "A to B")
    run_command([*command, "--images", "16", "--names", "photo,sketch", "--out", run], tmp_path / "said")
    assert names_in(run) == {"a": "photo", "b": "sketch"}


def test_imported_translators_can_have_names(tmp_path, capsys):
    file = Path(__file__).parents[1] / "imported" / "cut_resnet9.pth"
    assert main(["import", str(file), "--names", "horse,zebra", "--size", "32", "--out", str(tmp_path / "run")]) == 0
    assert names_in(tmp_path / "run") == {"a": "horse", "b": "zebra"}
    model = Translator.from_pretrained(tmp_path / "run", "cpu")
    with pytest.raises(UserError, match="only translates horse to zebra: there is no network for zebra to horse"):
        model.check_way("horse")
    capsys.readouterr()
    assert main(["import", str(file), "--names", "horse", "--out", str(tmp_path / "no")]) == 2
    assert "names must be two" in capsys.readouterr().err
    generator = Path(__file__).parents[1] / "imported" / "r3gan_64.pkl"
    assert main(["import", str(generator), "--names", "x,y", "--out", str(tmp_path / "no")]) == 2
    assert "--names does not apply to R3GAN checkpoints" in capsys.readouterr().err


def test_the_bundled_translator_has_names():
    assert Translator.from_pretrained("photo-sketch", "cpu").names == {"a": "photo", "b": "sketch"}
