"""Generators and critics of R3GAN, StyleGAN2-ADA and lightweight-gan: what their files give is what their code gave.

tests/imported/README.md says where the files are from.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from snapshots import as_r3gan, as_stylegan2, module_of, pickled
from torch.testing import assert_close

from ganshift import Generator, UserError, import_checkpoint
from ganshift.cli import main
from ganshift.methods.importing import ImportOptions
from ganshift.methods.transfer import importing_lightweight_gan, importing_r3gan
from ganshift.methods.transfer.lightweight_gan import LightweightGANGenerator
from ganshift.methods.transfer.r3gan import R3GANCritic, R3GANGenerator
from ganshift.methods.transfer.stylegan2 import StyleGAN2Critic, StyleGAN2Generator
from ganshift.tools.importing import import_run

FILES = Path(__file__).parents[1] / "imported"
R3GANS = ("r3gan_32_conditional.pkl", "r3gan_64.pkl")
STYLEGANS = ("stylegan2ada_32.pkl", "stylegan2ada_32_cifar.pkl", "stylegan2ada_64_conditional.pkl")
LIGHTWEIGHT = "lightweight_gan_32.pt"


def arrays(name):
    """What the authors' code gave, with labels as class numbers."""
    found = {key: torch.from_numpy(value) for key, value in np.load((FILES / name).with_suffix(".npz")).items()}
    return {key: value.argmax(dim=1) if key.endswith("labels") else value for key, value in found.items()}


