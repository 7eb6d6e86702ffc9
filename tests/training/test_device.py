"""Devices by name; this machine's own decide what there is."""

import pytest
import torch

from ganshift.errors import UserError
from ganshift.training.device import choose_device


def test_cpu_and_auto():
    assert choose_device("cpu") == torch.device("cpu")
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    assert choose_device("auto") == (accelerator or torch.device("cpu"))


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "", "meta", "cpu:7"])
def test_what_is_not_here_names_what_is(name):
    with pytest.raises(UserError, match=r"available: auto, cpu"):
        choose_device(name)
