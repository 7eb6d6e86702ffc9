"""The extractors: what they accept, what they give, and what a score can rely on."""

import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from skimage import data
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from ganshift.data.bundled import photo_sketch
from ganshift.errors import UserError
from ganshift.metrics import scores
from ganshift.metrics.extractors import RESIZE_RULES, SHIPPED_WEIGHTS, open_extractor, weights_hash
from ganshift.training.weights import save_weights


@pytest.fixture(scope="module")
def cifar():
    return open_extractor("cifar")


@pytest.fixture(scope="module")
def photographs():
    images = photo_sketch(32).train_a
    return images.read(range(len(images)))


def noisy(images, deviation):
    noise = deviation * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + noise).round().clamp(0, 255).byte()


def test_the_shipped_file_is_small_and_in_half_precision():
    assert SHIPPED_WEIGHTS.stat().st_size < 4e6
    assert {value.dtype for value in load_file(SHIPPED_WEIGHTS).values()} == {torch.float16}


def test_layers(cifar, photographs):
    features, logits = cifar(photographs[:5])
    assert features.shape == (5, 256)
    assert logits.shape == (5, 10)
    assert not features.requires_grad


def test_lite0_knows_photographs_of_any_size_whatever_their_batch(photographs):
    """Espresso is class 967 of ImageNet's; as in tests/nn/test_efficientnet_lite.py, but from bytes."""
    lite0 = open_extractor("lite0")
    coffee = torch.from_numpy(data.coffee()).permute(2, 0, 1)[None, :, :, 100:500]
    features, logits = lite0(coffee)
    assert (features.shape, logits.shape, features.requires_grad) == ((1, 1280), (1, 1000), False)
    assert logits.argmax() == 967
    small = photographs[:6]  # of 32 pixels, made larger
    together, alone = lite0(small)[0], torch.cat([lite0(image[None])[0] for image in small])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(lite0(small[:, :1])[0], lite0(small[:, :1].repeat(1, 3, 1, 1))[0])
    fewer = torch.nn.functional.max_pool2d(coffee.float(), 2).byte()
    assert (lite0(fewer)[0] - features).norm() < features.norm()
    assert weights_hash(lite0) == weights_hash(open_extractor("lite0"))


def test_photographs_are_recognised(cifar):
    """Chelsea fills her picture; the rocket is what CIFAR-10 has no class for, so only the cat is asked of."""
    cat = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None, :, :, 75:375]
    assert cifar(cat)[1].argmax() == 3


def test_an_image_does_not_depend_on_its_batch(cifar, photographs):
    together = cifar(photographs[:64])
    alone = [cifar(image[None]) for image in photographs[:64]]
    for index, layer in enumerate(together):
        torch.testing.assert_close(layer, torch.cat([one[index] for one in alone]), rtol=1e-5, atol=1e-5)


def test_other_sizes_are_resized_as_pillow_does(cifar):
    picture = Image.fromarray(data.astronaut()[:200, 100:340])
    small = picture.resize((32, 32), Image.Resampling.BICUBIC)
    of_large, of_small = (cifar(torch.from_numpy(np.array(p)).permute(2, 0, 1)[None]) for p in (picture, small))
    aliased = cifar(torch.from_numpy(np.array(picture.resize((32, 32), 0))).permute(2, 0, 1)[None])
    error = (of_large[0] - of_small[0]).norm()
    assert error < 0.05 * of_small[0].norm()  # Pillow rounds to levels
    assert error < 0.1 * (of_large[0] - aliased[0]).norm()


def test_gray_and_transparent_images(cifar, photographs):
    colour, gray = photographs[:3], photographs[:3, :1]
    opaque, clear = torch.full_like(gray, 255), torch.zeros_like(gray)
    torch.testing.assert_close(cifar(gray), cifar(gray.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(cifar(torch.cat([colour, opaque], 1)), cifar(colour))
    torch.testing.assert_close(cifar(torch.cat([colour, clear], 1)), cifar(torch.full_like(colour, 255)))


def test_scores_get_worse_with_every_step_of_noise(cifar, photographs):
    """On photographs that it was not trained on."""
    real, _ = cifar(photographs[1::2])
    steps = [cifar(noisy(photographs[::2], deviation))[0] for deviation in (0, 8, 16, 32)]
    for values in (
        [scores.fid(features, scores.statistics(real)).value for features in steps],
        [scores.kid(features, real, 100, 100).value for features in steps],
    ):
        assert values == sorted(set(values))


def test_hash_follows_the_weights(cifar, tmp_path):
    other = open_extractor("cifar")
    assert weights_hash(other) == weights_hash(cifar)
    with torch.no_grad():
        other.network.head.weight[0, 0] += 1
    assert weights_hash(other) != weights_hash(cifar)
    save_weights(tmp_path / "other.safetensors", other.network)
    assert weights_hash(open_extractor("cifar", tmp_path / "other.safetensors")) == weights_hash(other)


@pytest.mark.parametrize("name", RESIZE_RULES)
def test_wrong_weights(name, tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        open_extractor(name, tmp_path / "absent")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no weights")
    with pytest.raises(UserError, match=str(garbage)):
        open_extractor(name, garbage)


def test_weights_of_another_network(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not hold the weights of inception"):
        open_extractor("inception", tmp_path / "other.pth")
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="does not fit"):
        open_extractor("cifar", tmp_path / "other.safetensors")


def test_inception_without_network_names_both_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there: no request leaves the machine
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first request, for all tests
    with pytest.raises(UserError, match=r"--extractor-weights FILE, or use the extractor cifar"):
        open_extractor("inception")


class Blank(FeatureExtractorInceptionV3):
    """Inception with fresh weights: the published ones are not here."""

    def load_state_dict(self, state_dict):
        assert state_dict == {}


def test_inception_from_a_file(tmp_path, photographs):
    torch.manual_seed(0)
    torch.save({}, tmp_path / "empty.pth")
    blank = Blank("blank", ["2048"], feature_extractor_weights_path=str(tmp_path / "empty.pth"))
    torch.save(blank.state_dict(), tmp_path / "weights.pth")
    extractor = open_extractor("inception", tmp_path / "weights.pth")
    features, logits = extractor(photographs[:2])
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    torch.testing.assert_close(features, blank(photographs[:2])[0])
    assert weights_hash(extractor) == weights_hash(blank)
