"""What a model is called by, and where results about it go."""

import shlex
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from ganshift.cli import main
from ganshift.data.bundled import photographs
from ganshift.errors import UserError
from ganshift.inference.names import bundled_models, find_model, results_place
from ganshift.methods.dual.model import Translator
from ganshift.methods.registry import methods
from ganshift.methods.transfer.model import Generator
from ganshift.methods.transfer.source import open_source


def test_a_bundled_name_comes_before_a_folder_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits32").mkdir()
    assert find_model("digits32") == bundled_models()["digits32"]
    assert find_model("./digits32").resolve() == tmp_path / "digits32"


def test_models_that_ship():
    """Of each method by themselves, small enough to ship, and named where users look for them."""
    transfer, dual = bundled_models("transfer"), bundled_models("dual")
    assert transfer.keys() >= {"digits32", "cifar10-small", "cifar10", "cifar10-classes"}
    assert dual.keys() >= {"photo-sketch"}
    assert transfer | dual == bundled_models()
    described = (Path(__file__).parents[2] / "docs" / "bundled.md").read_text()
    for name, folder in bundled_models().items():
        assert (folder / "model.safetensors").stat().st_size < 5_000_000
        assert f"| `{name}` |" in described


def test_the_bundled_source_with_classes_draws_what_is_asked_for():
    """Grass is green below deer and frogs, and ships lie in blue: the classes differ where their pictures do."""
    generator = Generator.from_pretrained("cifar10-classes", device="cpu")
    red, blue = 0, 2
    ship, deer = (
        np.stack([np.asarray(picture, float) for picture in generator.sample(32, label=name, seed=0)])
        for name in ("ship", "deer")
    )
    assert (ship[..., blue] - ship[..., red]).mean() > 0 > (deer[..., blue] - deer[..., red]).mean()


def test_a_translator_is_no_source():
    with pytest.raises(UserError, match=r"^photo-sketch holds a dual run; a source must be a transfer run"):
        open_source("photo-sketch")


def test_the_bundled_translator_draws_lines_and_finds_its_way_back():
    """A whole photograph, at another size and shape than the squares it learned from."""
    translator = Translator.from_pretrained("photo-sketch", device="cpu")
    photograph = photographs()["coffee"].resize((128, 96))
    drawn = translator(photograph)
    assert (drawn.mode, drawn.size) == ("L", (128, 96))
    levels = np.asarray(drawn)
    assert np.median(levels) > 200  # paper
    assert 0.01 < (levels < 128).mean() < 0.3  # lines
    back = translator(drawn, to="a")
    assert back.mode == "RGB"
    gray, gray_back = (np.asarray(picture.convert("L")).flatten() for picture in (photograph, back))
    assert np.corrcoef(gray, gray_back)[0, 1] > 0.8


def test_a_run_and_the_model_file_in_it(tmp_path):
    assert find_model(tmp_path) == tmp_path
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "critic.safetensors").touch()
    assert find_model(tmp_path / "model.safetensors") == tmp_path
    with pytest.raises(UserError, match=r"is not a model: give a run folder, or the model\.safetensors"):
        find_model(tmp_path / "critic.safetensors")


def test_only_what_cannot_be_a_path_here_is_asked_of_the_hub(tmp_path, monkeypatch):
    """A misspelt path must not leave the machine; the message of one that was asked for says so."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no run folder 'owner/model', and the Hugging Face hub did not give"):
        find_model("owner/model")
    (tmp_path / "owner").mkdir()
    for name in ("owner/model", "runs/mien", ".cache/mien", "~/mien"):
        with pytest.raises(UserError, match=f"no run folder '{name}': give a run folder"):
            find_model(name)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    for name, meant in (("runs/mien", "runs/mine"), ("digits3", "digits32")):
        with pytest.raises(UserError, match=f"there is no run folder '{name}': did you mean {meant}\\?$"):
            find_model(name)
    for name in ("mien", "./mien", "a/b/c", "runs/\0", "x" * 300, "hub/" + "x" * 300):
        with pytest.raises(UserError):
            find_model(name)


def test_a_hub_that_hangs_up_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=r"hub did not give a model of that name"):
            find_model("owner/model", endpoint=endpoint)


def _hang_up(server: socket.socket) -> None:
    while server.fileno() >= 0:
        with suppress(OSError):
            server.accept()[0].close()


def test_what_to_do_next_with_a_bundled_model_can_be_typed(tmp_path, capsys):
    """Its scores need a place of their own."""
    assert main(["generate", "digits32", "-n", "1", "-o", str(tmp_path / "one.png")]) == 0
    assert "Next: ganshift evaluate digits32 --reference IMAGES --out scores/" in capsys.readouterr().err


def test_what_to_do_next_can_be_typed_for_any_name(tmp_path, capsys):
    run = shutil.copytree(bundled_models()["digits32"], tmp_path / "it's mine")
    assert main(["generate", str(run), "-n", "1", "-o", str(tmp_path / "one.png")]) == 0
    said = capsys.readouterr().err.partition("Next: ")[2]
    assert shlex.split(said) == ["ganshift", "evaluate", str(run), "--reference", "IMAGES"]
    assert shlex.split(methods()["transfer"].next_step(run))[2] == str(run)


def test_results_go_beside_models_of_the_user_only(tmp_path):
    assert results_place(tmp_path, None) == tmp_path
    (tmp_path / "model.safetensors").touch()
    assert results_place(tmp_path / "model.safetensors", None) == tmp_path
    assert results_place("digits32", tmp_path / "found") == tmp_path / "found"
    with pytest.raises(UserError, match=r"into digits32, which is not a folder of yours: give --out"):
        results_place("digits32", None)
    with pytest.raises(UserError, match=r"model.safetensors is a file: name a folder"):
        results_place("digits32", tmp_path / "model.safetensors")
