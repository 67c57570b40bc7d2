"""The house: which room may import which. documents -> views -> training -> recall -> hub, and never back."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hf_knowlearn"

# Room -> what of ours it may import. A dotted name allows that module of the room and no other.
ALLOWED: dict[str, set[str]] = {
    "knowledge_recall": set(),
    "documents": {"knowledge_recall.scoring"},
    "worlds": {"documents"},
    "views": {"documents"},
    "format_aug": {"documents", "views"},
    "training": set(),
    "recall": {"documents", "views", "knowledge_recall"},
    "hub": set(),
}
# Calls the rooms, may import every one of them, and is imported by none.
CORRIDOR = {
    "arguments",
    "checkpoints",
    "cli",
    "harness",
    "lab",
    "allocating",
    "loading",
    "material",
    "measure",
    "options",
    "outputs",
    "plan",
    "progress",
    "provenance",
    "publishing",
    "recipe",
    "reporting",
    "results",
    "self_replay",
    "stages",
    "teach",
    "tour",
    "use",
}
# Imports nothing of ours; anyone may import it.
LEAVES = {"paths", "__version__"}


def modules(package: Path) -> dict[str, Path]:
    """Every module of the package by its name within it: `views.formats`, `documents`, and `` for the package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class WhatRuns(ast.NodeTransformer):
    """Drops what is imported for types alone."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports(package: Path, module: str, path: Path, for_types: bool = True) -> Iterator[str]:
    """Absolute names of all that a module imports, wherever it does so: at the top, in a function, for types."""
    inside = [package.name, *module.split(".")] if module else [package.name]
    if path.name != "__init__.py":
        inside.pop()  # relative imports start from the folder
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if for_types else WhatRuns().visit(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else []
            source = ".".join([*start, *(node.module or "").split(".")]).rstrip(".")
            # `from hf_knowlearn import views` imports a room; `from hf_knowlearn.views import View` a name of it.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def imports_of_ours(package: Path, module: str, path: Path) -> set[str]:
    prefix = f"{package.name}."
    return {name.removeprefix(prefix) for name in imports(package, module, path) if f"{name}.".startswith(prefix)}


def is_within(name: str, allowed: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{entry}.") for entry in allowed)


def violations(package: Path) -> list[str]:
    found = []
    for module, path in modules(package).items():
        room = module.split(".")[0]
        if room in {"", *CORRIDOR}:  # the package's own __init__ names what is public, from every room
            continue
        allowed = {room, *LEAVES, *ALLOWED[room]} if room in ALLOWED else set()
        names = sorted(imports_of_ours(package, module, path))
        found += [f"{module} imports {name}" for name in names if not is_within(name, allowed)]
    return found


def circles(package: Path) -> set[str]:
    """The modules that import each other in a loop, or wait for one; what is imported for types alone ties nothing."""
    found = modules(package)
    waiting = {}
    for module, path in found.items():
        names = {name.removeprefix(f"{package.name}.") for name in imports(package, module, path, for_types=False)}
        # `views.View` is a name of the module `views`, `views.formats` a module of its own.
        waiting[module] = {name if name in found else name.rpartition(".")[0] for name in names} & {*found} - {
            "",
            module,
        }
    while ready := {module for module, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {module: needed for module, needed in waiting.items() if module not in ready}
    return {*waiting}


def test_no_module_imports_another_in_a_loop():
    assert circles(PACKAGE) == set()


def test_a_loop_is_caught_wherever_its_imports_stand(tmp_path):
    package = package_of(tmp_path, "recall/ask.py", "def f():\n    from hf_knowlearn.recall.score import g")
    (package / "recall" / "score.py").write_text("from hf_knowlearn.recall.ask import f")
    assert circles(package) == {"recall.ask", "recall.score"}
    only_for_types = "if TYPE_CHECKING:\n    from hf_knowlearn.recall.ask import f"
    (package / "recall" / "score.py").write_text(only_for_types)
    assert circles(package) == set()


def test_every_module_stands_in_the_table():
    rooms = {module.split(".")[0] for module in modules(PACKAGE)} - {""}
    assert rooms - CORRIDOR - LEAVES == set(ALLOWED)


def test_a_room_imports_only_what_the_table_allows():
    assert violations(PACKAGE) == []


def test_the_table_has_no_two_rooms_that_import_each_other():
    before: set[str] = set()
    waiting = {room: {name.split(".")[0] for name in allowed} for room, allowed in ALLOWED.items()}
    while ready := [room for room, allowed in waiting.items() if allowed <= before]:
        before.update(ready)
        waiting = {room: allowed for room, allowed in waiting.items() if room not in before}
    assert not waiting


@pytest.mark.parametrize(
    ("file", "line", "violation"),
    [
        ("views/order.py", "from hf_knowlearn.training import SAMConfig", "views.order imports training.SAMConfig"),
        ("views/order.py", "from ..recall import ask", "views.order imports recall.ask"),
        ("views/__init__.py", "from ..recall import ask", "views imports recall.ask"),
        ("training/sam.py", "import hf_knowlearn.documents", "training.sam imports documents"),
        ("training/sam.py", "def f():\n    from hf_knowlearn import documents", "training.sam imports documents"),
        ("recall/ask.py", "from hf_knowlearn import cli", "recall.ask imports cli"),
        ("recall/ask.py", "from hf_knowlearn import Document", "recall.ask imports Document"),
        ("recall/ask.py", "import hf_knowlearn", "recall.ask imports hf_knowlearn"),
        ("documents.py", "from .knowledge_recall import words", "documents imports knowledge_recall.words"),
        ("paths.py", "from .documents import Document", "paths imports documents.Document"),
        ("helpers.py", "from .documents import Document", "helpers imports documents.Document"),
    ],
)
def test_an_import_against_the_table_is_caught(tmp_path, file, line, violation):
    assert violations(package_of(tmp_path, file, line)) == [violation]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("views/order.py", "from hf_knowlearn.documents import Document"),
        ("views/order.py", "from . import formats"),
        ("views/order.py", "from .. import paths"),
        ("views/__init__.py", "from .order import order_views"),
        ("documents.py", "from hf_knowlearn.knowledge_recall import scoring"),
        ("training/sam.py", "import torch, hf_knowlearner.documents"),
        ("recall/ask.py", "from hf_knowlearn import __version__"),
        ("cli.py", "from hf_knowlearn.recall import ask"),
        ("__init__.py", "from hf_knowlearn.training import SAMConfig"),
    ],
)
def test_an_import_the_table_allows_is_let_through(tmp_path, file, line):
    assert violations(package_of(tmp_path, file, line)) == []


def package_of(folder: Path, file: str, text: str) -> Path:
    path = folder / "hf_knowlearn" / file
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return folder / "hf_knowlearn"


def test_scoring_imports_the_standard_library_only():
    # It is published with the metric, and runs where neither this package nor evaluate is installed.
    names = list(imports(PACKAGE, "knowledge_recall.scoring", PACKAGE / "knowledge_recall" / "scoring.py"))
    assert names
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_views_and_documents_wait_for_no_deep_learning_library():
    allowed = {*sys.stdlib_module_names, "hf_knowlearn"}
    documents = {"bs4", "datasets", "datasketch", "markitdown", "pyarrow"}  # within functions, for what needs them
    for room, more in {"views": {"sentencex"}, "documents": documents}.items():
        inside = {m: path for m, path in modules(PACKAGE).items() if is_within(m, {room})}
        assert inside
        roots = {name.split(".")[0] for module, path in inside.items() for name in imports(PACKAGE, module, path)}
        assert roots <= allowed | more
