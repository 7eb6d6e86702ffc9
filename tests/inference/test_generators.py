"""Generator and Translator as a program uses them."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

from ganshift import Generator, Translator, UserError
from ganshift.data.images import to_picture
from ganshift.inference.latents import draw_latents
from ganshift.tensors import to_uint8

NETWORK = {"size": 32, "width": 4, "channels": 3, "num_classes": 0, "norm": True}


def new_generator(classes=()):
    torch.manual_seed(0)
    model = Generator({**NETWORK, "num_classes": len(classes)}, classes)
    for name, parameter in model.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.normal_(parameter)
    return model


def write_run(folder, model, **config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


def test_generator_round_trip(tmp_path):
    model = new_generator()
    run = write_run(tmp_path / "run", model, method="transfer", generator=NETWORK, classes=[])
    latents = torch.randn(3, 128)
    assert_close(Generator.from_pretrained(run).generate(latents), model.generate(latents))
    assert_close(Generator.from_pretrained(str(run), device="cpu").generate(latents), model.generate(latents))


def test_sampling_is_a_function_of_the_seed():
    model = new_generator()
    first, second, other = model.sample(3, seed=1), model.sample(70, seed=1), model.sample(3, seed=2)
    assert as_bytes(first) == as_bytes(model.sample(3, seed=1))
    assert alike(first, second[:3])
    assert first[0].tobytes() != other[0].tobytes()
    assert first[0].size == (32, 32)
    assert first[0].mode == "RGB"


def test_classes_by_name_and_number():
    model = new_generator(("cat", "7", "rose"))
    by_name, by_number = model.sample(2, "rose"), model.sample(2, 2)
    assert [picture.tobytes() for picture in by_name] == [picture.tobytes() for picture in by_number]
    assert model.sample(1, "7")[0].tobytes() == model.sample(1, 1)[0].tobytes()
    numbers = new_generator(("1", "10", "2"))  # in the order of folders, so that names are other numbers
    assert [numbers.sample(1, label) for label in (0, 1, 2)] == [numbers.sample(1, label) for label in ("1", "10", "2")]
    in_turn = model.sample(4)
    assert in_turn[1].tobytes() == model.sample(4, "7")[1].tobytes()
    with pytest.raises(UserError, match=r"no class 'dog'; this generator has cat, 7, rose"):
        model.sample(1, "dog")
    with pytest.raises(UserError, match="needs labels from 0 to 2"):
        model.generate(torch.randn(1, 128))
    with pytest.raises(UserError, match="trained without classes"):
        new_generator().sample(1, "cat")
    with pytest.raises(UserError, match="takes no labels"):
        new_generator().generate(torch.randn(1, 128), torch.tensor([0]))


def test_batch_statistics_make_neighbours_matter():
    model = new_generator()
    latents = torch.randn(4, 128)
    assert_close(model.generate(latents)[:2], model.generate(latents[:2]))
    together = model.generate(latents, batch_statistics=True)
    assert not torch.allclose(together[:2], model.generate(latents[:2], batch_statistics=True))


@pytest.mark.parametrize("count", [0, -1])
def test_number_of_samples(count):
    conditional = new_generator(("cat", "rose"))
    for draw in (conditional.sample, lambda count: conditional.interpolate(3, count), conditional.class_grid):
        with pytest.raises(UserError, match=f"at least 1, got {count}"):
            draw(count)


def as_bytes(pictures):
    return [picture.tobytes() for picture in pictures]


def alike(first, second):
    """Whether pictures made in batches of other sizes are the same to rounding: at most a level, in few values."""
    ours, theirs = (np.array([np.asarray(picture, np.int16) for picture in pictures]) for pictures in (first, second))
    apart = np.abs(ours - theirs)
    return apart.max() <= 1 and apart.mean() < 1e-3


def test_truncation_of_samples():
    model = new_generator()
    pictures = model.sample(3, seed=4, truncation=0.5)
    free, wide, narrow = (as_bytes(model.sample(3, seed=4, truncation=at)) for at in (None, 1e9, 0.5))
    assert free == wide == as_bytes(model.sample(3, seed=4))
    assert narrow != free
    assert alike(pictures, model.sample(70, seed=4, truncation=0.5)[:3])
    given = model.sample(draw_latents(3, seed=4), seed=4, truncation=0.5)
    assert as_bytes(given) == narrow
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match=r"truncation.* must be"):
            model.sample(1, truncation=wrong)
    with pytest.raises(UserError, match="seed must be at least 0"):
        model.sample(torch.zeros(1, 128), seed=-1, truncation=1.0)


def test_what_notebooks_pass():
    """Numbers, lists and arrays of any type give what their plain forms give."""
    model = new_generator(("cat", "dog"))
    assert as_bytes(model.sample(np.int32(2), seed=np.uint8(3))) == as_bytes(model.sample(2, seed=3))
    assert as_bytes(model.sample(torch.tensor(2), np.int64(1))) == as_bytes(model.sample(2, "dog"))
    each = as_bytes(model.sample(3, ["dog", "cat", "dog"]))
    for labels in (
        [1, 0, 1],
        np.array([1, 0, 1], np.uint8),
        torch.tensor([1, 0, 1], dtype=torch.int32),
        ("1", "cat", 1),
    ):
        assert as_bytes(model.sample(3, labels)) == each
    latents, labels = draw_latents(3, seed=0), torch.tensor([1, 0, 1])
    expected = model.generate(latents, labels)
    for same in (latents.numpy(), latents.tolist(), latents.double(), latents.numpy()[::-1][::-1]):
        assert torch.equal(model.generate(same, labels), expected)
        assert as_bytes(model.sample(same, labels)) == each
    for same in ([1, 0, 1], labels.numpy(), labels.to(torch.uint8), np.array([1, 0, 1], np.uint64)):
        assert torch.equal(model.generate(latents, same), expected)
    assert len(model.interpolate(np.int64(3), np.int64(2))[0]) == 3


WRONG_CALLS = {
    "sample(2, seed=None)": "seed must be a whole number, got None",
    "sample(2, seed=1.5)": "seed must be a whole number, got 1.5",
    "sample(2.0)": "the number of images must be a whole number, got 2.0",
    "sample('4')": "the number of images must be a whole number, got '4'",
    "sample(True)": "the number of images must be a whole number, got True",
    "sample(torch.zeros(128))": "latents must be [n, 128], got [128]",
    "sample(torch.full((1, 128), float('nan')))": "latents must be finite numbers, got some that are not",
    "sample([[1.0], [1.0, 2.0]])": "latents must be an array of numbers, got [[1.0], [1.0, 2.0]]",
    "sample([['a', 'b']])": "latents must be an array of numbers, got [['a', 'b']]",
    "sample(1, truncation='0.7')": "truncation, in standard deviations, must be a number, got '0.7'",
    "sample(2, [0])": "labels must be 2 whole numbers from 0 to 1, one for each image; their shape is [1]",
    "sample(2, 1.0)": "label must be a whole number, got 1.0",
    "sample(2, 7)": "there is no class 7; this generator has cat, dog, or their numbers from 0 to 1",
    "generate(torch.zeros(2, 128), torch.eye(2))": (
        "labels must be 2 whole numbers from 0 to 1, one for each image; their shape is [2, 2]"
    ),
    "generate(torch.zeros(2, 128), [0.0, 1.0])": (
        "labels must be 2 whole numbers from 0 to 1, one for each image; they are of type torch.float32"
    ),
    "generate(torch.zeros(2, 128), [0, 2])": (
        "labels must be 2 whole numbers from 0 to 1, one for each image, got [0, 2]"
    ),
    "interpolate(2.5)": "steps of an interpolation, its two ends among them, must be a whole number, got 2.5",
    "class_grid(None)": "the number of images must be a whole number, got None",
}
TRIES = """
import json, sys, torch
from ganshift import Generator, UserError
model = Generator({"size": 32, "width": 4, "channels": 1, "num_classes": 2, "norm": True}, ("cat", "dog"))
said = {}
for call in json.load(sys.stdin):
    try:
        eval(f"model.{call}")
    except UserError as error:
        said[call] = str(error)
