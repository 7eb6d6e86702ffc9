"""What a model is called by, and where results about it go."""

from pathlib import Path

import numpy as np
import pytest

from ganshift.cli import main
from ganshift.data.bundled import photographs
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
    assert transfer.keys() >= {"digits32"}
    assert dual.keys() >= {"photo-sketch"}
    assert transfer | dual == bundled_models()
    described = (Path(__file__).parents[2] / "docs" / "bundled.md").read_text()
    for name, folder in bundled_models().items():
        assert (folder / "model.safetensors").stat().st_size < 5_000_000
        assert f"| `{name}` |" in described


def test_a_translator_is_no_source():
    with pytest.raises(UserError, match="photo-sketch holds a dual run; a source must be a transfer run"):
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
    with pytest.raises(UserError, match=r"is no model: give a run folder, or the model\.safetensors"):
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
    for name in ("mien", "./mien", "a/b/c", "runs/\0", "x" * 300, "hub/" + "x" * 300):
        with pytest.raises(UserError):
            find_model(name)


def test_what_to_do_next_with_a_bundled_model_can_be_typed(tmp_path, capsys):
    """Its scores need a place of their own."""
    assert main(["generate", "digits32", "-n", "1", "-o", str(tmp_path / "one.png")]) == 0
    assert "Next: ganshift evaluate digits32 --reference IMAGES --out scores/" in capsys.readouterr().err


def test_results_go_beside_models_of_the_user_only(tmp_path):
    assert results_place(tmp_path, None) == tmp_path
    (tmp_path / "model.safetensors").touch()
    assert results_place(tmp_path / "model.safetensors", None) == tmp_path
    assert results_place("digits32", tmp_path / "found") == tmp_path / "found"
    with pytest.raises(UserError, match=r"digits32 is no folder of yours .* --out"):
        results_place("digits32", None)
