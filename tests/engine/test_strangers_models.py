"""What somebody's own model does wrong is told as theirs, with the episode, and no score is made of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from command import Command, Ran
from torch import Tensor
from toys import Voters

from fssbench.base.errors import ModelError
from fssbench.engine.evaluate import evaluate
from fssbench.engine.inference import InferenceSettings
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

PLAIN = """
import sys
from pathlib import Path
import torch
from fssbench.models.interface import FewShotSegmenter, Preprocess

class Mine(FewShotSegmenter):
    preprocess = Preprocess(size=32)

    def __init__(self, stages: str = "3", backbone: str = "mine"):
        super().__init__()
        self.stages = stages.split(",")
        {init}

    def predict(self, query, supports, masks):
        mask = masks.amax(dim=1).to(torch.uint8)
        {answer}

class Mute(Exception):
    def __str__(self):
        raise RuntimeError
"""
EPISODE = r", in episode 0 \(class [a-z ]+, query \d+\)"


class Lost(Voters):
    """Its logits are not numbers from an episode on, all or one of them."""

    def __init__(self, *, value: float, after: int = 0, all_of_them: bool = True) -> None:
        super().__init__()
        self.value, self.after, self.all = value, after, all_of_them

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        logits = super().match(query, supports)
        self.after -= 1
        if self.after < 0:
            logits[(-1,) if self.all else (-1, 0, 0, 3, 4)] = self.value
        return logits


class LostInSixteenBits(Voters):
    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        ones = torch.ones(8, 8)
        return super().match(query, supports) / (0.0 if (ones @ ones).dtype == torch.bfloat16 else 1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("all_of_them", [True, False])
@pytest.mark.parametrize("inference", [InferenceSettings(), InferenceSettings(batch=2), InferenceSettings(fast=False)])
def test_logits_that_are_no_numbers_give_no_score(
    toy_set: EpisodeSet, value: float, all_of_them: bool, inference: InferenceSettings
) -> None:
    """Of those asked together the one is named that has them, which here is the last."""
    model = Lost(value=value, all_of_them=all_of_them)
    with pytest.raises(ModelError, match=r"^Lost gave logits that are NaN or infinite, in episode \d+ \(class") as said:
        evaluate(model, toy_set, shot=1, seed=0, inference=inference)
    classes = [one.class_id for one in toy_set.tracks[toy_set.record(shot=1, seed=0).label].episodes]
    found = int(re.findall(r"in episode (\d+)", str(said.value))[0])
    first = classes.index(classes[found])
    assert found == (first if inference.batch is None else classes.index(classes[found], first + 1))


def test_what_is_lost_in_sixteen_bits_alone_is_found_in_them(toy_set: EpisodeSet) -> None:
    reduced = InferenceSettings(precision="bf16")
    evaluate(LostInSixteenBits(), toy_set, shot=1, seed=0, episodes=4)
    with pytest.raises(ModelError, match=r"NaN or infinite.*; .* as 16 bits have sooner than float32"):
        evaluate(LostInSixteenBits(), toy_set, shot=1, seed=0, episodes=4, inference=reduced)


@pytest.fixture
def ask(fssbench: Command, toy_set: EpisodeSet, tmp_path: Path) -> object:
    """Evaluates a model of a few lines."""

    def run(*more: str, answer: str = "return mask", init: str = "pass", command: str = "eval") -> Ran:
        (tmp_path / "mine.py").write_text(PLAIN.format(answer=answer, init=init))
        model = f"{tmp_path / 'mine.py'}:Mine"
        if command != "eval":
            return fssbench(command, *(["-m"] if command == "profile" else []), model, "--json", *more)
        place = ("-b", "toy", "-f", "0", "-d", toy_set.path, "-o", tmp_path / "out", "--json")
        return fssbench("eval", "-m", model, *place, "--limit", "3", *more)

    return run


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("raise ValueError('one\\ntwo')", rf"Mine failed: ValueError: one \(.*mine\.py, line 17\){EPISODE}"),
        (
            "raise BaseException('all of it')",
            rf"Mine failed: BaseException: all of it \(.*mine\.py, line 17\){EPISODE}",
        ),
        ("raise Mute", rf"Mine failed: Mute \(.*mine\.py, line 17\){EPISODE}"),
        ("raise ValueError('x' * 9_999)", rf"Mine failed: ValueError: x{{500}}… \(.*mine\.py, line 17\){EPISODE}"),
        ("sys.exit('bye')", rf"Mine failed: it called sys\.exit\('bye'\) \(.*mine\.py, line 17\){EPISODE}"),
        ("return None", rf"Mine gave NoneType, expected a torch\.Tensor .*\(1, 32, 32\){EPISODE}"),
        ("return mask.numpy()", rf"Mine gave ndarray, expected a torch\.Tensor .*{EPISODE}"),
        ("return [mask]", rf"Mine gave list, expected a torch\.Tensor .*{EPISODE}"),
        ("return mask[0]", rf"Mine gave a mask of shape \(32, 32\), expected \(1, 32, 32\){EPISODE}"),
        ("return mask * 255", rf"Mine: a predicted mask must hold only 0 and 1, found 255{EPISODE}"),
        ("return mask.long()", rf"Mine: a predicted mask must be uint8 or bool, got torch\.int64{EPISODE}"),
        ("return mask * float('nan')", rf"Mine: .* uint8 or bool, got torch\.float32{EPISODE}"),
        ("return mask.to(torch.complex64)", rf"Mine gave a mask of torch\.complex64, .*{EPISODE}"),
        ("return mask.to('meta')", rf"Mine gave a mask of torch\.uint8, .* on meta, .*{EPISODE}"),
        ("return mask.to_sparse()", rf"Mine gave a mask of torch\.uint8, torch\.sparse_coo .*{EPISODE}"),
    ],
)
def test_what_is_no_answer_is_told_as_the_models_with_the_episode(ask, answer: str, said: str) -> None:  # type: ignore[no-untyped-def]
    ran = ask(answer=answer)
    assert (ran.code, ran.out) == (2, "")
    assert re.search(said, ran.error)


@pytest.mark.parametrize("command", ["eval", "check-model"])
def test_a_model_that_learns_without_saying_so_is_told_what_to_set(ask, command: str) -> None:  # type: ignore[no-untyped-def]
    ran = ask(answer="torch.ones(1, requires_grad=True).mul(query).sum().backward()", command=command)
    assert ran.code == 2
    assert "set needs_gradients = True" in ran.error + ran.out


def test_views_are_answers_like_others(ask) -> None:  # type: ignore[no-untyped-def]
    plain = json.loads(ask().out)
    for answer in ("return mask.mT.contiguous().mT", "return mask.bool()", "return torch.stack([mask, mask])[1]"):
        found = json.loads(ask("--overwrite", answer=answer).out)
        assert found[0]["result"]["policies"] == plain[0]["result"]["policies"]


@pytest.mark.parametrize("name", ["train", "eval", "to"])
def test_a_model_whose_own_methods_forget_to_return_it_is_asked_like_others(ask, name: str) -> None:  # type: ignore[no-untyped-def]
    ran = ask(init=f"self.{name} = lambda *given, **more: None")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("init", "said"),
    [
        ("1 / 0", r"Mine failed to be built: ZeroDivisionError: division by zero \(.*mine\.py, line 13\)"),
        ("sys.exit(0)", r"Mine failed to be built: it called sys\.exit\(0\)"),
        ("self.regime = 'mine'", "Mine has 'mine' as its regime, expected one of base classes, "),
        ("self.backbone_info = 'resnet'", "Mine has 'resnet' as its backbone_info"),
        ("self.weights_files = lambda: None", "Mine failed in weights_files: TypeError"),
        ("type(self).preprocess = property(lambda self: 1 / 0)", "Mine failed in preprocess: ZeroDivisionError"),
        ("self.to = None", "Mine failed on its way to cpu: TypeError"),
    ],
)
def test_what_fails_before_any_episode_is_told_as_the_models(ask, init: str, said: str) -> None:  # type: ignore[no-untyped-def]
    for command in ("eval", "check-model"):
        ran = ask(init=init, command=command)
        assert ran.code == 2
        assert re.search(said, ran.err + ran.out)


def test_what_a_model_prints_does_not_spoil_json(ask) -> None:  # type: ignore[no-untyped-def]
    for command in ("eval", "check-model", "profile"):
        ran = ask(init="print('built')", answer="print('asked'); return mask", command=command)
        assert ran.code == 0, ran.err
        json.loads(ran.out)
        assert {"built", "asked"} <= set(ran.err.split())


def test_an_option_that_reads_as_a_number_is_text_where_text_is_wanted(ask) -> None:  # type: ignore[no-untyped-def]
    """And one called backbone is an option like any other."""
    ran = ask("--option", "stages=3", "--backbone", "other")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)[0]["result"]["model"]["options"] == {"backbone": "other", "stages": "3"}


def test_episodes_before_the_one_that_failed_are_kept(ask, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """So what failed for a reason outside the code goes on where it stopped."""
    folder = f"here = Path({str(tmp_path)!r})"
    count = "asked = here / 'asked'; asked.write_text((asked.read_text() if asked.exists() else '') + 'x')"
    fail = "len(asked.read_text()) < 3 or (here / 'mended').stat()"
    ran = ask(answer=f"{folder}; {count}; {fail}; return mask")
    assert re.search(r"FileNotFoundError: .*mended.*, in episode \d+ \(", ran.error)
    (tmp_path / "mended").touch()
    ran = ask(answer=f"{folder}; {count}; {fail}; return mask")
    assert json.loads(ran.out)[0]["result"]["execution"]["resumed_episodes"] == 2
