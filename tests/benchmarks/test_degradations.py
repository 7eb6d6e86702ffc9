"""What the degradations hold, and how samples are taken from a sheet."""

import torch
from PIL import Image

from benchmarks.degradations import of_classes, tiles, variants
from ganshift.tensors import from_uint8, image_grid


def numbered(count):
    """Images whose every pixel is their number (from 256 on, less 256 and so on), in ten classes."""
    images = (torch.arange(count) % 256).byte()[:, None, None, None].expand(-1, 3, 32, 32)
    return images, torch.arange(count) % 10


def test_samples_of_a_sheet_are_what_went_in(tmp_path):
    images = torch.randint(256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    Image.fromarray(image_grid(from_uint8(images), columns=3)).save(tmp_path / "sheet.png")
    assert torch.equal(tiles(tmp_path / "sheet.png"), images)


def test_classes_are_even_and_images_differ():
    images, labels = numbered(200)
    for classes, shares in ((10, [2] * 10), (9, [2] * 7 + [3] * 2), (1, [20])):
        numbers = of_classes(images, labels, classes, 20, torch.Generator().manual_seed(0))[:, 0, 0, 0]
        assert len(numbers.unique()) == 20
        assert sorted((numbers % 10).unique(return_counts=True)[1].tolist()) == shares


def test_every_row_has_as_many_images():
    images, labels = numbered(1000)
    rows = dict(variants(images, labels, 100, seed=0))
    assert {tuple(row.shape) for row in rows.values()} == {(100, 3, 32, 32)}
    assert len(rows["1 images, each 100 times"].unique(dim=0)) == 1
    assert not torch.equal(rows["noise 4/255"], rows["none"])
