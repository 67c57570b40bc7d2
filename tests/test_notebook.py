"""The notebook: it runs from the first cell to the last on a CPU, and is kept without what it said."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


@pytest.mark.slow
def test_the_notebook_teaches_and_shows_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nbclient = pytest.importorskip("nbclient", reason='needs pip install "hf_knowlearn[notebook]"')
    pytest.importorskip("ipykernel", reason='needs pip install "hf_knowlearn[notebook]"')
    import nbformat

    # `!knowlearn` is this environment's, of this checkout, and nothing of the user's Jupyter is read or written.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("KNOWLEARN_PEOPLE", "4")
    monkeypatch.setenv("KNOWLEARN_STEPS", "2")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()

    report = json.loads((tmp_path / "taught" / "report.json").read_text(encoding="utf-8"))
    (arm,) = report["runs"].values()
    assert arm["steps"] == 2
    shown = [kind for cell in notebook.cells for out in cell.get("outputs", []) for kind in out.get("data", {})]
    assert {"text/markdown", "image/png"} <= set(shown)
    said = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "order/permuted" in said  # `knowlearn views`
    assert "The document says:" in said
