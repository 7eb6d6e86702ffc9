"""Imported generators go through every command, and R3GAN's networks train on as if there had been no break."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from starlette.testclient import TestClient

from ganshift import Generator, TransferConfig, UserError
from ganshift.cli import main
from ganshift.methods.transfer.config import PRESETS
from ganshift.methods.transfer.trainer import TransferTrainer, train
from ganshift.tools.export import export
from ganshift.tools.importing import import_run
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.guard import protect
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker
from ganshift.training.run_folder import read_log

FILES = Path(__file__).parents[1] / "imported"
EACH = ("r3gan_32_conditional.pkl", "r3gan_64.pkl", "stylegan2ada_32_cifar.pkl", "lightweight_gan_32.pt")
CONDITIONAL = EACH[0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One imported run a file."""
    folder = tmp_path_factory.mktemp("imported")
    for name in EACH:
        import_run(FILES / name, folder / Path(name).stem)
    return folder


@pytest.fixture(params=[Path(name).stem for name in EACH])
def run(request, runs):
    return runs / request.param


def test_generate(run, tmp_path):
    command = ["generate", str(run), "-n", "4", "--truncation", "0.7", "--seed", "3", "-o", str(tmp_path / "sheet.png")]
    assert main(command) == 0
    pictures = Generator.from_pretrained(run, device="cpu").sample(4, seed=3, truncation=0.7)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert any(np.array_equal(sheet[2 : 2 + each.height, 2 : 2 + each.width], np.asarray(each)) for each in pictures)


def test_onnx_gives_the_same(run, tmp_path):
    """For batches of 1, 3 and 8; what differed more would not be written."""
    _, parities = export(run, tmp_path / "onnx")
    assert parities["generator"]["max_abs_error"] < 1e-4
    assert [case["shapes"][0][0] for case in parities["generator"]["cases"]] == [1, 3, 8]


def test_serve(run):
    limits = Limits()
    worker = Worker(limits)
    client = TestClient(protect(create_api(open_runs([run], "cpu"), limits, worker), limits), "http://localhost")
    drawn = client.post("/api/generate", json={"count": 1, "seed": 3, "truncation": 0.7})
    worker.close()
    model = Generator.from_pretrained(run, device="cpu")
    drawn = np.asarray(Image.open(BytesIO(drawn.content)))[2:-2, 2:-2]  # a sheet has margins
    assert np.array_equal(drawn, model.sample(1, seed=3, truncation=0.7)[0])


@pytest.mark.ring_two
def test_the_page_draws_what_generate_draws(run, chromium, tmp_path):
    page = chromium.new_context(offline=True).new_page()
    page.goto(export(run, tmp_path / "page", format="html")[0][0].as_uri())
    page.get_by_text("The same as ganshift generate with -n 4 --seed 0").wait_for()
    height, width, values = page.locator("#result").evaluate(
        "canvas => [canvas.height, canvas.width, Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width,"
        " canvas.height).data)]"
    )
    drawn = np.array(values, np.int64).reshape(height, width, 4)[..., :3]
    first = np.asarray(Generator.from_pretrained(run, device="cpu").sample(1)[0], np.int64)
    assert np.abs(drawn[: first.shape[0], : first.shape[1]] - first).max() <= 1


def test_saving_and_opening_again(run, tmp_path):
    model = Generator.from_pretrained(run, device="cpu")
    model.save_pretrained(tmp_path / "saved")
    again = Generator.from_pretrained(tmp_path / "saved", device="cpu")
    assert again.sample(2) == model.sample(2)
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "wgan-gp" not in card
    assert ("--source" in card) == (tmp_path / "saved" / "critic.safetensors").exists() == ("r3gan" in run.name)


# Training on.


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twenty coloured pictures in each of ten folders, called as the source's classes are."""
    folder = tmp_path_factory.mktemp("data")
    write_classes(folder, map(str, range(10)), 20)
    return folder


def write_classes(folder, names, count):
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir()
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / name / f"{number}.png")


def settings(source, data, out, **more):
    """100 images in two iterations."""
    given = {**PRESETS["tiny"], "data": data, "out": out, "source": str(source), "images": 100, "batch": 10}
    return TransferConfig(**{**given, "critic_steps": 5, "checkpoint_every": 50, "sample_every": 50, **more})


def assert_equal_runs(one, other):
    for name in ("model.safetensors", "critic.safetensors"):
        ours, theirs = load_file(one / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    logs = [[{**line, "seconds": 0} for line in read_log(folder / "log.jsonl")] for folder in (one, other)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("name", ["r3gan_32_conditional", "r3gan_64"])
def test_r3gan_trains_on_and_resumes_exactly(name, runs, data, tmp_path):
    straight, broken = (settings(runs / name, data, tmp_path / each) for each in ("straight", "broken"))
    train(straight)
    train(replace(broken, images=50))
    train(broken)
    assert_equal_runs(straight.out, broken.out)
    before, after = load_file(runs / name / "model.safetensors"), load_file(straight.out / "model.safetensors")
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[key], after[key]) for key in before)
    assert len(Generator.from_pretrained(straight.out, device="cpu").sample(2)) == 2
    # Without a second source: the run is one itself.
    train(settings(straight.out, data, tmp_path / "on", images=50))


def test_rows_of_classes_go_by_name(runs, tmp_path):
    """Of digits 5 to 9 and the letter x, the first five have the source's rows, and the last the mean."""
    write_classes(tmp_path, "56789x", 3)
    source = runs / "r3gan_32_conditional"
    found = TransferTrainer.from_config(settings(source, tmp_path, tmp_path / "run"))
    critic = load_file(source / "critic.safetensors")["embedding.weight"]
    generator = load_file(source / "model.safetensors")["generator.embedding.weight"]
    for rows, theirs in ((found.algorithm.critic.embedding, critic), (found.algorithm.generator.embedding, generator)):
        assert torch.equal(rows.weight[:5], theirs[5:])
        torch.testing.assert_close(rows.weight[5], theirs.mean(dim=0))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data": Path("bundled:faces")}, "has classes: put the images of bundled:faces|channels"),
        ({"conditioning": "acgan"}, "--conditioning does not apply to the networks of"),
        ({"generator_width": 8}, "--generator-width does not apply to the networks of"),
        ({"size": 64}, "has size 32, but this run .by option or preset. 64"),
        ({"architecture": "resnet"}, "has architecture r3gan, but"),
        ({"source": None, "architecture": "r3gan"}, "r3gan networks need a source: give --source"),
    ],
)
def test_settings_that_the_networks_do_not_have(more, message, runs, data, tmp_path):
    found = settings(runs / "r3gan_32_conditional", data, tmp_path / "run")
    with pytest.raises(UserError, match=message):
        TransferTrainer.from_config(replace(found, **more))


def test_the_step_moves_what_it_should(runs, data, tmp_path):
    source = runs / "r3gan_32_conditional"
    found = TransferTrainer.from_config(settings(source, data, tmp_path / "run", freeze_critic=2))
    frozen = found.algorithm.critic.blocks_from_image()[:2]
    assert not any(parameter.requires_grad for block in frozen for parameter in block.parameters())
    batches = found.batches(0)
    for _ in range(2):
        terms = found.iteration(next(batches))
    assert {"critic/distance", "critic/penalty", "generator/adversarial"} == set(terms)
