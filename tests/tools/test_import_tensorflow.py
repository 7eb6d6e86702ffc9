"""Published TensorFlow checkpoints become runs that give the published outputs."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from ganshift import Generator, Translator, UserError
from ganshift.cli import main
from ganshift.methods.dual import tensorflow as dual_names
from ganshift.methods.importing import ImportOptions
from ganshift.methods.transfer import tensorflow as transfer_names
from ganshift.methods.transfer.importing import measure_running_statistics
from ganshift.methods.transfer.networks import ResNetGenerator
from ganshift.tensors import from_uint8
from ganshift.tools.importing import import_checkpoint, import_run
from ganshift.tools.importing.tensorflow import find_checkpoint, read_variables
from ganshift.training.run_folder import held

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINTS = {
    "transfer32_acgan": GOLDEN / "tf1_transfer32_acgan" / "wgan-gp.model",
    "transfer64_unconditional": GOLDEN / "tf1_transfer64_unconditional" / "wgan-gp.model",
    "dualgan_wgangp_global": GOLDEN / "tf1_dualgan" / "DualNet.model-2",
}


@pytest.fixture(scope="module")
def tensorflow():
    """TensorFlow, whose import alone may warn. Triton crashes if torch imports it later."""
    import_module("torch._dynamo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    return tf


@pytest.fixture(scope="module")
def runs(tensorflow, tmp_path_factory):
    """One imported run a checkpoint, and the DualGAN a second time with its channels as they were."""
    folder = tmp_path_factory.mktemp("imported")
    for name, checkpoint in CHECKPOINTS.items():
        import_run(checkpoint, folder / name)
    import_run(CHECKPOINTS["dualgan_wgangp_global"], folder / "bgr", ImportOptions(keep_channel_order=True))
    return folder


@pytest.fixture
def write_checkpoint(tensorflow, tmp_path):
    """A function that writes arrays by name as TensorFlow 1 does, and returns the checkpoint's name."""

    def write(arrays):
        prefix = tmp_path / "written" / "model"
        names = sorted(arrays)
        prefix.parent.mkdir()
        values = [tensorflow.constant(arrays[name]) for name in names]
        tensorflow.raw_ops.SaveV2(
            prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
        )
        return prefix

    return write


def golden(name):
    return dict(np.load(GOLDEN / f"{name}.npz"))


def golden_weights(name):
    return {key.removeprefix("weight:"): value for key, value in golden(name).items() if key.startswith("weight:")}


def copied(name, folder):
    shutil.copytree(CHECKPOINTS[name].parent, folder)
    return folder / CHECKPOINTS[name].name


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_variables_are_the_published_ones(name, tensorflow):
    """All but the optimisers' slots; moving averages that the published graph never reads are also left aside."""
    variables, expected = read_variables(CHECKPOINTS[name]), golden_weights(name)
    assert all(name.endswith(transfer_names.IGNORED_SUFFIXES) for name in variables.keys() ^ expected.keys())
    for key, value in expected.items():
        np.testing.assert_array_equal(variables[key], value)


def test_runs_hold_the_published_weights(runs):
    for name in ("transfer32_acgan", "transfer64_unconditional"):
        found = transfer_names.from_tensorflow(golden_weights(name))
        model = load_file(runs / name / "model.safetensors")
        for key, value in found.generator.items():
            assert torch.equal(model.pop(f"generator.{key}"), value)
        assert {key.rsplit(".")[-1] for key in model} == {"running_mean", "running_var"}
        critic = load_file(runs / name / "critic.safetensors")
        assert critic.keys() == found.critic.keys()
        assert all(torch.equal(critic[key], value) for key, value in found.critic.items())
    for folder, swap in (("dualgan_wgangp_global", True), ("bgr", False)):
        found = dual_names.from_tensorflow(golden_weights("dualgan_wgangp_global"), swap_red_and_blue=swap)
        model = load_file(runs / folder / "model.safetensors")
        for network in ("gen_ab", "gen_ba"):
            for key, value in found.state_dicts[network].items():
                assert torch.equal(model.pop(f"{network}.{key}"), value)
        assert not model


