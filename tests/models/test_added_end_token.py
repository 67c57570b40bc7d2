"""Every kind of post-processor loses the tokens that it adds at the end of a text, and nothing else."""

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hf_knowlearn.models.added_end_token import remove_added_end_token

TOKENS = ["ferry", "mill", "<s>", "</s>", "[CLS]", "[SEP]"]
FERRY, MILL, BOS, EOS, CLS, SEP = range(len(TOKENS))
START, END = ("<s>", BOS), ("</s>", EOS)


def template(single: str, pair: str = "$A $B") -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[START, END, ("[CLS]", CLS), ("[SEP]", SEP)]
    )


CASES: dict[str, tuple[Any, list[int], list[int]]] = {  # post-processor, tokens that it adds at the start and the end
    "template": (template("<s> $A </s>"), [BOS], [EOS]),
    "template without a start": (template("$A </s>"), [], [EOS]),
    "template with two tokens at the end": (template("$A [SEP] [CLS]"), [], [SEP, CLS]),
    "template with two tokens at the start": (template("[CLS] <s> $A </s>"), [CLS, BOS], [EOS]),
    "BERT": (processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS)), [CLS], [SEP]),
    "RoBERTa": (processors.RobertaProcessing(END, START), [BOS], [EOS]),
    "sequence": (processors.Sequence([processors.ByteLevel(), template("<s> $A </s>")]), [BOS], [EOS]),
    "nested sequence": (
        processors.Sequence([processors.Sequence([processors.RobertaProcessing(END, START)])]), [BOS], [EOS]
    ),
    "no end": (template("<s> $A"), [BOS], []),
    "nothing": (processors.ByteLevel(), [], []),
    "no post-processor": (None, [], []),
}  # fmt: skip


def new_tokenizer(post_processor: Any) -> Any:
    backend = Tokenizer(models.WordLevel({token: id for id, token in enumerate(TOKENS)}, unk_token="ferry"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if post_processor is not None:
        backend.post_processor = post_processor
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", bos_token="<s>")


@pytest.mark.parametrize(("post_processor", "start", "end"), CASES.values(), ids=CASES)
def test_the_tokens_at_the_end_are_removed_and_those_at_the_start_remain(
    post_processor: Any, start: list[int], end: list[int]
):
    tokenizer = new_tokenizer(post_processor)
    assert tokenizer("ferry mill")["input_ids"] == [*start, FERRY, MILL, *end]
    remove_added_end_token(tokenizer)
    assert tokenizer("ferry mill")["input_ids"] == [*start, FERRY, MILL]
    assert tokenizer("ferry mill </s>")["input_ids"] == [*start, FERRY, MILL, EOS]


@pytest.mark.parametrize(("post_processor", "start", "end"), CASES.values(), ids=CASES)
def test_offsets_of_tokens_remain(post_processor: Any, start: list[int], end: list[int]):
    tokenizer = new_tokenizer(post_processor)
    before = tokenizer(" ferry  mill", return_offsets_mapping=True)["offset_mapping"]
    remove_added_end_token(tokenizer)
    after = tokenizer(" ferry  mill", return_offsets_mapping=True)["offset_mapping"]
    assert after == before[: len(before) - len(end)]


def test_the_removal_is_saved_with_the_tokenizer(tmp_path: Any):
    tokenizer = new_tokenizer(processors.RobertaProcessing(END, START))
    remove_added_end_token(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path)("ferry")["input_ids"] == [BOS, FERRY]
