"""The critic on features of a frozen network: what it sees, what of it learns, and how a run keeps it."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from ganshift.errors import UserError
from ganshift.methods.augment import augment
from ganshift.methods.losses import hinge_critic_loss
from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.feature_critic import FeatureCritic
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.methods.transfer.trainer import TransferTrainer, train
from ganshift.nn.spectral_norm import renormalise
from ganshift.training.draws import Draws
from ganshift.training.update import PlainUpdate
from ganshift.training.weights import load_weights


@pytest.fixture(scope="module")
def critic():
    torch.manual_seed(0)
    return FeatureCritic(size=32, num_classes=3)


@pytest.fixture(scope="module")
def images():
    """As the critic is shown those of 32 pixels."""
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def changed(network, before):
    return {name for name, value in network.state_dict().items() if not torch.equal(before[name], value)}


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_hinge():
    """By hand: real scores lack 0, 0.5 and 3, fake ones 3, 0.5 and 0."""
    real, fake = torch.tensor([2.0, 0.5, -2.0]), torch.tensor([2.0, -0.5, -2.0])
    assert_close(hinge_critic_loss(real, fake), torch.tensor(3.5 / 3 + 3.5 / 3))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_each_level_has_a_map_of_scores(size):
    critic = FeatureCritic(size=size)
    assert critic(critic.enlarged(torch.zeros(2, 3, size, size))).shape == (2, 4, 4 * 4)


def test_it_is_shown_images_at_halves_of_their_pixels(critic):
    """A row that is alone in its image is seen at even and at odd places of the enlarged one."""
    image = torch.full((64, 3, 32, 32), -1.0)
    image[:, :, 16] = 1
    torch.manual_seed(0)
    shown = augment(critic.enlarged(image), "translation")
    assert {int(row) % 2 for row in shown.mean((1, 3)).argmax(1)} == {0, 1}


def test_each_image_is_judged_alone(critic, images):
    labels = torch.tensor([0, 1, 2])
    together = critic(images, labels)
    alone = torch.cat([critic(images[i : i + 1], labels[i : i + 1]) for i in range(3)])
    assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_gray_and_opaque_images_are_the_same_colours(critic, images):
    gray, opaque = images[:, :1], torch.cat([images, torch.ones(3, 1, 64, 64)], dim=1)
    assert torch.equal(critic(gray), critic(gray.repeat(1, 3, 1, 1)))
    assert torch.equal(critic(opaque), critic(images))


def test_nothing_is_seen_of_what_is_transparent_but_its_shape(critic, images):
    clear = torch.full((3, 1, 64, 64), -1.0)
    clear[:, :, 16:48, 16:48] = 1

    def scores(colours):
        torch.manual_seed(1)
        return critic(torch.cat([colours, clear], dim=1))

    hidden = torch.where(clear > 0, images, torch.zeros(()))
    assert torch.equal(scores(images), scores(hidden))
    assert not torch.equal(scores(images), scores(torch.zeros_like(images)))


def test_a_class_changes_the_scores_of_its_images_alone(critic, images):
    one, other = (critic(images, torch.tensor(labels)) for labels in ([0, 1, 2], [0, 1, 0]))
    assert torch.equal(one[:2], other[:2])
    assert not torch.isclose(one[2], other[2]).any()


def test_spectral_norms_become_one_and_stand_still_in_between(images):
    critic = FeatureCritic(size=32)
    for parameter in critic.parameters():
        if parameter.requires_grad:
            parameter.data.mul_(3)
    before = weights(critic)
    critic(images)
    assert not changed(critic, before)
    for _ in range(100):
        renormalise(critic)
    assert {name.rpartition(".")[2] for name in changed(critic, before)} == {"_u", "_v"}
    layers = [module for module in critic.modules() if isinstance(module, torch.nn.Conv2d)]
    largest = [torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2) for layer in layers]
    assert_close(torch.stack(largest), torch.ones(len(layers)), rtol=1e-2, atol=0)


def test_an_iteration_moves_the_heads_and_nothing_that_is_fixed(images):
    torch.manual_seed(0)
    config = TransferConfig(data=Path("x"), out=Path("x"), images=1, batch=3, feature_critic=0.5)
    critic = FeatureCritic(size=32)
    networks = ResNetGenerator(size=32, width=4), ResNetCritic(size=32, width=4)
    algorithm = WGANGP(*networks, config, feature_critic=critic)
    update = PlainUpdate(
        {
            network: torch.optim.Adam([each for each in network.parameters() if each.requires_grad], 1e-3)
            for network in (*networks, critic)
        }
    )
    before, features = weights(critic), critic._network[0].state_dict()
    shipped = {name: value.clone() for name, value in features.items()}
    stored = ((images[:, :, :32, :32] + 1) * 127.5).round().to(torch.uint8)
    terms = algorithm.iteration([(stored, None)], update, Draws(torch.device("cpu")), critic_only=False, features=True)
    assert {"critic/features", "generator/features"} <= set(terms)
    learnt = {name for name, parameter in critic.named_parameters() if parameter.requires_grad}
    moved = {name for name in changed(critic, before) if name.rpartition(".")[2] not in ("_u", "_v")}
    # Where no score lies beyond its margin, real and fake ones pull the last biases as much, and they stand still.
    assert learnt - moved <= {f"to_score.{level}.bias" for level in range(4)}
    assert moved <= learnt
    assert not {name for name in learnt if name.startswith(("channels", "scales"))}
    assert not changed(critic._network[0], shipped)


def test_its_weight_scales_its_part_of_the_generators_gradient():
    """The term is the weight times minus the mean score; without a weight there is no term."""
    torch.manual_seed(0)
    networks, critic = (ResNetGenerator(size=32, width=4), ResNetCritic(size=32, width=4)), FeatureCritic(size=32)
    latents, found = torch.randn(2, 128), []
    for weight in (1.0, 3.0):
        config = TransferConfig(data=Path("x"), out=Path("x"), images=1, feature_critic=weight)
        torch.manual_seed(1)  # of the augmentation
        found.append(WGANGP(*networks, config, feature_critic=critic).generator_loss(latents, None, features=True))
    assert_close(found[1]["generator/features"], 3 * found[0]["generator/features"])
    assert_close(found[1]["generator/adversarial"], found[0]["generator/adversarial"])
    assert set(WGANGP(*networks, config).generator_loss(latents, None)) == {"generator/adversarial"}


def test_it_takes_part_in_every_fourth_iteration():
    """Counted from the first image of a run, so that a run that goes on has the same turns."""
    config = settings(Path("unused"), feature_critic=1.0)
    trainer = TransferTrainer.from_config(config)
    trainer.seen = 16  # four iterations
    turns = []
    for _, batch in zip(range(9), trainer.batches(16), strict=False):
        turns.append({name.partition("/")[0] for name in trainer.iteration(batch) if name.endswith("/features")})
    assert turns == [{"critic", "generator"}, set(), set(), set()] * 2 + [{"critic", "generator"}]


def settings(out, **more):
    """An iteration takes four images."""
    tiny = {**PRESETS["tiny"], "critic_steps": 1, "linear_decay": False, "device": "cpu", "data": Path("bundled:faces")}
    return TransferConfig(**{**tiny, "images": 32, **more}, out=out)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "run"
    train(settings(out, feature_critic=1.0))
    return out


def test_a_run_goes_on_to_the_last_bit(run, tmp_path):
    """In two parts, the second from the checkpoint of the first."""
    for images in (16, 32):
        train(settings(tmp_path / "parts", feature_critic=1.0, images=images, checkpoint_every=16))
    for name in ("model.safetensors", "critic.safetensors", "feature_critic.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (run / name).read_bytes(), name


def test_a_run_says_which_network_trained_it(run):
    described = json.loads((run / "config.json").read_text())
    assert (described["trained_by"], described["feature_critic"]) == (["lite0"], {"network": "lite0"})


def test_a_source_keeps_its_heads(run, tmp_path):
    train(settings(tmp_path / "from", source=str(run), feature_critic=1.0, images=8))
    assert "feature_critic.heads.0.0" in (tmp_path / "from" / "surgery.txt").read_text()
    assert "initialised" not in (tmp_path / "from" / "surgery.txt").read_text()
    theirs, ours = (load_weights(folder / "feature_critic.safetensors") for folder in (run, tmp_path / "from"))
    assert torch.equal(theirs["channels.0"], ours["channels.0"])
    far = {name for name, value in ours.items() if (value - theirs[name]).abs().max() > 0.1 and "_u" not in name}
    assert not {name for name in far if "_v" not in name}, "one iteration moves none far"


def test_a_run_from_such_a_source_was_trained_by_its_network_too(run, tmp_path):
    train(settings(tmp_path / "pixels", source=str(run), images=8))
    assert json.loads((tmp_path / "pixels" / "config.json").read_text())["trained_by"] == ["lite0"]
    assert not (tmp_path / "pixels" / "feature_critic.safetensors").exists()


def test_a_source_without_heads_lets_them_start_anew(tmp_path):
    train(settings(tmp_path / "from", source="digits32", width=None, feature_critic=1.0, images=8))
    rows = [line for line in (tmp_path / "from" / "surgery.txt").read_text().splitlines() if "feature_critic" in line]
    assert rows
    assert all(row.endswith("initialised") for row in rows)


def test_a_source_whose_heads_are_missing_is_refused(run, tmp_path):
    import shutil

    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "feature_critic.safetensors").unlink()
    with pytest.raises(UserError, match=r"feature_critic\.safetensors is missing"):
        train(settings(tmp_path / "from", source=str(tmp_path / "run"), images=8))
