"""Nothing in stages/ depends on the last bit of a number, or on the order of equals, where CPUs disagree.

Between x86-64 and aarch64 were seen to differ: numpy's exp, log, power and their like (by 1 to 3 units in
the last place), all that BLAS adds up, and the order in which an unstable sort leaves equal values. So what
they give is rounded in the expression that asks for it, and a sort that has ties to order is a stable one.
Python's own math, sqrt, sums, means and a sort of plain values gave the same bits.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.declared import REPOSITORY, in_git, syntax

INEXACT = {
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "logaddexp2", "power"),
    *("float_power", "cbrt", "sinh", "cosh", "arcsinh", "arccosh", "arctanh"),
    *("dot", "vdot", "inner", "outer", "matmul", "tensordot", "einsum", "kron", "convolve", "correlate"),
    *("corr", "corrcoef", "cov", "polyfit", "polyval", "ndtri", "predict_proba", "decision_function"),
}
LINEAR_ALGEBRA = "linalg"
STABLE_IF_ASKED = {"argsort", "sort_values", "sort_index"}
UNSTABLE = {"argpartition", "nlargest", "nsmallest"}
ROUNDING = {"round", "around", "rint"}
PYTHONS_OWN = {"math", "statistics"}
# Function: why what it gives may be inexact. The list may only get shorter.
EXCUSED = {
    "stages/model/serving.py:_skops": "evaluate rounds what a model gives to 9 decimals",
    "stages/model/families.py:curve": "train rounds the learning curve to 6 decimals as it writes it",
}


def breaches(path: str, tree: ast.AST) -> Iterator[str]:
    """What a file asks for that differs between CPUs, each with its function and its line."""
    for node, above in _walk(tree, ()):
        wrong = _wrong(node)
        rounded = any(isinstance(outer, ast.Call) and _name(outer.func) in ROUNDING for outer in above)
        if wrong and not (rounded and wrong != "is not stable"):
            functions = [outer.name for outer in above if isinstance(outer, ast.FunctionDef)]
            place = f"{path}:{functions[-1] if functions else ''}"
            if place not in EXCUSED:
                yield f"{place}, line {node.lineno}: {ast.unparse(node)} {wrong}"


def _walk(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """Each node with those that it stands in."""
    yield node, above
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, (*above, node))


def _wrong(node: ast.AST) -> str | None:
    if isinstance(node, ast.BinOp | ast.AugAssign):
        if isinstance(node.op, ast.MatMult):
            return "is not rounded"
        if isinstance(node.op, ast.Pow) and isinstance(node, ast.BinOp):
            return None if _constant(node.left) and _constant(node.right) else "is not rounded"
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name in UNSTABLE or (name in STABLE_IF_ASKED and not _stable(node)):
            return "is not stable"
    if isinstance(node, ast.ImportFrom) and node.module not in PYTHONS_OWN:
        return "is not rounded" if any(alias.name in INEXACT for alias in node.names) else None
    if isinstance(node, ast.Attribute):  # without a call, too: it would be called elsewhere
        owner = _name(node.value)
        if owner == LINEAR_ALGEBRA or (node.attr in INEXACT and owner not in PYTHONS_OWN):
            return "is not rounded"
    return None


def _name(node: ast.AST) -> str | None:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _constant(node: ast.AST) -> bool:
    """A number, or a name of one: Python works it out, not numpy."""
    if isinstance(node, ast.UnaryOp):
        return _constant(node.operand)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _stable(call: ast.Call) -> bool:
    """Whether a sort keeps equals in their order: it says so, or goes by several columns (lexsort)."""
    if any(isinstance(by, ast.List) and len(by.elts) > 1 for by in call.args[:1]):
        return _name(call.func) == "sort_values"
    kinds = [word.value for word in call.keywords if word.arg == "kind"]
    return any(isinstance(kind, ast.Constant) and kind.value == "stable" for kind in kinds)


STAGE_FILES = [path for path in in_git() if path.startswith("stages/") and path.endswith(".py")]


@pytest.mark.parametrize("path", STAGE_FILES)
def test_no_byte_depends_on_what_cpus_disagree_about(path: str):
    assert not list(breaches(path, syntax(REPOSITORY / path)))


def test_an_excuse_is_needed(monkeypatch: pytest.MonkeyPatch):
    excused = dict(EXCUSED)
    monkeypatch.setattr(f"{__name__}.EXCUSED", {})
    found = [told for path in STAGE_FILES for told in breaches(path, syntax(REPOSITORY / path))]
    assert {told.partition(", line")[0] for told in found} == excused.keys()


@pytest.mark.parametrize(
    "code",
    [
        "order = np.argsort(-probabilities)",
        "order = probabilities.argsort(kind='quicksort')",
        "frame.sort_values('roc_auc')",
        "frame.sort_values(['roc_auc'])",
        "frame.sort_index()",
        "top = np.argpartition(probabilities, 10).round()",
        "odds = np.log(probabilities / (1 - probabilities))",
        "from numpy import exp\nodds = exp(margins)",
        "odds = frame.apply(np.exp)",
        "scores = features @ weights",
        "scores = features.dot(weights)",
        "scores += features @ weights",
        "weights = np.linalg.solve(a, b)",
        "roots = values ** 0.3",
        "loss = -(target * np.log(p)).mean()",
        "probabilities = model.predict_proba(rows)[:, 1]",
    ],
)
def test_a_breach_is_noticed(code: str):
    assert list(breaches("stages/train.py", ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "order = np.argsort(-probabilities, kind='stable')",
        "frame.sort_values(['roc_auc', 'column'])",
        "names = sorted(names)",
        "np.sort(ids).tofile(file)",
        "odds = np.round(np.log(probabilities), 9)",
        "scores = (features @ weights).round(9)",
        "import math\nodds = math.exp(margin)",
        "NOBODY = 1 + 10**-DECIMALS",
        "spread = np.sqrt(variance)",
    ],
)
def test_what_is_the_same_everywhere_is_let_through(code: str):
    assert not list(breaches("stages/train.py", ast.parse(code)))