def test_configuration_says_what_it_is(runs):
    config = json.loads((runs / "transfer32_acgan" / "config.json").read_text())
    assert (config["method"], config["generator"]["width"], config["critic"]["width"]) == ("transfer", 16, 12)
    assert config["classes"] == [str(number) for number in range(10)]
    data = CHECKPOINTS["transfer32_acgan"].with_name("wgan-gp.model.data-00000-of-00001")
    expected = {"checkpoint": "wgan-gp.model", "sha256": hashlib.sha256(data.read_bytes()).hexdigest(), "variables": 62}
    assert config["imported"] == expected
    dual = json.loads((runs / "dualgan_wgangp_global" / "config.json").read_text())
    assert (dual["method"], dual["gen_ab"]["width"], dual["imported"]["channel_order"]) == ("dual", 2, "RGB")


def test_published_images_of_the_32_pixel_code(runs):
    arrays = golden("transfer32_acgan")
    model = Generator.from_pretrained(runs / "transfer32_acgan", device="cpu")
    latents = torch.from_numpy(arrays["fixed_noise"])
    images = model.generate(latents, torch.arange(10).repeat(10), batch_statistics=True)
    expected = torch.from_numpy(arrays["out:fixed_samples"]).view(-1, 3, 32, 32)
    assert_close(images, expected, rtol=0, atol=1e-4)


def test_published_images_of_the_64_pixel_code(runs):
    arrays = golden("transfer64_unconditional")
    model = Generator.from_pretrained(runs / "transfer64_unconditional", device="cpu")
    images = model.generate(torch.from_numpy(arrays["random:1:normal:3x128"]), batch_statistics=True)
    expected = torch.from_numpy(arrays["out:fake"]).view(-1, 3, 64, 64)
    assert_close(images, expected, rtol=0, atol=1e-4)


def test_published_translations(runs):
    """As they were with the published channel order, and with red and blue swapped on both ends by default."""
    arrays = golden("dualgan_wgangp_global")
    kept, rgb = (Translator.from_pretrained(runs / name, "cpu") for name in ("bgr", "dualgan_wgangp_global"))
    for source, to, key in (("real_A_uint8", "b", "A2B"), ("real_B_uint8", "a", "B2A")):
        images = from_uint8(torch.from_numpy(arrays[source]).permute(0, 3, 1, 2).contiguous())
        expected = torch.from_numpy(arrays[f"out_stride4:{key}"]).permute(0, 3, 1, 2)
        translated = kept.translate(images, to)
        assert_close(translated[..., ::4, ::4], expected, rtol=0, atol=1e-4)
        assert_close(rgb.translate(images.flip(1), to), translated.flip(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "bound"), [("transfer32_acgan", 0.03), ("transfer64_unconditional", 0.03)])
