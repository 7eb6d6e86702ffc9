"""The demo in its quick form, as `ganshift demo --quick` runs it."""

import re

import pytest

from ganshift.cli import main

FOLDERS = ("transfer", "scratch", "dual")


@pytest.mark.ring_two
def test_quick_demo(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    messages = capsys.readouterr().err
    assert "1/3 transfer" in messages
    assert f"open {out}/report.html" in messages
    assert {path.name for path in out.iterdir()} == {*FOLDERS, "report.html"}
    page = re.sub(r"<[^>]+>", "", (out / "report.html").read_text(encoding="utf-8"))
    assert f"ganshift demo --out {out} --seed 0 --quick" in page

    models = {name: (out / name / "model.safetensors").stat().st_mtime_ns for name in FOLDERS}
    (out / "report.html").unlink()
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    assert capsys.readouterr().err.count("nothing to do") == 3
    assert (out / "report.html").exists()
    assert {name: (out / name / "model.safetensors").stat().st_mtime_ns for name in FOLDERS} == models
