"""What a model is called by, and where results about it go."""

import pytest

from ganshift.errors import UserError
from ganshift.runtime.named import bundled_sources, find_model, results_place


def test_a_bundled_name_comes_before_a_folder_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits32").mkdir()
    assert find_model("digits32") == bundled_sources()["digits32"]
    assert find_model("./digits32").resolve() == tmp_path / "digits32"


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
