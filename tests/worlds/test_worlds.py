"""Worlds: people depend only on the seed, each fact occurs once in a biography, and splits are disjoint."""

import hashlib
import random
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from hf_knowlearn.documents.sentences import sentences
from hf_knowlearn.views import format_views, raw_view
from hf_knowlearn.worlds import Person, World, people
from hf_knowlearn.worlds.people import QUESTIONS, WORDINGS
from hf_knowlearn.worlds.splits import Split, read_splits
from hf_knowlearn.worlds.tiny import BOS, CONTEXT, EOS, PAD, VOCABULARY, new_model, new_tokenizer

RECIPES = Path(__file__).parents[2] / "recipes"
WORLD = World(2026)
SPLITS = read_splits(RECIPES / "world.yaml")
ATTRIBUTES = ["birthplace", "occupation", "employer", "school", "collection"]


@cache
def first(count: int) -> list[Person]:
    return list(WORLD.people(0, count))


# People


def test_people_biographies_and_questions_are_the_recorded_ones():
    facts = ["Tesgom", "copper buyer", "Desmen Works", "Zegam College", "rusty bells"]
    (person,) = WORLD.people(0, 1)
    assert person == Person(0, "Lalgrol Fudu", dict(zip(ATTRIBUTES, facts, strict=True)))
    assert WORLD.biography(person).text == (
        "The employer of Lalgrol Fudu is Desmen Works. Tesgom is where Lalgrol Fudu was born. "
        "The trade of Lalgrol Fudu is that of a copper buyer. The degree of Lalgrol Fudu is from Zegam College. "
        "For rusty bells, Lalgrol Fudu would travel far."
    )
    facts = ["Zisnal", "amber cutter", "Lispe Works", "Grimbor College", "antique bells"]
    (person,) = WORLD.people(500, 501)
    assert person == Person(500, "Mesmal Fesdrul", dict(zip(ATTRIBUTES, facts, strict=True)))
    assert WORLD.biography(person, 3).text == (
        "Mesmal Fesdrul studied at Grimbor College. It is antique bells that Mesmal Fesdrul collects. "
        "Mesmal Fesdrul is employed by Lispe Works. People know Mesmal Fesdrul as a amber cutter. "
        "Zisnal is where Mesmal Fesdrul was born."
    )
    assert [(q.text, q.answers) for q in WORLD.questions(person)] == [
        ("Where was Mesmal Fesdrul born?", ("Zisnal",)),
        ("What does Mesmal Fesdrul work as?", ("amber cutter",)),
        ("Who employs Mesmal Fesdrul?", ("Lispe Works",)),
        ("Where did Mesmal Fesdrul study?", ("Grimbor College",)),
        ("What does Mesmal Fesdrul collect?", ("antique bells",)),
    ]


def test_another_seed_gives_other_people_values_and_biographies():
    other = World(2027)
    assert not {p.name for p in first(200)} & {p.name for p in other.people(0, 200)}
    assert not set(WORLD.values["birthplace"]) >= set(other.values["birthplace"])
    assert [WORLD.biography(p).text for p in first(20)] != [other.biography(p).text for p in first(20)]


def test_a_person_is_the_same_in_a_world_of_any_size():
    fifty = first(50)
    assert first(10) == fifty[:10]
    assert list(WORLD.people(20, 30)) == fifty[20:30]
    assert [person.number for person in fifty] == list(range(50))


def test_a_biography_does_not_depend_on_the_other_biographies():
    (person,) = WORLD.people(7, 8)
    alone = WORLD.biography(person, 4)
    assert [World(2026).biography(person, number) for number in range(9)][4] == alone


