"""The check of models: one that does everything right passes, and each thing done wrong is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from command import Command
from torch import Tensor, nn
from toys import Redder, Voters

from fssbench.engine.model_check import check_model
from fssbench.models.baselines import AllForeground, CopySupport
from fssbench.models.interface import FewShotSegmenter

SIZE = 32


class Sound(FewShotSegmenter):
    """A model with `predict` alone, whose answer depends on all that it is given."""

    def __init__(self, *, size: int = SIZE) -> None:
        super().__init__()
        self.preprocess = type(self.preprocess)(size=size)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return self.decide(self.score(query, supports, masks))

    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return query[:, 0] - (supports[:, :, 0] * masks).mean(dim=(1, 2, 3), keepdim=True)[:, 0]

    def decide(self, score: Tensor) -> Tensor:
        return (score > 0).to(torch.uint8)


class Shapeless(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return super().decide(score)[:, None]


class Long(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return super().decide(score).long()


class White(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return super().decide(score) * 255


class Soft(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return score.sigmoid()


class Dropping(Sound):
    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return nn.functional.dropout(super().score(query, supports, masks), 0.5, training=True)


class Unseeded(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(()))

    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return super().score(query, supports, masks) - self.weight


class Standardised(Sound):
    batched = True

    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        score = super().score(query, supports, masks)
        return score - score.mean()


class Largest(Sound):
    """Depends on how many episodes there are, not on which."""

    batched = True

    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return super().score(query, supports, masks) - 0.1 * len(query)


class InPlace(Sound):
    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return super().score(query, supports.mul_(2), masks)


class Training(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        self.train()
        return super().predict(query, supports, masks)


class Stubborn(Sound):
    def train(self, mode: bool = True) -> Stubborn:
        super().train(True)
        return self


class OneShot(Sound):
    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        if supports.shape[1] > 1:
            raise NotImplementedError("one support alone\nand no more")
        return super().predict(query, supports, masks)


class Nothing(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return None  # type: ignore[return-value]


class OneSize(Sound):
    def predict_sizes(
        self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        return [self.predict(query, supports, masks)]


class Turned(Sound):
    def predict_sizes(
        self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        return super().predict_sizes(query, supports, masks, [(w, h) for h, w in sizes])


class Unlike(Voters):
    """Its two ways do not agree."""

    def predict_sizes(
        self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        return [1 - mask for mask in super().predict_sizes(query, supports, masks, sizes)]


class Overwriting(Voters):
    """Writes over features that are kept for other episodes."""

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        features[0].mul_(3)
        return super().condition(features, images, masks)


class Flat(Voters):
    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        return super().match(query, supports)[:, 0]


class Lost(Voters):
    """Half of its logits are NaN, and its masks do not show it."""

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        logits = super().match(query, supports)
        logits[..., ::2] = float("nan")
        return logits


class LostInside(Sound):
    """Divides by zero where the query is dark, and decides on it."""

    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        score = super().score(query, supports, masks)
        return score * (score.clamp(min=0) / score.clamp(min=0))


class Exiting(Sound):
    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        raise SystemExit(3)


class Complex(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return super().decide(score).to(torch.complex64)


class NoPreprocess(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.preprocess = 48  # type: ignore[assignment]


class FirstShot(Sound):
    """Built for one shot, and asked several it looks at the first alone."""

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return super().predict(query, supports[:, :1], masks[:, :1])


class Saliency(Sound):
    """Asks the query alone."""

    def score(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return query[:, 0] - query[:, 0].mean(dim=(1, 2), keepdim=True)


class Blank(Sound):
    def decide(self, score: Tensor) -> Tensor:
        return torch.zeros_like(score, dtype=torch.uint8)


class BlindVoters(Voters):
    """Of features, and its supports change nothing."""

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        return [torch.zeros_like(part) for part in super().condition(features, images, masks)]


@pytest.mark.parametrize("build", [Sound, Redder, Voters, CopySupport])
def test_a_model_that_does_everything_right_is_sound(build: Callable[[], FewShotSegmenter]) -> None:
    assert check_model(lambda: build().eval()) == []


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (Shapeless, r"predict, B=1, K=1: shape: expected \(1, 32, 32\), found \(1, 1, 32, 32\); return one mask"),
        (Long, r"dtype of masks: expected torch\.uint8, found torch\.int64; end with \.to"),
        (White, "values of masks: expected 0 and 1 alone, found 0, 255; return the decision"),
        (Soft, r"values of masks: expected 0 and 1 alone, found 0\.\d+, .*, …; return the decision, such as logits"),
        (Soft, r"dtype of masks: expected torch\.uint8, found torch\.float32"),
        (Dropping, "determinism: expected the same mask for the same episode, found masks that differ in"),
        (Unseeded, "determinism of building: expected the same mask from a model built again"),
        (Standardised, r"batch dependence: expected .* does not depend on the batch, found masks that differ in"),
        (Largest, "batch dependence: expected"),
        (InPlace, "predict's inputs: expected them as they were given, found supports changed in place; write to"),
        (Training, "training mode: expected eval mode throughout, found 2 modules in training mode after predict"),
        (Stubborn, "training mode: .* found 1 modules .* after it was built .*, the first is the model itself"),
        (
            OneShot,
            r"predict, B=1, K=2: expected an answer, found NotImplementedError: one support alone \(.*\d+\); ",
        ),
        (Nothing, r"predict, B=1, K=1: expected a torch\.Tensor, found NoneType"),
        (OneSize, "predict_sizes: expected a list of 3 masks, one for each size, found list of 1"),
        (Turned, r"predict_sizes at \(97, 61\): shape: expected \(1, 97, 61\), found \(1, 61, 97\)"),
        (Unlike, "feature reuse, K=1: expected the mask of predict from encode, .* found masks that differ in 100"),
        (Overwriting, "condition's inputs: expected them as they were given, found tensor 0 changed in place"),
        (Flat, r"found \(1, 2, 12, 12\); give logits of background and foreground"),
        (
            FirstShot,
            "use of supports, K=2: expected another answer when the second of two supports .*; let predict use",
        ),
        (Saliency, "use of supports, K=1: expected another answer when its support and its mask are others"),
        (BlindVoters, "use of supports, K=1"),
        (Blank, "constant answers: expected masks that tell .*, found background alone in 5 episodes of 5"),
        (AllForeground, "constant answers: .* found foreground alone"),
        (NoPreprocess, r"attributes: .*, found NoPreprocess has 48 as its preprocess, expected Preprocess\(size=…\)"),
        (Lost, "match's numbers: expected none that are NaN or infinite, found 144 of 288; look for a division"),
        (Lost, "predict, B=1, K=1: expected an answer, found Lost gave logits that are NaN or infinite"),
        (LostInside, "finite numbers: expected none that is NaN .*, found NaN in what gt was asked in predict"),
        (Exiting, r"predict, B=1, K=1: expected an answer, found it called sys\.exit\(3\) \(.*, line \d+\)"),
        (Complex, r"dtype of masks: expected torch\.uint8, found torch\.complex64"),
    ],
)
def test_what_is_wrong_is_named(build: Callable[[], FewShotSegmenter], expected: str) -> None:
    findings = [str(finding) for finding in check_model(lambda: build().eval())]
    assert not any("in place" in finding for finding in findings) or build in (InPlace, Overwriting), findings
    assert any(re.search(expected, finding) for finding in findings), findings
    assert not any("\n" in finding for finding in findings)


def test_weights_that_come_from_a_checkpoint_may_start_at_random() -> None:
    class Learner(Unseeded):
        needs_training = True

    assert check_model(lambda: Learner().eval()) == []


def test_random_numbers_of_the_caller_are_left_alone() -> None:
    before = torch.get_rng_state()
    check_model(lambda: Dropping().eval())
    assert torch.get_rng_state().equal(before)


# --- the command ----------------------------------------------------------------------------------------

GOOD = """
import torch
from fssbench.models.interface import FewShotSegmenter, Preprocess

