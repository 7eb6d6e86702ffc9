"""`ganshift bench`: what it times and how it says so."""

import json

import pytest
import torch

from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.methods.registry import methods
from ganshift.tools.bench import bench


def test_presets_are_timed(capsys):
    """One iteration of the tiny presets, as JSON and as a table; of presets with the same settings, one."""
    assert main(["bench", "--quick", "--json", "--only", "transfer/tiny", "dual/tiny"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["what"] for row in found["rows"]] == ["transfer/tiny", "dual/tiny"]
    for row in found["rows"]:
        assert row["iterations timed"] == 1
        product = row["seconds per iteration"] * row["images per second"]
        assert product == pytest.approx(row["images per iteration"], rel=0.05)
    assert found["versions"]["torch"] == torch.__version__
    assert main(["bench", "--quick", "--only", "transfer/tiny"]) == 0
    assert "transfer/tiny" in capsys.readouterr().out


def test_names():
    with pytest.raises(UserError, match="there is no preset 'transfer/smal': did you mean transfer/small"):
        bench(["transfer/smal"])
    assert methods()