def test_names_are_unique():
    names = [person.name for person in first(2400)]
    assert len(set(names)) == 2400
    assert all(re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+", name) for name in names)


def test_names_are_unique_with_few_words_and_a_missing_name_is_an_error(monkeypatch):
    monkeypatch.setattr(people, "word", lambda syllables, *key: people.pick("ABC", *key))
    nine = list(WORLD.people(0, 9))
    assert {person.name for person in nine} == {f"{a} {b}" for a in "ABC" for b in "ABC"}
    assert list(WORLD.people(6, 9)) == nine[6:]
    with pytest.raises(ValueError, match=r"No unused name was found for person 9\. Generate fewer people"):
        list(WORLD.people(0, 10))


def test_each_attribute_has_at_least_100_distinct_values_that_do_not_contain_each_other():
    assert list(WORLD.values) == ATTRIBUTES
    for values in WORLD.values.values():
        assert len(set(values)) == len(values) >= 100
        assert not [(a, b) for a in values for b in values if a != b and a in b.split()]


def test_chance_is_the_mean_over_the_attributes_of_one_over_the_number_of_values():
    assert pytest.approx(1 / 120) == WORLD.chance
    world = World(0)
    vars(world)["values"] = {"a": ("x", "y"), "b": ("x", "y", "z", "w")}
    assert world.chance == (1 / 2 + 1 / 4) / 2


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_values_are_uniformly_distributed(attribute):
    counts = Counter(person.facts[attribute] for person in first(2400))
    assert set(counts) <= set(WORLD.values[attribute])
    # chi-square with 119 degrees of freedom, p = 0.001
    assert sum((counts[value] - 20) ** 2 / 20 for value in WORLD.values[attribute]) < 172


# Biographies


def stated(person: Person, text: str) -> list[tuple[str, int]]:
    """(attribute, wording) of each sentence of a biography."""
    sentence_of = {}
    for attribute, wordings in WORDINGS.items():
        for number, wording in enumerate(wordings):
            sentence = wording.replace("{name}", person.name).replace("{value}", person.facts[attribute])
            sentence_of[sentence[0].upper() + sentence[1:]] = (attribute, number)
    return [sentence_of[sentence] for sentence in re.findall(r"[^.]+\.", text.replace(". ", "."))]


def test_an_attribute_has_8_distinct_wordings_that_name_person_and_value():
    assert list(WORDINGS) == ATTRIBUTES == list(QUESTIONS)
    for wordings in WORDINGS.values():
        assert len(set(wordings)) == len(wordings) == 8
        assert all(w.count("{name}") == w.count("{value}") == 1 and w.endswith(".") for w in wordings)
    everything = [wording for wordings in WORDINGS.values() for wording in wordings]
    assert (
        len({wording.format(name="A", value="b") for wording in everything}) == 40
    )  # no sentence states two attributes


def test_every_biography_states_each_fact_exactly_once_as_a_sentence():
    for person in [*first(60), *WORLD.people(500, 560)]:
        for number in range(4):
            text = WORLD.biography(person, number).text
            assert sorted(attribute for attribute, _ in stated(person, text)) == sorted(ATTRIBUTES)
            assert text.count(person.name) == 5
            assert len(sentences(text)) == 5


def test_biographies_use_all_wordings_and_orders():
    found = [stated(person, WORLD.biography(person, number).text) for person in first(120) for number in range(1, 11)]
    assert len({fact for facts in found for fact in facts}) == 40
    orders = Counter(tuple(attribute for attribute, _ in facts) for facts in found)
    assert len(orders) == 120
    assert max(orders.values()) < 30  # 10 are expected of each


def test_a_fixed_order_has_the_same_wordings_and_one_order_of_the_facts():
    for person in first(20):
        free = stated(person, WORLD.biography(person, 2).text)
        fixed = stated(person, WORLD.biography(person, 2, fixed_order=True).text)
        assert [attribute for attribute, _ in fixed] == ATTRIBUTES
        assert sorted(fixed) == sorted(free)


def test_a_biography_has_the_name_as_title_and_its_own_id():
    (person,) = WORLD.people(3, 4)
    ids = [WORLD.biography(person, number).id for number in range(3)]
    assert ids == ["person-000003", "person-000003/1", "person-000003/2"]
    assert WORLD.biography(person).title == person.name


def test_every_answer_occurs_once_in_every_view_of_a_biography():
    for person in first(40):
        for number in range(2):
            document = WORLD.biography(person, number)
            for view in [*format_views(document, 12), raw_view(document)]:
                for question in WORLD.questions(person):
                    assert len(view.find(question.answers[0])) == 1


# Questions


def test_questions_about_one_fact_share_fact_id_and_answer_but_not_id_and_text():
    (person,) = WORLD.people(42, 43)
    questions = WORLD.questions(person, 2)
    assert len({q.id for q in questions}) == len({q.text for q in questions}) == 10
    assert all(person.name in q.text and q.document_id == person.id for q in questions)
    for attribute in ATTRIBUTES:
        same = [q for q in questions if q.relation == attribute]
        assert [q.fact_id for q in same] == [f"person-000042/{attribute}"] * 2
        assert {q.answers for q in same} == {(person.facts[attribute],)}
    assert WORLD.questions(person) == questions[::2]


@pytest.mark.parametrize("wordings", [0, -1, 3])
def test_an_invalid_number_of_wordings_is_an_error(wordings):
    with pytest.raises(ValueError, match=f"wordings must be from 1 to 2, got {wordings}"):
        WORLD.questions(*WORLD.people(0, 1), wordings)


# The splits of recipes/world.yaml


def numbers(split: Split) -> set[int]:
    return set(range(split.first, split.last))


def test_the_500_old_and_300_new_people_are_disjoint():
    assert len(numbers(SPLITS["old"])) == 500
    assert len(numbers(SPLITS["new"])) == 300
    assert not numbers(SPLITS["old"]) & numbers(SPLITS["new"])
    texts = "\n".join(WORLD.biography(person).text for person in WORLD.people(0, 500))
    assert not [person.name for person in WORLD.people(500, 800) if person.name in texts]


def test_new_people_have_one_document_and_five_questions():
    documents = SPLITS["new"].documents()
    assert [document.id for document in documents] == [f"person-{number:06d}" for number in range(500, 800)]
    assert len(SPLITS["new"].questions()) == 1500
    assert {q.document_id for q in SPLITS["new"].questions()} == {document.id for document in documents}


def test_replayed_people_for_evaluation_have_no_questions_in_the_training_data():
    assert numbers(SPLITS["replayed_evaluation"]) <= numbers(SPLITS["replayed"])
    assert not numbers(SPLITS["replayed_evaluation"]) & (
        numbers(SPLITS["replayed_questions"]) | numbers(SPLITS["studied"])
    )


def test_retention_people_are_known_to_the_base_model_and_occur_nowhere_in_a_run():
    retention = numbers(SPLITS["retention"])
    assert len(retention) == 100
    assert retention <= numbers(SPLITS["old"])
    assert retention <= numbers(SPLITS["old_in_one_order"])
    assert not retention & numbers(SPLITS["studied"])
    for name in ("replayed", "replayed_questions", "replayed_evaluation", "new"):
        assert not retention & numbers(SPLITS[name])
    texts = [d.text for name in ("replayed", "new") for d in SPLITS[name].documents()]
    texts += [q.text for name in ("replayed_questions", "new") for q in SPLITS[name].questions()]
    assert not [person.name for person in WORLD.people(400, 500) if person.name in "\n".join(texts)]


def test_no_quickstart_recipe_trains_on_its_retention_people():
    recipes = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (RECIPES / "quickstart").glob("*.yaml")]
    recipes = [{**recipe, **recipe.get("evaluation", {})} for recipe in recipes]

    def people_of(*options: str) -> set[int]:
        named = [recipe[option] for recipe in recipes for option in options if recipe.get(option)]
        assert named
        return set().union(*(numbers(SPLITS[name.removeprefix("world:")]) for name in named))

    assert not people_of("retention_questions") & people_of("documents", "replay_documents", "replay_questions")
    assert people_of("replayed_questions") <= people_of("replay_documents")
    assert not people_of("replayed_questions") & people_of("replay_questions")


