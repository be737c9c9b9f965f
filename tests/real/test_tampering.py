"""Sixty tamperings that nobody has thought of: place and kind of edit are drawn at random, the same ones.

    python -m pytest -s tests/real/test_tampering.py

prints each with what came of it, and the counts.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests import templates
from tests.people import tampering
from tests.people.history import History, opened

DRAWN = 60


def copied(top: Path) -> History:
    """A project with three promotions, and its origin."""
    templates.copy("audited", top)
    templates.relocate(top)
    made = opened(top / "project", top / "home", top / "made.json")
    made.project.run("git", "config", "remote.origin.url", str(top / "origin.git"))
    made.told("lineage")  # which leaves an index of Git's history
    return made


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_tampered_with_at_random_is_seen_or_does_no_harm(tmp_path: Path):
    verdicts: Counter[str] = Counter()
    lines = []
    for number in range(DRAWN):
        top = tmp_path / str(number)
        top.mkdir()
        made = copied(top)
        if number == 0:
            sound = tampering.Sound.look(made, top)
        what = tampering.tamper(made, top, random.Random(number))
        verdicts[came := tampering.verdict(made, top, sound)] += 1
        lines.append(f"{number:2} {came}: {what}")
        print(lines[-1], flush=True)
    print(tampering.told(verdicts))
    wrong = [line for line in lines if any(bad in line for bad in ("harmful", "blessed", "damaged"))]
    assert not wrong, "\n".join(wrong)
