"""`audit` finds every edit behind the back of receipts, registry and files; `--fix` mends what is proven."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from predictflow.adapters.git import Repository
from predictflow.commands.audit import _draw
from predictflow.formatting import moment
from predictflow.ledger.chain import read_chain
from predictflow.ledger.rebuilds import write_rebuild
from predictflow.ledger.tags import canonical
from tests.commands.test_evidence import artifacts, cache, folder_md5, spoil, sql
from tests.people.history import History
from tests.people.history import opened as history_in
from tests.people.killer import POINTS, PROMOTING, kill
from tests.people.ledger import REBUILD
from tests.people.processes import at_the_same_moment
from tests.people.releases import in_gto, stages, tags

MODEL = "churn-predictor"
GATE = f"{MODEL}@production"
FIRST, SECOND, LAST = (f"{MODEL}#production#{number}" for number in (1, 2, 3))
NEWEST = "all at once"  # version 6, in Production, and what the working tree holds
FILE = "models/churn-predictor/model.ubj"
PROVENANCE = "models/provenance.json"
WAIT = 300  # seconds


def number(history: History, name: str) -> str:
    return f"{MODEL}/{history.made[name].version}"


def opened(top: Path, noted: Path) -> History:
    history = history_in(top / "project", top / "home", noted)
    history.project.run("git", "config", "remote.origin.url", str(top / "origin.git"))
    return history


def copy(template: Path, top: Path) -> History:
    """A copy with files of its own, also where MLflow's database says that they lie."""
    for folder in ("project", "origin.git"):
        shutil.copytree(template / folder, top / folder, symlinks=True)
    history = opened(top, template / "made.json")
    places = ("runs", "artifact_uri"), ("model_versions", "source"), ("model_versions", "storage_location")
    for table, column in places:
        place = f"? || substr({column}, instr({column}, '/mlflow_data/'))"
        sql(history, (f"UPDATE {table} SET {column} = {place}", [history.project.folder.as_uri()]))
    return history


@pytest.fixture
def history(audited_template: Path, tmp_path: Path) -> History:
    """ "all at once" is in Production, version 7 in Staging, where register has put it."""
    return copy(audited_template, tmp_path)


def audit(history: History, *words: str, code: int = 0) -> dict:
    return history.answer("audit", *words, code=code)


def kinds(answer: dict) -> list[str]:
    """Those of the findings, each once, in their order."""
    return list(dict.fromkeys(one["kind"] for one in answer["findings"]))


def git(history: History, *words: str) -> str:
    return history.project.run("git", *words).stdout.strip()


def test_of_what_nobody_touched_it_finds_nothing_and_notes_what_was_not_promoted(history: History):
    answer = audit(history)
    assert (answer["findings"], answer["not_looked_at"]) == ([], [])
    assert [(one["kind"], one["about"]) for one in answer["notes"]] == [
        ("not promoted", f"{MODEL}/7"),
        ("not committed", f"{MODEL}/7"),
    ]
    before = history.project.read("dvc.lock"), tags(history), stages(history)
    assert audit(history, "--fix")["mended"] == []
    assert (history.project.read("dvc.lock"), tags(history), stages(history)) == before
    assert "all agrees" in history.told("audit")


# Each edits one thing.


def two_in_production(history: History) -> None:
    sql(history, ("UPDATE model_versions SET current_stage = 'Production' WHERE version = 2",))


def nobody_in_production(history: History) -> None:
    sql(history, ("UPDATE model_versions SET current_stage = 'None' WHERE version = 6",))


def another_in_production(history: History) -> None:
    store = history.project.store
    store.transition_model_version_stage(MODEL, "2", "Production", archive_existing_versions=True)
    store.set_registered_model_alias(MODEL, "production", "2")


def the_promoted_one_in_staging(history: History) -> None:
    history.project.store.transition_model_version_stage(MODEL, "6", "Staging")


def the_alias_of_production(history: History) -> None:
    history.project.store.set_registered_model_alias(MODEL, "production", "3")


def no_alias_of_production(history: History) -> None:
    history.project.store.delete_registered_model_alias(MODEL, "production")


def the_alias_of_staging(history: History) -> None:
    history.project.store.set_registered_model_alias(MODEL, "staging", "1")


def the_receipt_that_a_version_names(history: History) -> None:
    history.project.store.set_model_version_tag(MODEL, "6", "predictflow.receipt", FIRST)


def a_number_of_what_has_no_receipt(history: History) -> None:
    history.project.store.set_model_version_tag(MODEL, "2", "predictflow.version", "v6.0.0")