def assert_as_published(ours, theirs):
    """To 1e-4, of the largest value where that is above 1."""
    assert_close(ours.reshape(theirs.shape), theirs, rtol=0, atol=1e-4 * max(1.0, theirs.abs().max().item()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One imported run a file."""
    folder = tmp_path_factory.mktemp("imported")
    for name in (*R3GANS, *STYLEGANS, LIGHTWEIGHT):
        import_run(FILES / name, folder / name)
    return folder


@pytest.mark.parametrize("name", R3GANS)
def test_r3gan_gives_the_published_outputs(name, runs):
    expected = arrays(name)
    labels = expected.get("labels")
    model, networks = Generator.from_pretrained(runs / name, device="cpu"), import_checkpoint(FILES / name)
    assert_as_published(model.generate(expected["z"], labels), expected["image"])
    if "image_G" in expected:
        assert_as_published(networks["raw_generator"](expected["z"], labels), expected["image_G"])
    for images, scores in (("d_input", "d_score"), ("image", "d_score_of_image")):
        assert_as_published(networks["critic"](expected[images], labels)[0], expected[scores])


@pytest.mark.parametrize("name", STYLEGANS)
def test_stylegan2_gives_the_published_outputs(name, runs):
    expected = arrays(name)
    latents, labels = expected["z"], expected.get("labels")
    model, networks = Generator.from_pretrained(runs / name, device="cpu"), import_checkpoint(FILES / name)
    assert_as_published(networks["generator"].mapping(latents, labels), expected["w"])
    assert_as_published(model.generate(latents, labels), expected["image_psi1"])
    assert_as_published(model.generate(latents, labels, truncation=0.7), expected["image_psi07"])
    if "image_psi07_cutoff3" in expected:
        near = model.generate(latents, labels, truncation=0.7, cutoff=3)
        assert_as_published(near, expected["image_psi07_cutoff3"])
    assert_as_published(model.generate(latents, labels, noise="none"), expected["image_nonoise"])
    images, labels = expected["d_input"], expected.get("d_labels")
    assert_as_published(networks["critic"](images, labels)[0], expected["d_score"])
    first = networks["critic"](images[:3], None if labels is None else labels[:3])
    assert_as_published(first[0], expected["d_score_first3"])


def test_lightweight_gan_gives_the_published_outputs(runs):
    expected = arrays(LIGHTWEIGHT)
    model, networks = (
        Generator.from_pretrained(runs / LIGHTWEIGHT, device="cpu"),
        import_checkpoint(FILES / LIGHTWEIGHT),
    )
    maps = [expected[f"noise_{layer}"] for layer in range(3)]
    # Its tool has images in [0, 1].
    assert_as_published(model.generate(expected["z"]), expected["image_nonoise"] * 2 - 1)
    assert_as_published(model.generate(expected["z"], noise=maps), expected["image"] * 2 - 1)
    assert_as_published(networks["raw_generator"](expected["z"]), expected["image_G_nonoise"] * 2 - 1)
    assert set(networks) == {"generator", "raw_generator"}


# Networks of other widths, sizes and settings: what ours give before and after they were in a file.


def randomised(network):
    """The network with no weight at its start value."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in [*network.parameters(), *network.buffers()]:
            weight.copy_(torch.rand_like(weight) * 0.6 + 0.2)
    return network.eval()


SHAPE = {
    32: {"widths": [12, 8, 8, 4], "blocks": [1, 2, 1, 1], "groups": [3, 2, 4, 1]},
    64: {"widths": [8, 8, 8, 8, 4], "blocks": [1, 1, 1, 1, 2], "groups": [1, 1, 2, 2, 2]},
    256: {"widths": [8, 8, 6, 6, 4, 4, 4], "blocks": [1] * 7, "groups": [2] * 7},
}


@pytest.mark.parametrize("size", SHAPE)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_r3gans_of_other_shapes(size, num_classes, tmp_path):
    classes = {"num_classes": num_classes, "embedding_dim": 5} if num_classes else {}
    more = {"size": size, "expansion": 3, "channels": 1, **classes}
    generator = randomised(R3GANGenerator(latent_dim=7, **SHAPE[size], **more))
    critic = randomised(R3GANCritic(**{name: each[::-1] for name, each in SHAPE[size].items()}, **more))
    (tmp_path / "snapshot.pkl").write_bytes(pickled(G_ema=as_r3gan(generator), D=as_r3gan(critic)))
    labels = torch.tensor([0, 2]) if num_classes else None
    networks = import_checkpoint(tmp_path / "snapshot.pkl")
    images = generator(torch.randn(2, 7), labels)
    assert_close(networks["generator"](torch.zeros(2, 7), labels), generator(torch.zeros(2, 7), labels))
    assert_close(networks["critic"](images, labels)[0], critic(images, labels)[0])


@pytest.mark.parametrize(
    ("num_classes", "clamp", "skip", "group"), [(0, None, True, None), (4, 3.0, True, 2), (2, 0.5, False, 8)]
)
def test_stylegan2s_of_other_shapes(num_classes, clamp, skip, group, tmp_path):
    size, widths = 128, [7, 6, 6, 5, 4, 3]
    more = {"size": size, "channels": 4, "num_classes": num_classes, "clamp": clamp}
    generator = randomised(StyleGAN2Generator(latent_dim=9, style_dim=8, mapping_layers=3, widths=widths, **more))
    layers = 5 if num_classes else 0
    critic = randomised(StyleGAN2Critic(widths=widths[::-1], mapping_layers=layers, skip=skip, group=group, **more))
    content = pickled(
        G_ema=as_stylegan2(generator, clamp), D=as_stylegan2(critic, clamp, size, **{"b4.mbstd.group_size": group})
    )
    (tmp_path / "snapshot.pkl").write_bytes(content)
    networks = import_checkpoint(tmp_path / "snapshot.pkl")
    labels = torch.arange(4) % num_classes if num_classes else None
    latents = torch.randn(4, 9)
    for how in ({}, {"truncation": 0.5, "cutoff": 4}, {"noise": "none"}):
        assert_close(networks["generator"](latents, labels, **how), generator(latents, labels, **how))
    images = generator(latents, labels)
    assert_close(networks["critic"](images, labels)[0], critic(images, labels)[0])


@pytest.mark.parametrize(("size", "channels", "antialias"), [(64, 1, False), (256, 4, True), (512, 3, True)])
def test_lightweight_gans_of_other_shapes(size, channels, antialias, tmp_path):
    levels = size.bit_length() - 2
    widths = [10, *(min(2 ** (12 - n), 12) if n < 8 else 3 for n in range(2, levels + 1))]
    network = randomised(LightweightGANGenerator(size=size, widths=widths, channels=channels, antialias=antialias))
    assert len(network.excitations) == max(0, min(size.bit_length() - 7, 4))
    weights = {}
    for name, value in network.state_dict().items():
        theirs = f"GE.{importing_lightweight_gan._their_name(name)}"
        weights[theirs] = (value + float(name == "to_image.bias")) / 2 if name.startswith("to_image.") else value
    if antialias:
        weights |= {f"GE.layers.{layer}.0.1.f": torch.tensor([1.0, 2.0, 1.0]) for layer in range(levels - 1)}
    torch.save({"GAN": weights, "version": "1.2.1"}, tmp_path / "model_1.pt")
    import_run(tmp_path / "model_1.pt", tmp_path / "run")
    assert Generator.from_pretrained(tmp_path / "run", device="cpu").channels == channels
    latents = torch.randn(2, 10)
    assert_close(import_checkpoint(tmp_path / "model_1.pt")["generator"](latents), network(latents))


# What is said.


def test_what_was_found_is_said(tmp_path, capsys):
    run = tmp_path / "run"
    names = [f"kind{number}" for number in range(10)]
    assert main(["import", str(FILES / R3GANS[0]), "--out", str(run), "--classes", ",".join(names)]) == 0
    said = capsys.readouterr()
    for words in ("size 32", "widths 16 16 16 12", "num classes 10", "ganshift transfer --source", "states no licence"):
        assert words in said.out + said.err
    config = json.loads((run / "config.json").read_text())
    assert (config["architecture"], config["classes"]) == ("r3gan", names)
    assert Generator.from_pretrained(run, device="cpu").sample(1, label="kind3")[0].size == (32, 32)


@pytest.mark.parametrize("name", [*STYLEGANS, LIGHTWEIGHT])
def test_what_is_not_trained_says_why(name, runs, tmp_path, capsys):
    command = ["transfer", "--source", str(runs / name), "--data", "bundled:digits", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "cannot be trained further: their critic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("Model.AggregationLayer.Layer.weight"), "missing|shapes"),
        (lambda weights: weights.update({"Model.Extra.weight": torch.ones(1)}), "left over: Model.Extra.weight"),
        (lambda weights: weights.pop("Model.MainLayers.1.Layers.1.NonLinearity1.Bias"), "missing: Model.MainLayers.1"),
        (lambda weights: weights["Model.MainLayers.0.Layers.0.Basis"].fill_(torch.nan), "not finite"),
        (lambda weights: weights.update({"Model.MainLayers.1.Layers.0.Resampler.Kernel": torch.ones(4, 4)}), "filter"),
        (lambda weights: weights.update({"Model.MainLayers.7.x": torch.ones(4, 4)}), "numbered from 0"),
    ],
)
def test_tensors_that_are_missing_or_left_over(change, message, tmp_path):
    network = R3GANGenerator(size=32, latent_dim=7, **SHAPE[32])
    weights = {importing_r3gan._their_name(name): value for name, value in network.state_dict().items()}
    change(weights)
    (tmp_path / "x.pkl").write_bytes(pickled(G_ema=module_of(weights)))
    with pytest.raises(UserError, match=message) as caught:
        import_checkpoint(tmp_path / "x.pkl")
    assert "x.pkl" in str(caught.value)


@pytest.mark.parametrize(
    ("channels", "message"), [(4, "give --rgba if they are"), (2, "2 channels, which are no pictures")]
)
def test_channels_that_the_file_says_nothing_of(channels, message, tmp_path):
    generator = R3GANGenerator(size=32, latent_dim=7, channels=channels, **SHAPE[32])
    (tmp_path / "x.pkl").write_bytes(pickled(G_ema=as_r3gan(generator)))
    with pytest.raises(UserError, match=message):
        import_run(tmp_path / "x.pkl", tmp_path / "run")
    assert import_checkpoint(tmp_path / "x.pkl")["generator"](torch.zeros(1, 7)).shape == (1, channels, 32, 32)
    if channels == 4:
        import_run(tmp_path / "x.pkl", tmp_path / "run", ImportOptions(rgba=True))
        assert Generator.from_pretrained(tmp_path / "run", device="cpu").sample(1)[0].mode == "RGBA"


def test_a_critic_alone_is_no_run(tmp_path):
    critic = R3GANCritic(size=32, **{name: each[::-1] for name, each in SHAPE[32].items()})
    (tmp_path / "critic.pkl").write_bytes(pickled(D=as_r3gan(critic)))
    assert set(import_checkpoint(tmp_path / "critic.pkl")) == {"critic"}
    with pytest.raises(UserError, match=r"no averaged generator \(critic alone\), which is no run"):
        import_run(tmp_path / "critic.pkl", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_generator_without_a_critic_generates_and_is_no_source(tmp_path, capsys):
    generator = R3GANGenerator(size=32, latent_dim=7, **SHAPE[32])
    (tmp_path / "x.pkl").write_bytes(pickled(G_ema=as_r3gan(generator)))
    import_run(tmp_path / "x.pkl", tmp_path / "run")
    assert len(Generator.from_pretrained(tmp_path / "run", device="cpu").sample(2)) == 2
    command = [
        "transfer",
        "--source",
        str(tmp_path / "run"),
        "--data",
        "bundled:digits",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 2
    assert "has no critic to train on" in capsys.readouterr().err


def test_options_that_a_generator_does_not_have(runs):
    with pytest.raises(UserError, match="has no options: leave out truncation"):
        Generator.from_pretrained(runs / R3GANS[1], device="cpu").generate(torch.zeros(1, 64), truncation=0.7)
    model = Generator.from_pretrained(runs / STYLEGANS[0], device="cpu")
    with pytest.raises(UserError, match="has truncation, cutoff, noise: leave out psi"):
        model.generate(torch.zeros(1, 64), psi=0.7)
    with pytest.raises(UserError, match="noise must be const, random, none"):
        model.generate(torch.zeros(1, 64), noise="loud")


# Styles.


def test_truncation_of_pictures_is_that_of_styles(runs):
    model = Generator.from_pretrained(runs / STYLEGANS[0], device="cpu")
    assert model.sample(2, seed=1, truncation=1.0) == model.sample(2, seed=1)
    first, second = model.sample(2, seed=1, truncation=0.0)
    assert first == second  # the mean style
    assert model.sample(1, seed=1, truncation=0.7) != model.sample(1, seed=1)


def test_random_noise_differs_and_fixed_noise_does_not(runs):
    for name, dim in ((STYLEGANS[0], 64), (LIGHTWEIGHT, 16)):
        model, latents = Generator.from_pretrained(runs / name, device="cpu"), torch.randn(1, dim)
        assert torch.equal(model.generate(latents), model.generate(latents))
        assert not torch.equal(model.generate(latents, noise="random"), model.generate(latents, noise="random"))


def test_styles_can_be_mixed(runs):
    network = import_checkpoint(FILES / STYLEGANS[0])["generator"]
    one, other = network.styles(torch.randn(2, 64)).unbind()
    images = network.synthesise(torch.stack([one, torch.cat([one[:4], other[4:]])]))
    same = network.synthesise(torch.stack([one, one]))
    assert torch.equal(same[0], same[1])
    assert not torch.equal(images[0], images[1])


def test_labels_reach_every_class(runs):
    model = Generator.from_pretrained(runs / STYLEGANS[1], device="cpu")
    images = model.generate(torch.zeros(5, 64), torch.arange(5))
    assert all(not torch.equal(images[0], each) for each in images[1:])


def test_the_critic_of_stylegan2_needs_whole_groups():
    critic = StyleGAN2Critic(size=8, widths=[4, 4], group=4)
    assert critic(torch.zeros(8, 3, 8, 8))[0].shape == (8,)
    assert critic(torch.zeros(3, 3, 8, 8))[0].shape == (3,)
    with pytest.raises(UserError, match="compares groups of 4 images, and 6 are no multiple"):
        critic(torch.zeros(6, 3, 8, 8))


ABSURD = [None, -1, 0, 10**9, 2**70, 1.5, float("nan"), "x", [], [1, 2, 3], [10**9] * 4, [0, 0, 0, 0], {"a": 1}]


@pytest.mark.parametrize("name", [R3GANS[0], STYLEGANS[0], LIGHTWEIGHT])
def test_descriptions_of_any_value(name, runs, tmp_path):
    """One line says what is wrong, or the network works; nothing takes memory or time."""
    shutil.copytree(runs / name, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    whole = json.loads(path.read_text())
    said = []
    for key in whole["generator"]:
        for value in ABSURD:
            path.write_text(json.dumps({**whole, "generator": {**whole["generator"], key: value}}))
            try:
                Generator.from_pretrained(tmp_path / "run", device="cpu").sample(1)
            except UserError as error:
                said.append(str(error))
    assert all(len(each.splitlines()) == 1 for each in said)
    assert len(said) > 0.7 * len(ABSURD) * len(whole["generator"])
