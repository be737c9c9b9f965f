"""Commands that are killed with SIGKILL at random moments: is anything lost, does anything stay stuck?

    python -m benchmarks.kills --log kills.jsonl           # 200 kills; begun again, it goes on where it was
    python -m benchmarks.kills --log kills.jsonl --write   # its table, into docs/store.md
    python -m benchmarks.kills --kills 20 --only promote

Each kill meets a copy of its own of a project with a history, an origin and three promotions. The moment is
drawn from the time that the command takes where nobody kills it, every other one from that after its first
write. Then the same command is given again, what `predictflow doctor` tells is cured as it says, and what is
left is held against what was there (benchmarks/losses.py) and against what the command makes unkilled.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import losses
from benchmarks.kill_table import Kill, summary, table, write
from benchmarks.losses import Meant, State, call
from benchmarks.queued import stop_workers
from benchmarks.scenes import World
from benchmarks.victims import VICTIMS, Victim
from tests import templates
from tests.people.project import Project

Plant = Callable[[Project], None]


@dataclass(frozen=True)
class Unkilled:
    """How a command goes where nobody kills it.

    Attributes:
        first_write: seconds after its beginning; only what stays is seen.
    """

    seconds: float
    first_write: float
    before: State
    meant: Meant


class Campaign:
    """Kills, each of a project that lies in the same place."""

    def __init__(self, folder: Path, world: World, plant: Plant | None = None) -> None:
        """`plant` does harm after each kill, to see that it is counted."""
        self.top, self.kept, self.world, self.plant = folder / "copy", folder / "kept", world, plant
        self._known: dict[str, Unkilled] = {}

    def fresh(self, victim: Victim) -> Project:
        """A copy of the project in which the command has something to do."""
        shutil.rmtree(self.top, ignore_errors=True)
        kept = self.kept / victim.name
        if not kept.exists():
            templates.copy("audited", self.top)
            templates.relocate(self.top)
            (self.top / "tmp").mkdir()
            project = self._project()
            call(project, ("git", "config", "remote.origin.url", str(self.top / "origin.git")))
            victim.prepare(project, self.world)
            kept.parent.mkdir(exist_ok=True)
            subprocess.run(["cp", "-a", str(self.top), str(kept)], check=True)
        else:
            subprocess.run(["cp", "-a", str(kept), str(self.top)], check=True)
        victim.renew(self._project(), self.world)
        return self._project(hurry=not victim.stays)

    def _project(self, hurry: bool = True) -> Project:
        project = Project(self.top / "project", self.top / "home")
        project.env["TMPDIR"] = str(self.top / "tmp")
        return project.hurry() if hurry else project

    def unkilled(self, victim: Victim) -> Unkilled:
        """Raises RuntimeError where it fails."""
        if victim.name not in self._known:
            project = self.fresh(victim)
            before = losses.state(project) if not victim.makes_anew else self._with_store()
            wall, begun = time.time(), time.perf_counter()
            done = call(project, victim.words)
            seconds = time.perf_counter() - begun
            if done.returncode not in victim.codes:
                raise RuntimeError(f"{victim.name} fails unkilled:\n{done.stdout}\n{done.stderr}")
            changed = (path.lstat().st_mtime - wall for path in self.top.rglob("*") if not path.is_dir())
            first = min((after for after in changed if 0 < after < seconds), default=0)
            self._end_workers(project)
            meant = losses.meant(self._project(), victim, self.world)
            print(f"{victim.name}: {seconds:.1f} s, {sorted(meant.looked)}", file=sys.stderr, flush=True)
            if found := self._wrongs(victim, before, meant, meant.looked):
                raise RuntimeError(f"{victim.name}, unkilled: {found}")
            self._known[victim.name] = Unkilled(seconds, first, before, meant)
        return self._known[victim.name]

    def _with_store(self) -> State:
        """What was there before its store was taken away."""
        project = self._project()
        data = project.folder / "mlflow_data"
        away = (self.top / "away").rename(data)
        before = losses.state(project)
        away.rename(self.top / "away")
        return before

    def kill_once(self, victim: Victim, number: int, seed: int) -> Kill:
        """Kill a command at work, give it again, and tell what came of it."""
        alone, chance = self.unkilled(victim), random.Random(f"{seed} {victim.name} {number}")
        ended: float | None = alone.seconds
        while ended is not None:  # it takes as long as the machine has other work: the shortest time counts
            alone = replace(alone, seconds=min(alone.seconds, ended))
            self._known[victim.name] = alone
            earliest = min(alone.first_write, alone.seconds / 2) if number % 2 else 0
            project, moment = self.fresh(victim), chance.uniform(earliest, alone.seconds)
            ended = self._kill(project, victim, moment)
        kill = Kill(victim.name, number, round(moment, 2))
        if self.plant:
            self.plant(project)
        try:
            looked = self._again(project, victim, kill, alone.meant)
            kill.wrong += self._wrongs(victim, alone.before, alone.meant, looked)
        except subprocess.TimeoutExpired as error:
            kill.wrong.append(f"{error.cmd} did not end")
        except Exception as error:  # whatever it is: the other kills go on, and it counts
            kill.wrong.append(f"{type(error).__name__}: {str(error)[:300]}")
        self._end_workers(project)
        return kill

    def _wrongs(self, victim: Victim, before: State, meant: Meant, looked: losses.Looked) -> list[str]:
        return list(losses.wrongs(self._project(), victim, self.world, before, meant, looked))

    def _kill(self, project: Project, victim: Victim, after: float) -> float | None:
        """Start a command and kill it with all that works in the project; the seconds that it took if it had
        ended before."""
        null, begun = subprocess.DEVNULL, time.perf_counter()
        process = subprocess.Popen(
            victim.words, cwd=project.folder, env=project.env, stdin=null, stdout=null, stderr=null
        )
        try:
            process.wait(after)
            return time.perf_counter() - begun
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._kill_all(project)
            process.wait()
            time.sleep(0.1)  # one that was just being forked
            self._kill_all(project)

    def _kill_all(self, project: Project) -> None:
        while found := losses.working_in(project.folder):
            for one in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)

    def _end_workers(self, project: Project) -> None:
        if (project.folder / ".dvc/tmp/exps/celery").exists():
            stop_workers(project.folder, project.env)

    def _again(self, project: Project, victim: Victim, kill: Kill, meant: Meant) -> losses.Looked:
        """Give the same command again, and do what doctor says of what is left; what it says then."""
        done = call(project, victim.again or victim.words)
        kill.ended = "" if self._failed(done, victim, meant) else "again"
        self._end_workers(project)
        looked = losses.doctor(self._project())
        kill.told = meant.told(looked)
        if kill.told:
            looked = losses.cure(self._project(), looked)
        if not kill.ended:
            done = call(project, victim.again or victim.words)
            if self._failed(done, victim, meant):
                last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
                kill.wrong.append(f"the same command ended with {done.returncode}: {last[:300]}")
            else:
                kill.ended = "after the cure"
            looked = losses.doctor(self._project())
        return looked

    def _failed(self, done: subprocess.CompletedProcess[str], victim: Victim, meant: Meant) -> bool:
        """Whether it did not end; one that refuses, for all was done before it was killed, has."""
        if done.returncode in victim.codes:
            return False
        whole = victim.refuses and victim.refuses in done.stdout + done.stderr
        return not (whole and victim.same(self._project(), self.world) == meant.same)


def planned(kills: int, only: list[str] | None) -> Iterator[tuple[Victim, int]]:
    """Each kill with its number of that command: a cut-off leaves each command its share."""
    victims = [victim for victim in VICTIMS if not only or victim.name in only]
    share = sum(victim.share for victim in victims)
    places = sorted(
        ((number + 0.5) / wanted, place, number)
        for place, victim in enumerate(victims)
        for wanted in [max(1, round(victim.share * kills / share))]
        for number in range(wanted)
    )
    return ((victims[place], number) for _, place, number in places)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="in all (default: 200)")
    parser.add_argument("--seed", type=int, default=14, help="of the moments (default: 14)")
    parser.add_argument(
        "--only", action="append", help="this command alone", choices=[victim.name for victim in VICTIMS]
    )
    parser.add_argument("--log", type=Path, help="a line for each kill; what it holds is not done again")
    parser.add_argument("--write", action="store_true", help="only write the table of the log into its page")
    asked = parser.parse_args()
    lines = asked.log.read_text().splitlines() if asked.log and asked.log.exists() else []
    kills = [Kill(**json.loads(line)) for line in lines]
    if asked.write:
        write(f"{summary(kills, asked.kills)}\n{table(kills)}")
        return
    done = {(kill.name, kill.number) for kill in kills}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where it was begun in the background
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, ExitStack() as stack:
        os.environ["PREDICTFLOW_TESTS"] = folder
        Path(folder, "owner").write_text(str(os.getpid()))
        campaign = Campaign(Path(folder), World(stack))
        with contextlib.suppress(KeyboardInterrupt):  # what was counted until then is told
            for victim, number in planned(asked.kills, asked.only):
                if (victim.name, number) in done:
                    continue
                try:
                    kill = campaign.kill_once(victim, number, asked.seed)
                except (RuntimeError, subprocess.TimeoutExpired) as error:  # the other commands go on
                    print(error, file=sys.stderr, flush=True)
                    continue
                kills.append(kill)
                print(f"{len(kills)}: {kill}", file=sys.stderr, flush=True)
                if asked.log:
                    with asked.log.open("a") as log:
                        log.write(json.dumps(asdict(kill)) + "\n")
    print(table(kills))


if __name__ == "__main__":
    main()
