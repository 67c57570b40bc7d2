"""The architecture: which package may import which, and how large files and functions may be."""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hf_knowlearn"

# Package -> what of ours it may import. A dotted name allows that module of the package and no other.
BELOW_CONFIG = {
    "documents", "evaluation", "format_aug", "generation", "knowledge_recall", "models", "prompts", "training", "views"
}  # fmt: skip
ALLOWED: dict[str, set[str]] = {
    "knowledge_recall": set(),
    "documents": {"knowledge_recall.scoring"},
    "worlds": {"documents"},
    "views": {"documents"},
    "study": {"documents", "views"},
    "prompts": {"documents"},
    "format_aug": {"documents", "prompts", "views"},
    "models": set(),
    "training": set(),
    "generation": {"documents", "models", "prompts"},
    "evaluation": {"documents", "generation", "knowledge_recall", "prompts", "views"},
    "reports": set(),
    "hub": {"reports"},
    "config": BELOW_CONFIG,
    "teach": {*BELOW_CONFIG, "config", "hub", "reports", "study", "worlds"},
    "lab": {*BELOW_CONFIG, "config", "hub", "reports", "teach", "worlds"},
    "commands": {*BELOW_CONFIG, "config", "hub", "lab", "reports", "study", "teach", "worlds"},
}
# The entry point may import every package.
ENTRY = "cli"
# Leaves import nothing of ours but other leaves; every package may import them.
LEAVES = {"__version__", "atomic_files", "console", "counts", "paths", "run_files"}

MOST_MODULES = 7  # beside the packages, `__init__` included
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60  # without blank lines, comments and docstrings
# In all files together, counted in the same way. Why so many: 14,200 lines; 3,400 lines of the structure of documents,
# the rules of sentence order for six languages, and readers of more kinds of files; 2,700 lines of the evaluation
# of chat models: sentences as answers, general knowledge, chat ability, retrieval, guessing, and progress; and 840
# lines of questions made by rule.
MOST_LINES_OF_CODE = 21_200


def modules(package: Path) -> dict[str, Path]:
    """Every module by its name within the package: `views.formats`, `documents`, and `` for the package itself."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class WithoutTypeImports(ast.NodeTransformer):
    """Drops the blocks that are imported for type checkers only."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports(package: Path, module: str, path: Path, for_types: bool = True) -> Iterator[str]:
    """Absolute names of everything a module imports: at the top, in a function, for types."""
    inside = [package.name, *module.split(".")] if module else [package.name]
    if path.name != "__init__.py":
        inside.pop()  # relative imports start from the folder
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree if for_types else WithoutTypeImports().visit(tree)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else []
            source = ".".join([*start, *(node.module or "").split(".")]).rstrip(".")
            # `from hf_knowlearn import views` imports a package, `from hf_knowlearn.views import View` a name of it.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def imports_of_ours(package: Path, module: str, path: Path) -> set[str]:
    prefix = f"{package.name}."
    return {name.removeprefix(prefix) for name in imports(package, module, path) if f"{name}.".startswith(prefix)}


