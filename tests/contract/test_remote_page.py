"""docs/remote.md: its table is of the cases that the tests play, and says of each how the command ends."""

import re

from predictflow.adapters.remote_errors import RIGHTS
from tests.people.pages import text_of
from tests.people.remote_faults import CASES, LATER

ROW = re.compile(r"^\| ([^|]+) \| `(push|pull)` \| [^|]+ \| (\d): [^|]+ \|$", re.MULTILINE)


def test_the_table_is_of_the_cases_that_are_played():
    told = [(name, word, int(code)) for name, word, code in ROW.findall(text_of("docs/remote.md"))]
    verbs = {"owner": "push", "clone": "pull"}
    assert told == [(case.name, verbs[case.actor], case.code) for case in CASES], (
        "`python -m benchmarks.remote_faults --markdown` writes it anew"
    )


def test_what_is_told_afterwards_is_what_is_played():
    row = re.compile(
        r"^\| ([^|]+) \| `dvc ([^`]+)`: (?:\*\*)?(\d+):[^|]+ \| `predictflow ([^`]+)`: [^|]+ \|$", re.M
    )
    played = [(case.name, " ".join(case.plain), str(case.ended), " ".join(case.ours)) for case in LATER]
    assert row.findall(text_of("docs/remote.md")) == played


def test_every_right_that_an_error_may_name_is_in_the_policy():
    for right in set(RIGHTS.values()):
        assert f'"{right}"' in text_of("docs/remote.md"), right
