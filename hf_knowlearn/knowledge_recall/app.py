"""The page of the Space: one answer of a model against the accepted ones, scored as the metric scores it."""

from pathlib import Path

import evaluate
import gradio

METRIC = evaluate.load(str(Path(__file__).with_name("knowledge_recall.py")))
LANGUAGES = ["en", "ar", "de", "es", "hi", "ja", "vi", "zh", "und"]
SHOWN = ("exact_match", "f1", "recall", "abstention", "wrong")


def score(said: str, accepted: str, language: str) -> dict[str, float] | str:
    """The figures of one answer, or what keeps it from being scored.

    Args:
        accepted: answers, one a line.
    """
    answers = [line.strip() for line in accepted.splitlines() if line.strip()]
    try:
        figures = METRIC.compute(predictions=[said], references=[answers], language=language)
    except ValueError as error:
        return str(error)
    return {name: figures[name] for name in SHOWN}


page = gradio.Interface(
    score,
    [
        gradio.Textbox(label="What the model said", lines=3),
        gradio.Textbox(label="Accepted answers, one a line", lines=3),
        gradio.Dropdown(LANGUAGES, value="en", label="Language"),
    ],
    gradio.JSON(label="Scores"),
    title="Knowledge Recall",
    description="The first line of what was said counts; in `recall` alone an answer may stand anywhere in it.",
    examples=[["Lyon.\nWhere was Bo born?", "Lyon\nLugdunum", "en"], ["I don't know", "Lyon", "en"]],
)

if __name__ == "__main__":
    page.launch()
