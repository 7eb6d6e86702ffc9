"""The published step of DualGAN with gradient penalty and the global critic (Yi et al. 2017), literally."""

import torch
from torch import nn
from torch.nn import functional as F

NORM_EPSILON, SLOPE_EPSILON = 1e-6, 1e-8


class InstanceNorm(nn.Module):
    """Each channel of each image by its own mean and variance, by the formula, then a gain and a bias."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        """Map n c h w to the same."""
        mean = x.mean((2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
        return (
            self.weight[:, None, None] * ((x - mean) / torch.sqrt(variance + NORM_EPSILON)) + self.bias[:, None, None]
        )


class Down(nn.Module):
    """TensorFlow's SAME padding of an even side, a conv of stride 2, and a norm if there is one."""

    def __init__(self, c_in, c_out, kernel, norm):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride=2)
        self.norm = InstanceNorm(c_out) if norm else nn.Identity()

    def forward(self, x):
        """Map n c h w to n c' h/2 w/2."""
        before, after = (0, 1) if self.conv.kernel_size[0] == 3 else (1, 2)
        return self.norm(self.conv(F.pad(x, (before, after, before, after))))


class Up(nn.Module):
    """The adjoint of that conv, and a norm if there is one."""

    def __init__(self, c_in, c_out, kernel, norm):
        super().__init__()
        self.conv = nn.ConvTranspose2d(c_in, c_out, kernel, stride=2)
        self.norm = InstanceNorm(c_out) if norm else nn.Identity()

    def forward(self, x):
        """Map n c h w to n c' 2h 2w."""
        before = 0 if self.conv.kernel_size[0] == 3 else 1
        height, width = 2 * x.shape[2], 2 * x.shape[3]
        return self.norm(self.conv(x)[:, :, before : before + height, before : before + width])


class UNet(nn.Module):
    """Images of one domain to images of the other."""

    def __init__(self, c_in, c_out, width):
        super().__init__()
        down = [width * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)]
        up = [*down[-2::-1], c_out]
        self.down = nn.ModuleList(
            Down(before, after, 3 if level else 5, norm=level > 0)
            for level, (before, after) in enumerate(zip([c_in, *down], down, strict=False))
        )
        inputs = [down[-1], *(2 * channels for channels in up[:-1])]
        self.up = nn.ModuleList(
            Up(before, after, 3 if level < 7 else 5, norm=level < 7)
            for level, (before, after) in enumerate(zip(inputs, up, strict=True))
        )

    def forward(self, images):
        """Map n c h w to n c' h w."""
        encoded = [self.down[0](images)]
        for stage in self.down[1:]:
            encoded.append(stage(F.leaky_relu(encoded[-1], 0.2)))
        x = encoded.pop()
        for stage in self.up[:-1]:
            x = torch.cat([stage(x.relu()), encoded.pop()], dim=1)
        return torch.tanh(self.up[-1](x.relu()))


class Critic(nn.Module):
    """Images to one score each."""

    def __init__(self, channels, width, size):
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8, 8)]
        self.stages = nn.ModuleList(
            Down(before, after, 3 if level else 5, norm=level > 0)
            for level, (before, after) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        self.head = nn.Linear((size // 32) ** 2 * widths[-1], 1)

    def forward(self, images):
        """Map n c size size to n scores."""
        x = images
        for stage in self.stages:
            x = F.leaky_relu(stage(x), 0.2)
        return self.head(x.permute(0, 2, 3, 1).flatten(1))[:, 0]


class RMSprop:
    """TensorFlow's RMSProp, one parameter at a time, as its formula: the mean square starts at 1."""

    def __init__(self, parameters, rate):
        self.parameters, self.rate = list(parameters), rate
        self.mean_squares = [torch.ones_like(parameter) for parameter in self.parameters]

    def descend(self, loss):
        """One step down the loss; gradients of these parameters only, as `tf.gradients` gives them."""
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for index, (parameter, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
                mean_square = 0.9 * self.mean_squares[index] + (1 - 0.9) * gradient**2
                self.mean_squares[index] = mean_square
                parameter.copy_(parameter - self.rate * gradient / torch.sqrt(mean_square + 1e-10))


class Training:
    """Both generators and both critics, by their names, with RMSProp."""

    def __init__(self, config, channels_a, channels_b):
        self.config = config
        self.generators = nn.ModuleDict(
            {
                "gen_ab": UNet(channels_a, channels_b, config.generator_width),
                "gen_ba": UNet(channels_b, channels_a, config.generator_width),
            }
        )
        self.critics = nn.ModuleDict(
            {
                "critic_a": Critic(channels_a, config.critic_width, config.size),
                "critic_b": Critic(channels_b, config.critic_width, config.size),
            }
        )
        self.generator_optimizer = RMSprop(self.generators.parameters(), config.learning_rate)
        self.critic_optimizer = RMSprop(self.critics.parameters(), config.learning_rate)

    def load(self, generators, critics):
        """Take the weights of ours."""
        self.generators.load_state_dict(generators.state_dict())
        self.critics.load_state_dict(critics.state_dict())

    def critic_step(self, a, b, mix_a, mix_b):
        """Move both critics."""
        with torch.no_grad():
            fake_a, fake_b = self.generators["gen_ba"](b), self.generators["gen_ab"](a)
        terms = {}
        for domain, real, fake, mix in (("a", a, fake_a, mix_a), ("b", b, fake_b, mix_b)):
            critic = self.critics[f"critic_{domain}"]
            terms[f"critic_{domain}/adversarial"] = critic(fake).mean() - critic(real).mean()
            between = (real + mix[:, None, None, None] * (fake - real)).requires_grad_()
            (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            norms = torch.sqrt((slopes**2).sum((1, 2, 3)) + SLOPE_EPSILON)
            terms[f"critic_{domain}/penalty"] = self.config.penalty * ((norms - 1) ** 2).mean()
        self.critic_optimizer.descend(sum(terms.values()))
        return terms

    def generator_step(self, a, b):
        """Move both generators; the fakes are computed again, as in a graph that is run again."""
        gen_ab, gen_ba = self.generators["gen_ab"], self.generators["gen_ba"]
        fake_a, fake_b = gen_ba(b), gen_ab(a)
        terms = {
            "gen_ab/adversarial": -self.critics["critic_b"](fake_b).mean(),
            "gen_ba/adversarial": -self.critics["critic_a"](fake_a).mean(),
            "a/reconstruction": self.config.weight_a * (gen_ba(fake_b) - a).abs().mean(),
            "b/reconstruction": self.config.weight_b * (gen_ab(fake_a) - b).abs().mean(),
        }
        self.generator_optimizer.descend(sum(terms.values()))
        return terms

    def iteration(self, stored_a, stored_b):
        """One step of the critics and one of the generators on these uint8 images."""
        a, b = (stored.float() / 127.5 - 1 for stored in (stored_a, stored_b))
        self.critic_step(a, b, torch.rand(len(a)), torch.rand(len(b)))
        self.generator_step(a, b)