def an_md5_of_a_version(history: History) -> None:
    history.project.store.set_model_version_tag(MODEL, "6", f"md5/{FILE}", "f" * 32)


def an_md5_more(history: History) -> None:
    history.project.store.set_model_version_tag(MODEL, "6", "md5/secret.bin", "e" * 32)


def the_content_of_a_version(history: History) -> None:
    content = history.made["first"].content
    history.project.store.set_model_version_tag(MODEL, "6", "predictflow.content", content)


def no_content_of_a_version(history: History) -> None:
    history.project.store.delete_model_version_tag(MODEL, "6", "predictflow.content")


def the_content_of_a_run(history: History) -> None:
    history.project.store.set_tag(history.made[NEWEST].run, "predictflow.content", "d" * 32)


def a_run_in_the_trash(history: History) -> None:
    history.project.store.delete_run(history.made[NEWEST].run)


def a_byte_of_mlflow(history: History) -> None:
    spoil(artifacts(history, history.made[NEWEST]) / "model.ubj")


def a_byte_of_an_old_version(history: History) -> None:
    spoil(artifacts(history, history.made["on a branch"]) / "serving.py")


def a_file_less_in_mlflow(history: History) -> None:
    (artifacts(history, history.made[NEWEST]) / "schema.json").unlink()


def no_folder_in_mlflow(history: History) -> None:
    shutil.rmtree(artifacts(history, history.made[NEWEST]))


def a_run_without_its_model(history: History) -> None:
    shutil.rmtree(artifacts(history, history.made["shallow"]))


def a_byte_of_the_cache(history: History) -> None:
    spoil(cache(history, history.made[NEWEST].md5s[FILE]))


def a_file_less_in_the_cache(history: History) -> None:
    cache(history, history.made[NEWEST].md5s[FILE]).unlink()


def no_list_in_the_cache(history: History) -> None:
    cache(history, folder_md5(history)).unlink()


def a_file_of_mlflow_and_of_the_tree(history: History) -> None:
    """Only the cache has it still."""
    a_byte_of_mlflow(history)
    (history.project.folder / FILE).unlink()
    shutil.copyfile(cache(history, history.made[NEWEST].md5s[FILE]), history.project.folder / FILE)


def a_run_of_a_dead_process(history: History) -> None:
    run(history, os.uname().nodename)


def run(history: History, host: str) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True)
    named = {"host": host, "pid": dead.stdout.decode().strip(), "began": "1.0"}
    own = history.project.store.get_run(history.made[NEWEST].run).info.experiment_id
    told = {f"predictflow.{name}": value for name, value in named.items()}
    history.project.store.create_run(own, tags=told)


def rewrite(history: History, name: str, old: str, new: str) -> None:
    """Write a tag anew, with its own date, and a word of its message changed."""
    text = git(history, "cat-file", "tag", name)
    assert old in text
    done = subprocess.run(
        ["git", "mktag"],
        cwd=history.project.folder,
        input=text.replace(old, new) + "\n",
        env=history.project.env,
        capture_output=True,
        text=True,
        check=True,
    )
    git(history, "update-ref", f"refs/tags/{name}", done.stdout.strip())


def a_receipt_in_other_words(history: History) -> None:
    rewrite(history, SECOND, '"why":null', '"why":"it was my idea"')


def a_receipt_at_another_commit(history: History) -> None:
    first, second = history.made["first"].commit, history.made["other data"].commit
    rewrite(history, SECOND, f"object {second}", f"object {first}")


def a_receipt_deleted(history: History) -> None:
    git(history, "tag", "-d", SECOND)


def a_receipt_deleted_here_and_on_origin(history: History) -> None:
    git(history, "tag", "-d", FIRST)
    git(history, "push", "--quiet", "origin", f":refs/tags/{FIRST}")


def a_receipt_without_a_message(history: History) -> None:
    git(history, "tag", "-f", SECOND, history.made["other data"].commit)


def a_receipt_without_its_body(history: History) -> None:
    git(history, "tag", "-f", "-a", "-m", "by hand", SECOND, history.made["other data"].commit)


def a_registration_deleted(history: History) -> None:
    git(history, "tag", "-d", f"{MODEL}@v6.0.0")


def the_last_receipt_in_other_words(history: History) -> None:
    rewrite(history, LAST, '"why":null', '"why":"it was my idea"')


def the_last_receipt_deleted(history: History) -> None:
    git(history, "tag", "-d", LAST)


