"""Reads the options of TRL's and transformers' configuration classes from the source code of the installed libraries.

Why the source code: importing the classes loads torch, which takes seconds, but a misspelled option should be reported
at once. When a run starts, transformers' `HfArgumentParser` parses the values again. A test checks that this module
and `HfArgumentParser` agree.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from inspect import formatannotation
from pathlib import Path
from typing import Any

BOOLS = {
    **dict.fromkeys(("yes", "true", "t", "y", "1"), True), **dict.fromkeys(("no", "false", "f", "n", "0"), False)
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """Describes how to parse an option from the words of a command line.

    Args:
        type: a function that parses one word. It raises ValueError for an invalid word.
        choices: the valid values. None: all values are valid.
        nargs: as in argparse: "+" for a list, "?" for a bool whose value can be omitted, and None for one word.
        nullable: whether None is a valid value.
        default: the default value. None if the source code computes the default.
    """

    name: str
    type: Callable[[str], Any]
    choices: tuple[Any, ...] | None
    nargs: str | None
    nullable: bool
    default: Any


def read_bool(word: str) -> bool:
    """Parse a bool by the rules of transformers.

    Raises:
        ValueError: the word means neither true nor false.
    """
    if word.lower() not in BOOLS:
        raise ValueError(f"{word!r} is neither true nor false.")
    return BOOLS[word.lower()]


# The choices of options whose source text computes the choices.
LOG_LEVELS = ("detail", "debug", "info", "warning", "error", "critical", "passive")
COMPUTED_CHOICES = {"log_level": LOG_LEVELS, "log_level_replica": LOG_LEVELS}
TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "bool": read_bool}


def options_of(*classes: Any) -> dict[str, Option]:
    """Return the options that dataclasses of this package define, by name of the option."""
    of_classes = [field for each in classes for field in fields(each)]
    return {
        field.name: _option(field.name, formatannotation(field.type), field.default, field.metadata)
        for field in of_classes
    }


@cache
def library_options(*classes: str) -> Mapping[str, Option]:
    """Return the options that configuration classes of TRL define, by name of the option.

    Args:
        classes: names of the classes, such as `SFTConfig`.
    """
    found: dict[str, Option] = {}
    for name in classes:
        found |= _class_options("trl", name)
    return found


def _class_options(module: str, name: str) -> dict[str, Option]:
    """Return the options of a dataclass and of the classes that it inherits from."""
    module, definition = _definition(module, name)
    found: dict[str, Option] = {}
    for base in definition.bases:
        found |= _class_options(module, ast.unparse(base))
    for line in definition.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
            values = {each.arg: each.value for each in getattr(line.value, "keywords", ())}
            annotation, default = ast.unparse(line.annotation), _plain(values.get("default"))
            metadata = {key: _plain(_entry(values.get("metadata"), key)) for key in ("choices", "nargs")}
            name, members = line.target.id, _members(module, _value_type(annotation))
            metadata["choices"] = metadata["choices"] or members or COMPUTED_CHOICES.get(name)
            found[name] = _option(name, annotation, default, metadata)
    return found


def _option(name: str, annotation: str, default: Any, metadata: Mapping[str, Any]) -> Option:
    """Build the option for a field by the rules of transformers' `HfArgumentParser`."""
    kind, choices, nargs = _value_type(annotation), metadata.get("choices"), metadata.get("nargs")
    if kind.startswith("list["):
        kind, nargs = kind.removeprefix("list[").removesuffix("]"), "+"
    elif kind == "bool" and (annotation == "bool" or default is not None):
        nargs = "?"
    elif kind.startswith("Literal["):
        choices = ast.literal_eval(kind.removeprefix("Literal"))
    read = TYPES.get(kind, str)
    return Option(name, read, tuple(choices) if choices else None, nargs, "None" in _union(annotation), default)


def _union(annotation: str) -> list[str]:
    return annotation.split(" | ")


def _value_type(annotation: str) -> str:
    """Return the type as which a word of the command line is parsed.

    Of `int | None`, this is `int`. Of a union with str, such as `dict | str`, this is the type that is not str.
    """
    kinds = _union(annotation)
    if "bool" in kinds and "None" in kinds:
        return "bool"
    if "None" not in kinds:
        return next((kind for kind in kinds if kind != "str"), "str")
    return kinds[0] if kinds[1] == "None" else kinds[1]


# Classes in source text


def _definition(module: str, name: str) -> tuple[str, ast.ClassDef]:
    """Find a class that `module` defines or imports.

    Returns:
        The name of the module that defines the class, and the syntax tree of the class.
    """
    for line in _lines(module):
        if isinstance(line, ast.ClassDef) and line.name == name:
            return module, line
    for line in _lines(module):
        if isinstance(line, ast.ImportFrom) and any((each.asname or each.name) == name for each in line.names):
            return _definition(_imported(module, line), name)
    raise LookupError(f"{module} defines no class {name}.")


def _members(module: str, name: str) -> list[Any]:
    """Return the values of the enumeration `name`, or an empty list if `name` is not an enumeration."""
    if not name.isidentifier() or not name[0].isupper():
        return []
    _, definition = _definition(module, name)
    if "Enum" not in ast.unparse(definition.bases[0] if definition.bases else ast.Constant("")):
        return []
    return [_plain(line.value) for line in definition.body if isinstance(line, ast.Assign)]


def _imported(module: str, line: ast.ImportFrom) -> str:
    """Return the absolute name of the module that an import statement in `module` names."""
    if not line.level:
        return line.module or ""
    parents = module.split(".")
    package = parents[: len(parents) - line.level + _is_package(module)]
    return ".".join([*package, line.module] if line.module else package)


def _path(module: str) -> Path:
    root, *parts = module.split(".")
    spec = find_spec(root)  # Why: for a submodule, this call would import its parent packages
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"{root} is not installed.")
    return Path(spec.submodule_search_locations[0], *parts)


def _is_package(module: str) -> bool:
    return _path(module).is_dir()


@cache
def _lines(module: str) -> tuple[ast.stmt, ...]:
    """Return the statements of a module, including those in `if` and `try` blocks."""
    path = _path(module)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return tuple(_statements(tree.body))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for line in body:
        yield line
        if isinstance(line, ast.If | ast.Try):
            yield from _statements([*line.body, *line.orelse])


def _entry(node: ast.expr | None, key: str) -> ast.expr | None:
    """Return the expression for `key` in a dictionary display (`{...}`), or None if the key is missing."""
    pairs = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
    return next((value for name, value in pairs if isinstance(name, ast.Constant) and name.value == key), None)


def _plain(node: ast.expr | None) -> Any:
    """Return the value of a literal, or None for any other expression."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None
