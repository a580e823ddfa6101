"""Weights: read without running anything, loaded only where every name and shape fits, and recorded by hash."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import torch
from states import State, same, save, small
from torch import nn
from torchvision.models import resnet18, resnet50

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.models.backbones import load_backbone
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.prototype import Prototype


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


# --- loading --------------------------------------------------------------------------------------------


def test_a_state_dict_in_memory_is_loaded_like_a_file() -> None:
    model, state = small(), small().state_dict()
    load_checkpoint(model, {"state_dict": prefixed("module.", state)})
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


WRAPPERS: dict[str, Callable[[str], str]] = {
    "torch.compile": "_orig_mod.{}".format,
    "compiled in DataParallel": "module._orig_mod.{}".format,
    "DataParallel compiled": "_orig_mod.module.{}".format,
    "DataParallel twice": "module.module.{}".format,
    "Lightning": "model.{}".format,
    "DataParallel in a wrapper": "model.module.{}".format,
    "a wrapper": "net.encoder.{}".format,
    "compiled inside": lambda name: name.replace(".", "._orig_mod.", 1),
    "DataParallel inside": lambda name: name.replace(".", ".module.", 1),
    "as it is": str,
}


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("name", WRAPPERS)
def test_what_wrappers_put_into_names_is_found(name: str, within: bool) -> None:
    """Whether the model is what was wrapped, or wraps it itself under one name more."""
    state = {WRAPPERS[name](key): tensor for key, tensor in small().state_dict().items()}
    model = nn.ModuleDict({"network": small()}) if within else small()
    load_checkpoint(model, {"state_dict": state})
    own = {key.removeprefix("network."): tensor for key, tensor in model.state_dict().items()}
    assert all(own[key].equal(tensor) for key, tensor in zip(small().state_dict(), state.values(), strict=True))


def test_lightnings_criterion_beside_the_model_is_left_out() -> None:
    model, state = small(), {f"model.{name}": tensor for name, tensor in small().state_dict().items()}
    load_checkpoint(model, state | {"criterion.weight": torch.ones(2)})
    assert all(model.state_dict()[name.removeprefix("model.")].equal(tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("packed", "named"),
    [
        (lambda a, b: {"model": a, "ema": b}, "'model', 'ema'"),
        (lambda a, b: prefixed("student.", a) | prefixed("teacher.", b), r"student\.\*, teacher\.\*"),
    ],
)
def test_two_that_fit_are_named_and_neither_is_loaded(packed: Callable[[State, State], object], named: str) -> None:
    with pytest.raises(CheckpointError, match=f"several state dicts that could be meant: {named}; save the one"):
        load_checkpoint(small(), packed(small().state_dict(), small().state_dict()))
    state, model = small().state_dict(), small()
    load_checkpoint(model, packed(state, state))  # the same under two names
    assert same(model.state_dict(), state)


def test_the_one_of_several_that_fits_is_loaded() -> None:
    state, model = small().state_dict(), small()
    load_checkpoint(
        model, {"head": nn.Linear(3, 3).state_dict(), "ema": state, "discriminator": {"0.weight": state["0.bias"]}}
    )
    assert same(model.state_dict(), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_another_width_become_the_models(dtype: torch.dtype) -> None:
    model, state = small(), {name: tensor.to(dtype) for name, tensor in small().state_dict().items()}
    loaded = load_checkpoint(model, state)
    assert {tensor.dtype for tensor in (*loaded.values(), *model.state_dict().values())} == {torch.float32}
    assert all(model.state_dict()[name].equal(tensor.float()) for name, tensor in state.items())


def test_whole_numbers_are_no_weights() -> None:
    state = small().state_dict() | {"0.bias": torch.zeros(3, dtype=torch.int8)}
    with pytest.raises(CheckpointError, match=r"1 of another type \(0\.bias torch\.int8 for torch\.float32\)"):
        load_checkpoint(small(), state)


def test_sparse_tensors_are_no_weights() -> None:
    state = small().state_dict()
    state["0.weight"] = state["0.weight"].to_sparse()
    with pytest.raises(CheckpointError, match=r"1 not stored as plain tensors \(0\.weight torch\.sparse_"):
        load_checkpoint(small(), state)


def test_a_very_long_name_is_cut_in_what_is_told() -> None:
    state = small().state_dict() | {"k" * 9_999: torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"1 unexpected \(k{120}…\); build"):
        load_checkpoint(small(), state)


def test_what_differs_is_counted_under_the_names_of_the_model() -> None:
    """So that one tensor too few is not told as all of them under other names."""
    state = prefixed("module.", small().state_dict())
    del state["module.2.bias"]
    with pytest.raises(CheckpointError, match=r"does not fit Sequential: 1 missing \(2\.bias\); build the model"):
        load_checkpoint(small(), state)


def test_another_networks_names_are_shown_beside_the_models() -> None:
    with pytest.raises(CheckpointError, match=r"another network: .* such as stem\.a, stem\.b, the model's 0\.w"):
        load_checkpoint(small(), {"stem.a": torch.zeros(1), "stem.b": torch.zeros(1)})


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
        r"the ImageNet weights of resnet18 could not be downloaded \(.*no route to host.*\); copy "
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
