"""Weights: read without running anything, loaded only where every name and shape fits, and recorded by hash."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.models.backbones import load_backbone
from fssbench.models.checkpoints import load_checkpoint, read_state_dict
from fssbench.models.prototype import Prototype

State = dict[str, Tensor]


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


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
    ],
    ids=["plain", "under state_dict", "with module.", "both"],
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


@pytest.mark.parametrize("content", [b"", b"hello\n", b"import torch\n", b".", b"\x80", b"<html>not found</html>"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pt cannot be read as a PyTorch checkpoint: .*torch\.save"):
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


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read as a PyTorch checkpoint"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {}, {"epoch": 3}, {"state_dict": {}}, {"a": torch.zeros(1), "b": 2}]
)
def test_what_holds_no_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    path = save(tmp_path / "weights.pt", content)
    with pytest.raises(CheckpointError, match=r"weights\.pt holds no state dict; expected tensors by name"):
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
    with pytest.raises(CheckpointError, match=r"weights\.pt cannot be read .* holds tensors and plain containers only"):
        read_state_dict(path)
    assert not target.exists()
    torch.load(path, weights_only=False) if how != "pickle" else pickle.loads(path.read_bytes())
    assert target.exists()  # it would have run


def test_the_message_of_a_refusal_is_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "weights.pt", {"payload": Payload(tmp_path / "ran")})
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


# --- loading --------------------------------------------------------------------------------------------


def test_a_state_dict_in_memory_is_loaded_like_a_file() -> None:
    model, state = small(), small().state_dict()
    load_checkpoint(model, {"state_dict": wrapped(state)})
    assert same(model.state_dict(), state)
    with pytest.raises(CheckpointError, match="the state dict holds no state dict"):
        load_checkpoint(model, {"epoch": 1})


def test_missing_unexpected_and_wrongly_shaped_tensors_are_counted_and_named(tmp_path: Path) -> None:
    state = small().state_dict()
    state["0.weight"] = torch.zeros(3, 5)
    state["extra"] = state.pop("2.bias")
    path = save(tmp_path / "weights.pt", state)
    expected = (
        r"weights\.pt does not fit Sequential: 1 missing \(2\.bias\); 1 unexpected \(extra\); "
        r"1 wrongly shaped \(0\.weight \(3, 5\) for \(3, 2\)\); build the model with the backbone"
    )
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(small(), path)


def test_long_lists_of_names_are_cut(tmp_path: Path) -> None:
    path = save(tmp_path / "weights.pt", {f"strange.{n}": torch.zeros(1) for n in range(5)} | small().state_dict())
    with pytest.raises(CheckpointError, match=r"5 unexpected \(strange\.0, strange\.1, strange\.2, …\)"):
        load_checkpoint(small(), path)


def test_a_model_is_not_touched_by_a_checkpoint_that_does_not_fit() -> None:
    model = small()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    del state["2.bias"]
    with pytest.raises(CheckpointError, match="1 missing"):
        load_checkpoint(model, state)
    assert same(model.state_dict(), before)


# --- backbones ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights() -> State:
    """Weights of a resnet18 that are not those of `none`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        state: State = resnet18(weights=None).state_dict()
    return state


