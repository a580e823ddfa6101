"""The conformance kit: its answers, the definitions, and telling them apart."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import astuple, replace
from fractions import Fraction
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.errors import ResultError
from fssbench.scoring.conformance.check import Reported, judge, read_reported
from fssbench.scoring.conformance.definitions import AXES, IN_USE, OURS, Definition, definitions
from fssbench.scoring.conformance.kit import ABSENT, CLASSES, IGNORE_LABEL, PAIRS, Pair, right_answers
from fssbench.scoring.conformance.scoring import Numbers, count_pixels, numbers_under
from fssbench.scoring.metrics import Scores, count, score, split_ignore

PAGE = Path(__file__).parents[2] / "docs" / "background" / "conformance.md"
EVERY_DEFINITION = [Definition(**dict(zip(AXES, choices, strict=True))) for choices in product(*AXES.values())]
"""Of all choices whatever; what the kit knows are some of them."""
ROUNDING = Fraction(1, 10_000)
"""Two values further apart than this cannot round to the same second decimal of a percent."""
HALF = ROUNDING / 2


@st.composite
def episodes(draw: st.DrawFn) -> tuple[Pair, ...]:
    """Some episodes of three classes and four images, masks of 2 × 2 pixels."""
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        prediction, truth = draw(st.text(".#", min_size=4, max_size=4)), draw(st.text(".#x", min_size=4, max_size=4))
        drawn.append(
            Pair(
                class_id=draw(st.integers(1, 3)),
                query=draw(st.sampled_from("abcd")),
                about="",
                prediction=(prediction[:2], prediction[2:]),
                truth=(truth[:2], truth[2:]),
            )
        )
    return tuple(drawn)


any_definition = st.sampled_from(EVERY_DEFINITION)


def scored(pairs: tuple[Pair, ...]) -> Scores:
    """What `fssbench.scoring.metrics` says of some pairs."""
    counts = []
    for pair in pairs:
        truth, ignored = split_ignore(pair.label, ignore_label=IGNORE_LABEL)
        counts.append(astuple(count(pair.predicted, truth, ignore=ignored)))
    class_ids = np.array([pair.class_id for pair in pairs], dtype=np.int64)
    return score(class_ids, np.array(counts, dtype=np.int64), classes=CLASSES)


def same(value: float | None, fraction: Fraction | None) -> bool:
    return value is None if fraction is None else value == pytest.approx(float(fraction), abs=1e-12)


def apart(one: Fraction | None, other: Fraction | None) -> bool:
    """Whether two figures are told apart by anybody who prints two decimals of a percent."""
    return (one is None) != (other is None) or (one is not None and other is not None and abs(one - other) > ROUNDING)


# --- the kit --------------------------------------------------------------------------------------------


def test_the_kit_holds_what_it_is_there_for() -> None:
    about = {pair.about: pair for pair in PAIRS}
    truth = {name: "".join(pair.truth) for name, pair in about.items()}
    prediction = {name: "".join(pair.prediction) for name, pair in about.items()}
    assert "#" not in truth["no truth"]
    assert "#" in prediction["no truth"]
    assert "#" in truth["no prediction"]
    assert "#" not in prediction["no prediction"]
    assert "#" not in truth["neither truth nor prediction"] + prediction["neither truth nor prediction"]
    assert set(truth["everything ignored"]) == {"x"}
    border = list(zip(prediction["a border of ignored pixels"], truth["a border of ignored pixels"], strict=True))
    assert ("#", "x") in border
    assert (".", "x") in border
    assert truth["a large object"].count("#") > 10 * truth["a very small object"].count("#")
    assert about["a large object"].class_id == about["a very small object"].class_id
    first, again = (pair for pair in PAIRS if pair.query == "pond")
    assert (first.truth, first.class_id) == (again.truth, again.class_id)
    assert first.prediction != again.prediction
    assert {pair.class_id for pair in PAIRS} == set(CLASSES) - {ABSENT}
    assert all(pair.predicted.shape == pair.label.shape == (4, 5) for pair in PAIRS)


def test_the_right_answers_are_those_worked_out_by_hand() -> None:
    by_hand = {1: Fraction(1, 2), 2: Fraction(5, 18), 3: Fraction(5, 19)}
    strict, occurring = right_answers(), right_answers(list(by_hand))
    for answers in (strict, occurring):
        assert all(same(answers.per_class[class_id].value, iou) for class_id, iou in by_hand.items())
        assert same(answers.fb_iou.value, (Fraction(23, 63) + Fraction(21, 29)) / 2)
    assert strict.per_class[ABSENT].reason == "no episodes"
    assert strict.miou.value is None
    assert strict.miou.reason == "undefined for dog (no episodes)"
    assert same(occurring.miou.value, Fraction(178, 513))


# --- definitions ----------------------------------------------------------------------------------------


@given(episodes())
def test_our_definition_is_what_the_metrics_compute(pairs: tuple[Pair, ...]) -> None:
    """Two implementations that share no line agree on any data."""
    theirs, ours = scored(pairs), numbers_under(OURS, pairs)
    assert same(theirs.miou.value, ours.miou)
    assert same(theirs.fb_iou.value, ours.fb_iou)
    assert all(same(theirs.per_class[class_id].value, ours.per_class[class_id]) for class_id in CLASSES)


@given(episodes(), any_definition)
def test_a_definition_and_its_plain_form_agree_on_any_data(pairs: tuple[Pair, ...], definition: Definition) -> None:
    """What is merged is the same: no data could tell it apart."""
    assert numbers_under(definition, pairs) == numbers_under(definition.plain, pairs)


def test_the_definitions_are_those_in_use_and_their_neighbours() -> None:
    def apart_by(one: Definition, other: Definition) -> int:
        return sum(a != b for a, b in zip(astuple(one), astuple(other), strict=True))

    in_use = list(IN_USE.values())
    assert list(definitions()[: len(in_use)]) == in_use
    assert in_use[0] == OURS
    # `plain` may name a neighbour by one more of fssbench's own choices, which changes no number.
    near = {one.plain for one in EVERY_DEFINITION if any(apart_by(one, other) <= 1 for other in in_use)}
    assert set(definitions()) == near
    assert len(definitions()) == len(near) == 36


def test_all_definitions_give_numbers_that_two_decimals_tell_apart() -> None:
    by_miou: dict[Fraction | None, list[Numbers]] = {}
    for definition in definitions():
        numbers = numbers_under(definition)
        by_miou.setdefault(numbers.miou, []).append(numbers)
    assert all(apart(one, other) for one, other in pairwise(sorted(v for v in by_miou if v is not None)))
    for group in by_miou.values():
        for one, other in combinations(group, 2):
            assert apart(one.fb_iou, other.fb_iou) or any(
                apart(one.per_class[c], other.per_class[c]) for c in one.per_class.keys() & other.per_class.keys()
            )


def test_miou_alone_tells_apart_all_definitions_under_which_it_has_a_value() -> None:
    of_miou = [one for one in definitions() if one.fb is OURS.fb]
    values = sorted(value for one in of_miou if (value := numbers_under(one).miou) is not None)
    assert len(values) == 24
    assert all(apart(one, other) for one, other in pairwise(values))


def test_every_definition_but_ours_is_described_and_in_its_own_words() -> None:
    said = {definition.differences for definition in definitions()}
    assert len(said) == len(definitions())
    assert OURS.differences == ()


@given(episodes(), any_definition)
def test_to_keep_the_last_is_to_have_been_asked_nothing_else(pairs: tuple[Pair, ...], definition: Definition) -> None:
    """Scoring only the last episode of an image equals scoring a list that holds no other."""
    last = tuple({pair.query: pair for pair in pairs}.values())
    kept = numbers_under(replace(definition, repeats="last"), pairs)
    assert (kept.miou, kept.fb_iou) == (
        numbers_under(replace(definition, repeats="each"), last, CLASSES).miou,
        numbers_under(replace(definition, repeats="each"), last, CLASSES).fb_iou,
    )


@given(episodes(), any_definition)
def test_repeats_matter_only_where_an_image_is_repeated(pairs: tuple[Pair, ...], definition: Definition) -> None:
    """Over distinct images all treatments of repeats are one."""
    distinct = tuple(replace(pair, query=str(place)) for place, pair in enumerate(pairs))
    assert len({str(numbers_under(replace(definition, repeats=choice), distinct)) for choice in AXES["repeats"]}) == 1


@given(episodes(), any_definition, st.sampled_from([("background", "."), ("foreground", "#")]))
def test_ignored_pixels_taken_for_a_ground_are_that_ground(
    pairs: tuple[Pair, ...], definition: Definition, taken: tuple[str, str]
) -> None:
    """Taking ignored pixels for something equals a truth that says so, ignored or not."""
    choice, pixel = taken
    painted = tuple(replace(pair, truth=tuple(row.replace("x", pixel) for row in pair.truth)) for pair in pairs)
    assert numbers_under(replace(definition, ignored=choice), pairs) == numbers_under(
        replace(definition, ignored="excluded"), painted
    )


@given(episodes(), any_definition)
def test_of_one_class_a_mean_over_classes_is_that_class(pairs: tuple[Pair, ...], definition: Definition) -> None:
    """Over one class that occurs, per class and all at once are the same."""
    one_class = tuple(replace(pair, class_id=1) for pair in pairs)
    for per_class, at_once in (
        ("class-pooled", "all-pooled"),
        ("class-episodes", "all-episodes"),
    ):
        first, second = (
            numbers_under(replace(definition, aggregation=aggregation, absent="undefined"), one_class, {1: "boat"})
            for aggregation in (per_class, at_once)
        )
        assert first == second


def test_means_over_episodes_are_those_worked_out_by_hand() -> None:
    """Foreground IoUs of the kit: 12/15, 1/7, 0, none | 3/11, 2/7, none | 0, 1/9, 4/6."""
    boat, cup, bird = (
        Fraction(12, 15) + Fraction(1, 7),
        Fraction(3, 11) + Fraction(2, 7),
        Fraction(1, 9) + Fraction(4, 6),
    )
    mean = Definition(aggregation="all-episodes")
    by_class = Definition(aggregation="class-episodes", absent="skipped")
    assert numbers_under(mean).miou == (boat + cup + bird) / 8
    assert numbers_under(replace(mean, empty="zero")).miou == (boat + cup + bird) / 10
    assert numbers_under(replace(mean, empty="one")).miou == (boat + cup + bird + 2) / 10
    assert numbers_under(by_class).miou == (boat / 3 + cup / 2 + bird / 3) / 3
    assert numbers_under(replace(by_class, absent="zero")).miou == (boat / 3 + cup / 2 + bird / 3) / 4
    shared = replace(mean, repeats="shared")
    assert numbers_under(shared).miou == (boat + cup + bird / 2) / 7
    both = Definition(absent="skipped", grounds="both")
    grounds = (
        (Fraction(13, 26), Fraction(34, 47)),
        (Fraction(5, 18), Fraction(30, 43)),
        (Fraction(5, 19), Fraction(41, 55)),
    )
    assert numbers_under(both).miou == sum(foreground + background for foreground, background in grounds) / 6
    pooled = Definition(aggregation="all-pooled")
    assert numbers_under(pooled).miou == Fraction(23, 63)
    assert numbers_under(replace(pooled, grounds="both")).miou == numbers_under(OURS).fb_iou


def test_fb_iou_over_episodes_averages_all_their_defined_ious() -> None:
    rates = [Fraction(*ratio) for pair in PAIRS for ratio in count_pixels(pair, "excluded") if ratio[1]]
    assert numbers_under(Definition(fb="episodes")).fb_iou == sum(rates) / len(rates)


# --- telling them apart ---------------------------------------------------------------------------------


def reported(numbers: Numbers, *, unit: int = 100) -> Reported:
    """What a tool would write that rounds to two decimals of a percent."""

    def rounded(value: Fraction | None) -> float | None:
        return None if value is None else round(float(value) * unit, 2 if unit == 100 else 4)

    per_class = {str(class_id): rounded(value) for class_id, value in numbers.per_class.items()}
    return Reported.model_validate(
        {"miou": rounded(numbers.miou), "fb_iou": rounded(numbers.fb_iou), "per_class": per_class}
    )


@pytest.mark.parametrize("unit", [1, 100])
@pytest.mark.parametrize("definition", definitions(), ids=lambda one: "-".join(astuple(one)))
def test_a_tool_is_known_by_its_numbers(definition: Definition, unit: int) -> None:
    assert judge(reported(numbers_under(definition), unit=unit), tolerance=HALF).agreeing == (definition,)


@pytest.mark.parametrize(
    "definition", [one for one in definitions() if one.fb is OURS.fb and numbers_under(one).miou is not None]
)
def test_a_tool_is_known_by_its_miou_alone(definition: Definition) -> None:
    miou = numbers_under(definition).miou
    assert miou is not None
    assert judge(Reported(miou=round(float(miou) * 100, 2)), tolerance=HALF).agreeing == (definition,)


def test_an_undefined_miou_leaves_several_definitions_ours_first() -> None:
    left = judge(Reported(miou=None), tolerance=HALF).agreeing
    assert left[0] == OURS
    assert len(left) == 8
    assert all(numbers_under(one).miou is None for one in left)


def test_coarse_rounding_leaves_more_definitions_the_wider_the_tolerance() -> None:
    coarse = Reported(miou=34.7)
    counts = [len(judge(coarse, tolerance=Fraction(width, 10_000)).agreeing) for width in (0, 1, 50, 500, 5_000)]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[1] == 1
    assert counts[-1] == 24


@given(st.sampled_from(definitions()), st.sampled_from(["miou", "fb_iou", "class 1", "class 2", "class 3"]))
@pytest.mark.slow
def test_of_one_wrong_figure_the_nearest_definition_names_it(definition: Definition, wrong: str) -> None:
    """A tool with one figure off by a tenth of a point is one figure away from its definition."""
    numbers = numbers_under(definition)
    given = reported(numbers).model_dump(mode="json")
    place, key = (given["per_class"], wrong[-1]) if wrong.startswith("class") else (given, wrong)
    place[key] = 99.97 if place[key] is None else place[key] + 0.1
    found = Reported.model_validate(given)
    if judge(found, tolerance=HALF).agreeing:  # the other figures of one may be those of another
        return
    assert [one.figure for one in judge(found, tolerance=HALF).off] == [wrong]


def test_a_class_of_which_a_definition_says_nothing_is_not_held_against_it() -> None:
    definition = IN_USE["torchmetrics"]
    numbers = numbers_under(definition)
    assert ABSENT not in numbers.per_class
    for value in (0.0, None):
        given = replace(numbers, per_class={**numbers.per_class, ABSENT: None if value is None else Fraction(0)})
        assert judge(reported(given), tolerance=HALF).agreeing == (definition,)


# --- a tool's file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "content: Invalid JSON"),
        ("[1]", "content: Input should be an object"),
        ("{}", "miou: Field required; give miou and"),
        ('{"miou": "?"}', r"miou: expected a number, or null for undefined, got '\?'"),
        ('{"miou": true}', "miou: expected a number, or null for undefined, got True"),
        ('{"miou": NaN}', "miou: Input should be a finite number"),
        ('{"miou": 1e999}', "miou: Input should be a finite number"),
        ('{"miou": -0.1}', "miou: Input should be greater than or equal to 0"),
        ('{"miou": 100.1}', "miou: Input should be less than or equal to 100"),
        ('{"miou": 1, "mIoU": 1}', "mIoU: Extra inputs are not permitted"),
        ('{"miou": 1, "fb_iou": [1]}', r"fb_iou: expected a number, or null for undefined, got \[1\]"),
        ('{"miou": 1, "per_class": [1]}', "per_class: Input should be"),
        ('{"miou": 1, "per_class": {"dog": 1}}', "per_class: there is no class 'dog'; the kit has 1, 2, 3, 4"),
        ('{"miou": 1, "per_class": {"5": 1}}', "per_class: there is no class '5'; the kit has 1, 2, 3, 4"),
        ('{"miou": 1, "per_class": {"2": "x"}}', "per_class.2: expected a number, or null for undefined, got 'x'"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    file.write_text(text)
    with pytest.raises(ResultError, match=rf"numbers\.json is not a tool's numbers: {message}") as error:
        read_reported(file)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"none\.json cannot be read: No such file"):
        read_reported(tmp_path / "none.json")


def test_values_are_percentages_as_soon_as_one_is_above_1() -> None:
    assert Reported(miou=0.5, fb_iou=1).figures() == {"miou": Fraction(1, 2), "fb_iou": 1}
    assert Reported(miou=0.5, fb_iou=50).figures() == {"miou": Fraction(1, 200), "fb_iou": Fraction(1, 2)}
    assert Reported(miou=None).figures() == {"miou": None}
    assert Reported(miou=None, fb_iou=None).figures() == {"miou": None, "fb_iou": None}


# --- the page -------------------------------------------------------------------------------------------


def tables() -> list[list[list[str]]]:
    """Rows of cells of the page's tables, without headings."""
    found = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in t.splitlines()[2:]] for t in found]


