"""Training rows: every kind of row has the expected prompt, completion and columns."""

import copy
from dataclasses import replace
from random import Random

import pytest
from generated_documents import generated_document
from transformers import AutoTokenizer

from hf_knowlearn.documents import Conversation, Document, Question
from hf_knowlearn.documents.order_rules import order_rules
from hf_knowlearn.format_aug import rows
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.views import TooFewViewsError, format_views, masked_views, mixed_views, prove

COLUMNS = ["prompt", "completion", "document_id", "part", "view", "family", "format"]
MILL = Document("mill", "Tarn has a mill. Ormel has a harbour. The ferry leaves at six.", title="Tarn")
SENTENCES = [f"Sentence {number} is here." for number in range(7)]  # of four words
LONG = Document("long", " ".join(SENTENCES), title="Tarn")
CHAT = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def count_words(texts):
    return [len(text.split()) for text in texts]


@pytest.fixture(scope="module")
def tokenizer(base):
    """A tokenizer with a chat template that puts a space between the prompt and the answer."""
    tokenizer = copy.deepcopy(AutoTokenizer.from_pretrained(base))
    tokenizer.chat_template = CHAT
    return tokenizer


def completions(parts):
    return [[row["completion"] for row in part] for part in parts]


# Documents


def test_a_raw_document_is_one_row_without_a_prompt():
    expected = {"prompt": "", "completion": MILL.text, "document_id": "mill", "part": 0, "view": 0}
    expected |= {"family": "formats", "format": "raw"}
    assert rows.document_rows([MILL], ViewSettings("raw"), count_words, None) == [[expected]]


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        (
            ViewSettings("formats", 3, seed=5, hold_out="lists"),
            lambda document: format_views(document, 3, 5, hold_out="lists"),
        ),
        (
            ViewSettings("masked", 3, seed=5, ratio=(0.2, 0.3)),
            lambda document: masked_views(document, 3, 5, ratio=(0.2, 0.3)),
        ),
        (
            ViewSettings("mixed", 4, weights={"order": 1, "masked": 1}),
            lambda document: mixed_views(document, 4, weights={"order": 1, "masked": 1}),
        ),
    ],
)
def test_every_document_has_a_list_with_one_row_per_view(settings, make):
    found = rows.document_rows([MILL, LONG], settings, count_words, None)
    expected = [
        [(v.prompt, v.text, v.document_id, v.part, v.index, v.family, v.format) for v in make(document)]
        for document in (MILL, LONG)
    ]
    assert [[tuple(row[name] for name in COLUMNS) for row in part] for part in found] == expected
    assert {tuple(row) for part in found for row in part} == {tuple(COLUMNS)}


def test_number_and_first_select_views_of_one_sequence():
    settings = ViewSettings("formats", num_views=2)
    assert rows.make_views(MILL, settings) == format_views(MILL, 2)
    assert rows.make_views(MILL, settings, 3, first=4) == format_views(MILL, 7)[4:]
    with pytest.raises(ValueError, match="num_views=0"):
        rows.make_views(MILL, settings, 0)


@pytest.mark.parametrize(
    ("part_tokens", "max_length", "sentences"),
    [(12, None, 3), (12, 100, 3), (None, 12, 2), (100, 12, 2)],  # max_length counts the title, too
)
def test_a_long_document_is_split_into_parts_of_whole_sentences_under_its_title(part_tokens, max_length, sentences):
    found = rows.document_rows([LONG, MILL], ViewSettings("raw", part_tokens=part_tokens), count_words, max_length)
    texts = [" ".join(SENTENCES[i : i + sentences]) for i in range(0, 7, sentences)]
    expected = [f"Tarn\n\n{text} " for text in texts[:-1]] + [f"Tarn\n\n{texts[-1]}"]
    parts = [row for part in found for row in part if row["document_id"] == "long"]
    assert [(row["part"], row["completion"]) for row in parts] == [*enumerate(expected)]


@pytest.mark.parametrize("family", ["formats", "order", "mixed", "masked"])
def test_every_view_of_a_part_begins_with_its_title_and_section_path(family):
    facts = " ".join(f"Boat {number} is in Ormel." for number in range(6))
    document = Document("d", f"# A\n\n{facts}\n\n## B\n\n{facts}", title="Tarn")
    found = rows.document_views(document, ViewSettings(family, 6, part_tokens=20), count_words, None)
    assert [part.heading for part, _ in found] == ["Tarn\n\n", "Tarn > A\n\n", "Tarn > A\n\n", "Tarn > A > B\n\n"]
    for part, made in found:
        assert len(made) == 6
        for view in made:
            assert view.text.startswith(part.heading)
            assert view.spans[0][0] >= len(part.heading)
            prove(view, part)


