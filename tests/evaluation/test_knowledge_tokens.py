"""Knowledge tokens against models with known probabilities, in views that training never uses."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.facts import fact_spans, identifying_spans
from hf_knowlearn.evaluation.knowledge_tokens import KnowledgeTokens, counted_spans, knowledge_tokens
from hf_knowlearn.views import GROUPS, View, format_views, masked_views, mixed_views, order_views, prove, raw_view
from hf_knowlearn.views.held_out import held_out_views
from hf_knowlearn.views.parts import views_of_parts

TARN = Document(
    "tarn", "It is Tarn Mill that grinds rye. It was built by Ada Lovelace in 1820. Since then Tarn Mill had 7 roofs."
)


def expected(tokenizer: Any, table: torch.Tensor, views: list[View], words: list[list[str]]) -> list[float]:
    """Return the probability of each token of these words at their first occurrence in the view."""
    found = []
    for view, of_view in zip(views, words, strict=True):
        encoded = tokenizer(view.text)
        for word in of_view:
            start = view.text.index(word)
            tokens = sorted({encoded.char_to_token(i) for i in range(start, start + len(word))})
            rows = table[[encoded["input_ids"][i - 1] for i in tokens]].double().softmax(-1)
            found += [float(row[encoded["input_ids"][i]]) for row, i in zip(rows, tokens, strict=True)]
    return found


# Held out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tell", [format_views, order_views, masked_views, mixed_views])
@pytest.mark.parametrize("hold_out", [None, "headings"])
def test_held_out_views_are_new_and_have_the_order_of_the_document_and_another(
    biographies: list[Document], tell: Any, seed: int, hold_out: str | None
):
    for document in biographies[:4]:
        trained = tell(document, 12, seed, None, hold_out)
        views = held_out_views(document, 4, seed, hold_out=hold_out, trained=trained)
        assert len({view.text for view in views}) == 4
        assert [view.family for view in views] == ["formats", "formats", "order", "order"]
        assert not {view.text for view in views} & {view.text for view in trained}
        for view in views:
            prove(view, document)
            if hold_out:
                marks = [name for name in view.format.split("+") if name != "permuted"]
                assert marks
                assert all(name.startswith("headings.") for name in marks)


def test_a_short_document_has_fewer_held_out_views():
    short = Document("short", "Tarn grinds rye.")
    made = held_out_views(short, 2, hold_out="spacing")
    assert [view.family for view in made] == ["formats"] * 2
    every = held_out_views(short, 10_000, hold_out="spacing")
    assert 2 < len(every) < 20
    assert held_out_views(short, 2, hold_out="spacing", trained=every) == []
    assert len(held_out_views(short, 2, hold_out="spacing", trained=every[1:])) == 1
    with pytest.raises(ValueError, match="Unknown groups of formats"):
        held_out_views(short, 2, hold_out="fences")


def test_parts_are_split_until_every_view_fits():
    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    long = Document("long", "One two three four. " * 20)
    made = views_of_parts(long, lambda part: [raw_view(part)], words, 40, 40)
    assert [len(part.text.split()) for part, _ in made] == [40, 40]
    made = views_of_parts(long, lambda part: format_views(part, 2, groups=["lists"]), words, 40, 40)
    assert "".join(part.text for part, _ in made) == long.text
    assert max(words([view.text for _, views in made for view in views])) <= 40
    with pytest.raises(ValueError, match=r"Document 'long' has no views of at most 7 tokens. Increase max_length\."):
        views_of_parts(long, lambda part: [raw_view(part)], words, 40, 7)


def test_views_that_are_too_long_because_of_their_layout_are_dropped():
    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    document = Document("d", "One two three four. " * 4)
    raw = raw_view(document)

    def raw_and_long_layout(part: Document) -> list[Any]:
        view = raw_view(part)
        return [view, replace(view, text=view.text + " |" * 20), replace(view, text=view.text + " -")]

    ((part, views),) = views_of_parts(document, raw_and_long_layout, words, 17, 17)
    assert part.text == document.text
    assert [view.text for view in views] == [raw.text, raw.text + " -"]


# What counts


def count(text: str, title: str = "", view: Any = raw_view, answers: tuple[str, ...] = ()) -> list[str]:
    document = Document("d", text, title)
    made, questions = view(document), [Question("q", "What?", (answer,), "d") for answer in answers]
    places = counted_spans(made, document, fact_spans(document, questions), identifying_spans(document, questions))
    return [made.text[start:end] for start, end in places]


def test_a_fact_counts_at_its_first_occurrence_and_not_if_it_begins_the_view():
    assert count(TARN.text) == ["Ada Lovelace", "1820", "7"]
    assert count("It is Ada Lovelace of Tarn. It was Lovelace in tarn, in TARN and New Tarn.") == ["Tarn", "New Tarn"]
    assert count("It is 1820, 18 and 1820.") == ["18"]


def test_answers_count_after_a_name_or_a_number():
    assert count(TARN.text, answers=("rye", "Tarn Mill", "seven", "Lovelace")) == ["rye", "Lovelace"]
    assert count("It is rye that Tarn grinds.", answers=("rye",)) == []
    assert count("It is Ada Lovelace.", answers=("Lovelace",)) == []  # of the name that opens


def test_after_the_title_every_fact_outside_the_title_counts():
    def below(document: Document) -> View:
        views = (format_views(document, 1, seed=i, groups=["headings"])[0] for i in range(100))
        return next(view for view in views if view.format == "headings.h1")

    assert count(TARN.text, title="Tarn", view=below) == ["Tarn Mill", "Ada Lovelace", "1820", "7"]
    assert count(TARN.text, title="The Tarn Mill", view=below) == ["Ada Lovelace", "1820", "7"]


def test_facts_are_found_in_every_layout_and_order():
    text = "Tarn Mill grinds rye. Ada Lovelace built Tarn Mill in 1820. Tarn Mill has 7 roofs. Bo Lint sold Tarn Mill."
    document = Document("mill", text, "A mill")
    facts, clues = fact_spans(document), identifying_spans(document)
    for view in [*format_views(document, 40), *order_views(document, 5)]:
        made = "".join(view.text[start:end] for start, end in counted_spans(view, document, facts, clues))
        joined = "".join(made.split())
        assert {"7", "0"} & set(joined)  # Why two digits: a number of a list can occur before one of them
        assert "rye" not in joined


# The measure


def test_a_uniform_model_gives_every_token_the_same_probability(tokenizer: Any, model_of_bigrams: Any):
    uniform = model_of_bigrams(torch.zeros(len(tokenizer), len(tokenizer)))
    found = knowledge_tokens(uniform, tokenizer, [TARN, replace(TARN, id="again")], trained=None)
    assert found.probability == pytest.approx(1 / len(tokenizer), rel=1e-6)
    assert found.logprob == pytest.approx(-math.log(len(tokenizer)), rel=1e-6)
    assert found.probability_se == pytest.approx(0, abs=1e-9)
    assert (found.documents, found.without_facts, found.without_views) == (2, 0, 0)


def test_the_probability_is_the_mean_over_documents_of_their_fact_tokens(tokenizer: Any, bigrams: Any):
    ferry = Document("ferry", "It is to Ormel that the ferry goes. It carries 40 cars since 1954.")

    def trained(document: Document) -> list[View]:
        return format_views(document, 4, 5, groups=["marks"])

    views = {d.id: held_out_views(d, 3, 5, hold_out="marks", trained=trained(d)) for d in (TARN, ferry)}
    assert [len(of_it) for of_it in views.values()] == [3, 3]
    words = {"tarn": ["Tarn Mill", "Ada Lovelace", "1820", "7"], "ferry": ["Ormel", "40", "1954"]}
    found = knowledge_tokens(bigrams(0), tokenizer, [TARN, ferry], trained=trained, hold_out="marks", views=3, seed=5)
    means, tokens = [], 0
    for document in (TARN, ferry):
        made = views[document.id]
        # All but the one that occurs first.
        count = [sorted(words[document.id], key=view.text.index)[1:] for view in made]
        each = expected(tokenizer, bigrams(0).table.detach(), made, count)
        means.append(mean(each))
        tokens += len(each)
    assert [part.probability for part in found.by_part] == pytest.approx(means, rel=1e-4)
    assert found.probability == pytest.approx(mean(means), rel=1e-4)
    assert found.probability_se == pytest.approx(stdev(means) / math.sqrt(2), rel=1e-4)
    assert (found.tokens, found.documents) == (tokens, 2)


def same(one: KnowledgeTokens, other: KnowledgeTokens) -> None:
    assert (one.tokens, one.documents) == (other.tokens, other.documents)
    for a, b in zip(one.by_part, other.by_part, strict=True):
        assert (a.document_id, a.part, a.tokens) == (b.document_id, b.part, b.tokens)
        assert (a.probability, a.logprob) == pytest.approx((b.probability, b.logprob), rel=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_batch_size_changes_no_probability(build: Any, tokenizer: Any, biographies: list[Document], kind: str):
    model = build(kind)
    model.train()
    random = torch.get_rng_state()
    one = knowledge_tokens(model, tokenizer, biographies, trained=None, batch_size=1)
    assert one.documents == len(biographies)
    same(one, knowledge_tokens(model, tokenizer, biographies, trained=None, batch_size=7))
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)


def test_an_adapter_is_measured_with_its_base_model(build: Any, tokenizer: Any, biographies: list[Document]):
    plain = knowledge_tokens(build("llama"), tokenizer, biographies[:3], trained=None)
    model = get_peft_model(build("llama"), LoraConfig(r=2, target_modules=["q_proj"]))
    same(plain, knowledge_tokens(model, tokenizer, biographies[:3], trained=None))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            nn.init.ones_(weight)
    assert knowledge_tokens(model, tokenizer, biographies[:3], trained=None).probability != plain.probability


def test_a_long_document_is_measured_in_parts_and_counts_once(tokenizer: Any, bigrams: Any):
    short = Document("short", "It is Ada Lovelace of Tarn.")
    long = Document("long", " ".join(f"It is Ada Lovelace who had {n} of it." for n in range(100, 160)))
    found = knowledge_tokens(bigrams(0), tokenizer, [long, short], trained=None, part_tokens=60)
    of_long = [part for part in found.by_part if part.document_id == "long"]
    assert [part.part for part in of_long] == list(range(len(of_long)))
    assert len(of_long) > 5
    tokens = sum(part.tokens for part in of_long)
    pooled = sum(part.probability * part.tokens for part in of_long) / tokens
    assert found.documents == 2
    assert found.probability == pytest.approx((pooled + found.by_part[-1].probability) / 2)
    assert found.tokens == tokens + found.by_part[-1].tokens


def test_documents_without_facts_or_views_are_counted(tokenizer: Any, bigrams: Any):
    bare, read = Document("bare", "Nothing of note is written here, and nothing there."), replace(TARN, id="read")

    def trained(document: Document) -> list[View]:
        return held_out_views(document, 10_000, hold_out="spacing") if document.id == "read" else []

    found = knowledge_tokens(bigrams(0), tokenizer, [bare, TARN, read], trained=trained, hold_out="spacing")
    assert (found.without_facts, found.without_views, found.documents) == (1, 1, 1)
    assert [(part.tokens > 0, part.views > 0) for part in found.by_part] == [
        (False, True),
        (True, True),
        (False, False),
    ]
    assert set(found.figures()) == {*vars(found)} - {"by_part"}
    assert math.isnan(found.probability_se)
    assert math.isnan(knowledge_tokens(bigrams(0), tokenizer, [bare], trained=None).probability)


def test_answers_to_questions_are_the_facts(tokenizer: Any, bigrams: Any):
    rye = Question("q", "What is ground?", ("rye",), "tarn")
    found = knowledge_tokens(bigrams(0), tokenizer, [TARN], [rye], trained=None, hold_out="shift", views=1)
    view = held_out_views(TARN, 1, hold_out="shift")
    each = expected(tokenizer, bigrams(0).table.detach(), view, [["rye"]])
    assert (found.tokens, found.probability) == (len(each), pytest.approx(mean(each), rel=1e-4))


def test_a_slow_tokenizer_and_a_document_without_views_are_an_error(tokenizer: Any, bigrams: Any):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="Slow is not a fast tokenizer"):
        knowledge_tokens(bigrams(0), Slow(), [TARN], trained=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no views of at most 6 tokens"):
        knowledge_tokens(bigrams(0), tokenizer, [TARN], trained=None, max_length=6)
    assert set(GROUPS) >= {"spacing", "shift", "marks", "headings"}


SCRIPT = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_knowlearn.documents import Document
from hf_knowlearn.evaluation.drift import drift
from hf_knowlearn.evaluation.knowledge_tokens import knowledge_tokens
from hf_knowlearn.generation.free_text import sample_texts

folder = Path(sys.argv[1])
documents = [Document(**row) for row in json.loads((folder / "documents.json").read_text())]
model = AutoModelForCausalLM.from_pretrained(folder)
base = AutoModelForCausalLM.from_pretrained(folder)
model.lm_head.weight.data *= 0.9
tokenizer = AutoTokenizer.from_pretrained(folder)
state = PartialState(cpu=True)
texts = sample_texts(model, tokenizer, 5, max_new_tokens=8, batch_size=2)
found = {
    "ranks": state.num_processes,
    "texts": texts,
    "drift": drift(model, base, tokenizer, texts, batch_size=1).figures(),
    "tokens": knowledge_tokens(base, tokenizer, documents, trained=None, batch_size=2).figures(),
}
(folder / f"found.{state.process_index}.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_two_processes_measure_the_same_as_one(
    model: Any, tokenizer: Any, biographies: list[Document], tmp_path: Path
):
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    rows = [{"id": d.id, "text": d.text, "title": d.title} for d in biographies[:5]]
    (tmp_path / "documents.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    subprocess.run([sys.executable, *two, str(tmp_path / "run.py"), str(tmp_path)], env=env, check=True, timeout=300)
    ranks = [json.loads((tmp_path / f"found.{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    subprocess.run([sys.executable, str(tmp_path / "run.py"), str(tmp_path)], env=env, check=True, timeout=300)
    one = json.loads((tmp_path / "found.0.json").read_text(encoding="utf-8"))
    assert (ranks[0]["ranks"], one["ranks"]) == (2, 1)
    assert ranks[0]["texts"] == one["texts"]
    for name in ("drift", "tokens"):
        assert ranks[0][name] == pytest.approx(one[name], rel=1e-4)
