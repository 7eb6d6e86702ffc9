"""Generator and Translator as a program uses them."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

from ganshift import Generator, Translator, UserError

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
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second[:3]]
    assert first[0].tobytes() != other[0].tobytes()
    assert first[0].size == (32, 32)
    assert first[0].mode == "RGB"


def test_classes_by_name_and_number():
    model = new_generator(("cat", "7", "rose"))
    by_name, by_number = model.sample(2, "rose"), model.sample(2, 2)
    assert [picture.tobytes() for picture in by_name] == [picture.tobytes() for picture in by_number]
    assert model.sample(1, "7")[0].tobytes() == model.sample(1, 1)[0].tobytes()
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
    with pytest.raises(UserError, match=f"at least 1, got {count}"):
        new_generator().sample(count)


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
    with pytest.raises(UserError, match=r"its generator\.blocks\.0\.conv1\.bias is \(4,\), needed is \(8,\)"):
        Generator.from_pretrained(run)
