"""Small extractors and images for tests of metrics."""

import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


class StandIn(torch.nn.Module):
    """Random projections of the four quarters' colours; counts the images that it has seen."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("weights", torch.randn(12, 8, generator=generator) / 64)
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        quarters = torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)
        features = (quarters - 128) @ self.weights
        return features, 3 * features[:, :5]


def random_images(count, seed, low=0, high=256, size=16):
    """Images of blurred noise, so that they differ in more than their mean."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(low, high, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return coarse.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3)


def batches(images, size):
    return [lambda part=part: part for part in images.split(size)]


def write_random_inception(path):
    """A file of the right shape: random weights that keep the size of signals, and some statistics of norms."""
    torch.manual_seed(0)

    class Empty(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            pass

    torch.save({}, path)
    network = Empty("inception", ["2048"], feature_extractor_weights_path=str(path))
    weights = network.state_dict()
    for name, value in weights.items():
        if value.dim() > 1:
            fan_in = value[0].numel()
            weights[name] = torch.randn(value.shape) * (2 / fan_in) ** 0.5
        elif name.endswith("running_var"):
            weights[name] = torch.rand(value.shape) + 0.5
    torch.save(weights, path)
    return path