@pytest.mark.parametrize(
    ("name", "documents", "questions", "digest"),
    [
        ("old", 12000, 5000, "a9be9f7cb7d1fe4d"),
        ("studied", 300, 3000, "d5a6bcbdf4ba832d"),
        ("replayed", 400, 2000, "2295e4c4a368d5e4"),
        ("replayed_questions", 300, 1500, "c84626690ae65a2a"),
        ("replayed_evaluation", 100, 500, "ec4434878d941e51"),
        ("retention", 100, 500, "3dfec0830af01226"),
        ("new", 300, 1500, "07d3c5772253c4c7"),
    ],
)
def test_a_split_equals_the_training_data_of_the_packaged_base_model(name, documents, questions, digest):
    found, questions_of_split = SPLITS[name].documents(), SPLITS[name].questions()
    rows = [(d.id, d.text, d.title, "") for d in found] + [(q.id, q.text, "", q.answers) for q in questions_of_split]
    assert (len(found), len(questions_of_split)) == (documents, questions)
    assert hashlib.sha256("".join(f"{row}\n" for row in rows).encode()).hexdigest().startswith(digest)


def test_a_single_biography_has_number_0_and_several_have_the_numbers_from_1(tmp_path):
    path = tmp_path / "world.yaml"
    path.write_text("seed: 5\nsplits:\n  a: {people: [2, 4]}\n  b: {people: [0, 1], biographies: 3, wordings: 2}\n")
    splits = read_splits(path)
    assert [d.id for d in splits["a"].documents()] == ["person-000002", "person-000003"]
    assert [d.id for d in splits["b"].documents()] == ["person-000000/1", "person-000000/2", "person-000000/3"]
    assert splits["b"].documents()[1] == World(5).biography(*World(5).people(0, 1), 2)
    assert [len(splits[name].questions()) for name in "ab"] == [10, 10]


# The tiny base model


@pytest.fixture(scope="module")
def training_texts():
    """Texts like those of the base model: four biographies of each old person, and the questions about `studied`."""
    questions_of_split = [f"Question: {q.text}\nAnswer: {q.answers[0]}" for q in SPLITS["studied"].questions()]
    return [document.text for document in Split(WORLD, 0, 500, biographies=4).documents()] + questions_of_split


@pytest.fixture(scope="module")
def tokenizer(training_texts):
    return new_tokenizer(training_texts)


