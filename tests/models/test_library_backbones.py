"""Backbones of timm, transformers and torchvision: their own maps and normalisation, and where weights come from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from command import Command

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.models.backbones import open_backbone
from fssbench.models.fast.accelerate import accelerate
from fssbench.models.hsnet import HSNet
from fssbench.models.prototype import Prototype
from fssbench.models.registry import model_spec
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

pytestmark = pytest.mark.usefixtures("no_gradients")

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="the extra timm is not installed")
needs_hf = pytest.mark.skipif(find_spec("transformers") is None, reason="the extra hf is not installed")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
NORMALISATION = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}


def saved(model: Any, folder: Path) -> Path:
    """A model of transformers as ``save_pretrained`` lays it down, with a file that says how images are normalised."""
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION))
    return folder


def dinov2() -> Any:
    from transformers import Dinov2Config, Dinov2Model

    small = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
    return Dinov2Model(Dinov2Config(patch_size=14, image_size=70, **small))


def dinov3() -> Any:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    return DINOv3ViTModel(DINOv3ViTConfig(patch_size=16, image_size=64, num_register_tokens=4, **SMALL))


def vit() -> Any:
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig(patch_size=16, image_size=64, **SMALL))


def resnet() -> Any:
    from transformers import ResNetConfig, ResNetModel

    return ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1]))


def convnext() -> Any:
    from transformers import ConvNextConfig, ConvNextModel

    return ConvNextModel(ConvNextConfig(hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1]))


def episode(side: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, side, side, generator=made)
    return images[:1], images[None, 1:], (torch.rand(1, 1, side, side, generator=made) > 0.5).float()


@needs_timm
@pytest.mark.parametrize(
    "name", ["resnet18", "test_convnext", "test_efficientnet", "test_vit", "swin_tiny_patch4_window7_224"]
)
def test_timms_maps_are_those_that_it_lists_itself(name: str) -> None:
    """A transformer's after its last norm, which ``features_only`` leaves out."""
    import timm

    found = open_backbone(f"timm:{name}", "none")
    own: Any = timm.create_model(name, features_only=True)
    listed = dict(zip(own.feature_info.module_name(), own.feature_info.reduction(), strict=True))
    assert listed.items() <= found.listed.items()
    cfg = timm.get_pretrained_cfg(name)
    assert cfg is not None
    assert (found.mean, found.std) == (cfg.mean, cfg.std)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    network: Any = found.network
    alike = len(set(found.listed.values())) == 1
    expected = network.forward_intermediates(images, norm=alike, intermediates_only=True, output_fmt="NCHW")
    maps = found.maps(list(found.listed))(images)
    assert all(torch.equal(maps[one], wanted) for one, wanted in zip(found.listed, expected, strict=True))
    assert [224 // one.shape[-1] for one in maps.values()] == list(found.listed.values())


@needs_timm
def test_a_file_of_timms_weights_is_loaded_as_timm_does_and_recorded(tmp_path: Path) -> None:
    import timm

    other = timm.create_model("test_efficientnet", pretrained=False)
    torch.save(other.state_dict(), tmp_path / "weights.pth")
    found = open_backbone("timm:test_efficientnet", str(tmp_path / "weights.pth"))
    assert found.info.weights == "file"
    assert found.info.sha256 == sha256_file(tmp_path / "weights.pth")
    kept = found.network.state_dict()
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in kept.items())
    assert other.state_dict().keys() - kept.keys() == {"classifier.weight", "classifier.bias"}
    with pytest.raises(CheckpointError, match=r"weights\.pth does not hold the weights of timm:test_vit"):
        open_backbone("timm:test_vit", str(tmp_path / "weights.pth"))


@needs_timm
def test_timms_own_weights_are_fetched_from_where_timm_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("test_efficientnet", pretrained=False).state_dict(), tmp_path / "model.safetensors")
    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    found = open_backbone("timm:test_efficientnet", "pretrained")
    assert asked == [("timm/test_efficientnet.r160_in1k", "model.safetensors")]
    assert (found.info.weights, found.info.pretrained_on) == ("pretrained", ("imagenet-1k",))
    assert found.info.sha256 == sha256_file(tmp_path / "model.safetensors")


@needs_timm
@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("a1_in1k", ("imagenet-1k",)),
        ("in12k_ft_in1k", ("imagenet-22k", "imagenet-1k")),
        ("lvd142m", ("lvd-142m",)),
        ("laion2b_ft_in1k", ("laion-2b", "imagenet-1k")),
        ("untrained", None),
    ],
)
def test_the_tag_of_timms_weights_says_what_they_were_learned_from(tag: str, data: tuple[str, ...] | None) -> None:
    from fssbench.models.backbones.timm import _learned_from

    assert _learned_from(tag) == data


