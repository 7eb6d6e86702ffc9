"""The command on a page gives the settings of its run."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ganshift.cli import main
from ganshift.methods.dual.config import PRESETS as DUAL_PRESETS
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.registry import methods
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.methods.transfer.config import TransferConfig
from ganshift.tools.report.runs import open_run
from ganshift.tools.report.settings import command_of, unknown_settings

HERE = Path("my 'odd' images")
TRANSFER = TransferConfig(**TRANSFER_PRESETS["demo"], data=HERE, out=Path("runs/a b"), source="digits32")
DUAL = DualConfig(**DUAL_PRESETS["small"], a=Path("-a"), b=Path("$b"), out=Path("-out"))
CONFIGS = [
    TRANSFER,
    *(TransferConfig(**settings, data=HERE, out=HERE) for settings in TRANSFER_PRESETS.values()),
    *(DualConfig(**settings, data=HERE, out=HERE) for settings in DUAL_PRESETS.values()),
    DUAL,
    replace(TRANSFER, images=None, epochs=2.5, flip=True, linear_decay=False, width=None, augment="color"),
    replace(TRANSFER, precision="bf16", fast=True, micro_batch=3, tracker="none", penalty=1e-7, seed=2**62),
    replace(DUAL, levels=5, aspect="3:2", flip=False, precision="fp32", memory_budget=1.5, tracker="trackio,wandb"),
]


def run_of(config, folder, **more):
    method = "dual" if isinstance(config, DualConfig) else "transfer"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"method": method, "training": config.to_json() | more}))
    return open_run(folder)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_command_gives_the_settings(config, tmp_path, capsys):
    command = command_of(run_of(config, tmp_path / "run"))
    assert main([*shlex.split(command)[1:], "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == config.to_json()


def test_the_command_is_short(tmp_path):
    run = run_of(TRANSFER, tmp_path / "run")
    assert command_of(run) == (
        "ganshift transfer --preset demo --out 'runs/a b' --data 'my '\"'\"'odd'\"'\"' images' --source digits32"
    )


def test_what_no_command_gives_is_named(tmp_path):
    run = run_of(TRANSFER, tmp_path / "run", double_penalty=False)
    assert unknown_settings(run) == ["double_penalty"]
    assert "double" not in command_of(run)
    assert command_of(run_of(TRANSFER, tmp_path / "other", batch="many")) is None


def test_every_method_has_presets():
    assert {name: method.presets for name, method in methods().items()} == {
        "transfer": TRANSFER_PRESETS,
        "dual": DUAL_PRESETS,
    }
