"""Commands in processes of their own, forked from a server that has imported what they need: seconds less for each.

They train in half the time that the tests' own process takes, which checks the annotations of every call.
"""

import multiprocessing
import os
import signal
import socket
import sys
from pathlib import Path

WAIT = 240
"""Seconds after which a process hangs."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *("accelerate", "sklearn.datasets", "skimage.data"),
        "torch._dynamo",  # which torch imports when the first optimiser is made
        *("ganshift.methods.dual.trainer", "ganshift.methods.transfer.trainer", "ganshift.tools.evaluate"),
    ]
)


class Command:
    """One command at the head of a group of processes; standard error goes to the file, standard output beside it."""

    def __init__(self, arguments, said: Path, packages: Path | None = None, **environment):
        """With the packages of a folder installed, and with more in the environment."""
        self._said, self._printed = said, said.with_name(f"{said.name}.printed")
        place = {**os.environ, **environment}
        self._ends, held = _context.Pipe(duplex=False)
        work = (list(map(str, arguments)), said, self._printed, packages, place, held)
        self._process = _context.Process(target=_work, args=work)
        self._process.start()
        held.close()
        self.pid = self._process.pid

    def poll(self):
        """The exit code, or None while it runs; that of a signal is negative."""
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, seconds=WAIT):
        """The exit code; None, and the process is killed, if it has not ended by then. Its workers must end with it."""
        self._process.join(seconds)
        code = self.poll()
        self._process.kill()
        assert self._ends.poll(60), "processes that it forked go on without it"
        return code

    def said(self):
        return self._said.read_text() if self._said.exists() else ""

    def printed(self):
        return self._printed.read_text()


def run(arguments, said: Path):
    """Run a command, which must succeed."""
    command = Command(arguments, said)
    assert command.wait(4 * WAIT) == 0, command.said()


def start_together(arguments, said: Path, number=2):
    """Processes that train one run together, by rank, as a launcher starts them; they speak into one file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    places = [{**together, "RANK": rank, "LOCAL_RANK": rank} for rank in range(number)]
    return [Command(arguments, said, **{name: str(value) for name, value in place.items()}) for place in places]


def exit_codes(commands):
    """Wait for the end of all."""
    return [command.wait() for command in commands]


def run_together(arguments, said: Path, number=2):
    """Exit codes and what was said."""
    codes = exit_codes(start_together(arguments, said, number))
    return codes, said.read_text()


def _work(arguments, said, printed, packages, environment, held):
    """Run the command; it and all that it forks hold one end of a pipe."""
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # processes of its own begin as anywhere else
    for path, stream in ((printed, 1), (said, 2)):
        with path.open("a") as file:
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    if packages:
        sys.path.insert(0, str(packages))
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    from ganshift.cli import main  # which looks for methods among the packages

    sys.exit(main(arguments))