def test_running_statistics_draw_like_batch_statistics(runs, name, bound):
    """Same latents, 256 of them: the images differ little on average, and those of running statistics vary."""
    model = Generator.from_pretrained(runs / name, device="cpu")
    latents = torch.randn(256, 128, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(256) % 10 if model.classes else None
    by_running, by_batch = model.generate(latents, labels), model.generate(latents, labels, batch_statistics=True)
    assert by_running.isfinite().all()
    assert (by_running - by_batch).abs().mean() < bound
    assert_close(by_running.std(dim=0).mean(), by_batch.std(dim=0).mean(), rtol=0.1, atol=0)
    assert by_running.std(dim=0).mean() > 3 * bound


def test_running_statistics_are_plain_averages():
    """The first norm's input is the linear start of seeded latents: its statistics have a closed form."""
    torch.manual_seed(0)
    generator = ResNetGenerator(size=32, width=4).eval()
    measure_running_statistics(generator)
    norm = generator.blocks[0].norm1
    weight, bias = (value.unflatten(0, (4, 16)) for value in (generator.start.weight, generator.start.bias))
    assert_close(norm.running_mean, bias.mean(dim=1), rtol=0, atol=0.02)
    assert_close(norm.running_var, weight.square().sum(dim=2).mean(dim=1), rtol=0.05, atol=0)
    assert (norm.momentum, generator.training) == (0.1, False)
    measure_running_statistics(ResNetGenerator(size=32, width=4, norm=False))


@pytest.mark.parametrize("name", ["transfer32_acgan", "transfer64_unconditional"])
def test_imported_run_is_a_source(runs, name, tmp_path):
    config = json.loads((runs / name / "config.json").read_text())
    conditional = bool(config["classes"])
    for index, label in enumerate(config["classes"] or [""]):
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.effect_noise((64, 64), 40 + index).convert("RGB").save(tmp_path / "data" / label / "0.png")
    widths = [f"--{part}-width={config[part]['width']}" for part in ("generator", "critic")]
    arguments = ["--preset=tiny", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--images=8"]
    conditioning = f"--conditioning={'acgan' if conditional else 'none'}"
    source = ["--source", str(runs / name), f"--size={config['generator']['size']}"]
    assert main(["transfer", *arguments, *source, *widths, conditioning]) == 0
    assert Generator.from_pretrained(tmp_path / "run").sample(2)[0].size == (config["generator"]["size"],) * 2


def test_places_of_a_checkpoint(tmp_path):
    prefix = copied("transfer32_acgan", tmp_path / "here")
    files = [prefix.with_name(f"{prefix.name}{end}") for end in ("", ".index", ".meta", ".data-00000-of-00001")]
    assert {find_checkpoint(path) for path in [*files, prefix.parent]} == {prefix}
    state = prefix.with_name("checkpoint")
    state.write_text('model_checkpoint_path: "/where/it/was/trained/wgan-gp.model"\n')
    assert find_checkpoint(prefix.parent) == prefix
    state.unlink()
    assert find_checkpoint(prefix.parent) == prefix
    for path in [*prefix.parent.iterdir()]:
        shutil.copy(path, path.with_name(path.name.replace("wgan-gp", "other")))
    with pytest.raises(UserError, match=r"there are 2 TensorFlow checkpoints in .*other.model, .*wgan-gp.model"):
        find_checkpoint(prefix.parent)
    state.write_text('model_checkpoint_path: "gone"\n')
    with pytest.raises(UserError, match=r"gone.index is missing"):
        find_checkpoint(prefix.parent)


def test_missing_files(tmp_path):
    prefix = copied("transfer32_acgan", tmp_path / "here")
    data, index = (prefix.with_name(f"{prefix.name}.{end}") for end in ("data-00000-of-00001", "index"))
    data.unlink()
    with pytest.raises(UserError, match=r"not whole: of its \.data files 0 are there"):
        import_run(prefix, tmp_path / "run")
    index.unlink()
    with pytest.raises(UserError, match=r"nor .*\.index, which a TensorFlow checkpoint would have"):
        import_run(prefix, tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there are 0 TensorFlow checkpoints"):
        import_run(tmp_path / "empty", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("end", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped"])
def test_damaged_files(end, damage, tmp_path, tensorflow):
    prefix = copied("transfer32_acgan", tmp_path / "here")
    path = prefix.with_name(f"{prefix.name}.{end}")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        for at in (100, len(content) // 2, len(content) - 100):
            content[at] ^= 0xFF
    path.write_bytes(content if damage == "flipped" else content[: len(content) // 2 * (damage == "cut")])
    with pytest.raises(UserError, match="is damaged or cut short: ") as refused:
        import_run(prefix, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_missing_and_left_over_variables_are_listed(name, write_checkpoint, tmp_path):
    weights = golden_weights(name)
    gone = "A_g_e3_conv/w" if "dual" in name else "Generator.Output/Generator.Output.Filters"
    del weights[gone]
    weights["Discriminator.Extra" if "dual" not in name else "A_d_extra/w"] = np.ones(3, np.float32)
    prefix = write_checkpoint(weights)
    with pytest.raises(UserError) as refused:
        import_run(prefix, tmp_path / "run")
    message = str(refused.value)
    assert gone.split("/")[-1 if "dual" not in name else 0] in message.rsplit("missing", 1)[1]
    assert ("Discriminator.Extra" if "dual" not in name else "A_d_extra/w") in message
    assert not (tmp_path / "run").exists()


def test_other_checkpoints_are_refused(write_checkpoint, tmp_path):
    prefix = write_checkpoint({f"layer{n}/kernel": np.ones((2, 2), np.float32) for n in range(12)})
    with pytest.raises(UserError, match=r"not one of the published .* layer0/kernel, .* and 2 more"):
        import_run(prefix, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "variable", "shape"),
    [
        ("transfer32_acgan", "Generator.2.Conv1/Generator.2.Conv1.Filters", (3, 3, 16, 9)),
        ("transfer32_acgan", "Generator.Input/Generator.Input.W", (64, 256)),
        ("transfer64_unconditional", "Generator.Input/Generator.Input.W", (128, 3)),
        ("transfer64_unconditional", "Discriminator.Input/Discriminator.Input.Filters", (7,)),
        ("dualgan_wgangp_global", "A_d_h2_conv/w", (3, 3, 4, 5)),
        ("dualgan_wgangp_global", "B_g_d2/w", (3, 3, 7)),
    ],
)
def test_wrong_shapes_are_refused(name, variable, shape, write_checkpoint, tmp_path):
    prefix = write_checkpoint(golden_weights(name) | {variable: np.ones(shape, np.float32)})
    with pytest.raises(UserError, match="shapes") as refused:
        import_run(prefix, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_variables_that_end_alike_are_refused(write_checkpoint, tmp_path):
    weights = golden_weights("transfer64_unconditional")
    weights["copy/Generator.Res1.BN1.scale"] = weights["Generator.Res1.BN1.scale"]
    with pytest.raises(UserError, match=r"unclear which .* Generator.Res1.BN1.scale, copy/Generator.Res1.BN1.scale"):
        import_run(write_checkpoint(weights), tmp_path / "run")


def test_class_names(tensorflow, tmp_path):
    acgan, plain, dual = CHECKPOINTS.values()
    for classes in (["cat", "dog"], ["same"] * 10, ["", *"abcdefghi"]):
        with pytest.raises(UserError, match="needs 10 different names"):
            import_run(acgan, tmp_path / "run", ImportOptions(classes=classes))
    for checkpoint in (plain, dual):
        with pytest.raises(UserError, match="leave --classes out"):
            import_run(checkpoint, tmp_path / "run", ImportOptions(classes=["cat"]))
    assert not (tmp_path / "run").exists()


def test_command(tensorflow, tmp_path, capsys, caplog):
    """Names with spaces around them, a folder in use, and an option that changes nothing."""
    names = "plane, car,bird,cat,deer,dog,frog,horse,ship,truck"
    arguments = ["import", str(CHECKPOINTS["transfer32_acgan"].parent), "--classes", names]
    with caplog.at_level(logging.WARNING):
        assert main([*arguments, "--out", str(tmp_path / "run"), "--keep-channel-order"]) == 0
    assert "changes nothing here" in caplog.text
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "generator width 16, norm on; critic width 12, norm off" in captured.err
    assert "plane, car, bird" in captured.err
    assert Generator.from_pretrained(tmp_path / "run").sample(1, "truck")
    assert main([*arguments[:-2], "--out", str(tmp_path / "run")]) == 2
    assert "holds a run of another configuration: classes was" in capsys.readouterr().err
    (tmp_path / "run" / "model.safetensors").unlink()
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_a_folder_in_use_is_refused(tensorflow, tmp_path):
    with held(tmp_path / "run"), pytest.raises(UserError, match="another process is training in"):
        import_run(CHECKPOINTS["transfer32_acgan"], tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock"}


def test_without_tensorflow(tmp_path):
    code = "import sys; sys.modules['tensorflow'] = None; from ganshift.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["import", str(CHECKPOINTS["transfer32_acgan"]), "--out", str(tmp_path / "run")]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "pip install 'ganshift[tensorflow]'" in line
    assert not (tmp_path / "run").exists()


def test_half_precision_is_imported(write_checkpoint, tmp_path):
    """A checkpoint may hold other floats; the run holds float32."""
    weights = {name: value.astype(np.float16) for name, value in golden_weights("dualgan_wgangp_global").items()}
    import_run(write_checkpoint(weights), tmp_path / "run")
    assert {value.dtype for value in load_file(tmp_path / "run" / "model.safetensors").values()} == {torch.float32}


def test_networks_by_name(runs):
    """They are those of the run, its measured statistics too."""
    networks = import_checkpoint(CHECKPOINTS["transfer64_unconditional"])
    model = load_file(runs / "transfer64_unconditional" / "model.safetensors")
    assert networks.keys() == {"generator", "critic"}
    assert not networks["generator"].training
    for key, value in networks["generator"].state_dict().items():
        assert_close(value, model[f"generator.{key}"], rtol=1e-5, atol=1e-6)
    networks = import_checkpoint(CHECKPOINTS["dualgan_wgangp_global"])
    assert networks.keys() == {"gen_ab", "gen_ba", "critic_a", "critic_b"}


def test_options_that_say_nothing_are_refused(tensorflow, tmp_path):
    checkpoint = CHECKPOINTS["transfer64_unconditional"]
    with pytest.raises(UserError, match="--backward does not apply to Transferring GANs checkpoints: leave it out"):
        import_run(checkpoint, tmp_path / "run", further={"backward": checkpoint})
    assert not (tmp_path / "run").exists()


def test_the_old_command_names_the_new_one(capsys):
    assert main(["import-tf", "published/model", "--out", "runs/published"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "ganshift import" in line
