"""No test leaves a process or a pipe behind, also where it fails: the next one would be failed for it."""

from tests.people.project import REPOSITORY

BESIDE = {
    "tests/people/processes.py": "ends it with all that it has begun",
    "tests/conftest.py": "waits for the templates when the tests are over",
    "tests/contract/pictures.py": "is run by hand",
}


def test_what_goes_on_beside_a_test_is_begun_where_it_is_ended():
    tests = {path.relative_to(REPOSITORY).as_posix(): path for path in (REPOSITORY / "tests").rglob("*.py")}
    begin = {name for name, path in tests.items() if "subprocess.Popen" + "(" in path.read_text()}
    assert begin == BESIDE.keys(), "tests/people/processes.py: begun()"
