"""Defines the names of the files and folders in a run folder, for all packages that write or read these files."""

RECIPE, RUN, REPORT = "recipe.yaml", "run.json", "report.json"
MODEL, CHECKPOINTS, STAGES = "model", "checkpoints", "stages"
ANSWERED = ("before", "open_book", "rag_1", "rag_3", "after", "open_book_after")
ANSWERS = tuple(f"answers.{name}.jsonl" for name in ANSWERED)
CHART = "scores.png"
SELF_GENERATED = "self_generated.jsonl"
STAGE_RECORD = "stage.json"
TIMES = "times.json"