@needs_hf
@pytest.mark.parametrize("build", [dinov2, dinov3])
def test_the_maps_of_transformers_are_its_own_tokens_after_the_last_norm(
    build: Callable[[], Any], tmp_path: Path
) -> None:
    model = build().eval()
    found = open_backbone(f"hf:{saved(model, tmp_path / 'dino')}", "pretrained")
    patch = model.config.patch_size
    assert found.multiple == patch
    assert (found.mean, found.std) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert found.info.name == "hf:dino"
    assert found.info.sha256 == sha256_file(tmp_path / "dino" / "model.safetensors")
    images = torch.randn(2, 3, 4 * patch, 6 * patch, generator=torch.Generator().manual_seed(1))
    tokens = model(images).last_hidden_state[:, -24:]  # before them come the class and register tokens
    (mapped,) = found.maps()(images).values()
    assert torch.equal(mapped, tokens.transpose(1, 2).reshape(2, 32, 4, 6))


@needs_hf
def test_a_model_that_transformers_has_no_backbone_of_gives_its_last_hidden_state(tmp_path: Path) -> None:
    model = vit().eval()
    found = open_backbone(f"hf:{saved(model, tmp_path / 'vit')}", "pretrained")
    images = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    tokens = model(images, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
    assert torch.equal(found.maps()(images)["last"], tokens.transpose(1, 2).reshape(1, 32, 6, 4))


@needs_hf
def test_a_folder_without_all_weights_is_refused(tmp_path: Path) -> None:
    """transformers fills what is missing with random numbers."""
    from safetensors.torch import load_file, save_file

    other = saved(dinov2(), tmp_path / "dino")
    weights = load_file(other / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "layer.1" not in k}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"dino does not hold the weights of a Dinov2Backbone: \d+ tensors"):
        open_backbone(f"hf:{other}", "pretrained")
    (other / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json cannot be read"):
        open_backbone(f"hf:{other}", "pretrained")


@needs_hf
def test_a_name_on_the_hub_without_a_network_says_what_to_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **options: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    expected = r"facebook/dinov2-small could not be downloaded \(no route to host\); copy it here .*hf:FOLDER"
    with pytest.raises(ModelError, match=expected):
        open_backbone("hf:facebook/dinov2-small", "pretrained")


@needs_hf
def test_a_repository_of_old_has_its_weights_in_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is not needed is not downloaded: configurations alone for random weights."""
    from safetensors.torch import load_file

    whole = saved(dinov2(), tmp_path / "whole")
    torch.save(load_file(whole / "model.safetensors"), whole / "pytorch_model.bin")
    cached = tmp_path / "cached"

    def download(name: str, allow_patterns: list[str]) -> str:
        cached.mkdir(exist_ok=True)
        for path in whole.iterdir():
            if path.suffix != ".safetensors" and any(path.match(pattern) for pattern in allow_patterns):
                (cached / path.name).write_bytes(path.read_bytes())
        return str(cached)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    random = open_backbone("hf:facebook/dinov2-small", "none")
    assert not list(cached.glob("*.bin"))
    found = open_backbone("hf:facebook/dinov2-small", "pretrained")
    assert found.info.sha256 == sha256_file(whole / "pytorch_model.bin")
    assert not torch.equal(next(found.network.parameters()), next(random.network.parameters()))
    (whole / "pytorch_model.bin").unlink()
    (cached / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"facebook/dinov2-small has no weights \(\*\.safetensors or"):
        open_backbone("hf:facebook/dinov2-small", "pretrained")


@needs_hf
def test_what_a_name_on_the_hub_was_learned_from_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(dinov2(), tmp_path / "revision")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(folder))
    info = open_backbone("hf:facebook/dinov2-small", "pretrained").info
    assert (info.name, info.weights, info.pretrained_on) == ("hf:facebook/dinov2-small", "pretrained", ("lvd-142m",))
    assert open_backbone("hf:facebook/dinov2-small", "none").info.pretrained_on is None
    assert open_backbone("hf:facebook/dinov2-small", str(folder)).info.pretrained_on is None  # somebody else's


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vgg11", "convnext_tiny"])
def test_torchvisions_networks_list_the_last_map_of_each_resolution(name: str) -> None:
    found = open_backbone(f"torchvision:{name}", "none")
    maps = found.maps(list(found.listed))(torch.zeros(1, 3, 64, 96))
    assert [one.shape[-2:] for one in maps.values()] == [(8, 12), (4, 6), (2, 3)]


def test_torchvisions_weights_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import get_model, get_model_weights

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for name in ("IMAGENET1K_V1", "IMAGENET1K_V2"):
        url = get_model_weights("mobilenet_v3_large")[name].url
        torch.save(get_model("mobilenet_v3_large").state_dict(), tmp_path / "checkpoints" / Path(url).name)
    infos = [open_backbone("torchvision:mobilenet_v3_large", one).info for one in ("IMAGENET1K_V1", "pretrained")]
    assert [one.weights for one in infos] == ["pretrained", "pretrained"]
    assert infos[0].sha256 != infos[1].sha256


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:vit_b_16", r"has no maps at 1/8, 1/16 and 1/32 of the image that could be listed"),
        ("torchvision:fcn_resnet50", r"torchvision has no network 'fcn_resnet50'"),  # its weights have seen masks
        ("tim:resnet50", r"there is no backbone 'tim:resnet50'; did you mean 'timm'\?"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_backbone(name, "none")


@needs_timm
def test_networks_of_a_library_are_not_said_to_have_imagenets_weights() -> None:
    with pytest.raises(UsageError, match=r"timm:resnet18 has the weights that its library keeps"):
        open_backbone("timm:resnet18", "imagenet")
    assert model_spec("prototype").usual_weights({"backbone": "timm:resnet18"}) == "pretrained"
    assert model_spec("prototype").usual_weights({}) == "imagenet"


@pytest.mark.parametrize(("library", "extra", "module"), [("timm", "timm", "timm"), ("hf", "hf", "transformers")])
def test_a_library_that_is_not_installed_names_its_extra(
    library: str, extra: str, module: str, fssbench: Command, toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    asked = ("eval", "-m", "prototype", "-b", "toy", "-d", toy_set.path.parents[2], "-f", 0)
    ran = fssbench(*asked, "--backbone", f"{library}:resnet18", "--backbone-weights", "none")
    assert ran.code == 2
    assert ran.err.startswith(f"error: {module} is not installed; pip install 'fssbench[{extra}]'")


@needs_timm
def test_sizes_are_multiples_of_the_patch() -> None:
    assert Prototype(backbone="timm:test_vit").preprocess.size == 400
    assert Prototype(backbone="timm:vit_tiny_patch16_224", size=64).preprocess.size == 64
    with pytest.raises(UsageError, match=r"multiples of 16, got size 100; pass --option size=96 or 112"):
        Prototype(backbone="timm:vit_tiny_patch16_224", size=100)


def test_a_prototype_compares_the_maps_it_is_told_to() -> None:
    query, supports, masks = episode()
    alone = Prototype(backbone="resnet18", maps=["layer3"])
    assert torch.equal(alone.encode(query)[0], Prototype(backbone="resnet18").encode(query)[0])
    both = Prototype(backbone="resnet18", maps=["layer3", "layer4"])
    (beside,) = both.encode(query)
    assert beside.shape == (1, 256 + 512, 4, 4)
    # Each has unit length everywhere, so a cosine is the mean of theirs.
    torch.testing.assert_close(beside.norm(dim=1)[0, 0, 0], torch.tensor(2.0).sqrt(), atol=0.3, rtol=0)
    assert both.predict(query, supports, masks).shape == (1, 64, 64)
    with pytest.raises(UsageError, match=r"resnet18 has no map 'layer9'; maps are listed as layer2, layer3, layer4"):
        Prototype(backbone="resnet18", maps=["layer9"])


@needs_timm
@pytest.mark.parametrize(
    "name",
    [
        "timm:resnet18",
        "timm:test_efficientnet",
        "timm:ese_vovnet19b_dw",
        "torchvision:densenet121",
        "torchvision:regnet_y_400mf",
    ],
)
def test_hsnet_squeezes_what_a_library_lists_and_its_fast_twin_answers_alike(name: str) -> None:
    """Batch norms that activate, or come before their convolution, must not be folded into it."""
    model = HSNet(backbone=name, size=64).eval()
    assert (model.recorded_as, model.levels) == ("hsnet-variant", (1, 1, 1))
    query, supports, masks = episode()
    torch.testing.assert_close(
        accelerate(model)(query, supports, masks), model(query, supports, masks), rtol=1e-4, atol=1e-6
    )


@needs_hf
@pytest.mark.parametrize("build", [resnet, convnext])
def test_hsnet_squeezes_the_stages_of_transformers(build: Callable[[], Any], tmp_path: Path) -> None:
    model = HSNet(backbone=f"hf:{saved(build(), tmp_path / 'net')}", backbone_weights="pretrained", size=64).eval()
    assert model(*episode()).shape == (1, 2, 64, 64)


@needs_timm
def test_hsnet_refuses_a_library_s_transformer() -> None:
    with pytest.raises(UsageError, match=r"maps at 1/8, 1/16 and 1/32 .* timm:test_vit lists maps at 1/16"):
        HSNet(backbone="timm:test_vit")


@needs_timm
def test_results_name_library_and_network(fssbench: Command, toy_set: EpisodeSet, tmp_path: Path) -> None:
    asked = ("eval", "-b", "toy", "-d", toy_set.path.parents[2], "-f", 0, "--limit", 1, "-o", tmp_path)
    untrained = ("--backbone-weights", "none", "--option", "size=64", "--backbone", "timm:test_efficientnet")
    ran = fssbench(*asked, "-m", "prototype", *untrained, "--option", "maps=blocks.2,blocks.3")
    assert ran.code == 0, ran.err
    ran = fssbench(*asked, "-m", "hmfs", "--weights", "none", *untrained)
    assert ran.code == 0, ran.err
    records = [json.loads(path.read_text())["model"] for path in sorted(tmp_path.rglob("fold*.json"))]
    assert {one["name"]: one["backbone"] for one in records} == {
        "hmfs-variant": "timm:test_efficientnet",
        "prototype": "timm:test_efficientnet",
    }
    assert [one["options"].get("maps") for one in records] == [None, ["blocks.2", "blocks.3"]]