def test_parts_of_generated_documents_keep_sections_blocks_and_the_order_of_the_whole():
    parts = permuted = 0
    for seed in range(150):
        random = Random(seed)
        generated = generated_document(random)
        settings = ViewSettings("mixed", 4, part_tokens=random.randint(20, 80))
        for part, made in rows.document_views(generated.document, settings, count_words, None):
            parts += 1
            for view in made:
                prove(view, part)
                assert not list(generated.problems(view.text)), (seed, view.text)
                permuted += view.family == "order"
    assert parts > 250
    assert permuted > 300


def test_a_turn_alone_in_a_part_is_not_permuted():
    facts = "\n\n".join(f"Tarn has mill {i}. Ormel has harbour {i}. Rome is far." for i in range(12))
    turns = "\n\n".join(f"{name}: Rome is far. Tarn has a mill. Bo bakes." for name in ("Ada", "Bo", "Ada", "Bo"))
    document = Document("d", f"{facts}\n\n{turns}")
    assert not order_rules(document).keeps_order
    found = rows.document_views(document, ViewSettings("order", 3, part_tokens=12), count_words, None)
    families = {"facts": set(), "turns": set()}
    for part, made in found:
        families["turns" if part.text.startswith(("Ada:", "Bo:")) else "facts"] |= {view.family for view in made}
    assert families == {"facts": {"order"}, "turns": {"formats"}}


def test_every_part_of_a_document_that_keeps_its_order_keeps_it():
    steps = " ".join(f"Open valve {number}. Then close it. Ormel is far." for number in range(8))
    document = Document("d", steps, title="Tarn")
    for family in ("order", "mixed"):
        found = rows.document_views(document, ViewSettings(family, 8, part_tokens=20), count_words, None)
        assert len(found) > 3
        assert {view.family for _, made in found for view in made} == {"formats"}


def test_the_number_of_documents_that_keep_their_order_is_logged_by_kind(caplog):
    documents = [MILL, Document("a", "1. Open it.\n2. Close it."), Document("b", "Ada: Yes.\n\nBo: No.\n\nAda: Yes.")]
    with caplog.at_level("INFO", logger=rows.__name__):
        rows.document_rows(documents, ViewSettings("mixed", 2), count_words, None)
    assert "2 of 3 documents keep their order: procedure 1, dialogue 1." in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger=rows.__name__):
        rows.document_rows([MILL], ViewSettings("mixed", 2), count_words, None)
        rows.document_rows(documents, ViewSettings("formats", 2), count_words, None)
    assert "keep" not in caplog.text


@pytest.mark.parametrize("title", ["", "Ports"])
def test_the_header_row_is_directly_above_the_rows_in_every_view_of_a_part(title):
    table = ["| name | boats |", "|------|-------|", *(f"| Port{number} | {number} |" for number in range(30))]
    document = Document("d", "\n".join(table), title)
    found = rows.document_views(document, ViewSettings("formats", 200, part_tokens=40), count_words, None)
    assert len(found) > 3
    for part, made in found[1:]:
        first = part.text.split("\n")[0]
        for view in made:
            prove(view, part)
            lines = view.text.split("\n")
            at = next(number for number, line in enumerate(lines) if line.endswith(first))
            start = lines[at].removesuffix(first)  # such as "// "
            assert lines[at - 2 : at] == [start + row for row in table[:2]]
            assert title == "" or lines[0] == title


def test_near_identical_views_of_a_table_are_left_out():
    table = "| a | b |\n|---|---|\n" + "| Tarn | 3 |\n" * 60
    few, many = rows.document_rows([Document("d", table), MILL], ViewSettings("mixed", 30), count_words, None)
    assert 1 <= len(few) < 15
    assert len(many) == 30


def test_without_part_tokens_and_max_length_a_document_is_not_split():
    assert completions(rows.document_rows([LONG], ViewSettings("raw"), count_words, None)) == [[LONG.text]]


def test_parts_become_shorter_until_every_view_fits_into_max_length():
    settings = ViewSettings("formats", 3, groups=["headings"])
    assert max(count_words(view.text for view in format_views(LONG, 3, groups=["headings"]))) > 28
    found = rows.document_rows([LONG], settings, count_words, 28)
    lengths = count_words(text for part in completions(found) for text in part)
    assert len(found) == 2
    assert max(lengths) <= 28