def test_the_page_counts_the_pairs_as_the_code_does() -> None:
    rows = tables()[0]
    assert len(rows) == len(PAIRS)
    for index, (row, pair) in enumerate(zip(rows, PAIRS, strict=True)):
        ratios = [f"{inter}/{union}" for inter, union in count_pixels(pair, "excluded")]
        assert row == [str(index), CLASSES[pair.class_id], pair.query, pair.about, *ratios]


def test_the_page_gives_every_definition_its_numbers() -> None:
    rows = tables()[2]
    assert len(rows) == 14
    for row in rows:
        words = dict(word.split("=") for word in row[0].strip("`").split() if "=" in word)
        numbers = numbers_under(Definition(**words))
        figures = (numbers.miou, numbers.fb_iou, *(numbers.per_class.get(class_id) for class_id in CLASSES))
        assert row[1:] == ["—" if value is None else f"{float(value):.2%}".rstrip("%") for value in figures], row[0]


def test_the_page_names_every_choice_of_every_axis() -> None:
    rows = {row[0].strip("`"): row[1] for row in tables()[1]}
    assert list(rows) == list(AXES)
    for axis, choices in AXES.items():
        assert set(re.findall(r"`([a-z-]+)`", rows[axis])) == set(choices)


def test_every_equation_of_the_page_holds() -> None:
    """Sums, fractions and percentages between two equals signs are one value."""
    found = 0
    for line in re.sub(r" =\n *", " = ", PAGE.read_text()).splitlines():
        sides = line.split("** ")[-1] if line.startswith("- **") else line
        for left, right in pairwise(re.split(r" = ", re.sub(r"^.*would be |\.$", "", sides))):
            if re.fullmatch(r"[\d+/() ]+", left) and re.fullmatch(r"[\d/]+|[\d.]+ %", right):
                value = eval(re.sub(r"(\d+)", r"Fraction(\1)", left), {"Fraction": Fraction})
                percent = right.endswith("%")
                assert f"{float(value) * 100:.2f} %" == right if percent else value == Fraction(right), line
                found += 1
    assert found == 3 * 2 + 1 + 2 + 1 + 2 + 2


def test_the_conformance_kit_loads_neither_torch_nor_file_formats() -> None:
    code = (
        "import sys, fssbench.scoring.conformance.check\n"
        "print([m for m in ('torch', 'datasets', 'pyarrow', 'PIL', 'webdataset', 'pycocotools') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
