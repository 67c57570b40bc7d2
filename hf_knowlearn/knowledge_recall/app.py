"""The page of the Space: a form that scores one response with the metric."""

from pathlib import Path

import evaluate
import gradio

METRIC = evaluate.load(str(Path(__file__).with_name("knowledge_recall.py")))
LANGUAGES = ["en", "ar", "de", "es", "hi", "ja", "vi", "zh", "und"]
SHOWN = ("correct", "exact_match", "f1", "contains", "abstention", "wrong")


def score(response: str, accepted: str, language: str, question: str = "") -> dict[str, float] | str:
    """Return the scores of one response, or the error message if an input is invalid.

    Args:
        accepted: the accepted answers, one on each line.
        question: the question. "": the rule for sentences is stricter.
    """
    answers = [line.strip() for line in accepted.splitlines() if line.strip()]
    try:
        figures = METRIC.compute(predictions=[response], references=[answers], questions=[question], language=language)
    except ValueError as error:
        return str(error)
    return {name: figures[name] for name in SHOWN}


page = gradio.Interface(
    score,
    [
        gradio.Textbox(label="Response of the model", lines=3),
        gradio.Textbox(label="Accepted answers, one on each line", lines=3),
        gradio.Dropdown(LANGUAGES, value="en", label="Language"),
        gradio.Textbox(label="Question (optional)", lines=1),
    ],
    gradio.JSON(label="Scores"),
    title="Knowledge Recall",
    description=(
        "`correct` uses the first line or the first sentence of the response, and `contains` uses the whole response."
        " All other scores use the first line."
    ),
    examples=[
        ["Lyon.\nWhere was Bo born?", "Lyon\nLugdunum", "en", ""],
        ["Bo was born in Lyon, France.", "Lyon", "en", "Where was Bo born?"],
        ["I don't know", "Lyon", "en", ""],
    ],
)

if __name__ == "__main__":
    page.launch()
