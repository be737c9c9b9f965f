"""What the project declares about itself, read once from its files, and its Python files as syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parents[1]
STAGES = REPOSITORY / "stages"


def yaml(path: str) -> Any:
    """A YAML file as DVC reads it: YAML 1.2, a bare Yes is text."""
    return YAML(typ="safe", pure=True).load((REPOSITORY / path).read_text(encoding="utf-8"))


def text(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def in_git() -> list[str]:
    """The paths that Git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, text=True
    )
    return [path for path in listed.stdout.split("\0") if path and (REPOSITORY / path).exists()]


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> set[str]:
    """The dotted names that a module imports, anywhere in it: `from a import b` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert not node.level, f"a relative import of {module}: say from where"
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def closure(stage: str) -> set[str]:
    """The files inside stages/ that running `python -m stages.<stage>` can import."""
    found: set[str] = set()
    waiting = [f"stages.{stage}"]
    while waiting:
        name = waiting.pop()
        if "." in name:
            waiting.append(name.rpartition(".")[0])  # a module's packages are imported before it
        for end in (".py", "/__init__.py"):
            path = name.replace(".", "/") + end
            if path not in found and (REPOSITORY / path).is_file():
                found.add(path)
                waiting += [name for name in imports(syntax(REPOSITORY / path)) if name.startswith("stages")]
    return found


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{dotted name: value} of nested dicts, whose own keys may be dotted as well."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{prefix}.{key}".removeprefix("."))
    return found


def covers(declared: str, key: str) -> bool:
    """Whether a declared key is `key` or a block that holds it."""
    return key == declared or key.startswith(f"{declared}.")
