"""Checkpoints of CycleGAN, pix2pix and CUT become networks and runs that give what the authors' code gives."""

import json
import logging
import re
import shutil
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from ganshift import Translator, UserError, import_checkpoint
from ganshift.cli import main
from ganshift.methods.dual.patch_critic import PatchCritic, PixelCritic
from ganshift.methods.dual.pix2pix import NestedUNet
from ganshift.methods.dual.resnet import ResNetTranslator
from ganshift.methods.importing import ImportOptions
from ganshift.nn.norm import BatchNorm
from ganshift.tensors import from_uint8
from ganshift.tools.importing import import_run

IMPORTED = Path(__file__).parents[1] / "imported"
GENERATORS = sorted(path.stem for path in IMPORTED.glob("*.pth") if path.stem.startswith(("c", "u")))
CRITICS = sorted(path.stem for path in IMPORTED.glob("p*.pth"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each generator."""
    folder = tmp_path_factory.mktemp("imported")
    for name in GENERATORS:
        import_run(IMPORTED / f"{name}.pth", folder / name)
    return folder


def cases(name, output="output"):
    """Images and what the authors' code made of them."""
    with np.load(IMPORTED / f"{name}.npz") as arrays:
        for key in arrays:
            if match := re.fullmatch(rf"{output}_(\d)", key):
                yield from_uint8(torch.from_numpy(arrays[f"input_{match[1]}"])), torch.from_numpy(arrays[key])


def published(network):
    """The state dict that the published code would write of the same network."""
    norms = {name for name, module in network.named_modules() if isinstance(module, BatchNorm)}
    content = OrderedDict()
    for name, value in network.state_dict().items():
        module, _, last = name.rpartition(".")
        content[f"{module}.weight" if module in norms and last == "gain" else name] = value
    return content | {f"{module}.num_batches_tracked": torch.tensor(7) for module in norms}


def varied(network):
    """The network with weights and statistics that are none of a start."""
    generator = torch.Generator().manual_seed(0)
    for value in [*network.parameters(), *(b for n, b in network.named_buffers() if not n.endswith("filt"))]:
        noise = torch.rand(value.shape, generator=generator)
        value.data = 0.3 * (noise - 0.5) if value.dim() == 4 else 0.5 + noise
    return network.eval()


def written(path, network, **how):
    torch.save(published(network), path, **how)
    return path


def noise(channels, height=32, width=40):
    return 2 * torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("name", GENERATORS)
def test_translations_of_the_authors_code(name, runs):
    translator = Translator.from_pretrained(runs / name, device="cpu")
    for images, expected in cases(name):
        assert_close(translator.translate(images, to="b"), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in GENERATORS if "batch" in name])
def test_statistics_of_each_image(name, runs, tmp_path):
    """By an argument, and by an option of the import; images of a batch do not know of each other."""
    import_run(IMPORTED / f"{name}.pth", tmp_path / "run", ImportOptions(image_statistics=True))
    running, by_image = (Translator.from_pretrained(run, "cpu") for run in (runs / name, tmp_path / "run"))
    for images, expected in cases(name, "output_batch_statistics"):
        pair = torch.cat([images, images.flip(3)])
        assert_close(running.translate(pair, image_statistics=True)[:1], expected, rtol=0, atol=1e-4)
        assert_close(by_image.translate(pair)[:1], expected, rtol=0, atol=1e-4)
        assert_close(by_image.translate(images, image_statistics=False), running.translate(images))
        assert not torch.allclose(running.translate(images), expected, atol=0.01)


@pytest.mark.parametrize("name", CRITICS)
def test_scores_of_the_authors_code(name):
    (critic,) = import_checkpoint(IMPORTED / f"{name}.pth").values()
    for images, expected in cases(name):
        assert_close(critic(images), expected, rtol=0, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in critic.parameters())


@pytest.mark.parametrize(
    ("new", "arguments"),
    [
        (ResNetTranslator, {"in_channels": 1, "out_channels": 3, "width": 5, "blocks": 4, "blur_up": True}),
        (ResNetTranslator, {"in_channels": 3, "out_channels": 1, "width": 3, "blocks": 6, "blur_down": True}),
        (ResNetTranslator, {"in_channels": 2, "out_channels": 6, "width": 4, "blocks": 9, "dropout": True}),
        (ResNetTranslator, {"in_channels": 3, "out_channels": 3, "width": 4, "blocks": 1, "norm": "none"}),
        (
            ResNetTranslator,
            {"in_channels": 3, "out_channels": 3, "width": 4, "blocks": 6, "norm": "batch", "dropout": True}
            | {"blur_down": True, "blur_up": True},
        ),
        (NestedUNet, {"in_channels": 1, "out_channels": 4, "width": 3, "levels": 5, "norm": "instance"}),
        (NestedUNet, {"in_channels": 3, "out_channels": 3, "width": 2, "levels": 6, "norm": "batch"}),
        (NestedUNet, {"in_channels": 3, "out_channels": 3, "width": 2, "levels": 7, "norm": "none"}),
        (PatchCritic, {"channels": 6, "width": 5, "layers": 1, "norm": "instance"}),
        (PatchCritic, {"channels": 3, "width": 3, "layers": 2, "norm": "batch", "blur": True}),
        (PatchCritic, {"channels": 1, "width": 2, "layers": 4, "norm": "none"}),
        (PixelCritic, {"channels": 4, "width": 5, "norm": "instance"}),
        (PixelCritic, {"channels": 3, "width": 5, "norm": "none"}),
    ],
    ids=str,
)
def test_other_widths_norms_and_channels(new, arguments, tmp_path):
    network = varied(new(**arguments))
    (found,) = import_checkpoint(written(tmp_path / "net.pth", network)).values()
    images = noise(arguments.get("channels", arguments.get("in_channels")), 64, 72)
    assert type(found) is new
    assert torch.equal(found(images), network(images))


@pytest.mark.parametrize(
    ("new", "arguments", "tensors", "numbers", "shapes"),
    [
        (
            *(ResNetTranslator, {}, 48, 11_378_179),
            {"model.1": (64, 3, 7, 7), "model.4": (128, 64, 3, 3), "model.10.conv_block.1": (256, 256, 3, 3)}
            | {"model.18.conv_block.5": (256, 256, 3, 3), "model.19": (256, 128, 3, 3), "model.26": (3, 64, 7, 7)},
        ),
        (
            *(ResNetTranslator, {"blur_down": True, "blur_up": True}, 52, 11_387_779),
            {"model.8": (256, 128, 3, 3), "model.20.conv_block.5": (256, 256, 3, 3), "model.30": (3, 64, 7, 7)},
        ),
        (*(ResNetTranslator, {"blocks": 6}, 36, 7_837_699), {"model.16": (256, 128, 3, 3), "model.23": (3, 64, 7, 7)}),
        (*(NestedUNet, {}, 82, 54_423_824), {"model.model.0": (64, 3, 4, 4), "model.model.3": (128, 3, 4, 4)}),
        (*(PatchCritic, {}, 10, 2_764_737), {"model.8": (512, 256, 4, 4), "model.11": (1, 512, 4, 4)}),
    ],
)
def test_full_widths(new, arguments, tensors, numbers, shapes):
    """Counts and shapes of the published networks; batch norms also count their batches in a tensor each."""
    channels = {"channels": 3} if new is PatchCritic else {"in_channels": 3, "out_channels": 3}
    with torch.device("meta"):
        content = published(new(**channels, **arguments))
    assert len(content) == tensors
    assert sum(value.numel() for value in content.values()) == numbers
    for name, shape in shapes.items():
        assert content[f"{name}.weight"].shape == shape


def test_how_a_state_dict_may_be_saved(tmp_path):
    """In the old container, in half precision, and from inside nn.DataParallel."""
    network = varied(ResNetTranslator(3, 3, width=4, blocks=2, norm="batch"))
    images = noise(3)
    old = written(tmp_path / "old.pth", network, _use_new_zipfile_serialization=False)
    assert torch.equal(import_checkpoint(old)["generator"](images), network(images))
    wrapped = {f"module.{name}": value for name, value in published(network).items()}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    assert torch.equal(import_checkpoint(tmp_path / "wrapped.pth")["generator"](images), network(images))
    torch.save({name: value.half() for name, value in published(network).items()}, tmp_path / "half.pth")
    assert_close(import_checkpoint(tmp_path / "half.pth")["generator"](images), network(images), rtol=0, atol=0.02)


def test_missing_and_left_over_tensors_are_listed(tmp_path):
    content = published(ResNetTranslator(3, 3, width=4, blocks=2, norm="batch"))
    content["model.5.more"] = content.pop("model.5.weight")
    del content["model.10.conv_block.2.running_mean"]
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UserError) as refused:
        import_checkpoint(tmp_path / "net.pth")
    missing, left_over = str(refused.value).split("missing: ")[1].split("; left over: ")
    assert missing == "model.10.conv_block.2.running_mean, model.5.weight"
    assert left_over == "model.5.more"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "model.4.weight",
            torch.ones(8, 5, 3, 3),
            r"its model.4.weight has the shape \[8, 5, 3, 3\]; .*\[8, 4, 3, 3\]",
        ),
        ("model.4.weight", torch.full((8, 4, 3, 3), torch.nan), "not finite numbers"),
        ("model.4.weight", torch.ones(8, 4, 3, 3, dtype=torch.int64), "not finite numbers"),
        ("model.1.weight", torch.ones(0, 3, 7, 7), "shape|zero-element"),
        ("model.1.weight", torch.ones(7), "shape"),
        ("model.1.weight", torch.tensor(1.0), "shape"),
    ],
)
def test_tensors_that_cannot_be(name, value, message, tmp_path):
    torch.save(published(ResNetTranslator(3, 3, width=4, blocks=2)) | {name: value}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=message) as refused:
        import_checkpoint(tmp_path / "net.pth")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'net.pth'}")


