"""The loop without any GAN: budgets, cadences, signals, what a run folder holds."""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import torch

from ganshift.errors import UserError
from ganshift.training import background, checkpoint, run_folder
from ganshift.training.config import RunConfig
from ganshift.training.loop import fit
from ganshift.training.optim import NonFiniteLoss
from ganshift.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Four numbers to remember and no network."""

    log_every: int = 8
    sample_every: int = 16
    checkpoint_every: int = 8
    ema_images: int = 0

    @property
    def images_per_iteration(self):
        return 4


class Walk:
    """A random walk: its place follows from every draw of the run so far."""

    def __init__(self):
        self.place = torch.zeros(2)

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


class WalkTrainer(Trainer):
    """A trainer without networks."""

    def __init__(self, config, fail_at=None):
        super().__init__(config, torch.device("cpu"), images_per_epoch=10)
        self.walk, self.positions, self.fail_at = Walk(), [], fail_at
        self.description = {"method": "walk", "training": config.to_json()}

    @classmethod
    def from_config(cls, config):
        return cls(config)

    @property
    def place(self):
        return self.walk.place

    def batches(self, position):
        while True:
            yield position
            position += self.images_per_iteration

    def run_iteration(self, batch):
        assert batch == self.seen
        self.positions.append(batch)
        if self.seen == self.fail_at:
            raise NonFiniteLoss("distance is nan")
        self.walk.place = self.walk.place + torch.randn(2)
        return {"place": self.walk.place[0]}

    def parts(self):
        return {"walk": self.walk}

    def sample_grids(self):
        return {"place": np.full((2, 2, 3), 7, dtype=np.uint8)}

    def save_model(self, folder):
        (folder / "model.safetensors").write_text(str(self.walk.place))

    def evaluate(self):
        raise AssertionError("nobody asked for an evaluation")


def run(out, images, **settings):
    trainer = WalkTrainer(Config(out=out, images=images, **settings))
    return trainer, fit(trainer)


def test_budget_in_images_iterations_and_epochs(tmp_path):
    for number, (budget, expected) in enumerate(
        [({"images": 17}, 20), ({"iterations": 3}, 12), ({"epochs": 1.5}, 16), ({"images": 1}, 4)]
    ):
        trainer = WalkTrainer(Config(out=tmp_path / str(number), **budget))
        assert fit(trainer).images == expected
        assert trainer.positions == list(range(0, expected, 4))


@pytest.mark.parametrize(
    "budget", [{}, {"images": 1, "epochs": 1.0}, {"images": 0}, {"epochs": -1.0}, {"epochs": inf}, {"epochs": nan}]
)
def test_budget_must_be_one_and_positive(tmp_path, budget):
    with pytest.raises(UserError):
        Config(out=tmp_path, **budget)


def test_longer_budget_trains_on_like_one_run(tmp_path):
    """A run's randomness follows from the seed and the images seen, not from where it was started."""
    straight, _ = run(tmp_path / "straight", 40)
    first, _ = run(tmp_path / "resumed", 16)
    second, outcome = run(tmp_path / "resumed", 40)
    assert torch.equal(straight.place, second.place)
    assert first.positions + second.positions == straight.positions
    assert outcome.images == 40
    assert run(tmp_path / "other", 40, seed=1)[0].place.tolist() != straight.place.tolist()


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """As on accelerators: what is written is the state of its iteration, and the end waits for the last."""
    straight, _ = run(tmp_path / "straight", 16, keep_checkpoints=9)
    went_on, save = threading.Event(), checkpoint.save
    monkeypatch.setattr(background, "writes_in_thread", lambda device: True)
    monkeypatch.setattr(checkpoint, "save", lambda *content: went_on.wait(60) and save(*content))

    class Onward(WalkTrainer):
        def run_iteration(self, batch):
            terms = super().run_iteration(batch)
            if batch == 8:  # the checkpoint of 8 images is being written
                assert not list(tmp_path.glob("run/checkpoints/*"))
                self.walk.place.mul_(2).div_(2)  # in its place, as optimisers move weights
                went_on.set()
            return terms

    trainer = Onward(Config(out=tmp_path / "run", images=16, keep_checkpoints=9))
    fit(trainer)
    assert torch.equal(straight.place, trainer.place)
    for name in ("000000000008.pt", "000000000016.pt"):
        found = [torch.load(tmp_path / each / "checkpoints" / name)["state"] for each in ("run", "straight")]
        assert torch.equal(*(state["walk"]["place"] for state in found))


def test_the_global_random_generator_is_left_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    run(tmp_path / "run", 16)
    assert torch.equal(torch.randn(4), expected)


def test_cadences_and_files(tmp_path):
    out = tmp_path / "run"
    run(out, 36, keep_checkpoints=2)
    lines = run_folder.read_log(out / "log.jsonl")
    assert [line["images"] for line in lines] == [8, 16, 24, 32, 36]
    assert [line["iteration"] for line in lines] == [2, 4, 6, 8, 9]
    assert sorted(path.name for path in (out / "samples").iterdir()) == [
        f"place-{images:012d}.png" for images in (0, 16, 32, 36)
    ]
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["000000000032.pt", "000000000036.pt"]
    assert not list(out.rglob("*.part"))