json.dump(said, sys.stdout)
"""
"""Without the tests' checks of annotations, which notebooks do not have."""


def test_what_cannot_be_is_said_in_one_sentence():
    done = subprocess.run(
        [sys.executable, "-c", TRIES], input=json.dumps([*WRONG_CALLS]), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == WRONG_CALLS


@pytest.mark.parametrize("truncation", [None, 0.7])
@pytest.mark.parametrize("classes", [(), ("cat", "dog", "rose")])
def test_strips_start_and_end_with_samples(classes, truncation):
    model = new_generator(classes)
    label = "dog" if classes else None
    strips = model.interpolate(4, 3, label, seed=1, truncation=truncation)
    assert [len(strip) for strip in strips] == [4, 4, 4]
    samples = model.sample(4, label, seed=1, truncation=truncation)
    assert alike([strip[0] for strip in strips], samples[:-1])
    assert alike([strip[-1] for strip in strips], samples[1:])
    for strip in strips:
        assert len(set(as_bytes(strip))) == 4
    longer = model.interpolate(4, 20, label, seed=1, truncation=truncation)  # more than one batch of pictures
    assert all(alike(*pair) for pair in zip(longer, strips, strict=False))


def test_strips_stay_in_one_class():
    model = new_generator(("cat", "dog", "rose"))
    strips = model.interpolate(2, 4, seed=1)
    assert alike([strip[0] for strip in strips], model.sample(4, seed=1))
    for number, strip in enumerate(strips):
        assert alike(strip, model.sample(number + 2, number % 3, seed=1)[number:])
    with pytest.raises(UserError, match="its two ends among them, must be at least 2, got 1"):
        model.interpolate(1)
    with pytest.raises(UserError, match="no class 'bird'"):
        model.interpolate(2, label="bird")


def test_class_grid_has_a_row_for_each_class():
    model = new_generator(("cat", "dog", "rose"))
    grid = model.class_grid(4, seed=2)
    assert [len(row) for row in grid] == [4, 4, 4]
    for number, row in enumerate(grid):
        assert alike(row, model.sample(4, number, seed=2))
    assert len(set(as_bytes(row[0] for row in grid))) == 3
    assert alike(model.class_grid(2, truncation=0.5)[1], model.sample(2, 1, truncation=0.5))
    with pytest.raises(UserError, match=r"needs a generator with classes.*leave out --class-grid"):
        new_generator().class_grid()


@pytest.mark.parametrize("classes", [(), tuple("0123456789"), ("cat", "dog", "rose")])
def test_published_sheet_is_one_batch_of_a_hundred(classes):
    model = new_generator(classes)
    rows = model.published_sheet(seed=3)
    assert [len(row) for row in rows] == [10] * 10
    labels = torch.arange(100) % len(classes) if classes else None
    images = model.generate(draw_latents(100, 3), labels, batch_statistics=True)
    expected = [to_picture(pixels.numpy()) for pixels in to_uint8(images)]
    assert as_bytes(picture for row in rows for picture in row) == as_bytes(expected)
    split = as_bytes(model.sample(100, seed=3, batch_statistics=True))  # batches of 64 and 36
    assert split != as_bytes(expected)


def new_translator(channels_a=3, channels_b=1):
    torch.manual_seed(0)
    shared = {"width": 4, "levels": 5, "size": 32, "dropout": 0.0, "as_published": False}
    there = {"in_channels": channels_a, "out_channels": channels_b, **shared}
    back = {"in_channels": channels_b, "out_channels": channels_a, **shared}
    return Translator(there, back), {"gen_ab": there, "gen_ba": back}


def test_translator_round_trip(tmp_path):
    model, networks = new_translator()
    run = write_run(tmp_path / "run", model, method="dual", **networks)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    loaded = Translator.from_pretrained(run)
    translated = loaded.translate(images, to="b")
    assert translated.shape == (2, 1, 32, 32)
    assert_close(translated, model.translate(images))
    assert loaded.translate(translated, to="a").shape == images.shape


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (128, 33)])
def test_pictures_keep_their_size(tmp_path, size):
    model, _ = new_translator()
    picture = Image.effect_noise(size, 60).convert("RGB")
    picture.save(tmp_path / "photo.png")
    drawn = model(tmp_path / "photo.png")
    assert (drawn.size, drawn.mode) == (size, "L")
    assert model(picture).tobytes() == drawn.tobytes()
    assert (model(drawn, to="a").size, model(drawn, to="a").mode) == (size, "RGB")


