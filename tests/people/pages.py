"""Reading the pages for people, README.md and docs/, and doing what they say.

A `console` block holds commands, each after `$ `, and what they print: the very lines, in which … stands for
any text and a line of … for any lines. An `sh` block is a script, a `python` block a program: only that they
end well is held to. A block whose last command ends with another code than 0 says so behind its language
(```console exit=1), where no reader sees it. A server is left running for the rest of its page.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.people.processes import answers, begun, free_port
from tests.people.project import REPOSITORY, WAIT, Project
from tests.people.waiting import until

README = "README.md"
PAGES = [README, *sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("docs/**/*.md"))]
PLAYED = ("console", "sh", "python")
TOOLS = ("curl", "ssh-keygen")
# Texts of blocks that nobody can play here, each with its reason.
EXCUSED = {
    "found.ubj": "it speaks of this repository's own history: test_pages.py plays it there",
    "gh workflow run": "it starts a flow at GitHub",
    "../again": "it makes an environment from PyPI; test_by_hand.py plays the rest",
    "benchmarks/on_spark.py": "it makes an environment from PyPI; test_benchmarks.py plays it",
    "benchmarks/on_ray.py": "it makes an environment from PyPI; test_benchmarks.py plays it",
    "benchmarks.plan": "it trains on millions of customers; test_scale.py and test_benchmarks.py take a few",
    "dvc queue start": "two more trainings; test_experiments.py starts the queue's workers",
    "docker build": "it needs a Docker daemon; test_serving_elsewhere.py does what the image's steps do",
    "../mlserver": "it makes an environment from PyPI; test_serving_elsewhere.py plays it, slowly",
    ":5004": "it asks MLServer; test_serving_elsewhere.py plays it",
    "../bentoml": "it makes an environment from PyPI; test_serving_elsewhere.py plays it, slowly",
    ":5003": "it asks BentoML; test_serving_elsewhere.py plays it",
}
SERVER = re.compile(r"(mlflow (ui|server|models serve)|mlserver start|bentoml serve) ")
PORT = re.compile(r"(?:--port |HTTP_PORT=)(\d+)")
HEALTH = {"mlserver start": "v2/health/ready", "bentoml serve": "readyz"}  # of MLflow's: health
FENCE = re.compile(r"^```(\w*)(?: exit=(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What stands between two fences: `code` is the exit code of its last command."""

    language: str
    text: str
    code: int


@dataclass(frozen=True)
class Step:
    """A command, what it prints (None: nothing is said about it), and how it ends."""

    command: str
    prints: str | None
    code: int = 0


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    return [Block(language, body, int(code or 0)) for language, code, body in FENCE.findall(text)]


def steps(block: Block) -> list[Step]:
    """What is to be done of a block, in its order."""
    if block.language == "python":
        return [Step(f"{shlex.quote(sys.executable)} -c {shlex.quote(block.text)}", None, block.code)]
    if block.language == "sh":
        return [Step(f"set -e\n{block.text}", None, block.code)]
    parts = re.split(r"^\$ ((?:.*\\\n)*.*\n)", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"a console block begins with a command: {block.text}"
    listed = list(zip(parts[1::2], parts[2::2], strict=True))
    codes = [0] * (len(listed) - 1) + [block.code]
    return [
        Step(command.rstrip("\n"), told, code) for (command, told), code in zip(listed, codes, strict=True)
    ]


def matches(told: str, printed: str) -> bool:
    """Whether a command printed what a page tells."""

    def pattern(line: str) -> str:
        return r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"

    said = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    return re.fullmatch("".join(map(pattern, told.splitlines())), said) is not None


def _end(printed: str, most: int = 3000) -> str:
    return printed if len(printed) <= most else f"[…]{printed[-most:]}"


def need_tools_of(command: str) -> None:
    """Skip a test whose page needs a program that is not here."""
    for tool in TOOLS:
        if re.search(rf"\b{tool}\b", command) and not shutil.which(tool):
            pytest.skip(f"{tool} is not here, and the page needs it")


class Player:
    """Does what pages say, in a project; its servers listen where nobody else does."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.env = project.env | {"COLUMNS": "100", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._ports: dict[str, str] = {}
        self._servers = ExitStack()

    def play(self, page: str, excused: dict[str, str]) -> None:
        """Play a page; `excused` names texts of blocks that nobody can play here."""
        for block in blocks(text_of(page)):
            if block.language in PLAYED and not any(text in block.text for text in excused):
                for step in steps(block):
                    self.do(step)

    def do(self, step: Step) -> None:
        command = re.sub(r"\b50\d\d\b", lambda port: self.port(port[0]), step.command)
        if SERVER.search(command):
            self._serve(command)
            return
        need_tools_of(command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.project.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT,
        )
        assert done.returncode == step.code, (
            f"$ {command}\nended with {done.returncode}:\n{_end(done.stdout)}"
        )
        if step.prints is not None:
            told = f"$ {command}\nshould print:\n{step.prints}\nbut printed:\n{_end(done.stdout)}"
            assert matches(step.prints, done.stdout), told

    def port(self, name: str) -> str:
        if name not in self._ports:
            self._ports[name] = str(free_port())
        return self._ports[name]

    def _serve(self, command: str) -> None:
        (port,), (server, _) = PORT.findall(command), SERVER.findall(command)[0]
        log = self.project.folder.parent / f"server{port}.log"
        with log.open("w") as said:
            words = ("sh", "-c", command)
            process = self._servers.enter_context(
                begun(words, self.project.folder, self.env, stdout=said, stderr=said)
            )
        url = f"http://127.0.0.1:{port}/{HEALTH.get(server, 'health')}"
        until(lambda: answers(url, process, log), command)

    def stop(self) -> None:
        self._servers.close()


@contextmanager
def player(project: Project) -> Iterator[Player]:
    """One that stops its servers in the end."""
    one = Player(project)
    try:
        yield one
    finally:
        one.stop()


def lend_the_environment(folder: Path) -> None:
    """Let `make` find an environment: this one, made long after the locks, which a clone has just written."""
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    for name in ("requirements.lock", "requirements-dev.lock", "Makefile"):
        os.utime(folder / name, (0, 0))