def test_log_holds_means_since_the_line_before(tmp_path):
    places = []

    class Watched(WalkTrainer):
        def run_iteration(self, batch):
            terms = super().run_iteration(batch)
            places.append(terms["place"].item())
            return terms

    fit(Watched(Config(out=tmp_path / "run", images=8)))
    (line,) = run_folder.read_log(tmp_path / "run" / "log.jsonl")
    assert line["terms"]["place"] == pytest.approx(sum(places) / 2)


def test_non_finite_loss_stops_with_advice_and_keeps_the_checkpoint(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"stopped at 20 images: distance is nan.*checkpoint before it is kept"):
        fit(WalkTrainer(Config(out=out, images=40), fail_at=20))
    assert checkpoint.load_latest(out / "checkpoints")["images"] == 16


def test_iterations_by_hand_are_those_of_the_loop(tmp_path):
    """As in a notebook: a trainer seeds its own iterations."""
    by_loop, _ = run(tmp_path / "run", 12)
    by_hand = WalkTrainer(Config(out=tmp_path / "other", images=12))
    batches = by_hand.batches(by_hand.seen)
    for _ in range(3):
        by_hand.iteration(next(batches))
    assert torch.equal(by_hand.place, by_loop.place)
    assert by_hand.seen == 12
    assert not (tmp_path / "other").exists()


def test_log_is_rewound_to_the_checkpoint(tmp_path):
    """What was logged after the last checkpoint happens again, and must not be there twice."""
    out = tmp_path / "run"
    run(out, 16)
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps({"images": 24, "terms": {"place": 99.0}}) + "\n" + '{"images": 32, "te')
    run(out, 32)
    lines = run_folder.read_log(out / "log.jsonl")
    assert [line["images"] for line in lines] == [8, 16, 24, 32]
    assert 99.0 not in [line["terms"]["place"] for line in lines]


def test_finished_run_without_its_model_gets_it_back(tmp_path):
    """As after a kill between the two writes of a save."""
    out = tmp_path / "run"
    run(out, 8)
    model = (out / "model.safetensors").read_text()
    (out / "model.safetensors").unlink()
    run(out, 8)
    assert (out / "model.safetensors").read_text() == model


def test_changed_budget_is_told_where_a_schedule_follows_it(tmp_path, caplog):
    for images, expected in ((8, 0), (16, 1), (16, 1)):
        trainer = WalkTrainer(Config(out=tmp_path / "run", images=images))
        trainer.follows_budget = True
        fit(trainer)
        assert caplog.text.count("the budget was 8 images and is now 16") == expected
    run(tmp_path / "other", 8)
    caplog.clear()
    run(tmp_path / "other", 16)
    assert caplog.text == ""


def test_left_out_files_are_listed(tmp_path):
    trainer = WalkTrainer(Config(out=tmp_path / "run", images=8))
    trainer.documents = {"left-out.txt": run_folder.left_out_text([("a\nb.png", "empty file")]), "none.txt": ""}
    fit(trainer)
    assert (tmp_path / "run" / "left-out.txt").read_text() == "'a\\nb.png': empty file\n"
    assert not (tmp_path / "run" / "none.txt").exists()


@pytest.mark.ring_two
def test_full_disk_is_an_error_that_keeps_what_was_saved(tmp_path):
    """A limit on the size of files stands for the full disk."""
    code = f"""
import resource, signal, sys
from ganshift.cli import main
arguments = ["transfer", "--preset", "tiny", "--data", "bundled:faces", "--out", {str(tmp_path / "run")!r}]
assert main([*arguments, "--images", "32"]) == 0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(main([*arguments, "--images", "64"]))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    assert "cannot write to" in result.stderr.splitlines()[-1]
    assert checkpoint.load_latest(tmp_path / "run" / "checkpoints")["images"] == 32
    assert not list((tmp_path / "run").rglob("*.part"))


@pytest.mark.parametrize("content", ["", "{", "[]", "nonsense"])
def test_damaged_config_is_an_error(tmp_path, content):
    out = tmp_path / "run"
    run(out, 8)
    (out / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        run(out, 8)


def test_out_must_be_a_run_or_new(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        run(tmp_path / "file", 8)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(UserError, match="not empty and holds no run"):
        run(tmp_path / "photos", 8)
    (tmp_path / "empty").mkdir()
    run(tmp_path / "empty", 8)


def test_cadences_may_change_between_sittings(tmp_path):
    out = tmp_path / "run"
    run(out, 16)
    _, outcome = run(out, 32, log_every=4, sample_every=100, checkpoint_every=32, keep_checkpoints=1, device="cpu")
    assert outcome.images == 32
    with pytest.raises(UserError, match=r"seed was 0, is 1"):
        run(out, 32, seed=1)


def test_what_a_description_says_twice_differs_once(tmp_path):
    run_folder.claim(tmp_path / "run", {"size": 32, "training": {"size": 32}})
    with pytest.raises(UserError, match=r"configuration: size was 32, is 64\. Give"):
        run_folder.claim(tmp_path / "run", {"size": 64, "training": {"size": 64}})


def test_unwritable_out_is_an_error():
    with pytest.raises(UserError, match="cannot write"):
        run(Path("/proc/ganshift"), 8)