def the_last_receipts_deleted_here_and_on_origin(history: History) -> None:
    for name in (LAST, f"{MODEL}@v6.0.0"):
        git(history, "tag", "-d", name)
        git(history, "push", "--quiet", "origin", f":refs/tags/{name}")


def the_last_receipts_deleted_everywhere_but_in_what_this_clone_knows(history: History) -> None:
    the_last_receipts_deleted_here_and_on_origin(history)
    git(history, "push", "--quiet", "origin", f":refs/receipts/{MODEL}")
    named = "'predictflow.version', 'predictflow.receipt'"
    sql(history, (f"DELETE FROM model_version_tags WHERE version = 6 AND key IN ({named})",))


def a_receipt_deleted_on_origin(history: History) -> None:
    git(history, "push", "--quiet", "origin", f":refs/tags/{SECOND}")


MENDED: list[tuple[Callable[[History], None], list[str], bool]] = [
    (two_in_production, ["stage", "alias"], True),
    (nobody_in_production, ["stage", "alias"], True),
    (another_in_production, ["stage"], True),
    (the_promoted_one_in_staging, ["stage", "alias"], True),
    (the_alias_of_production, ["alias"], True),
    (no_alias_of_production, ["alias"], True),
    (the_alias_of_staging, ["alias"], False),
    (the_receipt_that_a_version_names, ["tag"], False),
    (a_number_of_what_has_no_receipt, ["tag"], False),
    (an_md5_of_a_version, ["tag"], True),
    (an_md5_more, ["tag"], True),
    (the_content_of_a_version, ["content", "stage", "tag", "version", "duplicate"], True),
    (no_content_of_a_version, ["content", "stage", "tag", "version"], True),
    (the_content_of_a_run, ["content"], True),
    (a_run_in_the_trash, ["run"], True),
    (a_byte_of_mlflow, ["files"], True),
    (a_byte_of_an_old_version, ["files"], False),
    (a_file_less_in_mlflow, ["files"], True),
    (no_folder_in_mlflow, ["files"], True),
    (a_run_without_its_model, ["model"], False),
    (a_byte_of_the_cache, ["cache"], True),
    (a_file_less_in_the_cache, ["cache"], True),
    (no_list_in_the_cache, ["cache"], True),
    (a_file_of_mlflow_and_of_the_tree, ["files"], True),
    (a_run_of_a_dead_process, ["running"], False),
    (a_receipt_in_other_words, ["receipt"], True),
    (a_receipt_at_another_commit, ["receipt"], True),
    (a_receipt_deleted, ["receipt", "origin"], True),
    (a_receipt_deleted_here_and_on_origin, ["receipt"], True),
    (a_receipt_without_a_message, ["receipt"], True),
    (a_receipt_without_its_body, ["receipt", "foreign tag"], True),
    (a_registration_deleted, ["receipt", "origin"], True),
    (the_last_receipt_in_other_words, ["receipt"], True),
    (the_last_receipt_deleted, ["receipt", "origin", "stage"], True),
    (the_last_receipts_deleted_here_and_on_origin, ["receipt", "stage"], True),
    (the_last_receipts_deleted_everywhere_but_in_what_this_clone_knows, ["receipt", "stage"], True),
    (a_receipt_deleted_on_origin, ["origin"], True),
]
GROUPS = [MENDED[:2], *(MENDED[start : start + 6] for start in range(2, len(MENDED), 6))]


@pytest.mark.parametrize(
    "group",
    [GROUPS[0], *(pytest.param(group, marks=pytest.mark.real) for group in GROUPS[1:])],
    ids=lambda group: group[0][0].__name__,
)
def test_what_is_proven_is_found_and_mended_one_edit_at_a_time(history: History, group):
    """Some edits share a project: after each mend it is shown to be what it was."""
    before = state(history)
    for edit, expected, stops in group:
        edit(history)
        answer = audit(history, code=1)
        assert kinds(answer) == expected, (edit.__name__, answer["findings"])
        history.told("gate", GATE, code=1 if stops else 0)
        answer = audit(history, "--fix")
        assert answer["mended"] and not answer["not_mended"], edit.__name__
        assert state(history) == before, edit.__name__
    history.told("gate", GATE)


def state(history: History) -> tuple:
    """Who is in which stage, and the receipts."""
    inside = {stage: sorted(numbers) for stage, numbers in stages(history).items()}
    return inside, git(history, "for-each-ref", "refs/tags")


# What takes a decision is left, and its cure is a command that is taken here.


