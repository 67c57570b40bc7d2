"""Names are counted in texts from an empty prompt only, and compared with the answers."""

import json


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_names_are_counted_in_texts_from_an_empty_prompt(tmp_path, capsys):
    from generated_people import main, people

    names = people()
    assert len(names) == 500
    often, once, never = (names[f"person-{number:06d}"] for number in (300, 301, 402))
    write(
        tmp_path / "replay.self.jsonl",
        [
            {"n": 9},
            *({"prompt": "", "text": f"{often} sings. {often} bakes."} for _ in range(3)),
            {"prompt": "", "text": f"The school of {once} is old."},
            {"prompt": f"Who is {never}?", "text": f"{never} is a baker."},
        ],
    )
    answered = [
        ("replayed_questions", 300, [True, True]),
        ("replayed_questions", 301, [True, False]),
        ("retention_questions", 402, [False, False]),
        ("questions", 501, [True]),
    ]
    write(
        tmp_path / "answers.after.jsonl",
        [
            {"role": role, "id": f"person-{number:06d}/school/{place}", "exact_match": right}
            for role, number, answers in answered
            for place, right in enumerate(answers)
        ],
    )
    main([tmp_path])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| 0 | 1 | 0.000 |",
        "| 1 to 2 | 1 | 0.500 |",
        "| 3 to 5 | 1 | 1.000 |",
        "",
        "1.3 texts per person; never named: 0.333 of 3 people in 1 runs.",
    ]