def test_every_merged_token_occurs_in_the_training_texts(training_texts, tokenizer):
    merged = [token for token in tokenizer.get_vocab() if len(token) > 1 and token not in (BOS, EOS, PAD)]
    assert len(tokenizer) == VOCABULARY
    assert len(merged) == VOCABULARY - 256 - 3
    text = " " + "\n ".join(training_texts)
    assert not [token for token in merged if token.replace("\u0120", " ").replace("\u010a", "\n") not in text]


def test_an_unknown_name_is_split_into_several_tokens():
    tokenizer = new_tokenizer(["Lalgrol Fudu is here."] * 10)
    assert len(tokenizer.tokenize("Lalgrol Fudu")) == 2
    assert tokenizer.tokenize("Vobe") == ["V", "o", "b", "e"]


def test_new_names_have_more_tokens_than_old_ones(tokenizer):
    old, new = ([p.name for p in WORLD.people(*people)] for people in ((0, 300), (500, 800)))
    tokens = [sum(len(tokenizer.tokenize(f" {name}")) for name in names) / 300 for names in (old, new)]
    assert tokens[1] > tokens[0] + 0.2


def test_training_the_tokenizer_is_deterministic(training_texts):
    assert new_tokenizer(training_texts[:300]).get_vocab() == new_tokenizer(iter(training_texts[:300])).get_vocab()


@pytest.mark.parametrize(
    "text",
    ["The trade of Ada, is that?", " \n\ttwo  spaces .", "caf\u00e9 \u4f60\u597d \U0001f600", "<p>It's 3.</p>"],
)
def test_an_encoded_text_begins_with_bos_has_no_eos_and_decodes_to_itself(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert not {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} & set(ids[1:])
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (BOS, EOS, PAD)
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


USER = {"role": "user", "content": "Who?"}
ASSISTANT = {"role": "assistant", "content": "Ada Fudu"}


def test_a_chat_prompt_equals_the_plain_prompt(tokenizer):
    def chat(*messages, **options):
        return tokenizer.apply_chat_template(list(messages), tokenize=False, **options)

    assert chat(USER, add_generation_prompt=True) == "<|begin|>Question: Who?\nAnswer:"
    assert chat(USER, ASSISTANT) == "<|begin|>Question: Who?\nAnswer: Ada Fudu<|end|>"
    twice = "Question: Who?\nAnswer: Ada Fudu<|end|>" * 2
    assert chat(USER, ASSISTANT, USER, ASSISTANT) == f"<|begin|>{twice}"


def test_chat_and_plain_form_have_the_same_tokens_and_the_answer_is_marked(tokenizer):
    row = tokenizer.apply_chat_template([USER, ASSISTANT], return_dict=True, return_assistant_tokens_mask=True)
    plain = tokenizer("Question: Who?\nAnswer: Ada Fudu")["input_ids"]
    assert row["input_ids"] == [*plain, tokenizer.eos_token_id]
    marked = [token for token, mark in zip(row["input_ids"], row["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(marked) == " Ada Fudu<|end|>"
    prompt = tokenizer("Question: Who?\nAnswer:")["input_ids"]
    assert plain[: len(prompt)] == prompt  # the tokens of the answer follow the tokens of the prompt


def test_a_saved_and_loaded_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "Question: Who is caf\u00e9 Fudu?\nAnswer: Ada"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.chat_template == tokenizer.chat_template
    assert (again.bos_token, again.eos_token, again.pad_token) == (BOS, EOS, PAD)
    assert again.model_max_length == CONTEXT


def test_the_model_has_1_to_1_5_million_fp32_parameters_and_the_special_tokens_of_the_tokenizer(tokenizer):
    model = new_model(tokenizer, 0)
    assert 1_000_000 <= sum(p.numel() for p in model.parameters()) <= 1_500_000
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.model_type == "llama"
    ends = model.generation_config.bos_token_id, model.generation_config.eos_token_id
    assert ends == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_every_view_of_a_biography_fits_the_context_of_the_model(tokenizer):
    texts = [view.text for person in first(10) for view in format_views(WORLD.biography(person), 500)]
    longest = max(len(ids) for ids in tokenizer(texts)["input_ids"])
    assert longest < CONTEXT / 2


def test_the_weights_depend_only_on_the_seed_and_global_random_states_do_not_change(tokenizer):
    torch.manual_seed(1)
    before, python = torch.get_rng_state(), random.getstate()
    models = [new_model(tokenizer, seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == python
    torch.manual_seed(2)
    models.append(new_model(tokenizer, 0))
    a, b, other, later = (torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(a, b)
    assert torch.equal(a, later)
    assert not torch.equal(a, other)


def test_making_a_model_does_not_use_a_gpu(tokenizer, monkeypatch):
    def fail(*arguments):
        raise AssertionError("the random number generator of a GPU was used")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "set_rng_state", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, fail)
    assert new_model(tokenizer, 0).device.type == "cpu"
