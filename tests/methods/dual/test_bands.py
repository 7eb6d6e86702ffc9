import pytest
import torch

from ganshift.methods.dual.networks import UNet
from ganshift.methods.dual.tiled import translate_tiled


def new_unet(levels, size=32, as_published=False):
    torch.manual_seed(0)
    network = UNet(3, 1, 4, levels, size, dropout=0.5, as_published=as_published).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
    return network


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize(
    ("levels", "height", "width"),
    [(8, 128, 96), (6, 131, 97), (5, 33, 50), (5, 1, 77), (3, 64, 5), (2, 40, 1), (1, 9, 9)],
)
@pytest.mark.parametrize("rows", [1, 3, 16, 1000])
def test_bands_give_what_the_whole_gives(levels, height, width, rows, as_published):
    network = new_unet(levels, as_published=as_published)
    image = torch.rand(1, 3, height, width, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        whole = network(image)
    assert whole.std() > 0.05  # else nothing would be compared
    torch.testing.assert_close(translate_tiled(network, image, rows * width), whole, rtol=0, atol=1e-9)


def test_statistics_survive_a_mean_far_from_zero():
    network = new_unet(3).float()
    image = torch.rand(1, 3, 64, 48) * 2e-3 + 0.9
    with torch.no_grad():
        exact = new_unet(3)(image.double())
    torch.testing.assert_close(translate_tiled(network, image, 5 * 48).double(), exact, rtol=0, atol=2e-3)


def test_the_largest_maps_are_never_held(monkeypatch):
    """No convolution is given more rows than its band and its kernel need."""
    seen, convolve = [], torch.nn.functional.conv2d

    def note(maps, *arguments, **named):
        seen.append(maps.shape[2])
        return convolve(maps, *arguments, **named)

    monkeypatch.setattr(torch.nn.functional, "conv2d", note)
    translate_tiled(new_unet(4), torch.zeros(1, 3, 400, 8, dtype=torch.float64), 20 * 8)
    assert max(seen) <= 2 * (2 * 20 + 3) + 5
