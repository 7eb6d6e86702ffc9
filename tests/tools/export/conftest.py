"""Runs of tiny networks whose weights are random, but not those of a start."""

import json
from collections import namedtuple

import pytest
import torch
from safetensors.torch import save_file

from ganshift import Generator, Translator

CLASSES = ("cat", "<b>&", "rose")
NETWORK = {"size": 32, "width": 4, "channels": 3, "num_classes": len(CLASSES), "norm": True}
UNET = {"in_channels": 3, "out_channels": 1, "width": 4, "levels": 3, "size": [8, 16]}
"""The training height is a single step, so that the deepest map is one pixel high."""
DATA = {"images": 9, "content": "ab12"}
Run = namedtuple("Run", "folder model")


def write_run(folder, model, **config):
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if value.dim() == 1 or "norm" in name:
            value.add_(0.5 * torch.rand(value.shape))
    (folder / "config.json").write_text(json.dumps({**config, "data": DATA}))
    save_file(model.state_dict(), folder / "model.safetensors")
    return Run(folder, model.requires_grad_(False))


@pytest.fixture(scope="session")
def generator(tmp_path_factory):
    torch.manual_seed(0)
    model = Generator(NETWORK, CLASSES)
    return write_run(tmp_path_factory.mktemp("a drawer"), model, method="transfer", generator=NETWORK, classes=CLASSES)


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    gen_ba = {**UNET, "in_channels": 1, "out_channels": 3}
    torch.manual_seed(0)
    model = Translator(UNET, gen_ba)
    return write_run(tmp_path_factory.mktemp("translator"), model, method="dual", gen_ab=UNET, gen_ba=gen_ba)