class Mine(FewShotSegmenter):
    preprocess = Preprocess(size=48)

    def predict(self, query, supports, masks):
        return masks.amax(dim=1).to(torch.uint8)
"""


def test_a_sound_file_exits_with_0_and_its_only_class_need_not_be_named(fssbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    ran = fssbench("check-model", tmp_path / "mine.py")
    assert (ran.code, ran.out) == (0, f"sound {tmp_path / 'mine.py'}:Mine\n")


def test_findings_are_a_line_each_and_exit_with_2(fssbench: Command, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(GOOD.replace(".to(torch.uint8)", ""))
    ran = fssbench("check-model", f"{tmp_path / 'wrong.py'}:Mine", "--device", "cpu")
    assert ran.code == 2
    assert ran.out == "dtype of masks: expected torch.uint8, found torch.float32; end with .to(torch.uint8)\n"
    assert f"1 thing is wrong with {tmp_path / 'wrong.py'}:Mine; fix what is listed" in ran.error
    said = json.loads(fssbench("check-model", f"{tmp_path / 'wrong.py'}:Mine", "--json").out)
    assert said["sound"] is False
    assert said["findings"][0]["check"] == "dtype of masks"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"should define one class derived from FewShotSegmenter, found none; say .* as .*a\.py:Name"),
        (GOOD + "class Other(Mine): pass", r"found 2: Mine, Other; say which .* as .*a\.py:Mine"),
        ("import absent", "importing .* failed: ModuleNotFoundError"),
    ],
)
def test_a_file_that_names_no_model_is_refused(fssbench: Command, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.py").write_text(text)
    ran = fssbench("check-model", tmp_path / "a.py")
    assert ran.code == 2
    assert re.search(message, ran.error), ran.error


def test_options_reach_the_model_that_is_checked(fssbench: Command) -> None:
    ran = fssbench("check-model", "hsnet", "--option", "size=64", "--option", "kernel=separable")
    assert (ran.code, ran.out) == (0, "sound hsnet\n")
    assert "no kernel 'round'" in fssbench("check-model", "hsnet", "--option", "kernel=round").error
