"""The benchmark of the order rules: its counts on documents whose labels are known here."""

import pytest

FACTS = "Ormel has two piers. Tarn grinds rye. Karvost makes bells."
STEPS = "1. Open the valve.\n2. Remove the four bolts."
SENTENCES = ["Ormel has two piers.", "Tarn grinds rye.", "Karvost makes bells."]


def row(text: str, kind: str, permutable: list[list[str]], order_sensitive: bool) -> dict:
    named = {"id": f"{kind}-{len(permutable)}", "language": "en", "kind": kind}
    return {**named, "text": text, "permutable": permutable, "order_sensitive": order_sensitive}


@pytest.mark.parametrize(
    ("labelled", "wrong"),
    [
        (row(FACTS, "facts", [SENTENCES], False), {}),
        (row(FACTS, "facts", [SENTENCES[1:]], False), {"moved_too_far": ["facts-1"]}),
        (row(FACTS, "steps", [], True), {"broken": ["steps-0"]}),
        (row(STEPS, "steps", [], True), {}),
        (row(f"{STEPS}\n\nTarn grinds rye.", "facts", [["Tarn grinds rye."]], False), {"not_permuted": ["facts-1"]}),
    ],
)
def test_wrong_decisions_are_counted(labelled: dict, wrong: dict):
    from order_rules import decisions

    found = decisions([labelled])
    assert {name: found[name] for name in ("broken", "moved_too_far", "not_permuted") if found[name]} == wrong


def test_the_matrix_counts_the_kinds_of_each_label():
    from order_rules import decisions, matrix

    rows = [row(FACTS, "facts", [SENTENCES], False), row(STEPS, "steps", [], True), row(STEPS, "facts", [], True)]
    found = decisions(rows)
    assert found["confusion"] == {"facts": {"independent facts": 1, "procedure": 1}, "steps": {"procedure": 1}}
    lines = [line.split() for line in matrix(found).splitlines()]
    assert lines[1] == ["facts", "1", "1"]
    assert lines[2] == ["steps", "1"]
