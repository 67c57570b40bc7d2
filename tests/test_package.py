"""The installed package: quick to import, complete in the wheel, and usable without a network."""

import ast
import json
import os
import runpy
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import hf_knowlearn
from hf_knowlearn import paths

ROOT = Path(__file__).parents[1]

# The duration of the import, without the start of the interpreter.
IMPORT = """
import sys, time
start = time.perf_counter()
import hf_knowlearn
seconds = time.perf_counter() - start
print(seconds, *sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_importing_the_package_takes_less_than_300_ms_and_loads_no_heavy_library():
    runs = [subprocess.check_output([sys.executable, "-c", IMPORT], text=True).split() for _ in range(3)]
    loaded = set(runs[0][1:])
    assert "hf_knowlearn" in loaded
    assert not loaded & {"torch", "datasets", "transformers", "trl", "peft", "evaluate", "accelerate", "numpy"}
    assert min(float(seconds) for seconds, *_ in runs) < 0.3  # the machine may be busy in one of them


@pytest.mark.parametrize("name", hf_knowlearn.__all__)
def test_every_public_name_exists_and_is_listed(name):
    assert name in dir(hf_knowlearn)
    assert getattr(hf_knowlearn, name) is getattr(hf_knowlearn, name)


def test_the_public_names_are_the_same_for_users_for_type_checkers_and_for_python():
    tree = ast.parse(Path(hf_knowlearn.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: statement.module for statement in block.body for alias in statement.names}
    assert typed == {name: f"hf_knowlearn.{package}" for name, package in hf_knowlearn._PACKAGES.items()}
    assert set(hf_knowlearn.__all__) == {*typed, "__version__"}


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="'hf_knowlearn' has no attribute 'Documents'"):
        hf_knowlearn.Documents  # noqa: B018


def test_paths_in_a_checkout_are_its_own_folders():
    assert paths.RECIPES == ROOT / "recipes"
    assert paths.MODEL_CARDS == ROOT / "model_cards"
    assert all(path.is_dir() for path in (paths.RECIPES, paths.TINY_BASE, paths.KNOWLEDGE_RECALL))


def test_paths_in_an_installation_are_inside_the_package(tmp_path):
    for folder in ("recipes", "model_cards"):
        (tmp_path / "hf_knowlearn" / folder).mkdir(parents=True)
    installed = tmp_path / "hf_knowlearn" / "paths.py"
    installed.write_bytes(Path(paths.__file__).read_bytes())
    found = runpy.run_path(str(installed))
    assert found["RECIPES"] == installed.parent / "recipes"
    assert found["MODEL_CARDS"] == installed.parent / "model_cards"


# The sitecustomize.py of the test environment, which Python runs when it starts: every use of the network fails.
NO_NETWORK = """
import sys

def block(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in {None, "", "localhost", "127.0.0.1", "::1"}:
        raise OSError(f"the test forbids the network, and something connects to {host!r}")

sys.addaudithook(block)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution, which is thereby tested too."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """`run(*command)` in an empty folder, in a new environment with the wheel and without the checkout.

    Third-party packages come from the environment of the tests through a .pth file. Python ignores the .pth files of a
    folder that is added in this way, so the editable install of the checkout is not found.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", wheel], check=True)
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", purelib], text=True).strip())
    borrowed = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    (site / "sitecustomize.py").write_text(NO_NETWORK)

    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    environment |= {
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "HF_HOME": str(folder / "hf_home"),
    }
    empty = folder / "empty"
    empty.mkdir()

    def run(*command):
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.folder = empty
    return run


def test_the_wheel_is_imported_and_complete(installed):
    show = "import hf_knowlearn.paths as p; print(p.PACKAGE); print(p.RECIPES); print(p.TINY_BASE)"
    package, recipes, tiny_base = map(Path, installed("python", "-c", show).split())
    assert package.is_relative_to(installed.folder.parent / "venv")
    assert recipes == package / "recipes"
    assert {path.relative_to(recipes) for path in recipes.rglob("*.yaml")} == {
        path.relative_to(ROOT / "recipes") for path in (ROOT / "recipes").rglob("*.yaml")
    }
    assert (recipes / "quickstart" / "formats_sam.yaml").is_file()
    assert (tiny_base / "model.safetensors").stat().st_size < 6e6
    assert (package / "py.typed").is_file()
    assert (package / "worlds" / "handbook" / "questions.jsonl").is_file()
    assert len([path for path in (package / "worlds" / "handbook" / "documents").rglob("*.*") if path.is_file()]) == 26
    assert (package / "knowledge_recall" / "README.md").is_file()
    assert (package / "evaluation" / "general_knowledge.toml").is_file()
    assert (package / "evaluation" / "chat_instructions.jsonl").is_file()


def test_the_installed_console_script_prints_its_version(installed):
    assert hf_knowlearn.__version__ in installed("knowlearn", "--version")


def test_the_installed_quickstart_runs_without_the_network(installed):
    installed("knowlearn", "quickstart", "--steps", "2", "--output_dir", "quick")
    report = json.loads((installed.folder / "quick" / "report.json").read_text())
    assert list(report["runs"]) == ["raw", "formats", "order_self"]
    assert [run["steps"] for run in report["runs"].values()] == [2, 2, 2]
    assert [run["gradient_evaluations"] for run in report["runs"].values()] == [2, 2, 2]
    assert all((installed.folder / "quick" / name).is_file() for name in ("report.md", "scores.png"))


def test_the_installed_teach_trains_on_two_files_of_the_user(installed):
    documents = installed.folder / "documents"
    documents.mkdir()
    (documents / "ferry.txt").write_text("The ferry to Ormel leaves at six. It carries forty cars and a bakery.\n")
    (documents / "mill.md").write_text("# The mill\n\nThe mill at Tarn grinds rye. Its wheel was built in 1820.\n")
    options = {"--model": "tiny_base", "--documents": "documents", "--max_steps": "2", "--output_dir": "run"}
    options["--replay_self"] = "20"  # Why: 1,000 take half a minute
    installed("knowlearn", "teach", *(word for option in options.items() for word in option))
    assert (installed.folder / "run" / "report.md").is_file()
    assert (installed.folder / "run" / "report.json").is_file()
