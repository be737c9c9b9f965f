"""Who looks at what is released: MLflow's stages, Git's tags, GTO."""

import json

from tests.people.history import History


def stages(history: History) -> dict[str, tuple[int, ...]]:
    """{stage: the versions that MLflow has in it}, after holding the aliases to it."""
    found: dict[str, tuple[int, ...]] = {}
    for version in history.project.versions():
        found[version.current_stage] = (*found.get(version.current_stage, ()), int(version.version))
    aliases = history.project.store.get_registered_model("churn-predictor").aliases
    expected = {name.lower(): found[name][0] for name in ("Staging", "Production") if name in found}
    assert {alias: int(number) for alias, number in aliases.items()} == expected
    assert all(len(found.get(name, ())) <= 1 for name in ("Staging", "Production"))
    return found


def tags(history: History) -> list[str]:
    listed = history.project.run("git", "tag", "--list", "churn-predictor*").stdout
    return sorted(listed.split())


def in_gto(history: History) -> dict[str, str]:
    """{stage: version} as GTO says."""
    told = json.loads(history.project.run("gto", "show", "--json").stdout)
    return told["churn-predictor"]["stage"]


def number(history: History, name: str) -> str:
    return f"churn-predictor/{history.made[name].version}"
