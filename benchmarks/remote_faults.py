"""What goes wrong with a remote, and who says so: plain DVC as it comes, and `predictflow push` and `pull`.

Every case of tests/people/remote_faults.py, against a real S3 server of this machine, each command in a
process of its own, with the deadlines that each has by itself.

    .venv/bin/python -m benchmarks.remote_faults --markdown      # about ten minutes: plain DVC waits long
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.tables import show
from tests.people.remote_faults import CASES, LATER, Case, Later, Scene, make_project
from tests.people.s3 import S3, s3_server

PATIENCE = 120  # seconds that a command may take
SILENT = "**0, silent:**"
LONGEST = 110  # letters of what is told
VERBS = {"owner": "push", "clone": "pull"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--markdown", action="store_true")
    options.add_argument("--only", default="", help="a word of the cases to play")
    asked = options.parse_args()
    cases = [case for case in CASES if asked.only in case.name]
    with tempfile.TemporaryDirectory() as top, s3_server() as server:
        template = Path(top, "template")
        template.mkdir()
        make_project(template, hurry=False)
        rows = []
        for number, case in enumerate(cases):
            print(f"{number + 1} of {len(cases)}: {case.name}", file=sys.stderr)
            told = [
                play(case, server, template, Path(top, f"{name}-{number}"), words, prepare)
                for name, words, prepare in (("plain", ("dvc",), as_it_comes), ("ours", OURS, own_deadlines))
            ]
            rows.append((case.name, f"`{VERBS[case.actor]}`", *told))
        later = [case for case in LATER if asked.only in case.name]
        played = [
            play_later(case, server, template, Path(top, f"later-{at}")) for at, case in enumerate(later)
        ]
    header = ("what goes wrong", "asked", "plain DVC", "predictflow")
    silent = [sum(row[at].startswith(SILENT) for row in rows) for at in (2, 3)]
    print(f"Silent, of {len(rows)}: plain DVC {silent[0]}, predictflow {silent[1]}.\n")
    show("What is said, behind the exit code", header, rows, asked.markdown, numbers=False)
    header = ("what goes wrong", "plain DVC", "predictflow, asked afterwards")
    show("What plain DVC keeps to itself", header, played, asked.markdown, numbers=False)


def play_later(case: Later, server: S3, template: Path, folder: Path) -> tuple[str, str, str]:
    """How DVC ends in a case, and how `predictflow` ends that is asked after it."""
    scene = Scene.of(server, template, folder, case.actor, hurry=False)
    with ExitStack() as stack:
        case.arrange(scene, stack)
        own_deadlines(scene)
        plain, ours = (asked_in(scene, *words) for words in (("dvc", *case.plain), (*OURS, *case.ours)))
    says = plain.stdout + plain.stderr
    silent = not plain.returncode and not scene.is_pushed
    says = said(says if "ERROR" in says or not silent else says.strip().splitlines()[-1])
    lines = [line for line in ours.stdout.splitlines() if "remote-probe" in line]
    told = lines[0].split("warning")[-1].strip() if lines else said(ours.stdout + ours.stderr)
    return (
        case.name,
        f"`dvc {' '.join(case.plain)}`: {'**0:**' if silent else f'{plain.returncode}:'} {says}",
        f"`predictflow {' '.join(case.ours)}`: {said(told)}",
    )


def asked_in(scene: Scene, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", *words],
        cwd=scene.project.folder,
        env=scene.project.env | scene.env | {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


OURS = ("predictflow.cli",)


def own_deadlines(scene: Scene) -> None:
    """Without the deadlines by which the tests are quick."""
    local = scene.project.folder / ".dvc/config.local"
    local.write_text(re.sub(r"^ +(?:connect|read)_timeout.*\n", "", local.read_text(), flags=re.MULTILINE))
    scene.env.pop("AWS_MAX_ATTEMPTS", None)


def as_it_comes(scene: Scene) -> None:
    """Without `verify`, too, which is off unless it is asked for."""
    own_deadlines(scene)
    config = scene.project.folder / ".dvc/config"
    config.write_text(config.read_text().replace("    verify = true\n", ""))


def play(
    case: Case,
    server: S3,
    template: Path,
    folder: Path,
    module: tuple[str, ...],
    prepare: Callable[[Scene], None],
) -> str:
    """How a command ends in a case, and what became of the bytes."""
    scene = Scene.of(server, template, folder, case.actor, hurry=False)
    with ExitStack() as stack:
        case.arrange(scene, stack)
        prepare(scene)
        try:
            done = asked_in(scene, *module, VERBS[case.actor])
        except subprocess.TimeoutExpired:
            return f"**no word in {PATIENCE} s**"
    owner = case.actor == "owner"
    where = "there" if owner else "here"
    if wrong := bool(scene.wrong_on_remote if owner else scene.wrong):
        became = f"wrong bytes are {where}"
    else:
        became = f"not all is {where}"
    if done.returncode:
        told = f"{done.returncode}: {said(done.stdout + done.stderr)}"
        return f"{told}; **{became}**" if wrong and not owner else told
    return "0: all is right" if (scene.is_pushed if owner else scene.is_pulled) else f"{SILENT} {became}"


def said(text: str) -> str:
    """The line that tells the error."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or [
        line for line in lines if ": " in line and not line.startswith((" ", "pushed", "pulled"))
    ]
    line = re.sub(r"^ERROR: (unexpected error - )?", "", (errors or lines or ["nothing"])[0])
    line = re.sub(r"s3://[\w./-]*\w|http://\S+|bucket-\d+[\w./-]*", "…", line).replace("|", "/")
    line = re.sub(r" The keys are .*", "", re.sub(r"[0-9a-f]{32}(\.dir)?|/tmp/\S+", "…", line))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


if __name__ == "__main__":
    main()
