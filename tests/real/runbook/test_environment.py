"""An environment that is another, from the symptom to health as docs/runbook.md has it."""

import re

from tests.people.project import Project
from tests.people.runbook import play


def test_the_environment_is_another(standing: Project):
    (installed,) = re.findall(r"^xgboost==\S+", standing.read("requirements.lock"), re.MULTILINE)
    standing.edit("requirements.lock", installed, "xgboost==1.7.6")
    play(standing, "the-environment-is-another")
