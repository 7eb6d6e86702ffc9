"""The command line: one function a command, imported when it is called and importing what it needs when it runs."""

import io
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .. import __version__
from ..errors import UserError, first_line, nearest
from ..methods.method import Method
from ..methods.registry import methods

HELP_ALL = "--help-all"
"""Of a method's command: with the options that few need. Of the others it is what --help is."""
HELP = ("-h", "--help", HELP_ALL)
QUIET = "--quiet"
"""Taken by every command: only warnings and errors are said."""
SPINS = "100000"
"""How often a thread of OpenMP's looks before it sleeps: quick on a quiet machine and a busy one (python -m
benchmarks.waiting)."""
USER_ERROR = 2
"""Exit code when what was given cannot work; a stop by a signal exits with 128 + its number."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _bound_spinning()
    _open_closed_streams()
    _print_anything()
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != QUIET]
    if words[:1] == ["help"]:
        words = [*words[1:2], HELP[0]]
    try:
        code = _answer(words, quiet=len(words) < len(given))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads the output has seen enough, as in: ganshift study --list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _bound_spinning() -> None:
    """Let threads that wait for each other sleep sooner than GNU's OpenMP does, unless the user has said how they wait.

    It is read when torch is loaded. On a busy machine a thread that spins takes the time of the one it waits for.
    """
    if os.environ.keys().isdisjoint({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def _open_closed_streams() -> None:
    """Where a service or a shell's `>&-` closed a standard stream, the next file opened would get its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as the process


def _print_anything() -> None:
    """Where a terminal or a pipe has few characters, the others are written out, such as \\xb1; nothing fails."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _answer(words: Sequence[str], quiet: bool) -> int:
    if not words or words[0] in HELP:
        sys.stdout.write(OVERVIEW)
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"ganshift {__version__}\n")
        return 0
    try:
        if words[0] in COMMANDS and set(HELP) & set(words):
            return _call(words)  # without what a run needs, which takes longer to import
        return _run(words, quiet)
    except SystemExit as stop:  # tyro has shown the help, or said what it cannot parse
        return int(stop.code or 0)


def _run(words: Sequence[str], quiet: bool) -> int:
    from ..training.distributed import SaidByFirst, leave_to_first
    from ..training.log import say, say_less, say_one_line, show_warnings

    say_less(quiet)
    show_warnings()
    try:
        if words[0] not in TOGETHER and not leave_to_first():
            return 0
        return _call(words)
    except SaidByFirst:
        return USER_ERROR
    except UserError as error:
        say_one_line(f"error: {error}")
        return USER_ERROR
    except OSError as error:  # a name too long, a folder that may not be looked into: what no room minds by itself
        if error.filename is None:
            raise
        say_one_line(f"error: {error.filename}: {error.strerror}")
        return USER_ERROR
    except (RuntimeError, MemoryError) as error:
        from ..training.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        say_one_line(f"error: out of memory ({first_line(error)}): fewer or smaller images need less")
        return USER_ERROR
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # impatience while leaving must not end in a traceback
        say("stopped")
        return 130


def _call(words: Sequence[str]) -> int:
    name, *arguments = words
    if name in TRAINING:
        from .training import train

        return train(TRAINING[name], arguments)
    if name == "import-tf":
        raise UserError("import-tf is now part of ganshift import: give that the same arguments")
    if name not in COMMANDS:
        hint = nearest(name, COMMANDS) or f"commands are {', '.join(COMMANDS)}"
        raise UserError(f"there is no command {name!r}; {hint}")
    from .options import run

    return run(command_named(name), name, ["--help" if word == HELP_ALL else word for word in arguments])


def command_named(name: str) -> Callable[..., int]:
    """The function of a command that is not a method's; importing it imports tyro, which `ganshift --help` does not."""
    command: Callable[..., int] = pkgutil.resolve_name(f"{__name__}.{FUNCTIONS[name][0]}")
    return command


FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "demo": ("training:demo", "train both methods on bundled images in minutes, and write a report"),
    "doctor": ("looking:doctor", "look at images before training: what is wrong, what to run, how long"),
    "generate": ("models:generate", "draw images from a transfer run"),
    "translate": ("models:translate", "translate images with a dual run"),
    "evaluate": ("scores:evaluate", "score a run against real images"),
    "compare": ("scores:compare", "compare the scores of two runs"),
    "report": ("looking:report", "write one page that shows a run, or compares several"),
    "study": ("studies:study", "train and score a grid of runs, and compare the scores"),
    "serve": ("serving:serve", "put trained models on a web page and behind an HTTP API"),
    "export": ("models:export", "write a run's model for other programs: ONNX, safetensors, or a page"),
    "import": ("models:import_run", "turn a checkpoint of another tool into a run"),
    "bench": ("scores:bench", "time how fast each preset trains on this machine"),
    "completion": ("shells:completion", "print a script that completes ganshift's commands and options in a shell"),
}
"""Where the commands are that are not a method's, and what they do."""
TRAINING: Mapping[str, Method] = {
    name: method for name, method in methods().items() if name not in {*FUNCTIONS, "help"}
}
"""The methods that have a command: where a method of another package is called as one of ours, ours wins."""
COMMANDS = (*list(FUNCTIONS)[:2], *TRAINING, *list(FUNCTIONS)[2:])
"""All commands, as the overview lists them."""
TOGETHER = (*TRAINING, "study")
"""What several processes do together when a launcher starts them; of every other command the first does all."""


_TOLD = {name: TRAINING[name].summary if name in TRAINING else FUNCTIONS[name][1] for name in COMMANDS}
_SUMMARIES = "\n".join(f"  {name:<10}  {summary}" for name, summary in _TOLD.items())
OVERVIEW = f"""\
usage: ganshift COMMAND [OPTIONS]      ganshift COMMAND --help

ganshift moves GANs and images between domains.

{_SUMMARIES}

  ganshift doctor my-images/
  ganshift transfer --data my-images/ --preset small --out runs/mine
  ganshift generate runs/mine -n 64 -o sheet.png
  ganshift dual --a photos/ --b drawings/ --preset small --out runs/drawings
  ganshift translate runs/drawings holiday.jpg clip.mp4 'more/*.png' --to drawings -o drawn/
  ganshift serve runs/mine runs/drawings
  ganshift import latest_net_G_A.pth --out runs/zebras

With --quiet every command prints only warnings and errors. Results go to standard output, everything else to
standard error. NO_COLOR=1 turns colours off.

exit codes
  0      done
  1      doctor: training would fail; study: a run of the grid failed; translate: some files were left out
  2      invalid request; one line says why
  128+n  stopped by signal n: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 138 SIGUSR1; the same training command resumes
"""
