"""A result is of the code and the weights it names: what a user's model imports, loads and declares."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from fssbench.base.errors import ModelError, UsageError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.base.home import Home
from fssbench.engine.evaluate import Answer
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel, load_model
from fssbench.engine.run import run
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.models import registry
from fssbench.models.interface import FewShotSegmenter, Preprocess, Regime
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.environment import describe_environment
from fssbench.results.evaluation import Evaluation
from fssbench.results.naming import results_folder
from fssbench.results.official import HANDED_IN, IN_MEMORY, own_reasons
from fssbench.schemas.result import ModelRecord, TrainingRecord

ADAPTER = """
import torch
from fssbench.models.interface import FewShotSegmenter, Preprocess
from {package}.core import answer

class Net(FewShotSegmenter):
    preprocess = Preprocess(size=32)

    def predict(self, query, supports, masks):
        {lazy}
        return answer(masks).to(torch.uint8)
"""
PACKAGE = "own_parts"
CORE = "from .parts import joined\n\ndef answer(masks):\n    return joined(masks)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a user's folder: an adapter that imports a package, whose module imports another."""

    def write(lazy: str = "pass") -> Path:
        package = tmp_path / "SSP" / PACKAGE
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "core.py").write_text(CORE)
        (package / "parts.py").write_text("def joined(masks):\n    return masks.amax(dim=1)\n")
        (package / "late.py").write_text("HERE = True\n")
        (package / "never.py").write_text("raise RuntimeError\n")
        (package.parent / "fss.py").write_text(ADAPTER.format(lazy=lazy, package=PACKAGE))
        return package.parent / "fss.py"

    return write


def load(name: str | Path) -> LoadedModel:
    return load_model(str(name), {}, weights=None, benchmark=TOY_20I, fold=0, home=Home.find())


def asked(episode_set: EpisodeSet, output: Path) -> Job:
    return Job(episode_set=episode_set, shot=1, seed=0, episodes=8, output=output, workers=1)


def interrupted(_: Answer) -> None:
    raise KeyboardInterrupt


# --- code -----------------------------------------------------------------------------------------------


def test_all_that_a_file_imports_from_its_folder_is_hashed(folder: Callable[..., Path]) -> None:
    """Packages on the way too, and imports in functions; not what lies there and is not imported."""
    path = folder(lazy=f"from {PACKAGE} import late")
    loaded = load(f"{path}:Net")
    assert loaded.code is not None
    names = ["fss.py", *(f"{PACKAGE}/{name}.py" for name in ("__init__", "core", "late", "parts"))]
    assert sorted(loaded.code.hashes) == names
    lines = "".join(f"{sha256_file(path.parent / name)}  {name}\n" for name in names)
    assert loaded.record.code_sha256 == sha256_bytes(lines.encode())


@pytest.mark.parametrize("name", ["own_parts/parts.py", "own_parts/__init__.py", "fss.py"])
def test_an_edit_anywhere_makes_another_model_with_the_new_code(folder: Callable[..., Path], name: str) -> None:
    path = folder()
    before = load(f"{path}:Net")
    (path.parent / name).write_text((path.parent / name).read_text() + "\nEDITED = True\n")
    after = load(f"{path}:Net")
    assert results_folder(before.record) != results_folder(after.record)
    assert type(before.model) is not type(after.model)


def test_an_edit_that_swaps_the_answer_is_not_answered_by_the_old_figures(
    folder: Callable[..., Path], toy_set: EpisodeSet, tmp_path: Path
) -> None:
    path = folder()
    first = run(load(f"{path}:Net"), asked(toy_set, tmp_path / "out"))
    (path.parent / PACKAGE / "parts.py").write_text("def joined(masks):\n    return 1 - masks.amax(dim=1)\n")
    second = run(load(f"{path}:Net"), asked(toy_set, tmp_path / "out"))
    assert not second.skipped
    assert first.record.counts.sha256 != second.record.counts.sha256


