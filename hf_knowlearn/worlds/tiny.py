"""The tiny base model and its tokenizer. It is a Llama with 1.1 million parameters, which two CPU cores can train.

The tokenizer is trained only on the training texts of the base model. It splits the names of new people into several
tokens, as the tokenizer of a pretrained model splits unknown names. A tokenizer trained on the new names would make
recall too easy.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 2048
CONTEXT = 512  # positions; the longest view of a biography has about 200 tokens
BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"

# Why: this template renders the plain prompt, so the model can answer chat prompts without further training.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %} {{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}Question: {{ message['content'] }}\nAnswer:{% endif %}{% endfor %}"
)


def new_tokenizer(texts: Iterable[str]) -> "PreTrainedTokenizerFast":
    """Train a byte-level BPE tokenizer on `texts`, and return it.

    The tokenizer has separate tokens for beginning, end and padding.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS, EOS, PAD], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
    )


def new_model(tokenizer: "PreTrainedTokenizerFast", seed: int) -> "LlamaForCausalLM":
    """Make an untrained Llama for `tokenizer`: 4 layers of width 128, 4 heads, tied embeddings, fp32.

    The weights depend only on `seed`. The global random number generators are not changed.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):  # Why: weights are sampled on the CPU, so no GPU has to be initialized.
        torch.default_generator.manual_seed(seed)
        return LlamaForCausalLM(config)
