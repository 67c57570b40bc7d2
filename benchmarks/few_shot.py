"""Conversations of five questions with answers, about people that the tiny base knows.

`python benchmarks/few_shot.py outputs/lab/few_shot.jsonl`. Mastery is measured with four-shot prompts. The tiny base
was not trained on such prompts, so studies of mastery also train on these conversations.
"""

import json
import random
import sys
from pathlib import Path

CONVERSATIONS, TURNS = 120, 5


def main(path: Path) -> None:
    """Write the conversations, each of one relation. They are the same every time."""
    from hf_knowlearn.teach.sources import load_questions

    pool = load_questions("world:studied")
    relations = sorted({str(question.relation) for question in pool})
    draw = random.Random(0)
    lines = []
    for number in range(CONVERSATIONS):
        same = [question for question in pool if question.relation == relations[number % len(relations)]]
        turns = [
            {"role": role, "content": text}
            for question in draw.sample(same, TURNS)
            for role, text in (("user", question.text), ("assistant", question.answers[0]))
        ]
        lines.append(json.dumps({"messages": turns}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