def test_an_interrupted_run_of_other_code_is_told_and_not_taken_up(
    folder: Callable[..., Path], toy_set: EpisodeSet, tmp_path: Path
) -> None:
    path, notes = folder(), list[str]()
    with pytest.raises(KeyboardInterrupt):
        run(load(f"{path}:Net"), asked(toy_set, tmp_path / "out"), look=interrupted)
    (path.parent / PACKAGE / "parts.py").write_text("def joined(masks):\n    return 1 - masks.amax(dim=1)\n")
    done = run(load(f"{path}:Net"), asked(toy_set, tmp_path / "out"), note=notes.append)
    assert done.record.execution is not None
    assert done.record.execution.resumed_episodes == 0
    assert len(notes) == 1
    assert "is left by an interrupted run with other code" in notes[0]


def test_code_that_changes_before_it_is_imported_late_is_refused(
    folder: Callable[..., Path], toy_set: EpisodeSet, tmp_path: Path
) -> None:
    path = folder(lazy=f"from {PACKAGE} import late")
    loaded = load(f"{path}:Net")
    (path.parent / PACKAGE / "late.py").write_text("HERE = False\n")
    with pytest.raises(ModelError, match=r"late\.py changed between the start of the run and its import"):
        run(loaded, asked(toy_set, tmp_path / "out"))


def test_code_that_nobody_could_foresee_is_refused(
    folder: Callable[..., Path], toy_set: EpisodeSet, tmp_path: Path
) -> None:
    path = folder(lazy=f"import importlib; importlib.import_module('{PACKAGE}.late')")
    with pytest.raises(ModelError, match=r"fss\.py imported own_parts/late\.py while it ran"):
        run(load(f"{path}:Net"), asked(toy_set, tmp_path / "out"))