@pytest.fixture(scope="module")
def weights_file(weights: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "resnet18.pth", weights)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """Where downloads of torch go; nothing is there yet."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def test_random_weights_have_no_file_and_are_always_the_same() -> None:
    state = torch.get_rng_state()
    (first, info), (second, _) = load_backbone("resnet18", "none"), load_backbone("resnet18", "none")
    assert (info.name, info.weights, info.sha256) == ("resnet18", "none", None)
    assert same(first.state_dict(), second.state_dict())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_backbone_is_frozen_and_in_eval_mode() -> None:
    network, _ = load_backbone("resnet18", "none")
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.modules())


def test_an_unknown_backbone_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="no backbone 'alexnet'; known are resnet18, resnet50, resnet101, vgg16"):
        load_backbone("alexnet", "none")


def test_a_files_weights_are_loaded_and_recorded_by_hash(weights: State, weights_file: Path) -> None:
    network, info = load_backbone("resnet18", str(weights_file))
    assert same(network.state_dict(), weights)
    assert (info.weights, info.sha256) == ("file", sha256_file(weights_file))


def test_a_file_without_the_classifier_is_enough(weights: State, tmp_path: Path) -> None:
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("fc.")}
    network, _ = load_backbone("resnet18", str(save(tmp_path / "body.pth", body)))
    found = network.state_dict()
    assert len(body) == len(found) - 2
    assert all(torch.equal(found[name], tensor) for name, tensor in body.items())


def test_a_classifier_of_other_classes_does_not_matter(weights: State, tmp_path: Path) -> None:
    """The head is never used, so one trained for another number of classes fits as well."""
    other = weights | {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    network, _ = load_backbone("resnet18", str(save(tmp_path / "other.pth", other)))
    assert torch.equal(network.state_dict()["conv1.weight"], weights["conv1.weight"])


def test_a_file_that_counts_no_batches_is_enough(weights: State, tmp_path: Path) -> None:
    """Files from before batch norms counted them."""
    old = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    network, _ = load_backbone("resnet18", str(save(tmp_path / "old.pth", old)))
    assert len(old) < len(weights)
    assert same(network.state_dict(), weights)


def test_another_networks_weights_are_refused(weights: State, weights_file: Path) -> None:
    wanted: State = {k: v for k, v in resnet50(weights=None).state_dict().items() if not k.startswith("fc.")}
    missing = len([name for name in wanted.keys() - weights.keys() if not name.endswith("num_batches_tracked")])
    expected = rf"resnet18\.pth does not hold the weights of resnet50: {missing} tensors are missing"
    with pytest.raises(CheckpointError, match=expected):
        load_backbone("resnet50", str(weights_file))


def test_a_missing_tensor_is_named(weights: State, tmp_path: Path) -> None:
    kept = {name: tensor for name, tensor in weights.items() if name != "layer2.0.conv1.weight"}
    with pytest.raises(CheckpointError, match=r"1 tensors are missing and 0 .* the first is layer2\.0\.conv1\.weight"):
        load_backbone("resnet18", str(save(tmp_path / "cut.pth", kept)))


def test_a_backbone_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*absent\.pth"):
        load_backbone("resnet18", str(tmp_path / "absent.pth"))


def test_imagenet_weights_without_a_network_say_what_to_do(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    expected = (
        r"the ImageNet weights of resnet18 could not be downloaded \(.*no route to host.*\); bring "
        r"resnet18-f37072fd\.pth here from a machine with a network and pass --backbone-weights PATH, or run "
        "untrained with --backbone-weights none"
    )
    with pytest.raises(ModelError, match=expected):
        load_backbone("resnet18", "imagenet")
    assert not list(hub.glob("*"))


def test_a_damaged_download_is_refused(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch compares the hash in the file's name; here a file arrives that has another."""
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"a page that says to sign in")
    monkeypatch.setattr(torch.hub, "urlopen", lambda *args, **options: urlopen(wrong.as_uri()))
    with pytest.raises(ModelError, match=r"of resnet18 could not be downloaded \(.*hash"):
        load_backbone("resnet18", "imagenet")
    assert not list(hub.glob("*"))


def test_imagenet_weights_are_downloaded_once_and_recorded_by_hash(
    hub: Path, weights: State, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def download(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
        asked.append((url, dst, hash_prefix))
        shutil.copy(weights_file, dst)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        network, info = load_backbone("resnet18", "imagenet")
        assert same(network.state_dict(), weights)
        assert (info.name, info.weights, info.sha256) == ("resnet18", "imagenet", sha256_file(weights_file))
    name = "resnet18-f37072fd.pth"
    assert asked == [(f"https://download.pytorch.org/models/{name}", str(hub / name), "f37072fd")]


def test_a_models_features_come_from_the_files_weights(weights_file: Path) -> None:
    image = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    ours = Prototype(backbone="resnet18", backbone_weights=str(weights_file), size=32)
    random = Prototype(backbone="resnet18", backbone_weights="none", size=32)
    assert ours.backbone_info is not None
    assert ours.backbone_info.sha256 == sha256_file(weights_file)
    assert not torch.allclose(ours.encode(image)[0], random.encode(image)[0])
