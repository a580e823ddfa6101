"""What results say of what a model learned before it came here, and what of a benchmark that held."""

from __future__ import annotations

import pytest

from fssbench.models.pretraining import DATA_SETS, learned_from, seen_of, title_of
from fssbench.results.naming import results_folder
from fssbench.schemas.result import ModelRecord, PretrainingRecord

PLAIN = ModelRecord.unseen("seggpt").model_copy(update={"backbone": "BAAI/seggpt-vit-large", "parameters": 10})
SEGGPT = PretrainingRecord(data=("COCO", "ADE20K"), saw=("images", "masks"))


@pytest.mark.parametrize(
    ("name", "benchmark", "saw"),
    [
        ("BAAI/seggpt-vit-large", "coco-20i", ("images", "masks")),
        ("BAAI/seggpt-vit-large", "pascal-5i", ("images", "masks")),
        ("BAAI/seggpt-vit-large", "fss-1000", ()),
        ("CIDAS/clipseg-rd64-refined", "coco-20i", ("images", "masks", "labels")),
        ("CIDAS/clipseg-rd64-refined", "pascal-5i", ("masks", "labels")),
        ("facebook/dinov2-base", "coco-20i", ()),
        ("facebook/sam-vit-huge", "coco-20i", ()),
        ("microsoft/resnet-50", "coco-20i", ("labels",)),
        ("microsoft/resnet-50", "toy-20i", ()),
    ],
)
def test_what_published_weights_saw_of_a_benchmark(name: str, benchmark: str, saw: tuple[str, ...]) -> None:
    data = learned_from(name)
    assert data is not None
    assert set(data) <= set(DATA_SETS)
    assert seen_of(benchmark, data) == saw


def test_of_what_nobody_here_knows_nothing_is_claimed() -> None:
    assert learned_from("somebody/else") is None
    assert seen_of("coco-20i", ["a-new-one"]) == ()
    assert title_of("a-new-one") == "a-new-one"


def test_a_record_says_it_in_words_and_that_it_saw_the_test() -> None:
    record = PLAIN.model_copy(update={"pretrained": SEGGPT})
    assert record.prior == "COCO, ADE20K: saw images, masks"
    assert record.saw_the_test
    labels = PLAIN.model_copy(update={"pretrained": PretrainingRecord(data=("ImageNet-1k",), saw=("labels",))})
    assert labels.prior == "ImageNet-1k: saw labels"
    assert not labels.saw_the_test


@pytest.mark.parametrize(
    ("weights", "prior"), [("imagenet", "ImageNet-1k"), ("none", ""), ("file", "not known"), (None, "not known")]
)
def test_records_from_before_it_was_recorded_are_read_and_claim_no_more(weights: str | None, prior: str) -> None:
    told = PLAIN.model_copy(update={"backbone_weights": weights}).model_dump(mode="json", exclude={"pretrained"})
    old = ModelRecord.model_validate_json(ModelRecord.model_validate(told).model_dump_json(exclude={"pretrained"}))
    assert old.pretrained is None
    assert (old.prior, old.saw_the_test) == (prior, False)


def test_a_results_folder_is_named_as_before() -> None:
    """The hash of the weights says which they are; what is known of them may grow."""
    assert results_folder(PLAIN.model_copy(update={"pretrained": SEGGPT})) == results_folder(PLAIN)
    assert results_folder(PLAIN).startswith("seggpt-BAAI-seggpt-vit-large-")