@pytest.mark.parametrize(
    "content",
    [{}, [], 3, None, {"epoch": 3}, {"weight": torch.ones(3)}, {1: torch.ones(3)}, {"model.0.weight": torch.ones(3)}],
    ids=str,
)
def test_other_files_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"is not one of the published .* it holds: "):
        import_checkpoint(tmp_path / "net.pth")


def test_damaged_files(tmp_path):
    content = (IMPORTED / "pixel.pth").read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 0xFF
    for damaged in (b"", b"PK", b"no checkpoint", content[: len(content) // 2], bytes(flipped)):
        (tmp_path / "net.pth").write_bytes(damaged)
        with pytest.raises(UserError, match=r"is not a checkpoint that ganshift reads|is damaged, or holds more"):
            import_checkpoint(tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"there is no checkpoint .*; did you mean .*net.pth"):
        import_checkpoint(tmp_path / "nett.pth")


def test_both_ways_and_critics(tmp_path):
    """A run of four files, of which each network has the weights of its file."""
    networks = {
        "file": varied(ResNetTranslator(3, 1, width=4, blocks=2)),
        "backward": varied(ResNetTranslator(1, 3, width=3, blocks=1, blur_up=True)),
        "critic_a": varied(PatchCritic(3, width=3)),
        "critic_b": varied(PixelCritic(1, width=3)),
    }
    files = {role: written(tmp_path / f"{role}.pth", network) for role, network in networks.items()}
    further = {role: path for role, path in files.items() if role != "file"}
    lines = import_run(files["file"], tmp_path / "run", further=further)
    assert [line.partition(":")[0] for line in lines[:4]] == [*files]
    translator = Translator.from_pretrained(tmp_path / "run", "cpu")
    assert translator.channels == {"a": 3, "b": 1}
    assert torch.equal(translator.translate(noise(3), "b"), networks["file"](noise(3)))
    assert torch.equal(translator.translate(noise(1), "a"), networks["backward"](noise(1)))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["critic_a"] == {"kind": "patch", "channels": 3, "width": 3, "layers": 3, "norm": "instance"} | {
        "blur": False
    }
    assert config["imported"]["checkpoint"] == "file.pth"
    assert config["imported"]["critic_b"] == "critic_b.pth"
    assert len(config["imported"]["critic_b_sha256"]) == 64


def test_what_does_not_go_together(tmp_path):
    new = {
        "rgb": ResNetTranslator(3, 3, width=2, blocks=1),
        "to_gray": ResNetTranslator(3, 1, width=2, blocks=1),
        "rgba": ResNetTranslator(4, 3, width=2, blocks=1),
        "six": ResNetTranslator(6, 3, width=2, blocks=1),
        "unet": NestedUNet(3, 3, width=2, levels=5),
        "critic": PatchCritic(3, width=2),
        "batch": PatchCritic(3, width=2, norm="batch"),
    }
    at = {name: written(tmp_path / f"{name}.pth", network) for name, network in new.items()}
    for name, further, message in (
        ("critic", {}, "holds only a critic .* cannot translate: .* --critic-b"),
        ("rgb", {"backward": "to_gray"}, "--backward must be a resnet generator from 3 channels to 3"),
        ("rgb", {"backward": "unet"}, "--backward must be a resnet generator"),
        ("rgb", {"backward": "critic"}, "--backward must be a resnet generator .* it is a patch critic"),
        ("rgb", {"critic_a": "rgb"}, "--critic-a must be a critic"),
        ("to_gray", {"critic_b": "critic"}, "--critic-b must judge images of 1 channels"),
        ("rgb", {"critic_b": "batch"}, "--critic-b has batch norms"),
        ("rgba", {}, "4 channels, and the file does not say what they are: give --rgba"),
        ("six", {}, "6 channels: a run needs 1, 3 or 4"),
    ):
        with pytest.raises(UserError, match=message):
            import_run(at[name], tmp_path / "run", further={role: at[other] for role, other in further.items()})
    for size in (0, -1, 10**9):
        with pytest.raises(UserError, match="size must be one or two sides of 1 to"):
            import_run(at["rgb"], tmp_path / "run", ImportOptions(size=size))
    assert not (tmp_path / "run").exists()
    import_run(at["rgba"], tmp_path / "run", ImportOptions(rgba=True))
    assert Translator.from_pretrained(tmp_path / "run", "cpu").translate(noise(4)).shape == (2, 3, 32, 40)
    assert import_checkpoint(at["six"])["generator"](noise(6)).shape == (2, 3, 32, 40)


def test_what_is_wrong_with_a_further_file_is_said_of_it(tmp_path):
    """And not of the file that it is given with."""
    forth = written(tmp_path / "forth.pth", ResNetTranslator(3, 3, width=2, blocks=1))
    content = published(ResNetTranslator(3, 3, width=2, blocks=1))
    for wrong in (
        content | {"model.1.weight": torch.ones(7)},
        content | {"more": torch.ones(1)},
        {"weight": torch.ones(1)},
        [],
    ):
        torch.save(wrong, tmp_path / "wrong.pth")
        for role in ("backward", "critic_b"):
            with pytest.raises(UserError) as refused:
                import_run(forth, tmp_path / "run", further={role: tmp_path / "wrong.pth"})
            assert str(refused.value).startswith(f"{tmp_path / 'wrong.pth'}")
            assert "forth.pth" not in str(refused.value)
    assert not (tmp_path / "run").exists()


class OwnModel(torch.nn.Module):
    """A user's, which `torch.save` pickles by reference; building it again would leave a trace."""

    def __setstate__(self, state):
        Path(state["trace"]).touch()


@pytest.mark.parametrize("is_zip", [True, False])
def test_whole_models_are_not_read(is_zip, tmp_path):
    model = OwnModel()
    model.conv, model.trace = torch.nn.Conv2d(3, 3, 3), str(tmp_path / "trace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older form warns that it cannot keep the source
        torch.save(model, tmp_path / "net.pth", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match=r"holds a whole model, which is not read: save its state_dict\(\)"):
        import_checkpoint(tmp_path / "net.pth")
    assert not (tmp_path / "trace").exists()


def test_options_that_change_nothing_warn(tmp_path, caplog):
    source = written(tmp_path / "net.pth", ResNetTranslator(3, 3, width=2, blocks=1))
    import_run(source, tmp_path / "run", ImportOptions(rgba=True, image_statistics=True))
    assert [record.message for record in caplog.records] == [
        "--rgba changes nothing here: no pictures have four channels",
        "--image-statistics changes nothing here: no generator has batch norms",
    ]


def test_sizes_that_are_no_multiples(runs):
    """Translations keep the size of their images; where the published network gives more, that is cut off."""
    for name, height, width in (
        *(("cyclegan_resnet9", 37, 50), ("cut_resnet9", 1, 5), ("cyclegan_resnet6_batchnorm", 5, 4)),
        *(("unet128_batch", 70, 150), ("unet256_instance", 1, 1)),
    ):
        translator = Translator.from_pretrained(runs / name, "cpu")
        assert translator.translate(noise(3, height, width)).shape[2:] == (height, width)
    (network,) = import_checkpoint(IMPORTED / "cyclegan_resnet9.pth").values()
    assert torch.equal(network(noise(3, 37, 50)), network.model(noise(3, 37, 50))[:, :, :37, :50])


def test_command(runs, tmp_path, capsys):
    file = str(IMPORTED / "unet128_batch.pth")
    assert main(["import", file, "--size", "128", "--image-statistics", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "pix2pix generator, 3 channels to 3: width 4, levels 7, norm batch" in said
    assert "BSD 2-clause" in said
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["size"], config["image_statistics"], config["architecture"]) == (128, True, "pix2pix")
    assert main(["import", file, "--classes", "a,b", "--out", str(tmp_path / "other")]) == 2
    assert "--classes does not apply to CycleGAN, pix2pix or CUT checkpoints" in capsys.readouterr().err


FURTHER = {
    "cyclegan": ["--backward", "back.pth", "--critic-a", "a.pth", "--critic-b", "b.pth"],
    "cut": [],
    "pix2pix": [],
}
"""Further files that are imported."""


def for_training(kind, folder):
    """The file of a generator, with others beside it."""
    shared = {"in_channels": 3, "out_channels": 3, "width": 4}
    network = {
        "cyclegan": lambda: ResNetTranslator(**shared, blocks=2),
        "cut": lambda: ResNetTranslator(**shared, blocks=2, blur_down=True, blur_up=True),
        "pix2pix": lambda: NestedUNet(**shared, levels=5),
    }[kind]
    torch.manual_seed(3)
    written(folder / "back.pth", network())
    for domain in "ab":
        written(folder / f"{domain}.pth", PatchCritic(3, width=4))
    return written(folder / "net.pth", network())


def pictures(folder):
    """Two domains of six pictures."""
    for domain in "AB":
        (folder / "data" / domain).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(number + ord(domain)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "data" / domain / f"{number}.png")
    return folder / "data"


@pytest.mark.parametrize("kind", FURTHER)
def test_further_training_resumes_exactly(kind, tmp_path, monkeypatch, caplog):
    """100 images in one go, and in two sittings, after the second of which the imported run is gone."""
    monkeypatch.chdir(tmp_path)
    file, further = for_training(kind, tmp_path), FURTHER[kind]
    assert main(["import", str(file), *further, "--out", "imported"]) == 0
    arguments = ["dual", "--preset=tiny", f"--data={pictures(tmp_path)}", "--source=imported"]
    arguments += ["--batch=20", "--checkpoint-every=40"]
    with caplog.at_level(logging.WARNING):
        assert main([*arguments, "--images=100", "--out=straight"]) == 0
    missing = [] if further else ["gen_ba", "critic_a", "critic_b"]
    warned = [record.message for record in caplog.records if "anew" in record.message]
    assert warned == ([f"imported has no {', '.join(missing)}: they start anew"] if missing else [])
    assert main([*arguments, "--images=40", "--out=resumed"]) == 0
    first = Translator.from_pretrained("resumed", "cpu").state_dict()
    shutil.rmtree("imported")
    assert main([*arguments, "--images=100", "--out=resumed"]) == 0
    states = [
        torch.load(f"{run}/checkpoints/000000000100.pt", weights_only=True)["state"] for run in ("straight", "resumed")
    ]
    assert_close(states[1], states[0], rtol=0, atol=0)
    trained = Translator.from_pretrained("resumed", "cpu").state_dict()
    assert trained.keys() == Translator.from_pretrained("straight", "cpu").state_dict().keys()
    moved = [name for name, value in trained.items() if name.endswith("weight") and not torch.equal(value, first[name])]
    assert {name.partition(".")[0] for name in moved} == {"gen_ab", "gen_ba"}


def test_further_training_starts_from_the_imported_weights(tmp_path, monkeypatch):
    """All four networks, before the first step."""
    from ganshift.methods.dual.config import PRESETS, DualConfig
    from ganshift.methods.dual.trainer import DualTrainer

    monkeypatch.chdir(tmp_path)
    file = for_training("cyclegan", tmp_path)
    main(["import", str(file), *FURTHER["cyclegan"], "--out", "imported"])
    settings = PRESETS["tiny"] | {"data": pictures(tmp_path), "out": Path("run"), "source": "imported"}
    with pytest.raises(UserError, match="--source translates 3 channels to 3, and the domains have 3 and 1"):
        DualTrainer.from_config(DualConfig(**settings, channels_b=1))
    trainer = DualTrainer.from_config(DualConfig(**settings))
    for name, path in (("gen_ab", "net"), ("gen_ba", "back")):
        assert torch.equal(
            trainer.algorithm.generators[name](noise(3)), import_checkpoint(f"{path}.pth")["generator"](noise(3))
        )
    for domain in "ab":
        critic = trainer.algorithm.critics[f"critic_{domain}"]
        assert torch.equal(critic(noise(3)), import_checkpoint(f"{domain}.pth")["critic"](noise(3)))