def a_provenance_in_the_tree(history: History) -> None:
    spoil(history.project.folder / PROVENANCE)


def another_provenance_committed(history: History) -> None:
    spoil(history.project.folder / PROVENANCE)
    git(history, "commit", "--quiet", "--all", "-m", "forged")


def a_model_file_in_the_tree(history: History) -> None:
    spoil(history.project.folder / FILE)


def a_file_less_in_the_tree(history: History) -> None:
    (history.project.folder / FILE).unlink()


def a_file_more_in_the_tree(history: History) -> None:
    (history.project.folder / "models/churn-predictor/model.skops").write_bytes(b"forged")


def byte_code_in_the_tree(history: History) -> None:
    folder = history.project.folder / "models/churn-predictor/__pycache__"
    folder.mkdir()
    (folder / "serving.cpython-311.pyc").write_bytes(b"compiled")


def a_file_more_in_mlflow(history: History) -> None:
    (artifacts(history, history.made[NEWEST]) / "model.skops").write_bytes(b"forged")


def a_tag_of_gto(history: History) -> None:
    git(history, "tag", "-a", "-m", "by hand", f"{MODEL}#production#9", history.made["first"].commit)


def a_tag_without_a_message(history: History) -> None:
    git(history, "tag", f"{MODEL}#production#9", history.made["first"].commit)


def a_version_less(history: History) -> None:
    history.project.store.delete_model_version(MODEL, "1")


DECISIONS: list[tuple[Callable[[History], None], str, bool]] = [
    (a_provenance_in_the_tree, "tree", True),
    (another_provenance_committed, "tree", True),
    (a_model_file_in_the_tree, "tree", True),
    (a_file_less_in_the_tree, "tree", True),
    (a_file_more_in_the_tree, "tree", True),
    (byte_code_in_the_tree, "tree", True),
    (a_file_more_in_mlflow, "files", True),
    (a_tag_of_gto, "foreign tag", True),
    (a_tag_without_a_message, "receipt", True),
    (a_version_less, "version", False),
]
SOME = [
    DECISIONS[:2],
    *(pytest.param(some, marks=pytest.mark.real) for some in (DECISIONS[2:6], DECISIONS[6:])),
]


@pytest.mark.parametrize("group", SOME, ids=lambda group: group[0][0].__name__)
def test_what_takes_a_decision_is_found_and_left_with_its_cure(history: History, group):
    for edit, kind, stops in group:
        edit(history)
        (found,) = audit(history, code=1)["findings"]
        assert (found["kind"], found["fixable"]) == (kind, False), edit.__name__
        history.told("gate", GATE, code=1 if stops else 0)
        answer = audit(history, "--fix", code=1)
        assert (answer["findings"], answer["mended"]) == ([found], []), edit.__name__
        command = found["cure"].split("`")[1]
        if command.startswith("predictflow "):
            history.told(*command.split()[1:])
        else:
            history.project.run("sh", "-c", command)
        audit(history)
    history.told("gate", GATE)


def test_two_versions_of_one_content_are_told_and_one_is_deleted_by_hand(history: History):
    store = history.project.store
    (version,) = [one for one in history.project.versions() if one.version in (4, "4")]
    copied = {name: value for name, value in version.tags.items() if not name.startswith("mlflow")}
    made = store.create_model_version(MODEL, version.source, version.run_id, tags=copied)
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert (found["kind"], found["about"]) == ("duplicate", f"{MODEL}/{made.version} and {MODEL}/4")
    store.delete_model_version(MODEL, made.version)
    audit(history)


def test_a_tag_rewritten_on_origin_is_told_and_origin_stays_as_it_is(history: History):
    here = git(history, "rev-parse", f"refs/tags/{SECOND}")
    a_receipt_in_other_words(history)
    git(history, "push", "--quiet", "--force", "origin", f"refs/tags/{SECOND}")
    forged = git(history, "rev-parse", f"refs/tags/{SECOND}")
    git(history, "update-ref", f"refs/tags/{SECOND}", here)
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert (found["kind"], found["about"]) == ("receipt", SECOND)
    assert "git push --force origin" in found["cure"]
    assert git(history, "ls-remote", "origin", f"refs/tags/{SECOND}").split()[0] == forged
    history.told("gate", GATE, code=1)


