"""Sixty tamperings that nobody has thought of: place and kind of edit are drawn at random, the same ones.

    python -m pytest -s tests/real/test_tampering.py

prints each with what came of it, and the counts, which docs/guarantee.md tells.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.commands.test_audit import copy
from tests.people import tampering
from tests.people.pages import text_of

DRAWN = 60


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_tampered_with_at_random_is_seen_or_does_no_harm(audited_template: Path, tmp_path: Path):
    verdicts: Counter[str] = Counter()
    lines = []
    for number in range(DRAWN):
        top = tmp_path / str(number)
        top.mkdir()
        made = copy(audited_template, top)
        if number == 0:
            sound = tampering.Sound.look(made, top)
        what = tampering.tamper(made, top, random.Random(number))
        verdicts[came := tampering.verdict(made, top, sound)] += 1
        lines.append(f"{number:2} {came}: {what}")
        print(lines[-1], flush=True)
    print(tampering.told(verdicts))
    wrong = [line for line in lines if any(bad in line for bad in ("harmful", "blessed", "damaged"))]
    assert not wrong, "\n".join(wrong)
    assert tampering.told(verdicts) in text_of("docs/guarantee.md")
