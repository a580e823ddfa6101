"""Finding and building models: by name, by entry point, and from a user's own file."""

from __future__ import annotations

import json
import subprocess
import sys
from enum import Enum
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import toys

from fssbench.base.errors import ModelError, UsageError
from fssbench.models import build_model, model_names, model_spec, register, registry
from fssbench.models.baselines import AllForeground
from fssbench.models.interface import FewShotSegmenter
from fssbench.models.options import from_text, to_wanted

OURS = ("all-foreground", "copy-support", "prototype")

OWN = """
from pathlib import Path
from fssbench.models.baselines import CopySupport

with Path(__file__).with_suffix(".log").open("a") as log:
    log.write("loaded\\n")

class Own(CopySupport):
    pass

def make(*, side: int = 32, half: bool = False):
    return Own(size=side // 2 if half else side)

NUMBER = 3
"""


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own_model.py"
    path.write_text(OWN)
    return path


def install(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Let the environment have packages with these entry points, as ``name="module:attribute"``."""
    there = [EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in points.items()]

    def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == registry.ENTRY_POINTS
        return [point for point in there if name in (None, point.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)


# --- names ----------------------------------------------------------------------------------------------


def test_our_models_come_first_then_registered_then_installed_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, zebra="toys:Redder", aardvark="toys:Redder", mine="toys:Redder")
    register("mine")(toys.Redder)
    names = model_names()
    assert names[: len(registry.BUILTIN)] == tuple(registry.BUILTIN)
    assert set(OURS) <= set(names)
    assert names[len(registry.BUILTIN) :] == ("mine", "aardvark", "zebra")


def test_every_one_of_our_models_is_found() -> None:
    for name in registry.BUILTIN:
        assert issubclass(model_spec(name).factory, FewShotSegmenter)  # type: ignore[arg-type]


def test_naming_models_loads_no_torch() -> None:
    code = "import sys, fssbench.models as m; assert m.model_names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_specification_names_options_with_defaults_and_what_the_model_needs() -> None:
    plain, prototype = model_spec("all-foreground"), model_spec("prototype")
    assert plain.options == {"size": 400}
    assert list(prototype.options) == ["backbone", "backbone_weights", "size", "maps"]
    assert prototype.options["backbone"] == "resnet50"
    assert (plain.has_backbone, prototype.has_backbone) == (False, True)
    assert (plain.needs_training, prototype.needs_training) == (False, False)

    @register("learner")
    class Learner(AllForeground):
        needs_training = True

    assert model_spec("learner").needs_training


# --- building -------------------------------------------------------------------------------------------


def test_a_model_is_built_with_its_options_and_ready_for_evaluation() -> None:
    model = build_model("all-foreground", size=33)
    assert isinstance(model, AllForeground)
    assert model.preprocess.size == 33
    assert not model.training


def test_an_unknown_model_is_refused_with_all_that_are_known() -> None:
    with pytest.raises(
        UsageError, match=r"no model 'bam'; known are all-foreground, .*, or pass path/to/file\.py:Name"
    ):
        build_model("bam")


def test_an_unknown_option_is_refused_with_those_the_model_takes() -> None:
    with pytest.raises(UsageError, match="model 'copy-support' has no option 'depth'; it takes size"):
        build_model("copy-support", depth=3, size=4)

    @register("plain")
    class Plain(AllForeground):
        def __init__(self) -> None:
            super().__init__()

    with pytest.raises(UsageError, match="model 'plain' has no option 'depth'; it takes no options"):
        build_model("plain", depth=3)


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("width", "ten", "a whole number, got 'ten'; its default is 1"),
        ("width", True, "a whole number"),
        ("width", 2.5, "a whole number"),
        ("flag", 1, "true or false"),
        ("label", 3, "text or none"),
        ("mode", "slow", "one of FAST"),
        ("untyped", "x", "a number"),
    ],
)
def test_a_value_of_another_kind_is_refused(option: str, value: object, wanted: str) -> None:
    @register("typed")
    class Typed(AllForeground):
        def __init__(  # type: ignore[no-untyped-def]
            self,
            *,
            width: int = 1,
            flag: bool = False,
            label: str | None = None,
            mode: Mode = Mode.FAST,
            untyped=0.5,
        ) -> None:
            super().__init__()

    with pytest.raises(UsageError, match=f"option '{option}' of model 'typed' must be {wanted}"):
        build_model("typed", **{option: value})
    build_model("typed", width=2, flag=True, label="any", mode="FAST", untyped=1)


class Mode(Enum):
    FAST = 1


@pytest.mark.parametrize(
    ("text", "wanted", "made"),
    [
        ("3", str, "3"),
        ("3.10", str, "3.10"),
        ("true", str, "true"),
        ("none", str, "none"),
        ('"quoted"', str, "quoted"),
        ("3", int, 3),
        ("3", float, 3.0),
        ("3", Any, 3),
        ("True", bool, True),
        ("false", bool, False),
        ("none", int | None, None),
        ("none", str | None, "none"),
        ("b", Literal["a", "b"], "b"),
        ("2", Literal[1, 2], 2),
        ("1,2", list[int], [1, 2]),
        ("[1, 2]", tuple[int, int], (1, 2)),
        ("a,b", list[str], ["a", "b"]),
        ("007", Path, Path("007")),
        ("FAST", Mode, Mode.FAST),
        ("1", Mode | None, Mode.FAST),
    ],
)
def test_what_is_typed_becomes_what_the_annotation_says(text: str, wanted: Any, made: object) -> None:
    """And in between it is plain, so that results can record it."""
    plain = from_text(text, wanted)
    json.dumps(plain)
    found = to_wanted(plain, wanted, option="o", model="m", default=None)
    assert (found, type(found)) == (made, type(made))


def test_annotations_that_cannot_be_read_leave_the_default_to_say_it(tmp_path: Path) -> None:
    """As under ``if TYPE_CHECKING``."""
    path = tmp_path / "own.py"
    path.write_text(
        "from __future__ import annotations\nfrom fssbench.models.baselines import CopySupport\n"
        "def make(size: int = 8, kind: Absent = None, **more): return CopySupport(size=size + len(more))\n"
    )
    assert build_model(f"{path}:make", size=9, kind="x", other=1).preprocess.size == 10
    with pytest.raises(UsageError, match=r"'size' .* must be a"):
        build_model(f"{path}:make", size="nine")


def test_an_option_that_a_model_needs_and_did_not_get_is_named() -> None:
    @register("needy")
    class Needy(AllForeground):
        def __init__(self, *, width: int) -> None:
            super().__init__(size=width)

    assert build_model("needy", width=8).preprocess.size == 8
    with pytest.raises(UsageError, match=r"needy.*width"):
        build_model("needy")


def test_what_is_no_segmenter_is_refused() -> None:
    @register("text")
    def text() -> FewShotSegmenter:
        return "a mask"  # type: ignore[return-value]

    with pytest.raises(
        ModelError, match=r"'text' built a str, expected a fssbench\.models\.interface\.FewShotSegmenter; derive"
    ):
        build_model("text")


# --- registering ----------------------------------------------------------------------------------------


def test_a_registered_class_or_function_is_built_by_its_name() -> None:
    @register("by-class")
    class ByClass(AllForeground):
        pass

    @register("by-function")
    def make(*, side: int) -> FewShotSegmenter:
        return ByClass(size=side)

    assert type(build_model("by-class")) is ByClass
    assert build_model("by-function", side=7).preprocess.size == 7
    assert list(model_spec("by-function").options) == ["side"]


@pytest.mark.parametrize("name", ["prototype", "taken"])
def test_a_name_is_given_once(name: str) -> None:
    register("taken")(toys.Redder)
    with pytest.raises(UsageError, match=f"a model called '{name}' is registered already; choose another"):
        register(name)(toys.Voters)
    assert model_spec("taken").factory is toys.Redder


def test_registering_the_same_class_again_is_nothing() -> None:
    assert register("again")(toys.Redder) is register("again")(toys.Redder) is toys.Redder


# --- a user's file --------------------------------------------------------------------------------------


def test_a_class_or_function_in_a_file_is_a_model(own: Path) -> None:
    assert build_model(f"{own}:Own", size=20).preprocess.size == 20
    assert build_model(f"{own}:make", side=20, half=True).preprocess.size == 10
    assert model_spec(f"{own}:make").options == {"side": 32, "half": False}


def test_a_file_is_loaded_once_however_it_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    first, second = build_model(f"{own}:Own"), build_model(f"{own.name}:Own")
    assert type(first) is type(second)
    assert own.with_suffix(".log").read_text() == "loaded\n"


def test_a_path_may_hold_colons(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    path = tmp_path / "a:b" / "own.py"
    path.write_text(OWN)
    assert type(build_model(f"{path}:Own")).__name__ == "Own"


def test_files_of_one_name_are_different_models(tmp_path: Path) -> None:
    sizes = []
    for side in (11, 22):
        path = tmp_path / str(side) / "own.py"
        path.parent.mkdir()
        path.write_text(
            f"from fssbench.models.baselines import CopySupport\ndef Own(): return CopySupport(size={side})"
        )
        sizes.append(build_model(f"{path}:Own").preprocess.size)
    assert sizes == [11, 22]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*absent\.py; a model of your own is given as path/to"):
        build_model(f"{tmp_path / 'absent.py'}:Own")


def test_what_a_file_does_not_define_is_named(own: Path) -> None:
    with pytest.raises(UsageError, match=r"own_model\.py defines no 'Absent'; name a class or function"):
        build_model(f"{own}:Absent")
    with pytest.raises(UsageError, match=r"own_model\.py:NUMBER is int, expected a class or function"):
        build_model(f"{own}:NUMBER")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import fssbench_absent_module", "ModuleNotFoundError: No module named 'fssbench_absent_module'"),
        ("def (", "SyntaxError"),
        ("\n1 / 0", r"ZeroDivisionError: division by zero \(.*broken\.py, line 2\)"),
        ("import sys; sys.exit(3)", r"it called sys\.exit\(3\) \(.*broken\.py, line 1\)"),
        ("x = (\ny =", r"SyntaxError: .* \(.*broken\.py, line \d\)"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why_and_can_be_mended(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ModelError, match=rf"importing .*broken\.py failed: {reason}"):
        build_model(f"{path}:Own")
    assert not any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values()))
    path.write_text(OWN + "# mended: longer than before")
    assert type(build_model(f"{path}:Own")).__name__ == "Own"


# --- entry points ---------------------------------------------------------------------------------------


def test_a_model_of_an_installed_package_is_built_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, theirs="toys:Redder")
    assert type(build_model("theirs", size=12)) is toys.Redder
    assert "theirs" in model_names()


def test_our_own_names_are_not_taken_over_by_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, **{"copy-support": "toys:Redder"})
    assert type(build_model("copy-support")).__name__ == "CopySupport"
    assert model_names().count("copy-support") == 1


def test_an_entry_point_that_is_no_factory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, theirs="toys:CLEAN")
    with pytest.raises(UsageError, match="entry point toys:CLEAN is Environment, expected a class or function"):
        build_model("theirs")


@pytest.mark.parametrize("value", ["fssbench_absent_module:Model", "toys:Absent"])
def test_an_entry_point_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A broken package is not a defect of fssbench: it is told apart and named."""
    install(monkeypatch, theirs=value)
    with pytest.raises(ModelError, match=f"{value}.*[Aa]bsent"):
        build_model("theirs")


# --- a user's folder ------------------------------------------------------------------------------------

PROJECT = """
import data, utils
from models.net import SIZE
from fssbench.models.baselines import CopySupport

def Own():
    import utils as again_utils
    return CopySupport(size=SIZE + utils.EXTRA + len(data.NAME))

class Lazy(CopySupport):
    def predict(self, query, supports, masks):
        from later import VALUE
        return super().predict(query, supports, masks) * 0 + VALUE
"""


def project(folder: Path, *, size: int, regular: bool = True) -> Path:
    """A folder as people have them: packages called models, data and utils beside the model's file."""
    for package in ("models", "data", "utils"):
        (folder / package).mkdir(parents=True)
    if regular:
        (folder / "models" / "__init__.py").write_text("")
    (folder / "models" / "net.py").write_text(f"from utils import EXTRA\nSIZE = {size}")
    (folder / "utils" / "__init__.py").write_text("EXTRA = 1")
    (folder / "data" / "__init__.py").write_text("NAME = 'ab'")
    (folder / "later.py").write_text("VALUE = 1")
    (folder / "mine.py").write_text(PROJECT)
    return folder / "mine.py"


def test_a_folder_with_packages_called_models_data_and_utils_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two such folders keep each its own, and nobody else's name means something new after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("models", "models.net", "data", "utils", "datasets", "toys"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import toys as before

    first, second = project(tmp_path / "a", size=10), project(tmp_path / "b", size=20)
    (first.parent / "toys.py").write_text("raise RuntimeError('not imported by mine.py')")
    (first.parent / "datasets").mkdir()
    (first.parent / "datasets" / "__init__.py").write_text("MINE = True")
    first.write_text("import datasets\nassert datasets.MINE\n" + PROJECT)
    assert build_model(f"{first}:Own").preprocess.size == 13
    assert build_model(f"{second}:Own").preprocess.size == 23
    assert sys.modules["toys"] is before
    import datasets

    assert hasattr(datasets, "Dataset")
    assert str(first.parent) != sys.path[0]


def test_a_package_without_an_init_file_is_the_folders_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python alone would prefer a package of that name with one, wherever on its path."""
    (tmp_path / "elsewhere" / "models").mkdir(parents=True)
    (tmp_path / "elsewhere" / "models" / "__init__.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "elsewhere"), *sys.path])
    path = project(tmp_path / "d", size=10, regular=False)
    assert build_model(f"{path}:Own").preprocess.size == 13
    assert "models" not in sys.modules


def test_what_a_model_imports_while_it_runs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "later", raising=False)
    path = project(tmp_path / "c", size=10)
    model = build_model(f"{path}:Lazy")
    answer = model.predict(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 3, 4, 4), torch.zeros(1, 1, 4, 4))
    assert answer.eq(1).all()


def test_an_option_that_is_mistyped_is_understood() -> None:
    with pytest.raises(UsageError, match=r"'hsnet' has no option 'kernal'; did you mean 'kernel'\? it takes backbone"):
        build_model("hsnet", kernal="original")
    with pytest.raises(UsageError, match=r"no model 'prototyp'; did you mean 'prototype'\? known are all-fore"):
        build_model("prototyp")