def forge(history: History, name: str, to: str, edit: Callable[[dict], object], signature: str = "") -> None:
    """Make by hand the tag that would follow the last one: the body of another, edited, under a new name."""
    body = json.loads(git(history, "for-each-ref", "--format=%(contents:body)", f"refs/tags/{name}"))
    last = git(
        history, "for-each-ref", "--format=%(objectname) %(taggerdate:unix)", f"refs/tags/{LAST}"
    ).split()
    time = int(last[1]) + 60
    body |= {"from": 6, "previous": {"tag": LAST, "object": last[0]}, "when": moment(time)}
    edit(body)
    head = f"object {body['commit']}\ntype commit\ntag {to}\ntagger {body['who']} {time} +0000\n\n"
    text = f"{head}{MODEL} version {body['version']}\n\n{canonical(body)}\n{signature}"
    made = subprocess.run(
        ["git", "mktag"],
        cwd=history.project.folder,
        input=text.encode(),
        env=history.project.env,
        capture_output=True,
        check=True,
    )
    git(history, "update-ref", f"refs/tags/{to}", made.stdout.decode().strip())


def refuse(body: dict) -> None:
    body["decision"] |= {"passed": False, "against": body["decision"]["reasons"][:1]}


FORGED = {
    "copied": (lambda body: None, "decision.numbers.comparison.content", ""),
    "decision null": (lambda body: body.update(decision=None), "decision: there is none", ""),
    "refused, and not forced": (refuse, "decision.forced: it is False", ""),
    "a better AUC": (
        lambda body: body["decision"]["numbers"]["metrics"].update(roc_auc=0.99),
        "decision.numbers.metrics.roc_auc: it is 0.99",
        "",
    ),
    "a bogus signature": (
        lambda body: None,
        "decision.numbers.comparison.content",
        "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n",
    ),
}


def test_a_forged_promotion_is_told_by_its_field_and_no_fix_follows_it(history: History):
    """Version 3 would be in Production again, by a tag that names the last receipt as it should."""
    forged, before = f"{MODEL}#production#4", git(history, "ls-remote", "origin")
    for form, (edit, field, signature) in FORGED.items():
        forge(history, SECOND, forged, edit, signature)
        answer = audit(history, "--fix", code=1)
        told = [one["told"] for one in answer["findings"] if one["kind"] == "receipt"]
        assert any(sentence.startswith(f"{forged}: {field}") for sentence in told), (form, told)
        assert (answer["mended"], stages(history)["Production"]) == ([], (6,)), form
        assert git(history, "ls-remote", "origin") == before, form
        history.told("gate", GATE, code=1)
        said = history.told("promote", f"{MODEL}/1", "--to", "production", code=1)
        assert "are broken, so no version moves" in said, form
        receipt, *_ = history.answer("history", code=1)["receipts"]
        assert (receipt["tag"], receipt["signed"]) == (forged, False), form
        assert history.answer("history", code=1)["standing"]["production"]["tag"] == LAST, form
        git(history, "tag", "-d", forged)
    audit(history)


def test_a_receipt_of_a_rebuild_that_was_moved_is_told_and_speaks_against_no_deployment(history: History):
    made = history.made[NEWEST]
    with mock.patch.dict(os.environ, history.project.env, clear=True):
        repository = Repository(history.project.folder)
        chain = read_chain(repository, MODEL)
        name = write_rebuild(repository, chain, made.content, made.commit, REBUILD).name
    audit(history)
    rewrite(history, name, f"object {made.commit}", f"object {history.made['first'].commit}")
    (found,) = audit(history, code=1)["findings"]
    assert found["told"].startswith(f"{name}: its commit is {history.made['first'].commit}")
    assert found["cure"].startswith(f"`git tag -d {name}`")
    history.told("gate", GATE)


def test_a_receipt_by_hand_that_git_cannot_tell_from_a_real_one_is_pushed_by_nobody(history: History):
    """Who takes a version out decides nothing, so nothing is to be proven."""
    forged = f"{MODEL}#production!#4"
    forge(history, LAST, forged, lambda body: body.update(action="archived", decision=None))
    (found,) = audit(history, "--fix", code=1)["findings"][:1]
    assert "this clone did not write it" in found["told"] and "`git tag -d" in found["cure"]
    assert stages(history)["Production"] == (6,)
    assert "this clone did not write" in history.told("promote", f"{MODEL}/1", "--to", "staging", code=1)
    assert forged not in git(history, "ls-remote", "origin")
    git(history, "tag", "-d", forged)
    audit(history)


