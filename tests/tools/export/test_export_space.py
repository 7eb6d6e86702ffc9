"""A Space of the hub: what is written, and that it starts from the wheel alone, as it would there."""

import os
import re
import socket
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from huggingface_hub import RepoCard

from ganshift import Translator, UserError
from ganshift.cli import main
from ganshift.tools.export import export
from ganshift.tools.export.space import _installed


@pytest.fixture(scope="module")
def space(translator, tmp_path_factory):
    out = tmp_path_factory.mktemp("a space") / "out"
    paths, parities = export(translator.folder, out, format="space")
    assert parities == {}
    assert {path.parent for path in paths} == {out}
    return out


def test_what_a_space_is(space, translator):
    header = RepoCard.load(space / "README.md").data.to_dict()
    assert header["title"] == translator.folder.name
    assert (header["sdk"], header["sdk_version"]) == ("gradio", version("gradio"))
    assert (space / header["app_file"]).exists()
    assert header["license"] == "unknown"
    asked = (space / "requirements.txt").read_text().splitlines()
    assert "torch>=2.9" in asked
    assert {re.split(r"[<>=]", each)[0] for each in asked} > {"gradio", "fastapi", "av", "pillow"}
    assert not {each for each in asked if each.startswith(("pytest", "onnx", "tensorflow", "ganshift"))}
    model = Translator.from_pretrained(space / translator.folder.name, "cpu")
    assert all(
        (one == other).all() for one, other in zip(model.parameters(), translator.model.parameters(), strict=True)
    )


def test_the_wheel_is_the_package(space):
    """All files of it, and a record of their hashes that pip checks."""
    (path,) = space.glob("*.whl")
    assert path.name == f"ganshift-{version('ganshift')}-py3-none-any.whl"
    package = Path(__file__).parents[3] / "src" / "ganshift"
    with zipfile.ZipFile(path) as wheel:
        assert wheel.testzip() is None
        names = set(wheel.namelist())
        assert wheel.read("ganshift/tools/serve/page.css") == (package / "tools/serve/page.css").read_bytes()
        record = wheel.read(f"ganshift-{version('ganshift')}.dist-info/RECORD").decode().splitlines()
    files = {f"ganshift/{each.relative_to(package).as_posix()}" for each in package.rglob("*") if each.is_file()}
    assert {name for name in names if name.startswith("ganshift/")} == {n for n in files if "__pycache__" not in n}
    assert {line.rpartition(",sha256")[0] or line.removesuffix(",,") for line in record} == names
    assert not [name for name in names if name.endswith(("direct_url.json", "INSTALLER", ".pth"))]


def test_a_space_needs_an_installation(translator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[3] / "src")])
    with pytest.raises(UserError, match="a Space needs more packages: pip install 'ganshift"):
        _installed()


def test_options_of_other_formats(translator, tmp_path, capsys):
    assert main(["export", str(translator.folder), "--format", "space", "--half", "-o", str(tmp_path / "out")]) == 2
    assert "--half goes with --format safetensors, not with space" in capsys.readouterr().err


@pytest.mark.ring_two
def test_it_starts_in_a_new_environment(space, tmp_path):
    """Its app.py installs the wheel, without dependencies; these are then lent by the environment of the tests."""
    venv.create(tmp_path / "new", with_pip=True)
    python = tmp_path / "new" / "bin" / "python"
    names = {"PYTHONPATH", "GANSHIFT_PASSWORD", "VIRTUAL_ENV"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    clean = {name: value for name, value in os.environ.items() if name not in names} | {
        "GRADIO_SERVER_PORT": port,
        "GRADIO_TEMP_DIR": str(tmp_path / "files"),
    }
    app = [python, space / "app.py"]
    first = subprocess.run(app, capture_output=True, text=True, env=clean)
    assert "Successfully installed ganshift" in first.stdout
    assert "No module named" in first.stderr  # of what ganshift needs
    (site,) = (tmp_path / "new" / "lib").glob("python*/site-packages")
    assert (site / "ganshift" / "tools" / "serve" / "page.py").exists()
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    where = [python, "-c", "import ganshift; print(ganshift.__file__)"]
    assert subprocess.run(where, capture_output=True, text=True, env=clean, cwd=tmp_path).stdout.startswith(str(site))
    process = subprocess.Popen(app, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean)
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Running on local URL" in line:
                break
        else:
            pytest.fail("".join(said))
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://127.0.0.1:{port}/config") as response:
            assert b"translate_files" in response.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
