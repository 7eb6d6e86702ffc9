"""The published steps of WGAN-GP with ACGAN in both variants (Gulrajani et al. 2017; Wang et al. 2018), literally."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

LATENT_DIM = 128
EPSILON = 1e-5


def upsample(x):
    """Nearest neighbour, twice the side."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x):
    """Mean of every 2 x 2 pixels."""
    return F.avg_pool2d(x, 2)


class Norm(nn.Module):
    """Normalisation over `dims` by its formula, then a gain and a bias per channel, or per class and channel."""

    def __init__(self, channels, dims, num_classes=0):
        super().__init__()
        shape = (num_classes, channels) if num_classes else (1, channels)
        self.dims, self.num_classes = dims, num_classes
        self.gain, self.bias = (nn.Parameter(fill(shape).squeeze(0)) for fill in (torch.ones, torch.zeros))

    def forward(self, x, labels):
        """Map n c h w to the same."""
        mean = x.mean(self.dims, keepdim=True)
        variance = ((x - mean) ** 2).mean(self.dims, keepdim=True)
        gain, bias = (self.gain[labels], self.bias[labels]) if self.num_classes else (self.gain[None], self.bias[None])
        return (x - mean) / torch.sqrt(variance + EPSILON) * gain[..., None, None] + bias[..., None, None]


class NoNorm(nn.Module):
    """The 32-pixel critic has no norms."""

    def forward(self, x, labels):
        """Return the input."""
        return x


def batch_norm(num_classes):
    """What makes the generator's norms."""
    return lambda channels: Norm(channels, (0, 2, 3), num_classes)


def layer_norm(channels):
    """The norm of the 64-pixel critic."""
    return Norm(channels, (1, 2, 3))


class Block(nn.Module):
    """Shortcut + (norm, ReLU, conv, norm, ReLU, conv); resampling at full resolution."""

    def __init__(self, c_in, c_out, make_norm, resample, first_bias):
        super().__init__()
        c_between = c_out if resample == "up" else c_in
        self.resample = resample
        self.norm1 = make_norm(c_in)
        self.conv1 = nn.Conv2d(c_in, c_between, 3, padding=1, bias=first_bias)
        self.norm2 = make_norm(c_between)
        self.conv2 = nn.Conv2d(c_between, c_out, 3, padding=1)
        self.shortcut = nn.Conv2d(c_in, c_out, 1) if resample or c_in != c_out else None

    def forward(self, x, labels):
        """Map n c h w to n c' h' w'."""
        rest = self.norm1(x, labels).relu()
        if self.resample == "up":
            short = self.shortcut(upsample(x))
            rest = self.conv1(upsample(rest))
        else:
            short = self.shortcut(x) if self.shortcut else x
            rest = self.conv1(rest)
        rest = self.conv2(self.norm2(rest, labels).relu())
        if self.resample == "down":
            short, rest = downsample(short), downsample(rest)
        return short + rest


class FirstBlock(nn.Module):
    """The first block of the 32-pixel critic, the only one whose published shortcut pools before its conv."""

    def __init__(self, channels, width):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, width, 1)

    def forward(self, x):
        """Map n c h w to n width h/2 w/2."""
        return self.shortcut(downsample(x)) + downsample(self.conv2(self.conv1(x).relu()))


class Generator(nn.Module):
    """Latents, and labels if there are classes, to images."""

    def __init__(self, size, width, channels, num_classes):
        super().__init__()
        widths = [width] * 4 if size == 32 else [8 * width, 8 * width, 4 * width, 2 * width, width]
        make_norm = batch_norm(num_classes)
        self.start = nn.Linear(LATENT_DIM, widths[0] * 4 * 4)
        self.blocks = nn.ModuleList(Block(a, b, make_norm, "up", size == 32) for a, b in pairwise(widths))
        self.norm = batch_norm(0)(width) if size == 32 else make_norm(width)
        self.to_image = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, latents, labels):
        """Map n 128 to n c size size."""
        x = self.start(latents).view(len(latents), -1, 4, 4)
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.to_image(self.norm(x, labels).relu()))


