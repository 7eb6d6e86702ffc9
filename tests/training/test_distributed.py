"""Two processes train one run: what comes out is what one process makes, to rounding; and none waits for a dead one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from processes import WAIT, exit_codes, run, run_together, start_together
from training.test_loop import Config, WalkTrainer

from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.training import distributed, loop

COMMANDS = {  # no norms, which make rounding of the biases before them, and batches that do not halve evenly
    "transfer": [
        *("transfer", "--preset", "tiny", "--data", "bundled:digits", "--generator-norm", "False", "--batch", "5"),
        "--no-linear-decay",
    ],
    "dual": ["dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--batch", "3", "--critic-steps", "2"],
}
ITERATION = {"transfer": 10, "dual": 6}


def arguments(method, out, iterations):
    every = str(ITERATION[method])
    return [*COMMANDS[method], "--out", str(out), "--images", str(iterations * int(every)), "--checkpoint-every", every]


def last_state(out):
    return torch.load(max((out / "checkpoints").iterdir()), weights_only=True)


def assert_same_training(out, expected):
    """Weights to 1e-5, the terms in the log, and the optimisers' slots, whose squares round more."""
    ours, theirs = last_state(out), last_state(expected)
    assert ours["images"] == theirs["images"]
    for name, part in theirs["state"].items():
        if "optimizer" in name:
            torch.testing.assert_close(ours["state"][name]["state"], part["state"], rtol=1e-2, atol=1e-3)
        else:
            torch.testing.assert_close(ours["state"][name], part, rtol=0, atol=1e-5)
    logs = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (out, expected)
    ]
    for line, other in zip(*logs, strict=True):
        assert (line["images"], line["iteration"]) == (other["images"], other["iteration"])
        torch.testing.assert_close(line["terms"], other["terms"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", sorted(COMMANDS))
def test_two_processes_equal_one_and_resume_each_other(method, tmp_path):
    """Penalty included; the run is begun by two, resumed by one, and ended by two."""
    one, several = tmp_path / "one", tmp_path / "several"
    run(arguments(method, one, 6), tmp_path / "said-one")
    codes, said = run_together(arguments(method, several, 2), tmp_path / "said")
    assert codes == [0, 0], said
    assert said.count("images to show, 0 done") == 1  # one process speaks
    run(arguments(method, several, 4), tmp_path / "said-four")
    codes, said = run_together(arguments(method, several, 6), tmp_path / "more")
    assert codes == [0, 0], said
    assert said.count("resuming") == 1
    assert_same_training(several, one)
    assert {path.name for path in several.iterdir()} == {path.name for path in one.iterdir()}


@pytest.mark.ring_two
@pytest.mark.parametrize("method", ["dual", "transfer"])
def test_evaluations_are_shared(method, tmp_path, monkeypatch):
    """Each of two processes generates or translates its half of the batches; scores are those of one process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    more = ["--evaluate-every", "1", "--evaluate-images", "150"]
    lines = {}
    for number in (1, 2):
        out = tmp_path / str(number)
        codes, said = run_together([*arguments(method, out, 1), *more], tmp_path / f"said{number}", number)
        assert codes == [0] * number, said
        assert said.count("the best so far") == 1
        (lines[number],) = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
        assert (out / "best" / "model.safetensors").is_file()
    records = [{record["metric"]: record["value"] for record in lines[number]["cards"]} for number in (1, 2)]
    torch.testing.assert_close(records[1], records[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(lines[2]["signs"], lines[1]["signs"], rtol=1e-3, atol=1e-3)


@pytest.mark.ring_two
@pytest.mark.parametrize(
    "more",
    [["transfer", "--augment", "color,translation,cutout"], ["dual", "--dropout", "0.5"]],
    ids=lambda more: more[0],
)
def test_what_steps_draw_differs_by_process_and_is_drawn_again(more, tmp_path):
    """Augmentation and dropout: a run of two processes that is interrupted equals one that is not, to the last bit."""
    method, *settings = more
    for name, stops in (("straight", [4]), ("interrupted", [2, 4])):
        for iterations in stops:
            codes, said = run_together(
                [*arguments(method, tmp_path / name, iterations), *settings], tmp_path / f"said{name}"
            )
            assert codes == [0, 0], said
    straight, interrupted = (last_state(tmp_path / name)["state"] for name in ("straight", "interrupted"))
    torch.testing.assert_close(interrupted, straight, rtol=0, atol=0)
    one = tmp_path / "one"
    run([*arguments(method, one, 4), *settings], tmp_path / "said-one")
    with pytest.raises(AssertionError):  # one process draws, or normalises, otherwise
        assert_same_training(tmp_path / "straight", one)


BATCH_NORM = """
import os
import torch
import torch.distributed as dist
from torch import nn
from ganshift.nn.norm import BatchNorm, synchronise

torch.manual_seed(0)
images, targets = torch.randn(2, 7, 3, 4, 4, dtype=torch.float64)
labels = torch.tensor([0, 1, 1, 0, 0, 1, 0])
for classes in (0, 2):
    layers = [BatchNorm(3, classes).double() for _ in range(3)]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    convolution = nn.Conv2d(3, 3, 3, padding=1).double()

    def gradients(layer, part):
        maps = layer(convolution(images[part]), labels[part] if classes else None)
        loss = ((maps - targets[part]) ** 2).mean()
        return [*torch.autograd.grad(loss, [convolution.weight, layer.gain, layer.bias]), maps]

    *whole, maps = gradients(layers[0], slice(None))
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    part = slice(0, 5) if dist.get_rank() == 0 else slice(5, 7)
    synchronise(layers[1], dist.all_reduce)
    *mine, my_maps = gradients(layers[1], part)
    for gradient in mine:  # as the gradients of processes are averaged: by their images
        gradient *= len(my_maps) / 7
        dist.all_reduce(gradient)
    torch.testing.assert_close(my_maps, maps[part], rtol=0, atol=1e-12)
    torch.testing.assert_close(mine, whole, rtol=0, atol=1e-12)
    for name, value in layers[0].state_dict().items():
        torch.testing.assert_close(layers[1].state_dict()[name], value, rtol=0, atol=1e-12)
    *alone, _ = gradients(layers[2], part)
    assert (alone[0] - whole[0]).abs().max() > 1e-3  # it would differ otherwise
dist.destroy_process_group()
"""


def test_batch_norm_of_two_processes_is_that_of_one(tmp_path):
    """Maps, gradients and running statistics, of unequal parts, with gains by class, too."""
    (tmp_path / "norm.py").write_text(BATCH_NORM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "norm.py")], capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_batch_norm_has_the_statistics_of_all_processes(tmp_path):
    """In a run, of unequal parts."""
    means = []
    for number in (1, 2):
        out = tmp_path / str(number)
        command = [*arguments("transfer", out, 1), "--generator-norm", "True", "--critic-steps", "1"]
        codes, said = run_together(command, tmp_path / f"said{number}", number)
        assert codes == [0] * number, said
        generator = last_state(out)["state"]["generator"]
        means.append([generator[f"blocks.0.norm1.running_{name}"] for name in ("mean", "var")])
    torch.testing.assert_close(*means)


THREADS_AT_EXIT = """
import atexit, os, sys
from pathlib import Path

def look():  # after all that a run registers
    names = [(thread / "comm").read_text() for thread in Path("/proc/self/task").iterdir()]
    if any("gloo" in name for name in names):
        os._exit(3)

atexit.register(look)
from ganshift.cli import main
sys.exit(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lists threads in /proc")
def test_no_thread_of_the_messages_outlives_a_run(tmp_path):
    """One that still frees a tensor while Python ends aborts the process, once in many runs."""
    (tmp_path / "at_exit.py").write_text(THREADS_AT_EXIT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run = [str(tmp_path / "at_exit.py"), *arguments("dual", tmp_path / "out", 1), "--device", "cpu"]
    done = subprocess.run([*command, *run], capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stderr


def test_a_killed_process_ends_the_other(tmp_path):
    out, said = tmp_path / "out", tmp_path / "said"
    processes = start_together(arguments("dual", out, 100_000), said)
    wait_for_checkpoint(processes, out)
    processes[1].kill()
    started = time.monotonic()
    assert exit_codes(processes) == [2, -signal.SIGKILL]
    assert time.monotonic() - started < WAIT / 2
    assert "error: another process of this run ended" in said.read_text()
    assert last_state(out)["images"] > 0


def test_a_signal_to_one_stops_all_after_the_same_iteration(tmp_path):
    out, said = tmp_path / "out", tmp_path / "said"
    processes = start_together(arguments("dual", out, 100_000), said)
    wait_for_checkpoint(processes, out)
    os.kill(processes[1].pid, signal.SIGTERM)
    assert exit_codes(processes) == [128 + signal.SIGTERM] * 2, said.read_text()
    assert said.read_text().count("saved. The same command goes on from here") == 1


def test_a_signal_that_comes_while_processes_agree_counts_the_next_time(tmp_path, monkeypatch):
    """Or this process would stop alone.."""
    stop, trainer = [], WalkTrainer(Config(out=tmp_path / "run", images=8))

    def ask(flag, device):
        stop.append(signal.SIGTERM)
        return flag

    monkeypatch.setattr(loop, "any_has", ask)
    assert not loop._agreed(stop, trainer)
    assert loop._agreed(stop, trainer)


def test_errors_of_all_and_of_the_first(tmp_path):
    codes, said = run_together([*COMMANDS["dual"], "--out", str(tmp_path / "out"), "--batch", "1"], tmp_path / "said")
    assert codes == [2, 2]
    assert "batch must be at least 1 per process: 2 processes share it, got 1" in said
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "mine").touch()
    codes, said = run_together(arguments("dual", occupied, 1), tmp_path / "more")
    assert codes == [2, 2]
    assert said.count("error:") == 1, said  # only the first process looks
    assert "is not empty and holds no run" in said


@pytest.mark.parametrize(
    "launcher",
    [
        ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
        ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"],
    ],
    ids=["torchrun", "accelerate"],
)
@pytest.mark.ring_two
def test_launchers(launcher, tmp_path):
    """What they tell processes is what we ask for. On a processor accelerate must be told to start several."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", *launcher, "-m", "ganshift", *arguments("dual", out, 1), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stderr
    assert last_state(out)["images"] == ITERATION["dual"]
    assert done.stderr.count("images to show, 0 done") == 1


def wait_for_checkpoint(processes, out):
    deadline = time.monotonic() + WAIT
    while not list((out / "checkpoints").glob("*.pt")):
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("processes", "parts"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (7, [1] * 7)])
def test_parts_of_a_batch(processes, parts, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    found = []
    for rank in range(processes):
        monkeypatch.setenv("RANK", str(rank))
        found += list(range(7))[distributed.part_of(7)]
        assert distributed.part_of(7).stop - distributed.part_of(7).start == parts[rank]
    assert found == list(range(7))


def test_too_many_processes_for_a_batch(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="3 processes share it, got 2"):
        distributed.part_of(2)


def test_what_one_process_does_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(["generate", "nowhere", "-o", "x.png"]) == 0  # left to the first process
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert distributed.leave_to_first()
    assert distributed.world_size() == 1


@pytest.mark.parametrize("device", ["mps", "cuda:0"])
def test_processes_share_no_single_device(device, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="device"):
        distributed.join(device)
