"""Exported files, run as another program would run them, against the PyTorch model."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from ganshift import Generator, Translator, UserError
from ganshift.cli import main
from ganshift.inference.latents import draw_latents
from ganshift.methods.transfer.source import open_source
from ganshift.tools.export import export
from ganshift.tools.export.formats import OPSET, run_onnx
from ganshift.tools.export.graphs import graph_of_translator
from ganshift.tools.export.parity import check_parity


@pytest.fixture(scope="module")
def onnx_translator(translator, tmp_path_factory):
    """The folder of an exported translator of floats."""
    return export(translator.folder, tmp_path_factory.mktemp("out"))[0][0].parent


def as_json(path):
    return json.loads(path.read_text())


def run(path, **inputs):
    return onnxruntime.InferenceSession(path).run(None, {name: value.numpy() for name, value in inputs.items()})[0]


@pytest.mark.parametrize(("to", "name"), [("b", "a2b"), ("a", "b2a")])
@pytest.mark.parametrize(("count", "height", "width"), [(5, 8, 8), (2, 40, 16), (1, 16, 64)])
def test_translator_at_batches_and_sizes_that_were_not_checked(
    to, name, count, height, width, onnx_translator, translator
):
    """Sides of one step bring the deepest map to one pixel."""
    images = 2 * torch.rand(count, 3 if to == "b" else 1, height, width) - 1
    translated = run(onnx_translator / f"{name}.onnx", images=images)
    assert_close(torch.from_numpy(translated), translator.model.translate(images, to), rtol=0, atol=1e-5)


def test_a_translator_of_one_size(translator, tmp_path):
    """Some readers, such as OpenCV 4, know no sides that vary; any number of images still goes through."""
    (path, *_), _ = export(translator.folder, tmp_path / "out", size=(16, 24))
    shapes = [
        [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
        for value in (onnx.load(path).graph.input[0], onnx.load(path).graph.output[0])
    ]
    assert shapes == [["n", 3, 16, 24], ["n", 1, 16, 24]]
    images = 2 * torch.rand(2, 3, 16, 24) - 1
    expected = translator.model.translate(images, "b")
    assert_close(torch.from_numpy(run(path, images=images)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("run", "size", "said"),
    [
        ("translator", 12, "size must be multiples of 8 up to 8192, got 12 x 12"),
        ("translator", (8, 0), "size must be multiples of 8 up to 8192, got 8 x 0"),
        ("generator", 32, "--size is for translators: this generator draws 32 x 32 pixels"),
    ],
)
def test_sizes_that_cannot_be(run, size, said, tmp_path, request):
    with pytest.raises(UserError, match=said):
        export(request.getfixturevalue(run).folder, tmp_path / "out", size=size)


def test_what_an_onnx_file_says(onnx_translator):
    assert {path.name for path in onnx_translator.iterdir()} == {"a2b.onnx", "b2a.onnx", "parity.json"}
    content = (onnx_translator / "b2a.onnx").read_bytes()
    model = onnx.load_model_from_string(content)
    assert {entry.key: entry.value for entry in model.metadata_props}.items() >= {
        "method": "dual",
        "direction": "b to a",
        "step": "8",
        "size": "[8, 16]",
        "channels_in": "1",
        "channels_out": "3",
        "images": "float32, n c h w, from -1 to 1",
        "data": '{"images": 9, "content": "ab12"}',
    }.items()
    assert [(tensor.name, len(tensor.type.tensor_type.shape.dim)) for tensor in model.graph.input] == [("images", 4)]
    assert [tensor.name for tensor in model.graph.output] == ["translated"]
    assert model.opset_import[0].version == OPSET
    assert b".py" not in content  # where our code lies on this machine


def test_parity_is_stored(onnx_translator):
    record = as_json(onnx_translator / "parity.json")
    assert (record["format"], record["opset"]) == ("onnx", 18)
    assert set(record["files"]) == {"a2b.onnx", "b2a.onnx"}
    assert set(record["models"]) == {"a2b", "b2a"}
    assert {"onnxruntime", "torch", "ganshift"} <= set(record["versions"])
    for parity in record["models"].values():
        assert 0 < parity["max_abs_error"] < parity["tolerance"]
        shapes = [case["shapes"][0] for case in parity["cases"]]
        assert {shape[0] for shape in shapes} == {1, 3, 8}
        assert {tuple(shape[2:]) for shape in shapes} == {(8, 16), (16, 16), (8, 24)}


def test_a_damaged_model_fails(onnx_translator, translator):
    model = onnx.load(onnx_translator / "a2b.onnx")
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name.endswith("up.2.conv.bias"))
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) + np.float32(0.01)).tobytes()
    graph = graph_of_translator(translator.model, uint8=False, to="b")
    whole = (onnx_translator / "a2b.onnx").read_bytes()
    assert check_parity("a2b.onnx", run_onnx(whole), graph.reference, graph.cases)["max_abs_error"] < 1e-5
    with pytest.raises(UserError, match=r"a2b.onnx is not written: its values differ by 0\.0"):
        check_parity("a2b.onnx", run_onnx(model.SerializeToString()), graph.reference, graph.cases)
    with pytest.raises(UserError, match=r"gives torch.float32 \[1, 3, 8, 16\] where"):
        check_parity("a2b.onnx", lambda images: images, graph.reference, graph.cases)
    with pytest.raises(UserError, match="differ by nan"):
        check_parity("a2b.onnx", lambda *images: graph.reference(*images) + torch.nan, graph.reference, graph.cases)


def test_a_generator_of_uint8_draws_what_generate_draws(generator, tmp_path):
    (path, _), parities = export(generator.folder, tmp_path, uint8=True)
    labels = torch.tensor([2, 0, 1, 2])
    drawn = run(path, latents=draw_latents(4, seed=7), labels=labels)
    assert drawn.dtype == np.uint8
    for index, label in enumerate(labels):
        picture = np.asarray(generator.model.sample(4, int(label), seed=7)[index])
        assert np.abs(drawn[index].astype(int) - picture).max() <= 1
    assert parities["generator"]["max_abs_error"] <= 1


@pytest.mark.parametrize("half", [False, True])
def test_safetensors_are_what_from_pretrained_loads(generator, translator, half, tmp_path):
    for original, kind in ((generator, Generator), (translator, Translator)):
        out = tmp_path / kind.__name__
        export(original.folder, out, format="safetensors", half=half)
        assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "parity.json"}
        assert as_json(out / "config.json") == as_json(original.folder / "config.json")
        weights = original.model.state_dict()
        again = kind.from_pretrained(out).state_dict()
        if half:
            weights = {name: value.half().float() for name, value in weights.items()}
            assert (out / "model.safetensors").stat().st_size < (original.folder / "model.safetensors").stat().st_size
        assert_close(again, weights, rtol=0, atol=0)


@pytest.mark.parametrize("half", [False, True])
def test_safetensors_of_a_source_are_a_source(half, tmp_path):
    source = open_source("digits32")
    export("digits32", tmp_path / "out", format="safetensors", half=half)
    again = open_source(str(tmp_path / "out"))
    assert again.critic_arguments == source.critic_arguments
    for found, weights in ((again.generator, source.generator), (again.critic, source.critic)):
        assert_close(
            found, {name: value.half().float() if half else value for name, value in weights.items()}, rtol=0, atol=0
        )


def test_a_model_that_half_precision_ruins_is_not_written(generator, tmp_path, capsys):
    """Its first weights are so small that half precision loses them, and a norm makes up for that."""
    weights = load_file(generator.folder / "model.safetensors")
    for name in ("start.weight", "start.bias", "blocks.0.norm1.running_mean", "blocks.0.norm1.running_var"):
        weights[f"generator.{name}"] *= 1e-7
    weights["generator.blocks.0.norm1.gain"] *= 1e4
    run = tmp_path / "run"
    run.mkdir()
    save_file(weights, run / "model.safetensors")
    (run / "config.json").write_bytes((generator.folder / "config.json").read_bytes())
    line = refused(capsys, run, "--format", "safetensors", "--half", "-o", tmp_path / "out")
    assert "model.safetensors is not written: its values differ by" in line
    assert not (tmp_path / "out").exists()
    assert main(["export", str(run), "--format", "safetensors", "-o", str(tmp_path / "out")]) == 0


def refused(capsys, *arguments):
    assert main(["export", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uint8": True, "format": "safetensors"}, "--uint8 goes with --format onnx, not"),
        ({"size": 64, "format": "html"}, "--size goes with --format onnx, not with html"),
        ({"half": True}, "--half goes with --format safetensors, not with onnx"),
        ({"onnxruntime_web": Path("x.tgz")}, "--onnxruntime-web goes with --format html, not with onnx"),
    ],
)
def test_options_that_do_not_go_together(options, said, tmp_path):
    with pytest.raises(UserError) as error:
        export("digits32", tmp_path / "out", **options)
    assert said in str(error.value)


def test_bundled_models_are_exported_elsewhere(tmp_path, capsys):
    assert "which is not a folder of yours: give --out" in refused(capsys, "digits32")
    (path, _), _ = export("digits32", tmp_path / "digits")
    assert path.name == "generator.onnx"


def test_hostile_folders(generator, tmp_path, capsys, monkeypatch):
    assert "there is no run folder" in refused(capsys, tmp_path / "nothing")
    assert "is not a run folder" in refused(capsys, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"method": "sculpture"}')
    assert "is of method 'sculpture', which ganshift does not have" in refused(capsys, other)
    assert f"{other} exists already" in refused(capsys, generator.folder, "-o", other)
    file = other / "config.json"
    assert f"{file} exists already" in refused(capsys, generator.folder, "-o", file)
    safetensors = ("--format", "safetensors")
    assert f"cannot write {file}" in refused(capsys, generator.folder, *safetensors, "-o", file / "out")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'ganshift[export]'" in refused(capsys, generator.folder, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_and_its_folder(generator, capsys):
    assert main(["export", str(generator.folder), "--format", "safetensors", "--half"]) == 0
    out = generator.folder / "export" / "safetensors"
    said = "".join(capsys.readouterr())
    assert "from the PyTorch model" in said
    assert f"wrote {out / 'model.safetensors'}" in said
    assert as_json(out / "parity.json")["models"]["generator"]["tolerance"] == 0.03
