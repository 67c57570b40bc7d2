"""Streams with epochs: rows depend on seed, epoch and document only, in ranks, workers and resumed runs too."""

import pickle
from collections import Counter

import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

from hf_knowlearn import views
from hf_knowlearn.documents import Document, read_documents
from hf_knowlearn.format_aug import load_format_aug
from hf_knowlearn.format_aug.streaming import order_of

EPOCHS, DOCUMENTS = 3, 5


@pytest.fixture
def path(write):
    return write(DOCUMENTS)


@pytest.fixture
def stream(path):
    return load_format_aug(path, streaming=True, epochs=EPOCHS, seed=2, split="train")


def keys(rows):
    return [(row["epoch"], row["document_id"], row["view"]) for row in rows]


def test_every_epoch_has_the_next_view_of_every_document(stream, path):
    rows = list(stream)
    assert [row["epoch"] for row in rows] == [e for e in range(EPOCHS) for _ in range(DOCUMENTS)]
    texts = {(row["epoch"], row["document_id"]): row["text"] for row in rows}
    for document in read_documents(path):
        sequence = [view.text for view in views.format_views(document, EPOCHS, 2)]
        assert [texts[epoch, document.id] for epoch in range(EPOCHS)] == sequence
        assert len(set(sequence)) == EPOCHS


def test_every_epoch_has_another_order_of_documents(path):
    rows = list(load_format_aug(path, streaming=True, epochs=8, split="train"))
    orders = {tuple(row["document_id"] for row in rows[e * DOCUMENTS : (e + 1) * DOCUMENTS]) for e in range(8)}
    assert len(orders) > 5
    assert all(len(set(order)) == DOCUMENTS for order in orders)


def test_seed_and_epoch_determine_the_order():
    assert list(order_of(8, 0, 0)) == [0, 2, 1, 4, 6, 7, 3, 5]
    assert list(order_of(8, 0, 1)) != list(order_of(8, 0, 0))
    assert list(order_of(8, 1, 0)) != list(order_of(8, 0, 0))
    assert list(order_of(3, None, 7)) == [0, 1, 2]


def test_num_views_continue_from_epoch_to_epoch(path):
    rows = list(load_format_aug(path, streaming=True, epochs=2, num_views=3, include_raw=True, split="train"))
    for epoch in range(2):
        numbers = [row["view"] for row in rows if row["epoch"] == epoch]
        assert numbers == [-1, *range(epoch * 3, epoch * 3 + 3)] * DOCUMENTS


def test_rows_do_not_depend_on_the_number_of_epochs(path, stream):
    more = load_format_aug(path, streaming=True, epochs=EPOCHS + 2, seed=2, split="train")
    assert list(more)[: EPOCHS * DOCUMENTS] == list(stream)


@pytest.mark.parametrize("options", [{}, {"num_views": 2, "include_raw": True}])
def test_a_stream_resumes_at_its_saved_state(options, path):
    def new():
        return load_format_aug(path, streaming=True, epochs=2, split="train", **options)

    rows, stream = list(new()), new()
    for number, row in enumerate(stream):
        assert row == rows[number]
        resumed = new()
        resumed.load_state_dict(pickle.loads(pickle.dumps(stream.state_dict())))
        assert list(resumed) == rows[number + 1 :]
    assert number + 1 == len(rows)


def test_a_resumed_stream_makes_no_earlier_row(path, monkeypatch):
    stream = load_format_aug(path, streaming=True, epochs=EPOCHS, split="train")
    iterator = iter(stream)
    for _ in range(EPOCHS * DOCUMENTS - 2):
        next(iterator)
    made = []
    formats = views.FAMILIES["formats"]
    monkeypatch.setitem(views.FAMILIES, "formats", lambda d, *a, **o: made.append(d.id) or formats(d, *a, **o))
    resumed = load_format_aug(path, streaming=True, epochs=EPOCHS, split="train")
    resumed.load_state_dict(stream.state_dict())
    assert len(list(resumed)) == len(made) == 2


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("split", ["by node", "as accelerate does"])
def test_ranks_get_disjoint_rows_of_every_epoch(split, ranks, stream):
    if split == "by node":
        shares = [list(split_dataset_by_node(stream, rank, ranks)) for rank in range(ranks)]
    else:
        shares = [list(stream.shard(ranks, rank)) for rank in range(ranks)]
    whole = keys(stream)
    assert Counter(key for share in shares for key in keys(share)) == Counter(whole)
    assert [keys(share) for share in shares] == [whole[rank::ranks] for rank in range(ranks)]


def test_a_shard_resumes_at_its_saved_state(stream):
    share = stream.shard(2, 1)
    rows, iterator = list(share), iter(share)
    for _ in range(3):
        next(iterator)
    resumed = stream.shard(2, 1)
    resumed.load_state_dict(share.state_dict())
    assert list(resumed) == rows[3:]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")  # on one core
def test_workers_of_a_data_loader_get_disjoint_rows(stream):
    share = stream.shard(2, 0)
    loader = DataLoader(share, batch_size=None, num_workers=2)
    assert Counter(keys(loader)) == Counter(keys(share))


def test_a_stream_can_be_pickled(stream):
    assert list(pickle.loads(pickle.dumps(stream))) == list(stream)


def test_set_epoch_and_shuffle_of_sources_do_not_change_the_rows(stream):
    rows = list(stream)
    stream.set_epoch(3)
    assert list(stream) == rows
    assert list(stream.shuffle(seed=1, buffer_size=1)) == rows
    assert Counter(keys(stream.shuffle(seed=1, buffer_size=9))) == Counter(keys(rows))


def test_map_filter_skip_and_take_work(stream):
    rows = list(stream)
    mapped = stream.map(lambda row: {"length": len(row["text"])}).filter(lambda row: row["epoch"] == 1).skip(1).take(3)
    assert [row["length"] for row in mapped] == [len(row["text"]) for row in rows if row["epoch"] == 1][1:4]


def test_a_document_with_too_few_views_is_an_error_in_the_first_epoch(path):
    short = [*read_documents(path), Document("short", "Word.")]
    stream = load_format_aug(short, streaming=True, epochs=6, groups=["spacing"], split="train")
    rows = []
    with pytest.raises(ValueError, match="document 'short' has only"):
        rows.extend(stream)
    assert {row["epoch"] for row in rows} <= {0}


def test_repeat_starts_again_with_the_first_view_in_later_epochs():
    options = {"streaming": True, "epochs": 8, "groups": ["spacing"], "split": "train"}
    texts = [row["text"] for row in load_format_aug([Document("short", "Word.")], exhausted="repeat", **options)]
    assert texts == (texts[:5] * 2)[:8]
    assert len(set(texts)) == 5
