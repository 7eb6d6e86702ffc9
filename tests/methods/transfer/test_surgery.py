"""Weights that move between networks with other classes."""

import pytest
import torch
from torch.testing import assert_close

from ganshift.errors import UserError
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.methods.transfer.surgery import as_table, in_short, initialised, transplant


def new_generator(num_classes, size=32, width=4):
    torch.manual_seed(num_classes)
    network = ResNetGenerator(size=size, width=width, num_classes=num_classes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def move(network, source, classes=(), source_classes=(), label="generator"):
    arguments = {"label": label, "where": "old", "classes": classes, "source_classes": source_classes}
    return transplant(network, source.state_dict(), **arguments)


def test_same_networks_are_copied_whole():
    source, network = new_generator(2), new_generator(2)
    torch.nn.init.normal_(network.start.weight)
    rows = move(network, source, ("a", "b"), ("a", "b"))
    assert_close(network.state_dict(), source.state_dict(), rtol=0, atol=0)
    assert {row.how for row in rows} == {"copied"}
    assert len(rows) == len(source.state_dict())


def test_without_classes_to_classes():
    """At first every class draws what the source drew."""
    source, network = new_generator(0), new_generator(3)
    move(network, source, ("a", "b", "c"))
    latents = torch.randn(2, 128)
    for label in range(3):
        drawn = network.eval()(latents, torch.full((2,), label))
        assert_close(drawn, source.eval()(latents), rtol=0, atol=1e-3)


def test_classes_are_mapped_by_name_and_others_get_the_mean():
    source, network = new_generator(3), new_generator(4)
    rows = move(network, source, ("cat", "emu", "ant", "bee"), ("ant", "cat", "dog"))
    for theirs, ours in ((source.blocks[1].norm1.gain, network.blocks[1].norm1.gain),):
        mean = theirs.mean(dim=0)
        assert_close(ours, torch.stack([theirs[1], mean, theirs[0], mean]))
    hows = {row.how for row in rows}
    assert hows == {"copied", "mapped by name for 2 of 4 classes, the mean for the other 2"}


def test_classes_in_another_order():
    source, network = new_generator(2), new_generator(2)
    move(network, source, ("b", "a"), ("a", "b"))
    latents = torch.randn(1, 128)
    assert_close(network.eval()(latents, torch.tensor([0])), source.eval()(latents, torch.tensor([1])))


def test_with_classes_to_without():
    source, network = new_generator(3), new_generator(0)
    move(network, source, (), ("a", "b", "c"))
    assert_close(network.blocks[0].norm2.bias, source.blocks[0].norm2.bias.mean(dim=0))
    assert_close(network.start.weight, source.start.weight)


def new_critic(num_classes, **settings):
    torch.manual_seed(num_classes + 10)
    return ResNetCritic(size=32, width=4, num_classes=num_classes, **settings)


def test_class_head_is_copied_for_the_same_classes_only():
    source = new_critic(2, class_head=True)
    for classes, copied in ((("a", "b"), True), (("b", "a"), False), (("a", "c"), False)):
        network = new_critic(2, class_head=True)
        torch.nn.init.zeros_(network.to_classes.weight)
        rows = move(network, source, classes, ("a", "b"), "critic")
        assert torch.equal(network.to_classes.weight, source.to_classes.weight) == copied
        (how,) = {row.how for row in rows if row.name.startswith("to_classes")}
        assert how == ("copied" if copied else "initialised: the classes are others")
        assert torch.equal(network.to_score.weight, source.to_score.weight)


def test_class_head_may_go_and_come():
    without, head = new_critic(0), new_critic(2, class_head=True)
    rows = move(without, head, (), ("a", "b"), "critic")
    assert [row.how for row in rows if row.name.startswith("to_classes")] == ["dropped: no class head here"] * 2
    rows = move(new_critic(2, class_head=True), without, ("a", "b"), (), "critic")
    assert {row.how for row in rows if row.name.startswith("to_classes")} == {"initialised: the classes are others"}


@pytest.mark.parametrize(
    ("network", "source", "message"),
    [
        (
            new_generator(0, width=4),
            new_generator(0, width=8),
            r"start\.weight is \(128, 128\), but must be \(64, 128\)",
        ),
        (new_generator(0, size=64), new_generator(0, size=32), "but must be"),
        (new_generator(0, size=32), new_generator(0, size=64), "but must be"),
        (new_critic(0, norm=True), new_critic(0), r"norm1\.gain is absent, but must be \(4,\)"),
        (new_critic(0), new_critic(0, norm=True), r"norm1\.\w+ is \(4,\), but must be absent"),
    ],
)
def test_other_shapes_are_refused_with_both(network, source, message):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=message):
        move(network, source)
    assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_table_has_one_line_a_layer():
    table = as_table([*initialised(new_generator(0), "generator"), *move(new_critic(0), new_critic(0), label="critic")])
    lines = table.splitlines()
    assert len({line.split()[0] for line in lines}) == len(lines)
    assert lines[0].split() == ["generator.start", "weight", "64x128,", "bias", "64", "initialised"]
    assert any(line.startswith("critic.to_score") and line.endswith("copied") for line in lines)


def test_in_short_only_what_is_not_as_in_the_source_is_named():
    generator, critic = move(new_generator(3), new_generator(0), ("a", "b", "c")), initialised(new_critic(0), "critic")
    assert in_short(move(new_critic(0), new_critic(0)), "digits32") == "11 of 11 layers start as in digits32\n"
    first, *others = in_short([*generator, *critic], "digits32").splitlines()
    assert first.endswith(" layers start as in digits32, not these:")
    assert {line.split("  ")[-1].strip() for line in others} == {"copied to every class", "initialised"}
    assert len(others) + int(first.split()[0]) == int(first.split()[2])
