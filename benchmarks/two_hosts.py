"""Two network namespaces, joined by nothing but a virtual cable, train one run as two hosts would.

    sudo python -m benchmarks.two_hosts

Needs Linux, root and `ip`. Each host has a run folder of its own, of which only the first may be written to. Prints by
how much the weights differ from those of one process.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

HOSTS = {"ganshift0": "10.77.0.1", "ganshift1": "10.77.0.2"}
SETTINGS = [
    *("dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--batch", "3", "--images", "30"),
    *("--device", "cpu"),
]


def cable() -> None:
    """Two hosts with one interface each."""
    first, second = HOSTS
    _ip("link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
    for host, address in HOSTS.items():
        for interface in ("lo", "cable"):
            _ip("-n", host, "link", "set", interface, "up")
        _ip("-n", host, "address", "add", f"{address}/24", "dev", "cable")


def train(folder: Path) -> None:
    """One process a host, by torchrun; the first host is the meeting place."""
    started = []
    for rank, host in enumerate(HOSTS):
        command = ["ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
        command += ["--node_rank", f"{rank}", "--nproc_per_node", "1", "--master_addr", HOSTS["ganshift0"]]
        command += ["--master_port", "29555", "-m", "ganshift", *SETTINGS, "--out", str(folder / host)]
        environment = os.environ | {"GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, env=environment))
    codes = [process.wait(timeout=300) for process in started]
    if any(codes):
        raise SystemExit(f"exit codes {codes}")


def weights(out: Path) -> dict[str, torch.Tensor]:
    """The networks of a run's last checkpoint."""
    state = torch.load(max((out / "checkpoints").iterdir()), weights_only=True)["state"]
    return {f"{part}.{name}": value for part in ("generators", "critics") for name, value in state[part].items()}


def main() -> None:
    """Make the hosts, train on both and on one, compare, and take the hosts away."""
    made = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            for host in HOSTS:
                _ip("netns", "add", host)
                made.append(host)
            cable()
            train(folder)
        finally:
            for host in made:
                _ip("netns", "delete", host)
        alone = [sys.executable, "-m", "ganshift", *SETTINGS, "--out", str(folder / "alone")]
        subprocess.run(alone, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        together, expected = weights(folder / "ganshift0"), weights(folder / "alone")
        difference = max((together[name] - value).abs().max().item() for name, value in expected.items())
        second = "wrote nothing" if not (folder / "ganshift1").exists() else "wrote files"
        sys.stdout.write(f"largest difference of a weight {difference:.2g}; the second host {second}\n")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


if __name__ == "__main__":
    main()
