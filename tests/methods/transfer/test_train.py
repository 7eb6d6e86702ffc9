"""What the settings of a transfer run do to its networks and optimisers."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganshift.errors import UserError
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer, train
from ganshift.training.run_folder import read_config, write_json

TINY = {**PRESETS["tiny"], "data": Path("bundled:digits-5-9")}


def trainer(tmp_path, **settings):
    return TransferTrainer.from_config(TransferConfig(**{**TINY, "out": tmp_path / "run", **settings}))


def run_iterations(found, count):
    batches = found.batches(0)
    for _ in range(count):
        found.iteration(next(batches))


def rates(found):
    return [found.parts()[f"{name}_optimizer"].param_groups[0]["lr"] for name in ("generator", "critic")]


def test_rates_warm_up_and_decay(tmp_path):
    settings = {"generator_learning_rate": 1.0, "critic_learning_rate": 2.0, "warmup_images": 80, "images": 160}
    found = trainer(tmp_path, **settings)  # 8 images an iteration
    batches = found.batches(0)
    for seen, expected in ((0, 0.1), (8, 0.2 * 0.95), (72, 1.0 * 0.55), (80, 0.5), (152, 0.05)):
        found.seen = seen
        with suppress(UserError):  # rates of 1 and 2 make the loss explode; they are set before
            found.iteration(next(batches))
        assert rates(found) == pytest.approx([expected, 2 * expected]), seen


def test_first_iteration_moves_only_the_critic(tmp_path):
    found = trainer(tmp_path)
    before = found.algorithm.generator.start.weight.clone()
    run_iterations(found, 1)
    assert torch.equal(found.algorithm.generator.start.weight, before)
    run_iterations(found, 1)
    assert not torch.equal(found.algorithm.generator.start.weight, before)


@pytest.mark.parametrize("frozen", [0, 1, 2, 4])
def test_frozen_critic_blocks_do_not_move(tmp_path, frozen):
    found = trainer(tmp_path, freeze_critic=frozen)
    blocks = found.algorithm.critic.blocks_from_image()
    before = [block.conv1.weight.clone() for block in blocks]
    run_iterations(found, 2)
    moved = [not torch.equal(block.conv1.weight, old) for block, old in zip(blocks, before, strict=True)]
    assert moved == [index >= frozen for index in range(len(blocks))]


def test_more_frozen_blocks_than_there_are(tmp_path):
    with pytest.raises(UserError, match="freeze_critic must be at most 4"):
        trainer(tmp_path, freeze_critic=5)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    out = tmp_path_factory.mktemp("source") / "run"
    train(TransferConfig(**{**TINY, "out": out, "images": 32, "conditioning": "acgan"}))
    return str(out)


@pytest.mark.parametrize("load", ["both", "generator", "critic", "none"])
def test_what_is_loaded(tmp_path, source, load, caplog):
    given = trainer(tmp_path, source=source)
    fresh = trainer(tmp_path, source=source, load=load)
    for name, copied in (("generator", load in ("both", "generator")), ("critic", load in ("both", "critic"))):
        pairs = zip(given.parts()[name].parameters(), fresh.parts()[name].parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs) == copied
    assert ("worse than starting from scratch" in caplog.text) == (load == "generator")
    table = fresh.documents["surgery.txt"]
    assert ("copied" in table, "initialised" in table) == (load != "none", load != "both")


def test_source_decides_size_width_and_conditioning(tmp_path, source):
    found = TransferTrainer.from_config(
        TransferConfig(data=Path("bundled:digits-0-4"), out=tmp_path, images=8, source=source)
    )
    assert found.description["generator"] == {
        **{"size": 32, "channels": 1, "num_classes": 5, "width": 4, "norm": True},
    }
    assert found.description["critic"]["class_head"]
    assert "mapped by name for 0 of 5 classes, the mean for the other 5" in found.documents["surgery.txt"]
    without = TransferTrainer.from_config(
        TransferConfig(data=Path("bundled:faces"), out=tmp_path, images=8, source=source)
    )
    assert without.description["generator"]["num_classes"] == 0
    assert "mean over 5 classes" in without.documents["surgery.txt"]


def test_width_is_of_networks_that_no_source_gives(tmp_path, source):
    wide = {**TINY, "images": 8, "out": tmp_path, "width": 8}
    for settings, widths in (
        ({}, (8, 8)),
        ({"critic_width": 6}, (8, 6)),
        ({"source": source}, (4, 4)),
        ({"source": source, "load": "none"}, (4, 4)),
    ):
        found = TransferTrainer.from_config(TransferConfig(**wide | settings)).description
        assert (found["generator"]["width"], found["critic"]["width"]) == widths


def test_a_run_from_before_there_was_width_goes_on(tmp_path):
    out = tmp_path / "run"
    train(TransferConfig(**{**TINY, "out": out, "images": 8}))
    held = read_config(out)
    del held["training"]["width"]
    write_json(out / "config.json", held | {"training": held["training"] | {"generator_width": 4, "critic_width": 4}})
    assert train(TransferConfig(**{**TINY, "out": out, "images": 16})).images == 16
    with pytest.raises(UserError, match=r"another configuration: critic\.width was 4, is 6\."):
        train(TransferConfig(**{**TINY, "out": out, "images": 16, "critic_width": 6}))


def test_load_without_a_source_is_refused():
    with pytest.raises(UserError, match="needs a source"):
        TransferConfig(**TINY, out=Path("x"), load="critic")
    with pytest.raises(UserError, match="augment takes any of color, translation, cutout, got blur"):
        TransferConfig(**TINY, out=Path("x"), augment="color,blur")


def test_table_is_kept_and_said_once(tmp_path, source, capsys):
    config = TransferConfig(**{**TINY, "images": 8, "out": tmp_path / "run", "source": source})
    train(config)
    said = capsys.readouterr().err
    assert said.count(f"30 of 30 layers start as in {source} (surgery.txt lists them)\n") == 1
    assert "generator.start" not in said
    assert (tmp_path / "run" / "surgery.txt").read_text().startswith("generator.start")
    train(config)
    assert "layers start" not in capsys.readouterr().err


def test_a_resumed_run_says_what_it_starts_from(tmp_path, source, capsys):
    config = TransferConfig(**{**TINY, "images": 8, "out": tmp_path / "run", "source": source})
    train(config)
    assert f", from {source}, on cpu: 8 images to show, 0 done\n" in capsys.readouterr().err
    train(replace(config, images=16))
    said = capsys.readouterr().err
    assert f"resuming {config.out} at 8 images\n" in said
    assert ", from its checkpoint, on cpu: 16 images to show, 8 done\n" in said