# Chat template


def test_in_the_chat_template_a_request_for_the_title_is_the_prompt(tokenizer):
    end = tokenizer.eos_token
    [[row]] = rows.document_rows([MILL], ViewSettings("raw", template="chat"), count_words, None, tokenizer)
    assert row["prompt"] == f"user: Tell me about Tarn.{end}assistant:"
    assert row["completion"] == f" {MILL.text}{end}"


def test_in_the_chat_template_a_masked_view_has_its_own_request(tokenizer):
    [part] = rows.document_rows([MILL], ViewSettings("masked", 2, template="chat"), count_words, None, tokenizer)
    end = tokenizer.eos_token
    requests = [view.prompt.rstrip() for view in masked_views(MILL, 2)]
    assert [row["prompt"] for row in part] == [f"user: {request}{end}assistant:" for request in requests]
    assert [row["completion"] for row in part] == [f" {MILL.text}{end}"] * 2


def test_the_chat_template_counts_towards_max_length(tokenizer):
    end = tokenizer.eos_token
    spaced = copy.deepcopy(tokenizer)
    spaced.chat_template = CHAT.replace("{{ eos_token }}", " {{ eos_token }} ")
    # Three sentences would fit under the title (13 words), but not after the 7 words of the prompt.
    found = rows.document_rows([LONG], ViewSettings("raw", template="chat"), count_words, 17, spaced)
    texts = [" ".join(SENTENCES[i : i + 2]) + (" " if i < 6 else "") for i in range(0, 7, 2)]
    assert completions(found) == [[f" Tarn\n\n{text} {end}"] for text in texts]
    prompts = {row["prompt"] for part in found for row in part}
    assert prompts == {f"user: Tell me about Tarn. {end} assistant:"}


def test_spans_of_a_chat_view_select_the_words_of_the_document(tokenizer):
    settings = ViewSettings("order", 2, template="chat")
    [(_, views)] = rows.document_views(MILL, settings, count_words, None, tokenizer)
    assert len(views) == 2
    for view in views:
        pieces = [(view.text[s : s + n], MILL.text[d : d + n]) for s, d, n in view.spans]
        assert all(piece == original for piece, original in pieces)
        assert sum(len(piece.split()) for piece, _ in pieces) == len(MILL.text.split())


@pytest.mark.parametrize(
    ("text", "content"),
    [("m", "m"), (" end ", "end"), ("  One fact.\n\n", "One fact."), ("final\n\n  message", "final\n\n  message")],
)
def test_spans_are_right_if_the_template_strips_a_text_or_has_its_words_in_the_header(tokenizer, text, content):
    stripping = copy.deepcopy(tokenizer)
    stripping.chat_template = CHAT.replace("{{ m.content }}", "<|channel|>final<|message|>{{ m.content | trim }}")
    document = Document("d", text, title="A title")
    settings = ViewSettings("raw", template="chat")
    [(_, [view])] = rows.document_views(document, settings, count_words, None, stripping)
    assert view.prompt.endswith("assistant: <|channel|>final<|message|>")
    assert view.text == f"{content}{tokenizer.eos_token}"
    [(start, in_document, length)] = view.spans
    assert start == 0
    assert view.text[start : start + length] == text[in_document : in_document + length] == content


def test_a_problem_of_several_documents_is_listed_once(tokenizer):
    upper = copy.deepcopy(tokenizer)
    upper.chat_template = CHAT.replace("{{ m.content }}", "{{ m.content | upper }}")
    documents = [MILL, Document("b", "Two is here.", title="B")]
    with pytest.raises(ValueError, match="omits or changes answers") as error:
        rows.document_rows(documents, ViewSettings("raw", template="chat"), count_words, None, upper)
    assert len(str(error.value).splitlines()) == 1


def test_the_chat_template_requires_a_title(tokenizer):
    documents = [Document("a", "One is here."), MILL, Document("b", "Two is here.", title=" ")]
    settings = ViewSettings("raw", template="chat")
    with pytest.raises(ValueError, match=r"Document 'a' has no title(.|\n)*Document 'b' has no title") as error:
        rows.document_rows(documents, settings, count_words, None, tokenizer)
    assert "mill" not in str(error.value)
    [part] = rows.document_rows([documents[0]], ViewSettings("masked", 1), count_words, None, tokenizer)
    assert len(part) == 1


# Errors


