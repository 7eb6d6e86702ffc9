"""What a model is called by, and where results about it go."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganshift.data.bundled import photographs, sketch
from ganshift.errors import UserError
from ganshift.models import Translator
from ganshift.runtime.named import bundled_models, find_model, results_place
from ganshift.transfer.source import open_source


def test_a_bundled_name_comes_before_a_folder_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits32").mkdir()
    assert find_model("digits32") == bundled_models()["digits32"]
    assert find_model("./digits32").resolve() == tmp_path / "digits32"


def test_models_that_ship():
    """Of each method by themselves, small enough to ship, and named where users look for them."""
    transfer, dual = bundled_models("transfer"), bundled_models("dual")
    assert transfer.keys() >= {"digits32"} and dual.keys() >= {"photo-sketch"}
    assert transfer | dual == bundled_models()
    described = (Path(__file__).parents[2] / "docs" / "bundled.md").read_text()
    for name, folder in bundled_models().items():
        assert (folder / "model.safetensors").stat().st_size < 5_000_000
        assert f"| `{name}` |" in described


def test_a_translator_is_no_source():
    with pytest.raises(UserError, match="photo-sketch holds a dual run; a source must be a transfer run"):
        open_source("photo-sketch")


def test_the_bundled_translator_draws():
    """What it draws of a photograph resembles the computed pencil sketch, which is not one of its training pictures."""
    translator = Translator.from_pretrained("photo-sketch", device="cpu")
    photograph = photographs()["chelsea"].resize((128, 96))
    ours, computed = np.asarray(translator(photograph)), np.asarray(sketch(photograph))
    assert ours.shape == computed.shape
    assert np.corrcoef(ours.flatten(), computed.flatten())[0, 1] > 0.3
    assert translator(Image.fromarray(ours), to="a").mode == "RGB"


def test_a_run_and_the_model_file_in_it(tmp_path):
    assert find_model(tmp_path) == tmp_path
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "critic.safetensors").touch()
    assert find_model(tmp_path / "model.safetensors") == tmp_path
    with pytest.raises(UserError, match=r"is no model: give a run folder, or the model\.safetensors"):
        find_model(tmp_path / "critic.safetensors")


def test_only_what_cannot_be_a_path_here_is_asked_of_the_hub(tmp_path, monkeypatch):
    """A misspelt path must not leave the machine; the message of one that was asked for says so."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no run folder 'runs/mien', and the Hugging Face hub did not give"):
        find_model("runs/mien")
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="no run folder 'runs/mien': give a run folder"):
        find_model("runs/mien")
    for name in ("mien", "./mien", "a/b/c", "runs/\0", "x" * 300, "hub/" + "x" * 300):
        with pytest.raises(UserError):
            find_model(name)


def test_results_go_beside_models_of_the_user_only(tmp_path):
    assert results_place(tmp_path, None) == tmp_path
    (tmp_path / "model.safetensors").touch()
    assert results_place(tmp_path / "model.safetensors", None) == tmp_path
    assert results_place("digits32", tmp_path / "found") == tmp_path / "found"
    with pytest.raises(UserError, match=r"digits32 is no folder of yours .* --out"):
        results_place("digits32", None)
