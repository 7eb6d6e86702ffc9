"""The range convention and the sheets."""

import torch
from torch.testing import assert_close

from ganshift.tensors import dequantize, from_uint8, image_grid, to_channels, to_colour, to_uint8


def test_round_trip_of_every_level():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = from_uint8(levels)
    assert (images.min(), images.max()) == (-1, 1)
    assert torch.equal(to_uint8(images), levels)


def test_rounding_and_clamping():
    images = torch.tensor([-2.0, -1.0, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 1.0, 5.0]).view(1, 1, 2, 3)
    assert to_uint8(images).flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_dequantized_levels_do_not_overlap():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    low, high = dequantize(levels, torch.zeros(1, 1, 16, 16)), dequantize(levels, torch.ones(1, 1, 16, 16))
    assert_close(low.flatten()[1:], high.flatten()[:-1])
    assert (low.min(), high.max()) == (-1, 1)


def test_colour_of_gray_and_of_transparency():
    gray = torch.full((1, 1, 2, 2), -0.5)
    assert torch.equal(to_colour(gray), torch.full((1, 3, 2, 2), -0.5))
    transparent = torch.cat([torch.full((1, 3, 2, 2), -1.0), torch.full((1, 1, 2, 2), -1.0)], dim=1)
    assert torch.equal(to_colour(transparent), torch.ones(1, 3, 2, 2))
    opaque = torch.cat([torch.full((1, 3, 2, 2), -0.25), torch.ones(1, 1, 2, 2)], dim=1)
    assert torch.equal(to_colour(opaque), torch.full((1, 3, 2, 2), -0.25))


def test_every_number_of_channels_from_every_other():
    gray = torch.full((1, 1, 2, 2), -0.5)
    colour = torch.tensor([-1.0, -0.5, 0.0]).view(1, 3, 1, 1).expand(-1, -1, 2, 2)
    for images in (gray, colour):
        assert torch.equal(to_channels(images, 1), gray)
        assert torch.equal(to_channels(images, 4)[:, :3], to_colour(images))
        assert torch.equal(to_channels(images, 4)[:, 3], torch.ones(1, 2, 2))
        assert torch.equal(to_channels(to_channels(images, 4), images.shape[1]), images)
    assert torch.equal(to_channels(gray, 3), gray.expand(-1, 3, -1, -1))


def test_sheet_lays_out_rows():
    images = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, 1, 4, 4)
    pixels = image_grid(images, columns=3, margin=2)
    assert pixels.shape == (2 * 6 + 2, 3 * 6 + 2, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert [int(pixels[row, column, 0]) for row in (3, 9) for column in (3, 9, 15)] == [0, 51, 102, 153, 204, 255]