def test_all_documents_with_a_problem_are_listed():
    short = Document("short", "Word.")
    settings = ViewSettings("masked", 2)
    with pytest.raises(ValueError, match=r"'one' has no views of at most 12(.|\n)*'long' has no views of at most 12"):
        rows.document_rows([replace(LONG, id="one"), short, LONG], settings, count_words, 12)
    assert completions(rows.document_rows([short], settings, count_words, 12)) == [["Word."]]  # the only one
    with pytest.raises(TooFewViewsError) as error:
        rows.make_views(short, settings)
    assert error.value.available == 1


def test_of_many_problems_20_are_listed_and_the_others_are_counted():
    documents = [replace(LONG, id=f"short-{number}") for number in range(23)]
    with pytest.raises(ValueError, match="'short-0' has no views") as error:
        rows.document_rows(documents, ViewSettings("masked", 1), count_words, 8)
    assert str(error.value).count("'short-") == 20
    assert str(error.value).endswith("\n... and 3 more.")


# Other rows


def test_the_row_of_a_question_has_its_first_answer_that_is_not_blank(tokenizer):
    question = Question("q", "Where is the mill?", (" ", "Tarn", "in Tarn"), document_id="mill")
    rest = {"document_id": "mill", "part": 0, "view": 0, "family": "question", "format": ""}
    plain = {"prompt": "Question: Where is the mill?\nAnswer:", "completion": " Tarn", **rest}
    assert rows.question_row(question, tokenizer, "plain") == plain
    end = tokenizer.eos_token
    chat = {"prompt": f"user: Where is the mill?{end}assistant:", "completion": f" Tarn{end}", **rest}
    assert rows.question_row(question, tokenizer, "chat") == chat
    assert rows.question_row(Question("q", "Where?", ("Tarn",)), tokenizer, "plain")["document_id"] == ""


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_white_space_around_an_answer_is_not_trained_on(tokenizer, template):
    padded, clean = (Question("q", "Where?", (answer,)) for answer in (" Tarn\n", "Tarn"))
    assert rows.question_row(padded, tokenizer, template) == rows.question_row(clean, tokenizer, template)


@pytest.mark.parametrize("make", [str, lambda text: Question("q", text, ("unused",))])
def test_prompts_of_self_generated_texts_must_not_contain_control_tokens(tokenizer, make):
    rows.check_replay_prompts([make("The mill"), ""], tokenizer)
    dirty = f"The mill{tokenizer.eos_token}"
    with pytest.raises(ValueError, match="prompts in replay_self_prompts 'The mill<") as error:
        rows.check_replay_prompts([make("The mill"), make(dirty)], tokenizer)
    assert f"into control tokens: {tokenizer.eos_token!r}" in str(error.value)


def test_a_conversation_has_one_row_per_turn_of_the_assistant(tokenizer):
    turns = [("user", "Where?"), ("assistant", "In Tarn."), ("user", "When?"), ("assistant", "At six.")]
    conversation = Conversation("c", tuple({"role": role, "content": content} for role, content in turns))
    end = tokenizer.eos_token
    first = f"user: Where?{end}assistant:"
    second = f"{first} In Tarn.{end}user: When?{end}assistant:"
    found = rows.conversation_rows([conversation], tokenizer, count_words, None)
    assert [(row["prompt"], row["completion"]) for row in found] == [
        (first, f" In Tarn.{end}"),
        (second, f" At six.{end}"),
    ]
    rest = {"document_id": "", "part": 0, "view": 0, "family": "conversation", "format": ""}
    assert all({**row, **rest} == row and list(row) == COLUMNS for row in found)


@pytest.mark.parametrize(("ended", "family"), [(True, "self_generated"), (False, "self_generated_cut")])
def test_the_row_of_a_self_generated_text_states_whether_it_ended(ended, family):
    expected = {"prompt": "Once", "completion": " upon a time.", "document_id": "", "part": 0, "view": 0}
    assert rows.generated_row("Once", " upon a time.", ended) == {**expected, "family": family, "format": ""}


@pytest.mark.parametrize(("template", "instruction"), [("plain", "Be brief."), ("chat", "Be brief."), ("auto", None)])
def test_the_prompt_of_a_question_row_is_that_of_the_evaluation(tokenizer, template, instruction):
    question = Question("q", "Where?", ("Tarn",))
    [row] = rows.question_rows([question], tokenizer, template, instruction)
    [prompt] = question_prompts(tokenizer, [question], template, instruction=instruction)
    assert row["prompt"] == prompt.text
