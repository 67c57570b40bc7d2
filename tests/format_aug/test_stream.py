"""The stream of epochs: every row a function of seed, epoch and document, for ranks, workers and resumed runs."""

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


def test_every_epoch_tells_every_document_once_in_its_next_view(stream, path):
    rows = list(stream)
    assert [row["epoch"] for row in rows] == [e for e in range(EPOCHS) for _ in range(DOCUMENTS)]
    told = {(row["epoch"], row["document_id"]): row["text"] for row in rows}
    for document in read_documents(path):
        sequence = [view.text for view in views.format_views(document, EPOCHS, 2)]
        assert [told[epoch, document.id] for epoch in range(EPOCHS)] == sequence
        assert len(set(sequence)) == EPOCHS


def test_every_epoch_has_an_order_of_its_own(path):
    rows = list(load_format_aug(path, streaming=True, epochs=8, split="train"))
    orders = {tuple(row["document_id"] for row in rows[e * DOCUMENTS : (e + 1) * DOCUMENTS]) for e in range(8)}
    assert len(orders) > 5
    assert all(len(set(order)) == DOCUMENTS for order in orders)


def test_the_order_is_fixed_by_seed_and_epoch_on_every_machine():
    assert list(order_of(8, 0, 0)) == [0, 2, 1, 4, 6, 7, 3, 5]
    assert list(order_of(8, 0, 1)) != list(order_of(8, 0, 0))
    assert list(order_of(8, 1, 0)) != list(order_of(8, 0, 0))
    assert list(order_of(3, None, 7)) == [0, 1, 2]


def test_several_views_an_epoch_go_on_where_the_epoch_before_ended(path):
    rows = list(load_format_aug(path, streaming=True, epochs=2, num_views=3, include_original=True, split="train"))
    for epoch in range(2):
        numbers = [row["view"] for row in rows if row["epoch"] == epoch]
        assert numbers == [-1, *range(epoch * 3, epoch * 3 + 3)] * DOCUMENTS


def test_rows_do_not_depend_on_how_many_epochs_are_to_come(path, stream):
    more = load_format_aug(path, streaming=True, epochs=EPOCHS + 2, seed=2, split="train")
    assert list(more)[: EPOCHS * DOCUMENTS] == list(stream)


@pytest.mark.parametrize("options", [{}, {"num_views": 2, "include_original": True}])
def test_a_stream_goes_on_exactly_where_its_state_was_taken(options, path):
    def new():
        return load_format_aug(path, streaming=True, epochs=2, split="train", **options)

    rows, stream = list(new()), new()
    for number, row in enumerate(stream):
        assert row == rows[number]
        resumed = new()
        resumed.load_state_dict(pickle.loads(pickle.dumps(stream.state_dict())))
        assert list(resumed) == rows[number + 1 :]
    assert number + 1 == len(rows)


def test_going_on_makes_no_row_that_was_had(path, monkeypatch):
    stream = load_format_aug(path, streaming=True, epochs=EPOCHS, split="train")
    iterator = iter(stream)
    for _ in range(EPOCHS * DOCUMENTS - 2):
        next(iterator)
    told = []
    formats = views.FAMILIES["formats"]
    monkeypatch.setitem(views.FAMILIES, "formats", lambda d, *a, **o: told.append(d.id) or formats(d, *a, **o))
    resumed = load_format_aug(path, streaming=True, epochs=EPOCHS, split="train")
    resumed.load_state_dict(stream.state_dict())
    assert len(list(resumed)) == len(told) == 2


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("split", ["by node", "as accelerate does"])
def test_ranks_share_every_epoch_out_among_them(split, ranks, stream):
    if split == "by node":
        shares = [list(split_dataset_by_node(stream, rank, ranks)) for rank in range(ranks)]
    else:
        shares = [list(stream.shard(ranks, rank)) for rank in range(ranks)]
    whole = keys(stream)
    assert Counter(key for share in shares for key in keys(share)) == Counter(whole)
    assert [keys(share) for share in shares] == [whole[rank::ranks] for rank in range(ranks)]


def test_a_share_goes_on_where_its_state_was_taken(stream):
    share = stream.shard(2, 1)
    rows, iterator = list(share), iter(share)
    for _ in range(3):
        next(iterator)
    resumed = stream.shard(2, 1)
    resumed.load_state_dict(share.state_dict())
    assert list(resumed) == rows[3:]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")  # on one core
def test_workers_of_a_loader_share_a_ranks_rows_out_among_them(stream):
    share = stream.shard(2, 0)
    loader = DataLoader(share, batch_size=None, num_workers=2)
    assert Counter(keys(loader)) == Counter(keys(share))


def test_it_can_be_handed_to_another_process(stream):
    assert list(pickle.loads(pickle.dumps(stream))) == list(stream)


def test_an_epoch_set_from_outside_and_a_shuffle_of_sources_change_nothing(stream):
    rows = list(stream)
    stream.set_epoch(3)
    assert list(stream) == rows
    assert list(stream.shuffle(seed=1, buffer_size=1)) == rows
    assert Counter(keys(stream.shuffle(seed=1, buffer_size=9))) == Counter(keys(rows))


def test_it_can_be_mapped_filtered_and_skipped_as_any_stream(stream):
    rows = list(stream)
    mapped = stream.map(lambda row: {"length": len(row["text"])}).filter(lambda row: row["epoch"] == 1).skip(1).take(3)
    assert [row["length"] for row in mapped] == [len(row["text"]) for row in rows if row["epoch"] == 1][1:4]


def test_the_first_epoch_refuses_a_document_whose_views_the_last_would_lack(path):
    short = [*read_documents(path), Document("short", "Word.")]
    stream = load_format_aug(short, streaming=True, epochs=6, groups=["spacing"], split="train")
    had = []
    with pytest.raises(ValueError, match="document 'short' has only"):
        had.extend(stream)
    assert {row["epoch"] for row in had} <= {0}


def test_or_its_views_begin_again():
    options = {"streaming": True, "epochs": 8, "groups": ["spacing"], "split": "train"}
    texts = [row["text"] for row in load_format_aug([Document("short", "Word.")], exhausted="repeat", **options)]
    assert texts == (texts[:5] * 2)[:8]
    assert len(set(texts)) == 5