class Critic(nn.Module):
    """Images to scores and, with classes, to logits."""

    def __init__(self, size, width, channels, num_classes):
        super().__init__()
        self.size = size
        if size == 32:
            self.start = FirstBlock(channels, width)
            self.blocks = nn.ModuleList(
                Block(width, width, lambda channels: NoNorm(), resample, True) for resample in ("down", None, None)
            )
            features = width
        else:
            widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
            self.start = nn.Conv2d(channels, width, 3, padding=1)
            self.blocks = nn.ModuleList(Block(a, b, layer_norm, "down", False) for a, b in pairwise(widths))
            features = widths[-1] * 4 * 4
        self.to_score = nn.Linear(features, 1)
        self.to_classes = nn.Linear(features, num_classes) if num_classes else None

    def forward(self, images):
        """Map n c size size to n scores and n classes, or None."""
        x = self.start(images)
        for block in self.blocks:
            x = block(x, None)
        features = x.relu().mean((2, 3)) if self.size == 32 else x.flatten(1)
        return self.to_score(features)[:, 0], self.to_classes(features) if self.to_classes else None


class Training:
    """Both networks with Adam, one parameter at a time."""

    def __init__(self, config, size, width, channels, num_classes):
        self.config, self.num_classes = config, num_classes
        self.generator = Generator(size, width, channels, num_classes)
        self.critic = Critic(size, width, channels, num_classes)
        self.generator_optimizer, self.critic_optimizer = (
            torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.9), foreach=False)
            for network, rate in (
                (self.generator, config.generator_learning_rate),
                (self.critic, config.critic_learning_rate),
            )
        )

    def load(self, generator, critic):
        """Take the weights of ours; running statistics are ours alone."""
        weights = {name: value for name, value in generator.state_dict().items() if "running" not in name}
        self.generator.load_state_dict(weights)
        self.critic.load_state_dict(critic.state_dict())

    def critic_step(self, real, labels, latents, fake_labels, mix):
        """Move the critic; `mix` has a number for each pair of images, or two where pairs are counted twice."""
        with torch.no_grad():
            fake = self.generator(latents, fake_labels)
        real_scores, real_logits = self.critic(real)
        fake_scores, _ = self.critic(fake)
        terms = {"critic/distance": fake_scores.mean() - real_scores.mean()}
        copies = len(mix) // len(real)
        reals, fakes = torch.cat([real] * copies), torch.cat([fake] * copies)
        between = (reals + mix[:, None, None, None] * (fakes - reals)).requires_grad_()
        scores, _ = self.critic(between)
        (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        norms = torch.sqrt((slopes**2).sum((1, 2, 3)))
        terms["critic/penalty"] = self.config.penalty * ((norms - 1) ** 2).mean()
        if self.num_classes:
            terms["critic/classes"] = self.config.acgan_scale * F.cross_entropy(real_logits, labels)
        update(self.critic_optimizer, sum(terms.values()))
        return terms

    def generator_step(self, latents, labels):
        """Move the generator."""
        scores, logits = self.critic(self.generator(latents, labels))
        terms = {"generator/adversarial": -scores.mean()}
        if self.num_classes:
            terms["generator/classes"] = self.config.acgan_scale_generator * F.cross_entropy(logits, labels)
        update(self.generator_optimizer, sum(terms.values()))
        return terms

    def iteration(self, stored, labels):
        """The critic's steps on parts of these uint8 images and one step of the generator, with their draws."""
        config, batch = self.config, self.config.batch
        mixtures = 2 if stored.shape[2] == 32 else 1  # the 32-pixel port counts every pair twice
        for images, classes in zip(stored.split(batch), labels.split(batch), strict=True):
            if config.dequantize:
                real = 2 * (images.float() / 256 - 0.5) + torch.rand(images.shape) / 128
            else:
                real = 2 * (images.float() / 255 - 0.5)
            fake_labels = classes if config.fake_labels == "real" else torch.randint(self.num_classes, (batch,))
            self.critic_step(real, classes, torch.randn(batch, LATENT_DIM), fake_labels, torch.rand(batch * mixtures))
        count = batch * config.generator_batch_multiple
        self.generator_step(torch.randn(count, LATENT_DIM), torch.randint(self.num_classes, (count,)))


def update(optimizer, loss):
    """One step down the loss; gradients of the optimiser's own parameters only, as `tf.gradients` gives them."""
    (group,) = optimizer.param_groups
    for parameter, gradient in zip(group["params"], torch.autograd.grad(loss, group["params"]), strict=True):
        parameter.grad = gradient
    optimizer.step()
