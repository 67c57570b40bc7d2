"""Tests of the general-knowledge questions: their form, and their separation from the prompts of replay."""

import re
import tomllib
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

import hf_knowlearn.evaluation.general_knowledge as general_knowledge
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.general_knowledge import general_questions, is_untouched, untouched_relations
from hf_knowlearn.knowledge_recall import correct
from hf_knowlearn.knowledge_recall.scoring import normalize
from hf_knowlearn.teach.sources import load_replay_prompts

TABLE = tomllib.loads(Path(general_knowledge.__file__).with_suffix(".toml").read_text(encoding="utf-8"))
QUESTIONS = general_questions()
PROMPTS = [prompt.text for prompt in load_replay_prompts(["general:questions"]) if isinstance(prompt, Question)]

PEOPLE = ("author", "inventor", "painter")  # relations whose answers are people
# The relations that a prompt of replay is about, by the form of the prompt. {} is the entity of the prompt.
FORMS: dict[str, tuple[str, ...]] = {
    "What is the capital of {}?": ("capital",),
    "Who wrote {}?": ("author",),
    "When did {}?": ("year",),
    "When was {}?": ("year",),
    "What is the chemical symbol of {}?": ("symbol",),
    "Which language is spoken most in {}?": ("language",),
    "What is the currency of {}?": ("currency",),
    "Who is known for {}?": ("inventor",),
    "Where is {}?": ("city_country",),
    "What is seven times {}?": ("arithmetic",),
    "What is the square root of {}?": ("arithmetic",),
    "What is {} known for?": (),
    "Where was {} born?": (),
    "Which metal is liquid at {}?": (),
}
# Prompts of other forms. None of them is about a relation of the questions.
OTHERS = {
    "How many days are in a leap year?",
    "How many planets orbit the sun?",
    "How many sides has a hexagon?",
    "How many legs has a spider?",
    "How many strings has a violin?",
    "What is the boiling point of water at sea level?",
    "Which planet is the largest?",
    "Which animal is the tallest?",
    "Which ocean is the largest?",
    "What do bees make?",
    "What do plants take from the air?",
    "Which season follows winter?",
    "Which gas do people breathe in to live?",
    "Which instrument has 88 keys?",
    "What colour do blue and yellow make?",
    "Who built the pyramids of Giza?",
    "Who was the first person in space?",
    "Which organ pumps the blood?",
}


def matches(form: str, text: str) -> str | None:
    """Return the entity of a text of this form, or None."""
    found = re.fullmatch(re.escape(form).replace(r"\{\}", "(.+)"), text, re.IGNORECASE)
    return found and found[1]


def forms(prompt: str) -> list[str]:
    return [form for form in FORMS if matches(form, prompt)]


@cache
def words_of(text: str) -> str:
    return f" {normalize(text)} "


def has_words(text: str, words: str) -> bool:
    return words_of(words) in words_of(text)


def entity(question: Question) -> str:
    found = matches(TABLE[question.relation]["template"], question.text)
    assert found
    return found


def test_there_are_1000_questions_in_20_relations():
    assert Counter(question.relation for question in QUESTIONS) == dict.fromkeys(TABLE, 50)
    assert len(TABLE) == 20


def test_ids_facts_and_texts_are_unique():
    for values in ([q.id for q in QUESTIONS], [q.fact_id for q in QUESTIONS], [normalize(q.text) for q in QUESTIONS]):
        assert len({*values}) == 1000
    assert QUESTIONS[0] == Question(
        "general-capital-1", "Which city is the capital of Italy?", ("Rome",), None, "capital", "general-capital-Italy"
    )
    assert QUESTIONS[-1].id == "general-spanish-50"


@pytest.mark.parametrize("relation", TABLE)
def test_a_template_is_one_question(relation: str):
    template = TABLE[relation]["template"]
    assert template.count("{}") == 1
    assert template.endswith("?")
    assert template[0].isupper()


def test_every_answer_is_correct_for_its_question():
    assert [(q.id, answer) for q in QUESTIONS for answer in q.answers if not correct(answer, q.answers)] == []
    assert [q.id for q in QUESTIONS if len({*q.answers}) < len(q.answers)] == []