def test_receipts_that_are_broken_for_good_go_on_behind_a_declared_gap(history: History):
    for repository in (history.project.folder, history.project.folder.parent / "origin.git"):
        git(history, "-C", str(repository), "tag", "-d", f"{MODEL}@v6.0.0")
        git(history, "-C", str(repository), "gc", "--quiet", "--prune=now")
    found = audit(history, code=1)["findings"]
    assert {(one["kind"], one["fixable"]) for one in found} == {("receipt", False)}, "no fix has it"
    assert all("--declare-gap" in one["cure"] for one in found)
    assert audit(history, "--fix", code=1)["not_mended"] == []
    assert "goes with a reason" in history.told("audit", "--declare-gap", code=1)
    answer = audit(history, "--declare-gap", "--reason", "a disk was lost")
    assert any("Ada <ada@example.com> has declared a gap" in one["told"] for one in answer["notes"])
    history.told("gate", GATE)
    assert "there is no gap" in history.told("audit", "--declare-gap", "--reason", "again", code=1)
    history.told("promote", f"{MODEL}/1", "--to", "production", "--force", "--reason", "go on")
    audit(history)
    history.told("gate", GATE)
    assert "gap declared: a disk was lost" in history.told("history")


@pytest.mark.real
def test_a_declared_gap_excuses_receipts_that_only_mlflow_still_names_and_their_names_stay(history: History):
    """The last promotion is gone wherever Git could have it: somebody says so, and the receipts go on."""
    before = history.project.store.get_model_version(MODEL, "6").tags
    the_last_receipts_deleted_here_and_on_origin(history)
    git(history, "push", "--quiet", "origin", f":refs/receipts/{MODEL}")
    for name in git(history, "for-each-ref", "--format=%(refname)", "refs/receipts").splitlines():
        git(history, "update-ref", "-d", name)
    git(history, "reflog", "expire", "--expire=now", "--all")
    git(history, "gc", "--quiet", "--prune=now")
    answer = audit(history, "--fix", code=1)
    told = {one["about"] for one in answer["findings"] if one["kind"] == "receipt"}
    assert (told, answer["mended"]) == ({LAST, f"{MODEL}@v6.0.0"}, [])
    audit(history, "--declare-gap", "--reason", "a disk was lost", code=1)  # who stands where is to be mended
    assert stages(history)["Production"] == (6,)
    audit(history, "--fix")
    assert stages(history)["Production"] == (3,), "what the receipts have left"
    assert history.project.store.get_model_version(MODEL, "6").tags == before, "no evidence is erased"
    history.told("promote", number(history, NEWEST), "--to", "production")
    assert history.answer("history")["standing"]["production"]["tag"] == f"{MODEL}#production#4", "a new name"
    audit(history)
    history.told("gate", GATE)


@pytest.mark.real
def test_without_an_origin_a_receipt_is_proven_by_the_one_behind_it_and_the_last_by_what_the_clone_knows(
    history: History,
):
    before = git(history, "for-each-ref", "refs/tags")
    git(history, "remote", "remove", "origin")
    edits = (a_receipt_in_other_words, a_receipt_deleted, a_receipt_without_a_message)
    for edit in (*edits, the_last_receipt_in_other_words, the_last_receipt_deleted):
        edit(history)
        history.told("gate", GATE, code=1)
        audit(history, "--fix")
        assert git(history, "for-each-ref", "refs/tags") == before
    git(history, "update-ref", "-d", f"refs/receipts/{MODEL}")
    rewrite(history, LAST, '"who":"Ada', '"who":"Eve')
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert "its body says Eve <ada@example.com> wrote it" in found["told"]


def test_a_receipt_that_git_has_thrown_away_comes_from_origin(history: History):
    a_receipt_in_other_words(history)
    a_registration_deleted(history)
    git(history, "reflog", "expire", "--expire=now", "--all")
    git(history, "gc", "--quiet", "--prune=now")
    before = git(history, "ls-remote", "origin", "refs/tags/churn*")
    audit(history, "--fix")
    assert git(history, "ls-remote", "origin", "refs/tags/churn*") == before
    history.told("gate", GATE)


def test_a_run_that_another_host_may_be_at_and_a_training_repeated_are_notes(history: History):
    run(history, "another-host")
    store = history.project.store
    once_more = store.create_run("1", tags={"predictflow.content": history.made["first"].content})
    copied = artifacts(history, history.made["first"])
    shutil.copytree(copied, copied.parents[2] / once_more.info.run_id / "artifacts/model")
    store.set_terminated(once_more.info.run_id)
    answer = audit(history, "--fix")
    assert {one["kind"] for one in answer["notes"]} >= {"running", "duplicate"}
    assert answer["mended"] == []