def is_within(name: str, allowed: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{entry}.") for entry in allowed)


def violations(package: Path) -> list[str]:
    found = []
    for module, path in modules(package).items():
        top = module.split(".")[0]
        if top in {"", ENTRY}:  # the package's own __init__ names what is public, from every package
            continue
        allowed = {top, *LEAVES, *ALLOWED[top]} if top in ALLOWED else LEAVES
        names = sorted(imports_of_ours(package, module, path))
        found += [f"{module} imports {name}" for name in names if not is_within(name, allowed)]
    return found


def cycles(package: Path) -> set[str]:
    """The modules in an import cycle, or that import one; imports for type checkers do not count."""
    found = modules(package)
    waiting = {}
    for module, path in found.items():
        names = {name.removeprefix(f"{package.name}.") for name in imports(package, module, path, for_types=False)}
        # `views.View` is a name of the module `views`, `views.formats` a module of its own.
        imported = {name if name in found else name.rpartition(".")[0] for name in names}
        waiting[module] = imported & {*found} - {"", module}
    while ready := {module for module, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {module: needed for module, needed in waiting.items() if module not in ready}
    return {*waiting}


def lines_of_code(path: Path) -> set[int]:
    """The numbers of the lines that hold code: not blank, no comment, no docstring."""
    source = path.read_text(encoding="utf-8")
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            lines -= {*range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}
    return lines


def test_no_module_is_in_an_import_cycle():
    assert cycles(PACKAGE) == set()


def test_a_cycle_is_found_wherever_its_imports_are(tmp_path):
    package = package_of(tmp_path, "evaluation/ask.py", "def f():\n    from hf_knowlearn.evaluation.score import g")
    (package / "evaluation" / "score.py").write_text("from hf_knowlearn.evaluation.ask import f")
    assert cycles(package) == {"evaluation.ask", "evaluation.score"}
    only_for_types = "if TYPE_CHECKING:\n    from hf_knowlearn.evaluation.ask import f"
    (package / "evaluation" / "score.py").write_text(only_for_types)
    assert cycles(package) == set()


def test_every_package_is_in_the_table():
    tops = {module.split(".")[0] for module in modules(PACKAGE)} - {""}
    assert tops - LEAVES - {ENTRY} == set(ALLOWED)


def test_a_package_imports_only_what_the_table_allows():
    assert violations(PACKAGE) == []


def test_no_two_packages_of_the_table_import_each_other():
    before: set[str] = set()
    waiting = {package: {name.split(".")[0] for name in allowed} for package, allowed in ALLOWED.items()}
    while ready := [package for package, allowed in waiting.items() if allowed <= before]:
        before.update(ready)
        waiting = {package: allowed for package, allowed in waiting.items() if package not in before}
    assert not waiting


def test_few_modules_are_beside_the_packages():
    assert len([*PACKAGE.glob("*.py")]) <= MOST_MODULES


def test_files_and_functions_are_short():
    files = {str(path.relative_to(PACKAGE)): path for path in modules(PACKAGE).values()}
    assert files
    long_files = {name for name, path in files.items() if path.read_text().count("\n") > MOST_LINES_OF_A_FILE}
    long_functions = set()
    total = 0
    for name, path in files.items():
        code = lines_of_code(path)
        total += len(code)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                length = len(code & {*range(node.lineno, (node.end_lineno or 0) + 1)})
                long_functions |= {f"{name}: {node.name}"} if length > MOST_LINES_OF_A_FUNCTION else set()
    assert (long_files, long_functions) == (set(), set())
    assert total <= MOST_LINES_OF_CODE


@pytest.mark.parametrize(
    ("file", "line", "violation"),
    [
        ("views/order.py", "from hf_knowlearn.training import SAMConfig", "views.order imports training.SAMConfig"),
        ("views/order.py", "from ..evaluation import ask", "views.order imports evaluation.ask"),
        ("views/__init__.py", "from ..evaluation import ask", "views imports evaluation.ask"),
        ("training/sam.py", "import hf_knowlearn.documents", "training.sam imports documents"),
        ("training/sam.py", "def f():\n    from hf_knowlearn import documents", "training.sam imports documents"),
        ("generation/ask.py", "from hf_knowlearn import cli", "generation.ask imports cli"),
        ("generation/ask.py", "from hf_knowlearn import Document", "generation.ask imports Document"),
        ("generation/ask.py", "import hf_knowlearn", "generation.ask imports hf_knowlearn"),
        ("reports/html.py", "from hf_knowlearn.evaluation import Mastery", "reports.html imports evaluation.Mastery"),
        ("hub/cards.py", "from hf_knowlearn.teach import data", "hub.cards imports teach.data"),
        ("documents.py", "from .knowledge_recall import words", "documents imports knowledge_recall.words"),
        ("paths.py", "from .documents import Document", "paths imports documents.Document"),
        ("helpers.py", "from .documents import Document", "helpers imports documents.Document"),
    ],
)
def test_an_import_against_the_table_is_found(tmp_path, file, line, violation):
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
        ("reports/report.py", "from hf_knowlearn import __version__"),
        ("cli.py", "from hf_knowlearn.evaluation import evaluate"),
        ("__init__.py", "from hf_knowlearn.training import SAMConfig"),
    ],
)
def test_an_import_that_the_table_allows_is_no_violation(tmp_path, file, line):
    assert violations(package_of(tmp_path, file, line)) == []


def package_of(folder: Path, file: str, text: str) -> Path:
    path = folder / "hf_knowlearn" / file
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return folder / "hf_knowlearn"


def test_scoring_imports_the_standard_library_only():
    # Why: it is published with the metric, and runs where neither this package nor evaluate is installed.
    names = list(imports(PACKAGE, "knowledge_recall.scoring", PACKAGE / "knowledge_recall" / "scoring.py"))
    assert names
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_views_and_documents_import_no_deep_learning_library():
    allowed = {*sys.stdlib_module_names, "hf_knowlearn", "sentencex"}
    # Imported inside the functions that need them.
    documents = {
        "bs4", "datasets", "docutils", "huggingface_hub", "lxml", "mammoth", "markdownify", "markitdown", "openpyxl",
        "markdown_it", "pdfminer", "pdfplumber", "pptx",
        "py3langid", "pyarrow", "pylatexenc", "resiliparse", "tqdm", "yaml",
    }  # fmt: skip
    for package, more in {"views": set(), "documents": documents}.items():
        inside = {m: path for m, path in modules(PACKAGE).items() if is_within(m, {package})}
        assert inside
        roots = {name.split(".")[0] for module, path in inside.items() for name in imports(PACKAGE, module, path)}
        assert roots <= allowed | more