def test_other_versions_of_what_it_was_made_with_are_told(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fssbench.engine import run as module

    notes: list[str] = []
    run(load("copy-support"), asked(toy_set, tmp_path))
    now = describe_environment()
    other = now.model_copy(update={"packages": now.packages | {"torch": "0.1"}})
    monkeypatch.setattr(module, "describe_environment", lambda *_: other)
    again = run(load("copy-support"), asked(toy_set, tmp_path), note=notes.append)
    assert again.skipped
    assert f"made with torch {now.packages['torch']} (here 0.1)" in notes[0]


def test_a_file_has_one_name_however_it_is_reached(
    folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder()
    monkeypatch.chdir(path.parent)
    records = [load(name).record for name in ("fss.py:Net", "./fss.py:Net", f"{path}:Net")]
    assert records[0] == records[1] == records[2]
    assert records[0].name == "fss.py:Net"


def test_the_environment_names_the_packages_that_a_model_imports(
    folder: Callable[..., Path], toy_set: EpisodeSet
) -> None:
    from importlib.metadata import version

    path = folder(lazy="import scipy.ndimage")
    done = run(load(f"{path}:Net"), Job(episode_set=toy_set, shot=1, seed=0, episodes=2, output=None, workers=1))
    assert done.record.environment.packages["scipy"] == version("scipy")


# --- weights --------------------------------------------------------------------------------------------


class Weighty(FewShotSegmenter):
    """A network of its own, that it fills by itself."""

    preprocess = Preprocess(size=32)

    def __init__(self, *, file: str = "", regime: Regime | None = None) -> None:
        super().__init__()
        self.file, self.regime = file, regime
        self.weight = Parameter(torch.zeros(3))

    def weights_files(self) -> list[str]:
        return [self.file] if self.file else []

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return masks.amax(dim=1).to(torch.uint8)


@pytest.fixture
def weighty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModelRecord]:
    monkeypatch.setattr(registry, "_registered", {"weighty": Weighty})

    def record(**options: object) -> ModelRecord:
        return load_model("weighty", options, weights=None, benchmark=TOY_20I, fold=0, home=Home.find()).record

    return record


def reasons(record: ModelRecord, *, benchmark: str = "toy-20i", recomputed: bool = False) -> tuple[str, ...]:
    return own_reasons(
        model=record,
        benchmark=benchmark,
        protocol="strict",
        headline="original/ignore",
        source="recomputed" if recomputed else "measured",
        git_dirty=False,
    )


def test_weights_that_nobody_declares_speak_against_a_result(weighty: Callable[..., ModelRecord]) -> None:
    record = weighty()
    assert (record.training, record.seen) == ("undeclared", "unknown")
    assert any("does not declare which weights it loaded" in reason for reason in reasons(record))


def test_declared_weights_are_hashed_and_ranked_in_their_regime(
    weighty: Callable[..., ModelRecord], tmp_path: Path
) -> None:
    file = tmp_path / "sam.pt"
    file.write_bytes(b"weights")
    record = weighty(file=str(file), regime="generalist")
    assert (record.training, record.seen) == ("declared", "generalist")
    assert record.weights == {"sam.pt": sha256_bytes(b"weights")}
    assert not reasons(record)
    assert weighty(file=str(file)).training == "undeclared"  # what they learned from is not said
    assert weighty(regime="generalist").training == "undeclared"  # nor where they are from
    with pytest.raises(ModelError, match=r"weights_files names .*absent, which is not there"):
        weighty(file=str(tmp_path / "absent"))


def test_a_folder_of_weights_is_declared_as_a_whole(weighty: Callable[..., ModelRecord], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "hub").mkdir(exist_ok=True)
        (tmp_path / "hub" / name).write_text(name)
    before = weighty(file=str(tmp_path / "hub"), regime="training-free").weights
    (tmp_path / "hub" / "b").write_text("other")
    assert before != weighty(file=str(tmp_path / "hub"), regime="training-free").weights


def test_a_model_without_parameters_needs_no_weights() -> None:
    record = load("copy-support").record
    assert (record.training, record.seen) == ("not needed", "training-free")


def test_an_adapter_of_old_results_is_not_taken_for_training_free() -> None:
    """Results of before carry neither regime nor declared weights."""
    old = ModelRecord.unseen("seggpt.py:Net").model_copy(
        update={"training": "not needed", "code_sha256": "0" * 64, "parameters": 370_000_000}
    )
    text = old.model_dump_json(exclude={"regime", "weights"})
    assert ModelRecord.model_validate_json(text).seen == "unknown"
    assert not reasons(old)


def test_a_model_in_memory_is_not_said_to_have_handed_in_masks() -> None:
    record = ModelRecord.unseen("mine")
    assert reasons(record) == (IN_MEMORY,)
    assert reasons(record, recomputed=True) == (HANDED_IN,)


def test_results_call_a_model_what_it_is_called(
    folder: Callable[..., Path], toy_set: EpisodeSet, tmp_path: Path
) -> None:
    import fssbench as fb

    found = fb.evaluate(
        f"{folder()}:Net", "toy", data=str(toy_set.place), fold=0, episodes=2, name="SSP", output=tmp_path
    )
    assert isinstance(found, Evaluation)
    assert found.record.model.name == "SSP"
    assert found.record.model.code_sha256 is not None
    assert found.path.parent.name.startswith("SSP-")
    assert str(tmp_path) not in found.record.model.model_dump_json()


@pytest.mark.parametrize("name", ["hsnet", " ", "a/b", "a\nb", "\x1b[31mred"])
def test_a_model_cannot_take_the_name_of_another_or_one_that_no_line_can_show(toy_set: EpisodeSet, name: str) -> None:
    import fssbench as fb

    track = fb.load("toy", data=str(toy_set.place))
    with pytest.raises(UsageError, match="a model cannot be called "):
        fb.evaluate(lambda episode: None, track, name=name)


# --- training -------------------------------------------------------------------------------------------


def trained(**changes: object) -> ModelRecord:
    how = TrainingRecord(
        benchmark="coco-20i",
        fold=0,
        shot=1,
        seed=0,
        training_set="0" * 64,
        classes=(1,),
        held_out=(),
        select_on="last",
        steps=100,
        planned_steps=100,
        recipe_sha256="0" * 64,
    ).model_copy(update=changes)
    return ModelRecord.unseen("hsnet").model_copy(update={"training": "trained", "trained": how})


def test_a_run_cut_short_or_on_other_data_speaks_against_its_weights() -> None:
    assert reasons(trained(), benchmark="coco-20i") == ()
    assert reasons(trained(steps=2), benchmark="coco-20i") == ("it was trained 2 of 100 planned steps",)
    assert reasons(trained(steps=2, select_on="base-val"), benchmark="coco-20i") == ()
    elsewhere = reasons(trained(benchmark="toy-20i"), benchmark="coco-20i")
    assert elsewhere == ("it was trained on toy-20i, not on what coco-20i is trained on",)


# --- weights in a model's own way -----------------------------------------------------------------------

OWN_WAY = """
import torch
from torch import nn
from fssbench.models.interface import FewShotSegmenter, Preprocess

class Net(FewShotSegmenter):
    preprocess = Preprocess(size=32)

    def __init__(self):
        super().__init__()
        self.published = nn.Linear(2, 3)

    {hook}

    def predict(self, query, supports, masks):
        return masks.amax(dim=1).to(torch.uint8)
"""
HOOK = "def load_weights(self, path): self.published.load_state_dict(torch.load(path)['ours'])"


@pytest.mark.parametrize("hook", [HOOK, ""])
def test_a_published_checkpoint_goes_into_a_wrapper(tmp_path: Path, hook: str) -> None:
    """By the wrapper's own hook, or because the names are those of its only part."""
    (tmp_path / "net.py").write_text(OWN_WAY.format(hook=hook))
    state = {name: torch.full_like(tensor, 7) for name, tensor in torch.nn.Linear(2, 3).state_dict().items()}
    torch.save({"ours": state}, tmp_path / "ours.pt")
    path = str(tmp_path / "ours.pt")
    loaded = load_model(f"{tmp_path / 'net.py'}:Net", {}, weights=path, benchmark=TOY_20I, fold=0, home=Home.find())
    assert all(tensor.eq(7).all() for tensor in loaded.model.state_dict().values())
    assert loaded.record.checkpoint_sha256 == sha256_file(tmp_path / "ours.pt")


def test_a_hook_that_fails_or_has_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(OWN_WAY.format(hook=HOOK))
    torch.save({"theirs": {}}, tmp_path / "theirs.pt")
    for name, said in (
        ("theirs.pt", r"Net failed in load_weights\('.*theirs\.pt'\): KeyError: 'ours' \(.*net\.py, line 13\)"),
        ("absent.pt", r"there is no checkpoint .*absent\.pt; check the path"),
    ):
        where = {"benchmark": TOY_20I, "fold": 0, "home": Home.find()}
        with pytest.raises(ModelError, match=said):
            load_model(f"{tmp_path / 'net.py'}:Net", {}, weights=str(tmp_path / name), **where)  # type: ignore[arg-type]


def test_code_where_it_is_run_from_imports_torch(folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some modules of torch name files that there are not, relative to wherever one is."""
    path = folder()
    module = ModuleType("torch_like")
    module.__file__ = "_ops.py"
    monkeypatch.chdir(path.parent)
    path.write_text(f"import sys\nsys.modules['torch_like'] = sys.modules[{__name__!r}].LIKE\n{path.read_text()}")
    monkeypatch.setitem(globals(), "LIKE", module)
    try:
        assert load(f"{path}:Net").code is not None
    finally:
        sys.modules.pop("torch_like", None)
