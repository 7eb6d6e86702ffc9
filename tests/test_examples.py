"""Everything that shows how to use ganshift from Python runs: docstrings, docs/api.md, examples and the notebook."""

import ast
import doctest
import re
import runpy
import shutil
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

import ganshift
from ganshift import Generator, Translator
from ganshift.inference.names import bundled_models

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SOURCES = Path(ganshift.__file__).parent
WITH_EXAMPLES = [path for path in sorted(SOURCES.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
DOCUMENTS = [path for path in sorted((ROOT / "docs").glob("*.md")) if ">>> " in path.read_text(encoding="utf-8")]
DRAWINGS = {"width": 4, "levels": 5, "size": 32}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder as the examples take it to be: a run of each method, and a photograph."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled_models()["digits32"], "runs/mine")
    torch.manual_seed(0)
    colour_to_gray = {"in_channels": 3, "out_channels": 1, **DRAWINGS}
    translator = Translator(colour_to_gray, {"in_channels": 1, "out_channels": 3, **DRAWINGS})
    translator.config["names"] = {"a": "photos", "b": "drawings"}
    translator.save_pretrained("runs/drawings")
    Image.effect_noise((48, 40), 60).convert("RGB").save("photo.jpg")
    return tmp_path


def run_script(monkeypatch, name, *arguments):
    """Run a script of the examples in this process, which has torch already."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def run_doctest(text, name, names):
    """Run the examples of a text, which must have some, and show what went otherwise than it says."""
    said = []
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert test.examples
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_docstrings(path, workplace):
    module = import_module(".".join(["ganshift", *path.relative_to(SOURCES).with_suffix("").parts]))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            if ">>> " in text:
                names = {"Generator": Generator, "Translator": Translator, **vars(module)}
                run_doctest(text, getattr(node, "name", path.name), names)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents(path, workplace):
    blocks = re.findall(r"```pycon\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    run_doctest("\n".join(blocks), path.name, {})


def test_there_is_what_these_tests_are_for():
    assert {"generator.py", "translator.py"} <= {path.name for path in WITH_EXAMPLES}
    assert "api.md" in {path.name for path in DOCUMENTS}
    scripts = list(EXAMPLES.glob("*.py"))
    assert len(scripts) == 2
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 40 for path in scripts)


def test_generate_and_interpolate(tmp_path, monkeypatch, capsys):
    run_script(monkeypatch, "generate_and_interpolate.py", "digits32", tmp_path / "drawn")
    assert "wrote samples.png, truncated.png and strips.png" in capsys.readouterr().out
    with Image.open(tmp_path / "drawn" / "strips.png") as strips:
        assert strips.size == (10 * 34 + 2, 8 * 34 + 2)


def test_train_and_translate(tmp_path, monkeypatch):
    run_script(monkeypatch, "train_and_translate.py", 4, tmp_path / "sketches")
    with Image.open(tmp_path / "sketches" / "chelsea.png") as shown:
        assert shown.size == (3 * 152 + 2, 104)
    assert Translator.from_pretrained(tmp_path / "sketches-to-share").size == 64


@pytest.mark.ring_two
def test_notebook(tmp_path):
    book = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "notebooks are kept without outputs"
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = [set(output.data) for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in kind for kind in kinds) == 4
    assert (tmp_path / "fives" / "README.md").exists()
