"""Where a source may lie, and what is said when it is not one."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from ganshift.errors import UserError
from ganshift.inference.names import bundled_models
from ganshift.methods.transfer.source import open_source


def test_bundled_sources_open():
    assert "digits32" in bundled_models("transfer")
    for name, folder in bundled_models("transfer").items():
        source = open_source(name)
        assert source.where == name
        assert all(torch.isfinite(value).all() for value in [*source.generator.values(), *source.critic.values()])
        assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000


def test_a_folder_and_the_model_file_in_it(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(bundled_models()["digits32"], run)
    for name in (str(run), str(run / "model.safetensors")):
        assert torch.equal(open_source(name).critic["to_score.bias"], open_source("digits32").critic["to_score.bias"])
    with pytest.raises(UserError, match="is not a model"):
        open_source(str(run / "config.json"))
    (run / "critic.safetensors").unlink()
    with pytest.raises(UserError, match=r"critic\.safetensors is missing"):
        open_source(str(run))
    (run / "config.json").write_text('{"method": "transfer", "generator": []}')
    with pytest.raises(UserError, match="does not describe a transfer model"):
        open_source(str(run))


def test_unknown_names_say_what_can_be_given():
    with pytest.raises(UserError, match=r"run folder.*owner/model.*digits32"):
        open_source("flowers")
    with pytest.raises(UserError, match=r"no run folder 'digits99': did you mean digits32\?$"):
        open_source("digits99")


def offline(code, cache):
    """Run code with a hub cache of our own, and no network."""
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_hub_id_is_found_in_the_cache(tmp_path):
    """The cache is laid out as the hub's own client does it."""
    repository = tmp_path / "models--someone--digits"
    shutil.copytree(bundled_models()["digits32"], repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    code = "from ganshift.methods.transfer.source import open_source\n"
    code += "print(open_source('someone/digits').generator_arguments)"
    assert "'width': 32" in offline(code, tmp_path)


def test_a_hub_id_that_cannot_be_had(tmp_path):
    code = """
from ganshift.errors import UserError
from ganshift.methods.transfer.source import open_source
try: open_source("someone/else")
except UserError as error: print(error)
"""
    message = offline(code, tmp_path)
    assert "there is no run folder 'someone/else', and the Hugging Face hub" in message
    assert "check the name and the network" in message
    assert len(message.splitlines()) == 1
