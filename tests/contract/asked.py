"""The keys that a stage asks params.yaml for, found in its code.

Read from the code and not from a run: a run sees only the branches it takes and only its own process,
and a stage works in two. What cannot be read from the code fails the test, so nothing slips through.
"""

import ast
from pathlib import Path

from tests.declared import syntax

ASKS_FOR_ONE = {"number", "integer"}
ASKS_FOR_MANY = {"subset"}


def keys(path: Path) -> set[str]:
    """The dotted keys that a module asks a Params for; a part only known when it runs is a `*`.

    Raises AssertionError where a Params is used in a way that hides the key.
    """
    found: set[str] = set()
    for function in ast.walk(syntax(path)):
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            found |= _of_function(function, path)
    return found


def _of_function(function: ast.FunctionDef | ast.Lambda, path: Path) -> set[str]:
    params = _params(function)
    found: set[str] = set()
    understood: set[ast.AST] = set()
    for node in ast.walk(function):
        match node:
            case ast.Subscript(value=ast.Name(id=name) as used, slice=key) if name in params:
                found.add(_key(key, path))
                understood.add(used)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name) as used, attr=method)) if (
                name in params and method in ASKS_FOR_ONE | ASKS_FOR_MANY
            ):
                asked = node.args if method in ASKS_FOR_MANY else node.args[:1]
                found |= {_key(key, path) for key in asked}
                understood.add(used)
            case ast.Call():
                # Handed on whole: whoever takes it says so in its own signature.
                understood |= {value for value in node.args if isinstance(value, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in params:
            assert node in understood, f"{path.name}, line {node.lineno}: which key is asked for here?"
    return found


def _params(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """The names that hold a Params in a function: arguments declared as one, and what `load` gives."""
    arguments = function.args.args + function.args.kwonlyargs
    names = {
        argument.arg
        for argument in arguments
        if argument.annotation is not None and ast.unparse(argument.annotation) in ("Params", "params.Params")
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in ("params.load()", "load()"):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _key(node: ast.expr, path: Path) -> str:
    match node:
        case ast.Constant(value=str() as key):
            return key
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in parts)
    raise AssertionError(f"{path.name}, line {node.lineno}: {ast.unparse(node)} hides the key")
