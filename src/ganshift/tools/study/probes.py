"""Two classifiers of few images: logistic regression on features of a trained network, and a small network of its own.

Both learn weighted images, so that what is compared differs in weights and in nothing else. Only proportions matter: an
image that is there twice is an image of twice the weight, and a set of copies of the real images changes nothing.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensors import Bytes, from_uint8, to_colour
from .verdict import Probabilities

STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Of logistic regression, scikit-learn's C: the larger, the closer to the images learned."""
MOST_STEPS = 1_000
ROUNDS = 3
"""Of the cross-validation that chooses one of them; a class needs as many images."""
SIDE = 32
"""The side at which the small network looks at images."""
WIDTHS = (16, 32, 64)
STEPS, BATCH, LEARNING_RATE = 200, 32, 2e-3
Weights = Float64[np.ndarray, " n"]
"""Of images; 0 leaves one out."""
Numbers = Int64[np.ndarray, " n"]
"""Of the classes of images, from 0 on; there is at least one image of each that has a weight."""


def arms(num_real: int, num_changed: int, num_generated: int, amounts: tuple[float | int, ...]) -> dict[str, Weights]:
    """How much each image counts in each arm of the comparison, by its name; the first two go without generated ones.

    Images are in this order: real ones, changed versions of them, generated ones. An amount is of generated images, as
    a multiple of the real ones. Generated images stand beside plain real ones: beside changed versions, plain copies
    would help by making these count less.
    """
    plain, augmented = np.zeros((2, num_real + num_changed + num_generated))
    plain[:num_real] = 1
    augmented[: num_real + num_changed] = num_real / (num_real + num_changed)
    found = {"real": plain, "augmented": augmented}
    for amount in amounts:
        both = plain.copy()
        both[num_real + num_changed :][: round(amount * num_real)] = 1
        found[f"real + {amount:g} generated"] = both
    return found


@final
class LinearProbe:
    """Standardised features and logistic regression, in which classes count alike.

    Real training images alone decide how features are standardised, and by cross-validation, how closely the
    regression follows what it learns: were images learned among those that choose, copies would seem to help.
    """

    def __init__(self, real: Float[np.ndarray, "m d"], classes: Int64[np.ndarray, " m"]) -> None:
        spread = real.std(0)
        self.mean, self.scale = real.mean(0), np.maximum(spread, np.median(spread))
        self.num_real = len(real)
        self.search = GridSearchCV(
            LogisticRegression(class_weight="balanced", max_iter=MOST_STEPS),
            {"C": STRENGTHS},
            scoring="neg_log_loss",
            cv=StratifiedKFold(ROUNDS, shuffle=True, random_state=0),
        ).fit(self._standardised(real), classes)

    def learn(
        self, features: Float[np.ndarray, "n d"], classes: Numbers, weights: Weights, asked: Float[np.ndarray, "k d"]
    ) -> Probabilities:
        """Learn the weighted images and say what those asked about are."""
        used = weights > 0
        regression = LogisticRegression(class_weight="balanced", max_iter=MOST_STEPS, **self.search.best_params_)
        scaled = weights[used] * self.num_real / weights.sum()
        regression.fit(self._standardised(features[used]), classes[used], sample_weight=scaled)
        return regression.predict_proba(self._standardised(asked)).astype(np.float64)

    def _standardised(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """With the spread of few images, what hardly differs among them would count most, so there is a least scale."""
        return (features - self.mean) / self.scale


def small_network(images: Bytes, classes: Numbers, weights: Weights, asked: UInt8[Tensor, "k c h w"]) -> Probabilities:
    """Train three convolutions from scratch on the weighted images, in which classes count alike, and ask them."""
    weights = weights / np.bincount(classes, weights)[classes]
    learned, targets, order = _seen(images), torch.from_numpy(classes), np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _new_network(int(classes.max()) + 1)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        drawn = order.choice(len(classes), BATCH, p=weights / weights.sum())
        loss = F.cross_entropy(network(learned[drawn]), targets[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return network.eval()(_seen(asked)).double().softmax(1).numpy()


def _new_network(num_classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in zip((3, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], num_classes))


def _seen(images: Bytes) -> Tensor:
    """Colour images as the small network sees them."""
    return F.interpolate(to_colour(from_uint8(images)), (SIDE, SIDE), mode="bilinear", antialias=True)