def test_what_this_laptop_has_not_is_a_note_unless_it_stands_in_a_stage(history: History):
    for name in ("first", NEWEST):
        for path in (cache(history, history.made[name].md5s[FILE]), artifacts(history, history.made[name])):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(history.project.folder / "models/churn-predictor")
    answer = audit(history, code=1)
    assert [one["about"] for one in answer["notes"] if one["kind"] == "not here"] == [f"{MODEL}/1"]
    assert [one["about"] for one in answer["findings"] if one["kind"] == "cache"] == [f"{MODEL}/6"]


def test_a_remote_that_has_a_file_gives_it_back(history: History):
    remote = history.project.folder.parent / "remote"
    (history.project.folder / ".dvc/config.local").write_text(
        f"[core]\n    remote = here\n['remote \"here\"']\n    url = {remote}\n"
    )
    shutil.copytree(history.project.folder / ".dvc/cache/files", remote / "files")
    a_byte_of_the_cache(history)
    a_byte_of_mlflow(history)
    a_model_file_in_the_tree(history)
    answer = audit(history, "--fix", code=1)
    assert kinds(answer) == ["tree"]
    history.project.run("dvc", "checkout", "--quiet", "--force", "models/churn-predictor")
    audit(history)


def test_what_cannot_be_looked_at_is_no_agreement(history: History):
    git(history, "config", "remote.origin.url", "/nowhere/at/all.git")
    assert "origin cannot be read" in audit(history, code=2)["not_looked_at"][0]
    the_alias_of_production(history)
    answer = audit(history, "--fix", code=1)
    assert answer["mended"] == [], "origin may have another receipt"
    shutil.rmtree(history.project.folder / "mlflow_data")
    assert len(audit(history, code=2)["not_looked_at"]) == 2


def test_where_nothing_was_ever_promoted_nobody_is_put_out_of_production(history: History):
    git(history, "remote", "remove", "origin")
    git(history, "tag", "-d", *tags(history))
    git(history, "update-ref", "-d", f"refs/receipts/{MODEL}")
    sql(
        history,
        ("DELETE FROM model_version_tags WHERE key IN ('predictflow.receipt', 'predictflow.version')",),
    )
    answer = audit(history, "--fix", code=1)
    (found,) = [one for one in answer["findings"] if one["kind"] == "stage"]
    assert found["cure"] == f"`predictflow promote {MODEL}/6 --to production`, or archived"
    assert stages(history)["Production"] == (6,)


def test_an_audit_is_drawn_with_its_cures(history: History):
    a_model_file_in_the_tree(history)
    the_alias_of_production(history)
    told = " ".join(history.told("audit", code=1).split())
    assert "aliases (1) MLflow's alias production is on churn-predictor/3" in told
    assert "Cure: `predictflow audit --fix`" in told
    assert "Cure: `dvc checkout --force models/churn-predictor`" in told
    assert "churn-predictor: 2 disagreements" in told
    told = " ".join(history.told("audit", "--fix", code=1).split())
    assert told.startswith("mended: churn-predictor/6 is in Production") and "1 disagreement" in told


def test_a_run_that_is_gone_for_good_is_told(history: History):
    made = history.made["first"]
    tables = ("params", "tags", "metrics", "latest_metrics", "runs")  # as `mlflow gc` does
    sql(history, *((f"DELETE FROM {table} WHERE run_uuid = ?", [made.run]) for table in tables))
    (found,) = audit(history, "--fix", code=1)["findings"]
    assert (found["kind"], found["about"], found["cure"]) == ("run", f"{MODEL}/1", "`predictflow restore`")
    history.told("restore")
    audit(history)


def in_production(history: History) -> int:
    """Who is in Production, for receipts, MLflow and GTO alike."""
    (version,) = stages(history)["Production"]
    assert history.answer("history")["standing"]["production"]["version"] == version
    assert in_gto(history)["production"] == f"v{version}.0.0"
    return version


KILLS = {
    **POINTS,
    "after the first of the version's tags": (
        "from mlflow import MlflowClient as Client; "
        "Client.set_model_version_tag = after(Client.set_model_version_tag)"
    ),
}
QUICK = ("after the first receipt", "after the push", "between stage and alias")
PROMOTE = ("promote", f"{MODEL}/4", "--to", "production")
ROLLBACK = ("rollback",)
ARCHIVE = ("promote", f"{MODEL}/6", "--to", "archived")