def test_no_question_contains_its_answer():
    assert [q.text for q in QUESTIONS if any(has_words(q.text, answer) for answer in q.answers)] == []


def test_an_answer_does_not_change_with_the_spelling_of_the_entity():
    # A contradiction would be one entity under two names: "the Netherlands" and "Netherlands".
    names = [(q.relation, normalize(entity(q))) for q in QUESTIONS]
    assert len({*names}) == 1000


def test_symbols_and_years_have_their_form():
    of_relation = defaultdict(list)
    for question in QUESTIONS:
        of_relation[question.relation] += question.answers
    assert [year for year in of_relation["year"] if not re.fullmatch(r"\d{3,4}", year)] == []
    assert [symbol for symbol in of_relation["symbol"] if not re.fullmatch("[A-Z][a-z]?", symbol)] == []
    assert len({*of_relation["symbol"]}) == 50


def test_sums_and_products_are_right():
    signs = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}
    wrong = []
    for question in (q for q in QUESTIONS if q.relation == "arithmetic"):
        left, sign, right = re.fullmatch(r"(\d+) ([a-z ]+) (\d+)", entity(question)).groups()
        value = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}.get(
            signs[sign], int(left) / int(right)
        )
        wrong += [question.text] if float(question.answers[0]) != value else []
    assert wrong == []


def test_every_prompt_of_replay_has_exactly_one_form():
    # If this test fails, add the new prompt to FORMS or OTHERS, and check which relations it is about.
    assert len(PROMPTS) == 130
    assert [prompt for prompt in PROMPTS if len(forms(prompt)) + (prompt in OTHERS) != 1] == []
    assert {*PROMPTS} >= OTHERS
    assert {form for prompt in PROMPTS for form in forms(prompt)} == {*FORMS}


def test_untouched_relations_are_those_that_no_prompt_of_replay_is_about():
    touched = {relation for prompt in PROMPTS for form in forms(prompt) for relation in FORMS[form]}
    assert {*untouched_relations()} == {*TABLE} - touched
    assert len(untouched_relations()) >= 8
    assert len(touched) >= 5
    assert [q.id for q in QUESTIONS if is_untouched(q) == (q.relation in touched)] == []


def test_no_template_is_a_form_of_a_prompt_of_replay():
    templates = {values["template"] for values in TABLE.values()}
    assert len(templates) == 20
    assert [prompt for prompt in PROMPTS for template in templates if matches(template, prompt)] == []
    assert [q.text for q in QUESTIONS for form in FORMS if matches(form, q.text)] == []


def test_no_prompt_of_replay_asks_for_a_fact_of_the_questions():
    shared = []
    for prompt in PROMPTS:
        relations = {relation for form in forms(prompt) for relation in FORMS[form]}
        shared += [(prompt, q.text) for q in QUESTIONS if q.relation in relations and has_words(prompt, entity(q))]
        shared += [(prompt, q.text) for q in QUESTIONS if q.relation in relations and has_same_entity(prompt, q)]
    assert shared == []


def has_same_entity(prompt: str, question: Question) -> bool:
    """Whether the entity of the prompt occurs in the question: "dynamite" in "inventing dynamite"."""
    return any(has_words(question.text, str(matches(form, prompt))) for form in forms(prompt))


def test_no_prompt_of_replay_contains_an_entity_and_its_answer():
    pairs = [(q, answer) for q in QUESTIONS for answer in q.answers]
    texts = [
        (prompt, q.text)
        for prompt in PROMPTS
        for q, answer in pairs
        if has_words(prompt, answer) and has_words(prompt, entity(q))
    ]
    assert texts == []


def test_no_prompt_of_replay_asks_what_an_answer_is_known_for():
    # "What is Isaac Newton known for?" has the answer "the laws of motion", which is the pair in reverse.
    people = {answer for q in QUESTIONS if q.relation in PEOPLE for answer in q.answers}
    known = [prompt for prompt in PROMPTS if matches("What is {} known for?", prompt)]
    assert len(known) == 10
    assert [prompt for prompt in known if any(has_words(prompt, person) for person in people)] == []