def test_what_is_no_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match="there is no run folder"):
        Generator.from_pretrained(tmp_path / "none")
    with pytest.raises(UserError, match=r"no config\.json"):
        Generator.from_pretrained(tmp_path)
    model, networks = new_translator()
    run = write_run(tmp_path / "run", model, method="dual", **networks)
    with pytest.raises(UserError, match="holds a dual run, not a transfer run"):
        Generator.from_pretrained(run)
    (run / "model.safetensors").write_bytes(b"\x10cut short")
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read"):
        Translator.from_pretrained(run)
    (run / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has not saved a model yet"):
        Translator.from_pretrained(run)


@pytest.mark.parametrize("generator", [None, [], {}, {**NETWORK, "width": 10**9}, {**NETWORK, "width": -1}, {"x": 1}])
def test_hostile_descriptions_are_errors(tmp_path, generator):
    """Nothing is allocated before the description is known to fit the file."""
    run = write_run(tmp_path / "run", new_generator(), method="transfer", generator=generator, classes=[])
    with pytest.raises(UserError, match="does not"):
        Generator.from_pretrained(run)


def test_missing_picture_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no\.jpg: cannot be read"):
        new_translator()[0](tmp_path / "no.jpg")


def test_weights_of_another_network_are_refused(tmp_path):
    run = write_run(tmp_path / "run", new_generator(), method="transfer", generator={**NETWORK, "width": 8}, classes=[])
    with pytest.raises(UserError, match=r"its generator\.blocks\.0\.conv1\.bias is \(4,\), but must be \(8,\)"):
        Generator.from_pretrained(run)