@pytest.mark.real
@pytest.mark.parametrize(
    "point", [point if point in QUICK else pytest.param(point, marks=pytest.mark.slow) for point in KILLS]
)
@pytest.mark.parametrize(
    ("asked", "new"),
    [
        (PROMOTE, 4),
        pytest.param(ROLLBACK, 3, marks=pytest.mark.slow),
        pytest.param(ARCHIVE, None, marks=pytest.mark.slow),
    ],
    ids=["promote", "rollback", "archived"],
)
def test_a_kill_leaves_the_old_state_or_the_new_one_once_it_is_mended(history: History, asked, new, point):
    if asked is ARCHIVE and point == "between stage and alias":
        pytest.skip("it sets no alias")
    kill(history.project, PROMOTING.format(point=KILLS[point]), *asked)
    audit(history, "--fix")
    audit(history)
    standing = history.answer("history")["standing"]["production"]
    assert (standing and standing["version"]) in (6, new)
    if standing:
        assert in_production(history) == standing["version"]
        history.told("gate", GATE)
    else:
        assert "Production" not in stages(history)
    there = git(history, "ls-remote", "origin", "refs/tags/churn*").splitlines()
    assert sorted(line.split("refs/tags/")[1] for line in there if not line.endswith("^{}")) == tags(history)


# Imports all that it needs, says so, and promotes when it is told to.
RUNNER = """
import sys
import mlflow
from predictflow import cli
from predictflow.promotion import evidence, transition
print("ready", flush=True)
sys.stdin.readline()
sys.exit(cli.run(sys.argv[1:]))
"""


def at_once(*asked: tuple[History, str]) -> dict[str, tuple[int, str]]:
    """Promote versions to Production at the same moment, each in a process of its own: by version its exit
    code, and what it said."""
    commands = [
        (
            [history.project.python, "-c", RUNNER, "promote", version, "--to", "production"],
            history.project.folder,
            history.project.env,
        )
        for history, version in asked
    ]
    ended = at_the_same_moment(commands)
    return {
        version: (code, " ".join(said.split()))
        for (_, version), (code, said) in zip(asked, ended, strict=True)
    }


ROUNDS = [1, pytest.param(5, marks=pytest.mark.slow)]


@pytest.mark.real
@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("clones", [1, 2])
def test_of_two_promotions_at_the_same_moment_one_wins_or_both_follow_each_other(
    audited_template: Path, tmp_path: Path, rounds: int, clones: int
):
    laptops = []
    for name in ("one", "two")[:clones]:
        (tmp_path / name).mkdir()
        laptops.append(copy(audited_template, tmp_path / name))
    for laptop in laptops[1:]:
        git(laptop, "config", "remote.origin.url", str(tmp_path / "one/origin.git"))
    for turn in range(rounds):
        versions = [f"{MODEL}/{4 + turn % 2}", f"{MODEL}/{1 + turn % 2}"]
        before = tags(laptops[0])
        ended = at_once((laptops[0], versions[0]), (laptops[-1], versions[1]))
        losers = {version: told for version, told in ended.items() if told[0]}
        assert len(losers) < 2, ended
        for laptop in laptops:
            audit(laptop, "--fix")
            audit(laptop)
            laptop.told("gate", GATE)
        assert in_production(laptops[0]) == in_production(laptops[-1])
        assert tags(laptops[0]) == tags(laptops[-1])
        promoted = [name for name in tags(laptops[0]) if name not in before and "#production#" in name]
        assert len(promoted) == 2 - len(losers)
        for version, (code, said) in losers.items():
            assert code == 1 and "was quicker" in said
            assert version != f"{MODEL}/{in_production(laptops[0])}"


def test_notes_that_differ_in_a_name_alone_are_told_once(capsys):
    runs = ["aa11", "bb22", "cc33", "dd44"]
    notes = [
        {"kind": "not here", "about": run, "told": f"run {run} has no files", "cure": "fetch"} for run in runs
    ]
    empty = {"mended": [], "not_mended": [], "findings": [], "not_looked_at": []}
    _draw(empty | {"model": "churn-predictor", "notes": notes})
    first, others, _ = capsys.readouterr().out.splitlines()
    assert first == "note: run aa11 has no files (fetch)"
    assert others == "note: so it is with bb22, cc33 and 1 more"
    _draw(empty | {"model": "churn-predictor", "notes": notes[:2]})
    assert capsys.readouterr().out.splitlines()[:2] == [first, "note: run bb22 has no files (fetch)"]
