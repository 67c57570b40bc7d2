"""Who is told of in a model's own texts: counted by name in free texts alone, and set beside what is answered."""

import json


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_people_are_counted_in_free_texts_and_set_beside_their_answers(tmp_path, capsys):
    from own_texts import main, people

    names = people()
    assert len(names) == 500
    often, once, never = (names[f"person-{number:06d}"] for number in (300, 301, 402))
    write(
        tmp_path / "replay.self.jsonl",
        [
            {"n": 9},
            *({"opening": "", "text": f"{often} sings. {often} bakes."} for _ in range(3)),
            {"opening": "", "text": f"The school of {once} is old."},
            {"opening": f"Who is {never}?", "text": f"{never} is a baker."},
        ],
    )
    asked = [
        ("replayed_questions", 300, [True, True]),
        ("replayed_questions", 301, [True, False]),
        ("retention_questions", 402, [False, False]),
        ("questions", 501, [True]),
    ]
    write(
        tmp_path / "answers.after.jsonl",
        [
            {"role": role, "id": f"person-{number:06d}/school/{place}", "right": right}
            for role, number, answers in asked
            for place, right in enumerate(answers)
        ],
    )
    main([tmp_path])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| 0 | 1 | 0.000 |",
        "| 1 to 2 | 1 | 0.500 |",
        "| 3 to 5 | 1 | 1.000 |",
        "",
        "1.3 texts a person; never told: 0.333 of 3 people in 1 runs.",
    ]
