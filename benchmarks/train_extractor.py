"""Train the shipped CIFAR-10 feature extractor, or measure the accuracy of its file.

    python -m benchmarks.train_extractor --data cifar10.zip --out FOLDER [--epochs N] [--seed N]
    python -m benchmarks.train_extractor --data cifar10.zip --evaluate [FILE]

FOLDER gets checkpoints after every epoch, from which the same command resumes exactly (everything random follows from
the seed and the epoch) and one with other epochs goes on with another schedule, and the float16 weights
cifar.safetensors. The recipe is airbench94's (Jordan 2024, arXiv 2404.00498) without its look-ahead optimiser and
test-time augmentation.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganshift.data.open import open_images
from ganshift.metrics.extractors import CLASSES, SHIPPED_WEIGHTS, SIDE, CifarNetwork, open_extractor, weights_hash
from ganshift.tensors import from_uint8
from ganshift.training.checkpoint import load_latest, save
from ganshift.training.log import say
from ganshift.training.run_folder import versions
from ganshift.training.weights import save_weights

BATCH = 500
LEARNING_RATE = 0.75
"""At its peak, for the mean loss of a batch."""
MOMENTUM = 0.85
WEIGHT_DECAY = 1.33e-3
BIAS_FACTOR = 64
"""Biases of batch norms learn this much faster, and decay as much slower."""
WARM_UP = 0.23
"""The share of training after which the learning rate, which starts at a fifth, is at its peak; it ends at 0."""
LABEL_SMOOTHING = 0.2
SHIFT = 2
"""Pixels by which images are moved at most."""


def read(path, split):
    """All images (n 3 32 32, bytes) and labels of a split."""
    images = open_images(path, SIDE, channels=3, split=split)
    assert images.classes == CLASSES, images.classes
    return images.read(range(len(images))), torch.from_numpy(images.labels)


def new_network(images):
    """A network of fresh weights, whose first layer whitens the 2 x 2 patches of these images."""
    network = CifarNetwork(normalised=True)
    for convolution in network.convolutions:
        nn.init.dirac_(convolution.weight.data[: convolution.in_channels])  # starts by passing its inputs on
    for norm in network.norms:
        norm.weight.requires_grad_(False)  # stays 1
    patches = F.unfold(from_uint8(images), 2).transpose(1, 2).flatten(0, 1).double()  # patches 12
    variances, directions = torch.linalg.eigh(patches.T.cov())
    filters = (directions / (variances + 1e-3).sqrt()).T
    filters = torch.cat([filters, -filters])
    network.whiten.weight.data.copy_(filters.reshape(network.whiten.weight.shape))
    network.whiten.bias.data.copy_(-filters @ patches.mean(0))
    network.whiten.weight.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def new_optimizer(network):
    """Nesterov's SGD in two groups: biases of norms, and all else."""
    biases = [norm.bias for norm in network.norms]
    others = [p for p in network.parameters() if p.requires_grad and all(p is not bias for bias in biases)]
    groups = [
        {"params": biases, "factor": BIAS_FACTOR, "weight_decay": WEIGHT_DECAY / BIAS_FACTOR},
        {"params": others, "factor": 1, "weight_decay": WEIGHT_DECAY},
    ]
    return torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)


def rate(progress):
    """The learning rate's share of its peak when this share of training is done."""
    if progress < WARM_UP:
        return 0.2 + 0.8 * progress / WARM_UP
    return (1 - progress) / (1 - WARM_UP)


def epoch_batches(padded, labels, flips, seed, epoch):
    """All images once, in a random order, each moved by up to SHIFT pixels and flipped in every other epoch."""
    draw = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    windows = padded.unfold(2, SIDE, 1).unfold(3, SIDE, 1)  # n 3 5 5 32 32
    order = torch.randperm(len(labels), generator=draw)
    shifts = torch.randint(2 * SHIFT + 1, (2, len(labels)), generator=draw)
    for chosen in order.split(BATCH):
        images = from_uint8(windows[chosen, :, shifts[0, chosen], shifts[1, chosen]])
        flipped = ((flips[chosen] + epoch) % 2).bool()
        yield torch.where(flipped[:, None, None, None], images.flip(3), images), labels[chosen]


def train(images, labels, folder, epochs, seed):
    """A trained network; goes on from the newest checkpoint in the folder."""
    torch.manual_seed(seed)
    network = new_network(images[:: max(1, len(images) // 5000)])
    optimizer = new_optimizer(network)
    flips = torch.randint(2, labels.shape)
    done, seconds = 0, 0.0
    state = load_latest(folder)
    if state is not None:
        assert state["seed"] == seed, "this folder holds a run of another seed"
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done, seconds = state["done"], state["seconds"]
    padded = torch.cat([F.pad(part.float(), [SHIFT] * 4, mode="reflect").byte() for part in images.split(5000)])
    batches = len(labels) / BATCH
    for epoch in range(done, epochs):
        started = time.process_time()
        total = 0.0
        network.train()
        for index, (real, targets) in enumerate(epoch_batches(padded, labels, flips, seed, epoch)):
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * group["factor"] * rate((epoch + index / batches) / epochs)
            # Emulated, on processors without it, bfloat16 takes 15 times as long as float32.
            has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16):
                logits = network.logits(network.features(real.contiguous(memory_format=torch.channels_last)))
            loss = F.cross_entropy(logits.float(), targets, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / batches
        seconds += time.process_time() - started
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"done": epoch + 1, "seed": seed, "seconds": seconds}
        save(folder, (epoch + 1) * len(labels), state, keep=2)
        say(f"epoch {epoch + 1} of {epochs}: loss {total:.4f}, {seconds:.0f} s of CPU time so far")
    return network


def fold(network):
    """The network as it ships: batch norms in the convolutions, float16.

    They may be folded across the pooling between because their scales are positive.
    """
    network.eval()
    shipped = CifarNetwork()
    shipped.whiten.load_state_dict(network.whiten.state_dict())
    shipped.head.load_state_dict(network.head.state_dict())
    for convolution, norm, folded in zip(network.convolutions, network.norms, shipped.convolutions, strict=True):
        folded.load_state_dict(fuse_conv_bn_eval(convolution, norm).state_dict())
    return shipped.half()


def accuracy(weights, images, labels):
    """The share of images whose largest logit is their class, with the extractor of this file (None: the shipped)."""
    extractor = open_extractor("cifar", weights)
    right = 0
    for part, targets in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        _, logits = extractor(part)
        right += (logits.argmax(1) == targets).sum().item()
    return right / len(labels)


def main():
    """Train, or evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder or zip with train and test of CIFAR-10")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="train, in this folder")
    what.add_argument("--evaluate", type=Path, nargs="?", const=SHIPPED_WEIGHTS, help="a file; the shipped if left out")
    arguments = parser.parse_args()
    weights = arguments.evaluate
    if weights is None:
        weights = arguments.out / "cifar.safetensors"
        arguments.out.mkdir(parents=True, exist_ok=True)
        images, labels = read(arguments.data, "train")
        network = train(images, labels, arguments.out / "checkpoints", arguments.epochs, arguments.seed)
        save_weights(weights, fold(network))
    share = accuracy(weights, *read(arguments.data, "test"))
    say(f"test accuracy {share:.4f}, weights {weights_hash(open_extractor('cifar', weights))}, {versions()}")


if __name__ == "__main__":
    main()
