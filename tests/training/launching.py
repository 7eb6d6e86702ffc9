"""Processes that train one run together, started without a launcher: from a server that has imported torch already."""

import multiprocessing
import os
import socket
import sys
from pathlib import Path

from ganshift.cli import main

WAIT = 240
"""Seconds after which a process hangs."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["accelerate", "ganshift.methods.dual.trainer", "ganshift.methods.transfer.trainer"])


def start(arguments, said: Path, number=2):
    """The processes, by rank; what all of them say goes to one file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [_context.Process(target=_work, args=(arguments, said, rank, number, port)) for rank in range(number)]
    for process in processes:
        process.start()
    return processes


def exit_codes(processes):
    """Wait for the end of all."""
    for process in processes:
        process.join(WAIT)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def run(arguments, said: Path, number=2):
    """Exit codes and what was said."""
    codes = exit_codes(start(arguments, said, number))
    return codes, said.read_text()


def _work(arguments, said, rank, number, port):
    with said.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(number)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": str(number)}
    sys.exit(main(arguments))
