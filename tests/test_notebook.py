"""The notebook runs from the first cell to the last on a CPU, and is stored without outputs."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"


def test_the_notebook_is_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


@pytest.mark.slow
def test_the_notebook_trains_and_shows_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nbclient = pytest.importorskip("nbclient", reason='needs pip install "hf_knowlearn[notebook]"')
    pytest.importorskip("ipykernel", reason='needs pip install "hf_knowlearn[notebook]"')
    import nbformat

    # Why: `!knowlearn` must be the command of this checkout, and the user's Jupyter configuration must not be used.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("KNOWLEARN_PEOPLE", "4")
    monkeypatch.setenv("KNOWLEARN_STEPS", "2")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()

    report = json.loads((tmp_path / "trained" / "report.json").read_text(encoding="utf-8"))
    (run,) = report["runs"].values()
    assert run["steps"] == 2
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert {"text/markdown", "image/png"} <= {kind for output in outputs for kind in output.get("data", {})}
    printed = "".join(output.get("text", "") for output in outputs)
    assert "order/permuted" in printed  # `knowlearn views`
    assert "Accepted answer:" in printed
