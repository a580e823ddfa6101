"""What a file holds is read without running anything in it, and what is not a checkpoint is told with a remedy."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from argparse import Namespace
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from states import State, same, save, small

from fssbench.base.errors import CheckpointError
from fssbench.models.checkpoints import load_checkpoint, read_state_dict

# --- reading --------------------------------------------------------------------------------------------


def wrapped(state: State) -> State:
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "packed",
    [
        lambda s: s,
        lambda s: {"epoch": 7, "state_dict": s, "optimizer": {"lr": 0.1, "steps": [1, 2]}},
        wrapped,
        lambda s: {"state_dict": wrapped(s), "best": 0.5},
        lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
        lambda s: {"checkpoint": {"model_state_dict": s}, "optim": {"a": torch.zeros(1)}},
        lambda s: ({"weights": s}, 3),
    ],
    ids=["plain", "under state_dict", "with module.", "both", "under model", "deeper", "in a tuple"],
)
def test_a_state_dict_is_found_however_it_was_saved(tmp_path: Path, packed: Callable[[State], object]) -> None:
    state = small().state_dict()
    path = save(tmp_path / "weights.pt", packed(state))
    assert same(read_state_dict(path), state)
    assert same(read_state_dict(str(path)), state)
    model = small()
    load_checkpoint(model, path)
    assert same(model.state_dict(), state)


def test_names_are_made_the_models_before_they_are_compared(tmp_path: Path) -> None:
    state = small().state_dict()
    path = save(tmp_path / "weights.pt", {f"module.encoder.{name}": tensor for name, tensor in state.items()})
    model = small()
    load_checkpoint(model, path, rename=lambda name: name.removeprefix("encoder."))
    assert same(model.state_dict(), state)


def test_module_is_taken_off_the_front_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "weights.pt", {"module.module.a": torch.zeros(1), "b.module.c": torch.ones(1)})
    assert set(read_state_dict(path)) == {"module.a", "b.module.c"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*absent\.pt; check the path"):
        read_state_dict(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*absent\.pt"):
        load_checkpoint(small(), tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty; copy or download it again"),
        (b"hello\n", "it does not begin like a file that torch.save wrote"),
        (b"import torch\n", "it does not begin like a file"),
        (b".", "it does not begin like a file"),
        (b"\x80", "it does not begin like a file"),
        (b"<html>not found</html>", "it is a web page, .*; open the address"),
        (b"\n<!DOCTYPE HTML PUBLIC>", "it is a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "it is a pointer of Git LFS, .*; run git lfs pull",
        ),
        (b'{"weight_map": {}}', "it is JSON; name the file of the weights"),
        (b"\x1f\x8b\x08\0", "it is a compressed archive; unpack it"),
        (b"PK\x03\x04" + bytes(50), r"it is damaged or cut short \(54 bytes\)"),
        (pickle.dumps({"a": 1}), "it was written by pickle, not by torch.save"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, reason: str, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"weights{suffix} cannot be read as ") as caught:
        read_state_dict(path)
    assert suffix == ".safetensors" or re.search(reason, str(caught.value))


@pytest.mark.parametrize(("name", "writes"), [("a.pt", save_file), ("b.safetensors", torch.save)])
def test_what_a_file_holds_decides_and_not_its_ending(
    tmp_path: Path, name: str, writes: Callable[[State, Path], None]
) -> None:
    state = small().state_dict()
    writes(state, tmp_path / name)
    assert same(read_state_dict(tmp_path / name), state)


class Plain:
    """An object of somebody's training code."""

    def __init__(self) -> None:
        self.rate = 0.1


class Config(dict[str, object]):
    """As configurations of many frameworks."""


def objects() -> dict[str, object]:
    optimizer = torch.optim.Adam(small().parameters())
    plan = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    return {
        "numpy scalar": np.float64(0.5),
        "array": np.arange(3),
        "namespace": Namespace(rate=0.1, stages=[1, 2]),
        "path": Path("runs"),
        "defaultdict": defaultdict(list, {"loss": [0.1]}),
        "deque": deque([1.0, 2.0]),
        "configuration": Config(rate=0.1),
        "optimizer": optimizer,
        "scheduler": plan,
        "plain": Plain(),
        "function": small,
        "random state": np.random.get_state(),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", list(objects()))
def test_objects_of_training_code_beside_the_weights_are_passed_over(tmp_path: Path, name: str, zipped: bool) -> None:
    state, path = small().state_dict(), tmp_path / "weights.pt"
    torch.save({"best": objects()[name], "state_dict": state}, path, _use_new_zipfile_serialization=zipped)
    assert same(read_state_dict(path), state)


def test_what_torch_remarks_on_a_format_is_not_passed_on(tmp_path: Path) -> None:
    """It would stand before the one line of a refusal, naming a file of torch's."""
    path = tmp_path / "protocol4.pt"
    torch.save(small().state_dict(), path, pickle_protocol=4, _use_new_zipfile_serialization=False)
    with warnings.catch_warnings(record=True) as told, suppress(CheckpointError):
        warnings.simplefilter("always")
        read_state_dict(path)
    assert told == []


def test_a_whole_model_is_named_with_how_to_save_its_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "whole.pt", small())
    with pytest.raises(CheckpointError, match=r"no state dict: it is torch\.nn\..*\.Sequential, as a whole; exp"):
        read_state_dict(path)
    save(path, {"model": small(), "epoch": 3})
    with pytest.raises(CheckpointError, match=r"it has model \(torch\.nn\..*\), epoch \(int\); .*state_dict\(\)"):
        read_state_dict(path)


@given(st.binary(max_size=30))
def test_no_bytes_give_any_other_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever torch makes of a damaged file, it is told as a checkpoint that cannot be read."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"fuzzed\.pt"):
        read_state_dict(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_cut_short_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "weights.pt"
    torch.save(small().state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for part in range(1, 10):
        path.write_bytes(whole[: len(whole) * part // 10])
        with pytest.raises(CheckpointError, match="cannot be read as a PyTorch checkpoint"):
            read_state_dict(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="it is a pipe or a device"):
        read_state_dict(tmp_path / "weights.pt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read as a PyTorch checkpoint"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {}, {"epoch": 3}, {"state_dict": {}}, {"a": torch.zeros(1), "b": 2}]
)
def test_what_holds_no_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    path = save(tmp_path / "weights.pt", content)
    with pytest.raises(CheckpointError, match=r"weights\.pt holds no state dict: it .*; expected tensors by name"):
        read_state_dict(path)


class Payload:
    """An object whose unpickling writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[Path, str], int], tuple[Path, str]]:
        return Path.write_text, (self.target, "ran")


@pytest.mark.parametrize("how", ["pickle", "torch", "torch in the old format"])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(tmp_path: Path, how: str) -> None:
    target, path = tmp_path / "ran", tmp_path / "weights.pt"
    content = {"weight": torch.zeros(1), "payload": Payload(target)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError, match=r"weights\.pt (cannot be read|holds no state dict)"):
        read_state_dict(path)
    assert not target.exists()
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert target.exists()  # it would have run


def test_the_message_of_a_refusal_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "weights.pt", {"payload": Payload(tmp_path / "ran")})
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
