"""The same study comes out however often it is stopped, and with any number of jobs."""

from concurrent.futures import wait
from pathlib import Path
from statistics import fmean

import pytest

from predictflow.tuning import inputs, journal, sweep
from predictflow.tuning.journal import Journal
from predictflow.tuning.study import choice
from stages.support.errors import UserError
from tests.people.workers import Workers, formula

TRIALS = 20


@pytest.fixture(autouse=True)
def at_work(monkeypatch):
    """Waiting for a worker lets it work."""

    def waited(going, **how):
        WORKERS[-1].work()
        return wait(list(going), timeout=0, return_when=how["return_when"])

    monkeypatch.setattr(sweep, "wait", waited)


WORKERS: list[Workers] = []


def begun(folder: Path, space) -> Journal:
    today = {"drawn": space.today(), "scores": [formula(*space.settings({}), fold)[0] for fold in range(5)]}
    return journal.begin(folder, space.direction, {"data": {}, "code": {}, "space": {}}, today)


def go_on(study: Journal, space, workers: Workers, jobs: int = 1, wanted: int = TRIALS) -> Journal:
    WORKERS.append(workers)
    sweep.sweep(study, space, workers, jobs=jobs, wanted=wanted, until=float("inf"), meanwhile=lambda: None)
    return study


def told(study: Journal) -> list[tuple]:
    """All that a study says of its trials, but for times."""
    return [
        (trial.number, trial.state.name, trial.params, trial.value, trial.intermediate_values)
        for trial in study.trials
    ]


def test_a_study_that_was_stopped_again_and_again_ends_as_one_that_was_not(space, tmp_path):
    whole = told(go_on(begun(tmp_path / "whole", space), space, Workers()))
    study = begun(tmp_path / "stopped", space)
    for folds in (1, 17, 28, 13):
        with pytest.raises(KeyboardInterrupt):
            go_on(study, space, Workers(folds, most=folds))
        study = Journal(study.path)
    assert told(go_on(study, space, Workers())) == whole
    assert told(Journal(study.path)) == whole, "as the file holds it"


@pytest.mark.parametrize("jobs", [2, sweep.MOST_JOBS])
def test_jobs_change_nothing_and_lose_and_double_no_trial(space, tmp_path, jobs):
    whole = told(go_on(begun(tmp_path / "one", space), space, Workers()))
    many = told(go_on(begun(tmp_path / "many", space), space, Workers(seed=jobs), jobs))
    assert many == whole
    assert [number for number, *_ in many] == list(range(TRIALS))


def test_what_a_trial_draws_is_not_what_another_seed_draws(space, tree, tmp_path):
    first = told(go_on(begun(tmp_path / "first", space), space, Workers(), wanted=3))
    space.params.tree["seed"] += 1
    other = told(go_on(begun(tmp_path / "other", space), space, Workers(), wanted=3))
    assert not [one for one, another in zip(first, other, strict=True) if one[2] == another[2]]


def test_the_search_learns_from_what_it_has_seen(space, tmp_path):
    trials = go_on(begun(tmp_path, space), space, Workers(), wanted=60).trials
    values = [trial.value for trial in trials if trial.value is not None]
    assert fmean(values[-10:]) > fmean(values[:10])
    assert {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}


def test_a_trial_that_its_library_refuses_is_told_and_the_others_go_on(space, tmp_path):
    def refusing(model: str, settings: dict, fold: int) -> tuple[float, float]:
        if settings["max_depth"] == 4:
            raise ValueError("no depth of 4")
        return formula(model, settings, fold)

    trials = go_on(begun(tmp_path, space), space, Workers(score=refusing)).trials
    refused = [trial for trial in trials if trial.params["models.xgboost.max_depth"] == 4]
    assert refused
    assert {trial.state.name for trial in refused} == {"FAIL"}
    assert {trial.user_attrs["error"] for trial in refused} == {"ValueError: no depth of 4"}
    assert len(trials) == TRIALS


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UserError("fold 1 has nobody")])
def test_what_is_no_fault_of_the_settings_ends_the_sweep_and_fails_no_trial(space, tmp_path, error):
    def broken(*_):
        raise error

    study = begun(tmp_path, space)
    with pytest.raises(type(error)):
        go_on(study, space, Workers(score=broken))
    assert Journal(study.path).trials == []


def test_memory_that_runs_out_is_told_with_a_cure(space, tmp_path):
    def short(*_):
        raise MemoryError

    with pytest.raises(UserError, match="fewer --jobs"):
        go_on(begun(tmp_path, space), space, Workers(score=short))


def test_a_line_that_was_torn_is_cut_and_its_trial_is_begun_again(space, tmp_path):
    study = go_on(begun(tmp_path, space), space, Workers(), wanted=5)
    whole = told(study)
    text = study.path.read_bytes()
    study.path.write_bytes(text[:-40])
    torn = Journal(study.path)
    assert told(torn) == whole[:4]
    assert told(go_on(torn, space, Workers(), wanted=5)) == whole
    study.path.write_bytes(text + text[-300:-200])
    assert told(Journal(study.path)) == whole


def test_optunas_own_lock_left_by_a_kill_is_not_waited_for(space, tmp_path):
    study = begun(tmp_path, space)
    Path(f"{study.path}.lock").symlink_to(study.path)
    assert told(go_on(Journal(study.path), space, Workers(), wanted=2))


@pytest.mark.parametrize("text", ["", "no journal\n", "[]\n", '{"op_code": 4}\n'])
def test_a_file_that_is_no_journal_is_told_and_left_as_it_is(space, tmp_path, text):
    study = begun(tmp_path, space)
    study.path.write_text(text)
    with pytest.raises(UserError, match="--new"):
        Journal(study.path)
    assert study.path.read_text() == text


def test_a_second_command_is_told_that_one_is_at_work(tmp_path):
    with journal.hold_lock(tmp_path), pytest.raises(UserError, match="at work"):  # noqa: SIM117
        with journal.hold_lock(tmp_path):
            pass


def test_another_study_gets_the_next_number_and_the_newest_goes_on(space, tmp_path):
    assert journal.newest(tmp_path) is None
    assert [begun(tmp_path, space).number for _ in range(3)] == [1, 2, 3]
    assert journal.newest(tmp_path).number == 3
    assert len({Journal(path).record["id"] for path in tmp_path.glob("*.journal")}) == 3


def test_of_a_study_that_has_scored_nothing_an_older_one_is_named(space, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(inputs, "read", lambda _: {"data": {}, "code": {}, "space": {}})
    folder = tmp_path / journal.FOLDER
    with pytest.raises(UserError, match="no study has scored a trial"):
        choice(space)
    go_on(begun(folder, space), space, Workers())
    chosen = choice(space)
    begun(folder, space)
    with pytest.raises(
        UserError, match=r"study 2 has scored no trial on every fold yet(.|\n)*`--study 1` beside"
    ):
        choice(space)
    assert choice(space, 1) == chosen | {"study": 1}
    with pytest.raises(UserError, match="there is no study 3, but 1, 2"):
        choice(space, 3)
