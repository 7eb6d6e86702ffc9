"""Bundled sets by name, and everything else by path."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganshift.data.named import DOMAINS, PREFIX, open_named_domains, open_named_images
from ganshift.errors import UserError


@pytest.mark.parametrize(
    ("name", "number", "classes"),
    [("digits", 1797, 10), ("digits-0-4", 901, 5), ("digits-5-9", 100, 5), ("faces", 100, 0)],
)
def test_bundled_images(name, number, classes):
    images = open_named_images(Path(PREFIX + name), 32, None, 1e9)
    assert (len(images), images.channels, images.size, len(images.classes)) == (number, 1, 32, classes)
    with pytest.raises(UserError, match="has 1 channels, 3 are asked for"):
        open_named_images(Path(PREFIX + name), 32, 3, 1e9)


def test_source_and_target_of_the_demo_share_no_image():
    source, target = (open_named_images(Path(PREFIX + name), 8, None, 1e9) for name in ("digits-0-4", "digits-5-9"))
    assert not set(source.names) & set(target.names)
    assert set(np.unique(target.labels)) == {0, 1, 2, 3, 4}
    assert target.classes == ("5", "6", "7", "8", "9")


def open_domains(data):
    return open_named_domains(data, None, None, 32, channels_a=None, channels_b=None, memory_budget_bytes=1e9)


@pytest.mark.parametrize("name", DOMAINS)
def test_bundled_domains(name):
    domains = open_domains(Path(PREFIX + name))
    assert (domains.train_a.channels, domains.train_b.channels) == (3, 1)


@pytest.mark.parametrize("opener", [open_domains, lambda data: open_named_images(data, 32, None, 1e9)])
def test_unknown_names_list_the_known(opener):
    with pytest.raises(UserError, match=r"there is no bundled:cats; bundled are bundled:"):
        opener(Path("bundled:cats"))


def test_a_path_is_a_path(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    images = open_named_images(tmp_path, 32, 1, 1e9)
    assert (len(images), images.channels) == (1, 1)
