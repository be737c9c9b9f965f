"""Processes that a test begins: whatever becomes of it, none of them outlives it, and no pipe stays open."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import psutil
import requests

from predictflow.adapters.processes import look_up

PORTS = range(20_000, 30_000)  # below those that Linux, macOS and Windows give out by themselves


@contextmanager
def begun(
    words: Sequence[str | Path], folder: Path, env: Mapping[str, str], **how: Any
) -> Iterator[subprocess.Popen]:
    """A process in a group of its own, which is ended with all that it has begun when the block ends."""
    process = subprocess.Popen(words, cwd=folder, env=env, start_new_session=True, **how)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen) -> None:
    """Kill a process, its group, and those that it has begun in other groups; close its pipes."""
    begun: list[psutil.Process] = []
    with suppress(psutil.Error):
        begun = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError, PermissionError):  # that is how macOS says that it is gone
        os.killpg(process.pid, signal.SIGKILL)
    for other in begun:
        with suppress(psutil.Error):
            other.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with suppress(BrokenPipeError):  # what was still to be written
                pipe.close()


def at_the_same_moment(
    commands: Sequence[tuple[Sequence[str], Path, Mapping[str, str]]],
) -> list[tuple[int, str]]:
    """How commands end, and what they say, that each print a line and then wait for one: all get theirs when
    all have printed theirs. Each is its words, its folder and its environment."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started = [stack.enter_context(begun(*command, **pipes)) for command in commands]
        for process in started:
            assert process.stdout.readline() == "ready\n", process.communicate()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = ["".join(process.communicate(timeout=300)) for process in started]
        return [(process.returncode, told) for process, told in zip(started, said, strict=True)]


def gone(*pids: int) -> bool:
    """Whether processes have ended, also where nobody has taken note of that yet."""
    return all(look_up(pid) is None for pid in pids)


def answers(url: str, process: subprocess.Popen, log: Path) -> bool:
    """Whether a server answers; it fails where that has ended, with what it wrote to its log."""
    assert process.poll() is None, log.read_text()
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:  # it is not there yet, or still busy
        return False


def free_port() -> int:
    """A port that nobody listens at, and that the system gives to nobody else before a server has it."""
    while True:
        port = SystemRandom().choice(PORTS)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
