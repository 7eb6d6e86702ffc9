"""The loop with evaluations and without any GAN: cadence, the best, stopping, going back."""

import json
from typing import ClassVar

import pytest
import torch
from training.test_loop import Config, WalkTrainer

from ganshift.errors import UserError
from ganshift.training import run_folder
from ganshift.training.loop import fit
from ganshift.training.monitor.best import Evaluation
from ganshift.training.monitor.health import Finding
from ganshift.training.optim import NonFiniteLoss


class WatchedTrainer(WalkTrainer):
    """A walk whose score is a function of the images seen, and whose health is one of those and of the learning rate's
    factor."""

    advice: ClassVar = {"gap": "Try less."}

    def __init__(self, config, values, findings, fail):
        super().__init__(config)
        self.values, self.findings, self.fail = values, findings, fail

    def run_iteration(self, batch):
        if self.fail and self.fail(self.seen + 4, self.learning_rate_factor):
            raise NonFiniteLoss("distance is nan")
        return super().run_iteration(batch)

    def evaluate(self):
        torch.randn(7)  # drawn from the generator that training uses
        value = self.values(self.seen)
        return Evaluation(
            name="score",
            value=value,
            error=0.01,
            protocol="",
            records=[{"metric": "score", "value": value}],
            findings=self.findings(self.seen, self.learning_rate_factor),
        )


def run(out, images, values=lambda images: 1.0 / images, findings=lambda images, factor: [], fail=None, **settings):
    trainer = WatchedTrainer(Config(out=out, images=images, **{"evaluate_every": 8} | settings), values, findings, fail)
    return trainer, fit(trainer)


def evaluated(out):
    return [line["images"] for line in run_folder.read_log(out / "evaluations.jsonl")]


def test_evaluating_changes_nothing_that_is_learned(tmp_path):
    watched, _ = run(tmp_path / "watched", 40)
    alone, _ = run(tmp_path / "alone", 40, evaluate_every=0)
    assert torch.equal(watched.place, alone.place)
    assert evaluated(tmp_path / "watched") == [8, 16, 24, 32, 40]
    assert not (tmp_path / "alone" / "best").exists()
    assert not (tmp_path / "alone" / "health.json").exists()


def test_the_best_is_kept_with_its_checkpoint_and_can_be_taken_up(tmp_path, capsys):
    out = tmp_path / "run"
    run(out, 80, values=lambda images: abs(images - 24) / 10)
    best = out / "best"
    assert f"the best of the run was score 0.00 ± 0.01 at 24 images: it is in {best}" in capsys.readouterr().err
    assert json.loads((best / "evaluation.json").read_text())["images"] == 24
    assert [path.name for path in (best / "checkpoints").iterdir()] == ["000000000024.pt"]
    straight, _ = run(tmp_path / "straight", 40)
    taken_up, _ = run(best, 40)
    assert torch.equal(taken_up.place, straight.place)
    assert taken_up.positions == [24, 28, 32, 36]


def test_advice_is_one_line_and_training_goes_on(tmp_path, capsys):
    out = tmp_path / "run"
    _, outcome = run(out, 80, values=lambda images: 1.0 if images == 16 else 2.0)
    assert outcome.images == 80
    said = capsys.readouterr().err
    assert "advice at 56 images: score was 1.00 ± 0.01 at 16 images; the 5 evaluations since were 2.00 to 2.00" in said
    assert said.count("advice at ") == 1
    assert json.loads((out / "health.json").read_text())["messages"][0]["kind"] == "stalled"


def test_stopping_says_how_to_go_on_and_does_not_wear_off(tmp_path, capsys):
    out, values = tmp_path / "run", lambda images: 1.0 if images == 16 else 2.0
    for _ in range(2):
        _, outcome = run(out, 80, values=values, when_stalled="stop")
        assert outcome.images == 56
        assert outcome.stopped_by is None
        said = capsys.readouterr().err
        assert "stopped at 56 images: score was" in said
        assert "The same command with --when-stalled advise trains on" in said
    resumed, _ = run(out, 80, values=values)
    straight, _ = run(tmp_path / "straight", 80, values=values)
    assert torch.equal(resumed.place, straight.place)


def sick(images, factor):
    """From 44 images on, unless steps are smaller."""
    return [Finding("gap", "the gap is large")] if images >= 44 and factor > 0.3 else []


def test_collapse_is_told_once_and_training_goes_on(tmp_path, capsys):
    run(tmp_path / "run", 80, findings=sick)
    said = capsys.readouterr().err
    assert said.count("signs of collapse at 48 images: the gap is large. Try less.") == 1


def test_collapse_stops(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"stopped on signs of collapse at 48 images: the gap is large\. Try less"):
        run(out, 80, findings=sick, on_collapse="stop")
    _, outcome = run(out, 80, findings=sick)
    assert outcome.images == 80


def test_rollback_returns_to_the_last_healthy_checkpoint_with_smaller_steps(tmp_path, capsys):
    out = tmp_path / "run"
    walk, outcome = run(out, 80, findings=sick, on_collapse="rollback", checkpoint_every=12, keep_checkpoints=1)
    assert outcome.images == 80
    assert capsys.readouterr().err.count("Going back to 36 images") == 2  # at 48, and, with half the steps, again
    assert walk.positions == [*range(0, 48, 4), *range(36, 48, 4), *range(36, 80, 4)]
    assert evaluated(out) == [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]
    health = json.loads((out / "health.json").read_text())
    assert health["rollbacks"] == 2
    assert [(line["images"], line["kind"]) for line in health["messages"]] == [(48, "gap"), (48, "rollback")] * 2
    again, _ = run(tmp_path / "healthy", 80)
    assert not torch.equal(again.place, walk.place)  # other draws, as well as smaller steps


def test_rolling_back_resumes_exactly(tmp_path):
    straight, _ = run(tmp_path / "straight", 80, findings=sick, on_collapse="rollback", checkpoint_every=12)
    for images in (44, 56):
        out = tmp_path / str(images)
        run(out, images, findings=sick, on_collapse="rollback", checkpoint_every=12)
        resumed, _ = run(out, 80, findings=sick, on_collapse="rollback", checkpoint_every=12)
        assert torch.equal(resumed.place, straight.place)


def test_rolling_back_ends(tmp_path):
    always = lambda images, factor: sick(images, 1.0)  # noqa: E731 - it only fixes an argument
    with pytest.raises(UserError, match="Going back 3 times did not help"):
        run(tmp_path / "run", 80, findings=always, on_collapse="rollback")


def test_a_loss_that_is_not_finite_is_a_collapse_too(tmp_path, capsys):
    out = tmp_path / "run"
    _, outcome = run(out, 40, fail=lambda images, factor: images == 20 and factor == 1, on_collapse="rollback")
    assert outcome.images == 40
    assert "at 16 images: distance is nan. Going back to 16 images" in capsys.readouterr().err


def test_a_collapse_before_the_first_checkpoint_returns_to_the_start(tmp_path):
    walk, _ = run(tmp_path / "run", 40, fail=lambda images, factor: images == 8 and factor == 1, on_collapse="rollback")
    assert walk.positions[:3] == [0, 0, 4]


def test_what_going_back_does_not_help_is_only_told(tmp_path, capsys):
    def same(images, factor):
        return [Finding("unchanged", "nothing changes", going_back_helps=False)]

    _, outcome = run(tmp_path / "run", 40, findings=same, on_collapse="rollback")
    assert outcome.images == 40
    assert capsys.readouterr().err.count("nothing changes") == 1
