"""dvc.yaml says all that decides a stage's bytes, and nothing else."""

import ast
import re
import sys
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name

from predictflow.tuning.declaration import Tune
from stages.support.environment import pins
from tests.contract import asked
from tests.declared import (
    REPOSITORY,
    STAGES,
    closure,
    covers,
    imports,
    leaves,
    syntax,
    text,
    yaml,
)

PIPELINE = yaml("dvc.yaml")
PARAMS = yaml("params.yaml")
NAMES = list(PIPELINE["stages"])
MODULES = sorted(STAGES.rglob("*.py"))
PROVIDERS = metadata.packages_distributions()  # of each module that can be imported
# Where a run is logged changes no byte of the model or its numbers, so it makes neither of them stale.
CHANGES_NO_BYTE = {  # or is named otherwise: the customers by the stage's deps
    "prepare": "customers",
    "train": "tracking",
    "evaluate": "tracking",
}


def outputs(stage: dict) -> list[str]:
    listed = stage.get("outs", []) + stage.get("metrics", []) + stage.get("plots", [])
    return [next(iter(out)) if isinstance(out, dict) else out for out in listed]


def declared(name: str) -> set[str]:
    """The keys of params.yaml that a stage declares; the chosen model's block is `models.*`."""
    return {re.sub(r"\$\{.*?\}", "*", key) for key in PIPELINE["stages"][name]["params"]}


def keys_asked(name: str) -> set[str]:
    return set().union(*(asked.keys(REPOSITORY / path) for path in closure(name)))


def test_the_pipeline_is_prepare_train_evaluate_and_register():
    assert NAMES == ["prepare", "train", "evaluate", "register"]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_says_in_a_sentence_what_it_does(name):
    told = PIPELINE["stages"][name]["desc"]
    assert told.endswith(".") and len(told.split()) > 5


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_runs_its_module_without_arguments(name):
    assert PIPELINE["stages"][name]["cmd"] == f"python -m stages.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_code_that_a_stage_depends_on_is_the_import_closure_of_its_module(name):
    deps = {dep for dep in PIPELINE["stages"][name]["deps"] if dep.startswith("stages/")}
    needed = closure(name)
    assert deps == needed, f"missing: {sorted(needed - deps)}, too many: {sorted(deps - needed)}"


@pytest.mark.parametrize("name", NAMES)
def test_what_else_a_stage_depends_on_is_the_environment_and_data(name):
    made = {"${customers}"} | {out for stage in PIPELINE["stages"].values() for out in outputs(stage)}
    others = {dep for dep in PIPELINE["stages"][name]["deps"] if not dep.startswith("stages/")}
    assert "requirements.lock" in others
    assert others - {"requirements.lock"} <= made
    assert others & made, "it reads no data"


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_lists_its_dependencies_params_and_outputs_sorted(name):
    stage = PIPELINE["stages"][name]
    for key in ("deps", "params"):
        assert stage[key] == sorted(stage[key])
    for listed in ({"outs": stage["outs"]}, {"metrics": stage.get("metrics", [])}):
        assert outputs(listed) == sorted(outputs(listed))


def test_every_module_of_the_stages_is_imported_by_one():
    used = set().union(*map(closure, NAMES))
    assert {path.relative_to(REPOSITORY).as_posix() for path in MODULES} == used


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STAGES).as_posix())
def test_the_stages_never_import_the_commands(path):
    assert not [name for name in imports(syntax(path)) if name.split(".")[0] in ("predictflow", "tests")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STAGES).as_posix())
def test_nothing_imports_by_a_name_that_only_a_run_knows(path):
    """Or the import closure would not be all there is."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            name = ast.unparse(node.args[0])
            assert name == "f'mlflow.{flavor}'", f"{path.name} imports {name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_param_that_a_stage_asks_for_is_declared(name):
    undeclared = {
        key
        for key in keys_asked(name)
        if not any(covers(declaration, key) for declaration in declared(name))
        and not covers(CHANGES_NO_BYTE.get(name, key + " not excused"), key)
    }
    assert not undeclared


@pytest.mark.parametrize("name", NAMES)
def test_every_param_that_a_stage_declares_is_asked_for(name):
    idle = {
        declaration
        for declaration in declared(name)
        if not any(covers(declaration, key) or covers(key, declaration) for key in keys_asked(name))
    }
    assert not idle


@pytest.mark.parametrize("name", NAMES)
def test_every_param_that_is_asked_for_or_declared_is_in_params_yaml(name):
    for key in declared(name) | keys_asked(name):
        value = PARAMS
        for part in key.split("."):
            value = value[PARAMS["train"]["model"] if part == "*" else part]


def test_every_key_of_params_yaml_is_asked_for_by_a_stage_or_by_a_command():
    known = set().union(*map(keys_asked, NAMES)) - {"models.*"} | {
        f"models.{name}" for name in PARAMS["models"]
    }
    known |= asked.keys(REPOSITORY / "predictflow/promotion/policy.py") - {"promote"}
    known |= {f"tune.{key}" for key in Tune.model_fields}
    assert not [key for key in leaves(PARAMS) if not any(covers(asked_for, key) for asked_for in known)]


@pytest.mark.parametrize("name", NAMES)
def test_no_stage_asks_for_or_declares_what_a_promotion_is_decided_by(name):
    """Moving a bar of it retrains and registers nothing."""
    asked_for = keys_asked(name) | declared(name)
    assert asked_for and not [key for key in asked_for if covers("promote", key)]


def test_a_key_that_the_code_hides_is_noticed(tmp_path):
    hidden = {
        "which = 'seed'; return settings[which]": "hides the key",
        "return settings.tree['seed']": "which key",
        "other = settings; return other['seed']": "which key",
    }
    for number, (body, told) in enumerate(hidden.items()):
        module = tmp_path / f"hidden{number}.py"
        module.write_text(f"def f(settings: Params):\n    {body}\n")
        with pytest.raises(AssertionError, match=told):
            asked.keys(module)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STAGES).as_posix())
def test_nothing_in_the_stages_names_a_column_or_category_of_the_customers(path):
    data = PARAMS["data"]
    columns = {data["id"], *data["columns"]}
    words = re.findall(r"\w+", path.read_text(encoding="utf-8"))
    assert not columns & set(words)
    categories = {value for spec in data["columns"].values() for value in spec.get("categories", [])}
    named = {node.value for node in ast.walk(syntax(path)) if isinstance(node, ast.Constant)}
    assert not named & (categories | {data["target"]["column"]})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STAGES).as_posix())
def test_every_package_that_the_stages_import_is_pinned(path):
    """Without the lock it would be no input: another version of it would go unnoticed."""
    pinned = {canonicalize_name(name) for name in pins(text("requirements.lock"))}
    for name in {name.split(".")[0] for name in imports(syntax(path))} - {"stages"}:
        if name not in sys.stdlib_module_names:
            provider = {canonicalize_name(found) for found in PROVIDERS[name]}
            assert provider & pinned, f"{path.name} imports {name}, which requirements.lock does not pin"


def test_the_model_is_an_artifact_of_the_project():
    artifact = PIPELINE["artifacts"]["churn-predictor"]
    assert artifact["path"] == "models/churn-predictor"
    assert artifact["path"] in outputs(PIPELINE["stages"]["train"])
    assert artifact["type"] == "model" and artifact["desc"]
