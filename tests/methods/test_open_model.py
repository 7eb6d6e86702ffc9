"""Models are opened by any name, whatever their method, and of the kind asked for."""

import shutil

import pytest

from ganshift import Generator, Translator, UserError
from ganshift.inference.names import bundled_models
from ganshift.methods.registry import open_model


def test_the_method_is_read_from_the_description():
    assert isinstance(open_model("digits32", "cpu"), Generator)
    assert isinstance(open_model("photo-sketch", "cpu", "translator"), Translator)


def test_the_other_kind_is_refused_with_its_command():
    with pytest.raises(UserError, match="holds a dual run, not a generator: use ganshift translate"):
        open_model("photo-sketch", "cpu", "generator")
    with pytest.raises(UserError, match="holds a transfer run, not a translator: use ganshift generate"):
        open_model("digits32", "cpu", "translator")


def test_a_folder_that_is_called_as_a_bundled_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled_models()["photo-sketch"], "digits32")
    assert isinstance(open_model("./digits32", "cpu"), Translator)
    with pytest.raises(UserError, match="holds a dual run, not a transfer run"):
        Generator.from_pretrained("./digits32", "cpu")


def test_unknown_methods(tmp_path):
    for written in ('"sculpture"', "null", "[]"):
        (tmp_path / "config.json").write_text(f'{{"method": {written}}}')
        with pytest.raises(UserError, match="which ganshift does not have: there are transfer, dual"):
            open_model(tmp_path)
