"""Tables of a paper: text with what is bold and what is cited, as Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Part", "Typeset", "latex", "markdown", "signed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in a place of a table.

    Attributes:
        spread: how far ``text``, a number, may be off, behind it.
        cites: keys of what is cited behind it, in LaTeX.
    """

    text: str
    spread: str = ""
    bold: bool = False
    cites: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of a table that belong together, with a heading of their own or without."""

    rows: Sequence[Sequence[Cell]]
    heading: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typeset:
    """A table.

    Attributes:
        title: what it is about.
        head: names of its columns.
        words: names of those that are not numbers.
        parts: with a rule between them.
        notes: what its signs mean, in sentences.
    """

    title: str
    head: Sequence[str]
    words: Sequence[str]
    parts: Sequence[Part]
    notes: Sequence[str] = ()


def signed(share: float, digits: int) -> str:
    """A difference in points, with a sign that is not a hyphen."""
    return f"{100 * share:+.{digits}f}".replace("-", "−")


def markdown(tables: Sequence[Typeset]) -> bytes:
    """Headings, tables and notes, as GitHub draws them."""
    return "\n".join(map(_markdown, tables)).encode()


def _markdown(table: Typeset) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rule = "".join("|---" if name in table.words else "|--:" for name in table.head)
    lines = [line([name.translate(MARKDOWN) for name in table.head]), f"{rule}|"]
    for part in table.parts:
        if part.heading:
            empty = [""] * len(table.head)
            place = next((n for n, name in enumerate(table.head) if name in table.words), 0)
            lines.append(line([*empty[:place], f"*{part.heading.translate(MARKDOWN)}*", *empty[place + 1 :]]))
        lines += [line([_cell_in_markdown(cell) for cell in row]) for row in part.rows]
    notes = "".join(f"\n{note.translate(MARKDOWN)}\n" for note in table.notes)
    return f"### {table.title.translate(MARKDOWN)}\n\n" + "\n".join(lines) + f"\n{notes}"


def _cell_in_markdown(cell: Cell) -> str:
    text = cell.text.translate(MARKDOWN)
    strong = f"**{text}**" if cell.bold and text else text
    return strong + (f" ± {cell.spread}" if cell.spread else "")


def latex(tables: Sequence[Typeset]) -> bytes:
    """Tabulars of booktabs, each below comments that say what it is and above others with its notes."""
    return ("% needs \\usepackage{booktabs}\n\n" + "\n".join(map(_latex, tables))).encode()


def _latex(table: Typeset) -> str:
    def line(cells: Sequence[str]) -> str:
        # Where a row begins with one of these, the line break before it would take it for its own.
        return ("{}" if cells[0][:1] in ("[", "*") else "") + " & ".join(cells) + r" \\"

    columns = "".join("l" if name in table.words else "r" for name in table.head)
    lines = [f"% {_one_line(table.title)}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines.append(line([name.translate(LATEX) for name in table.head]))
    for part in table.parts:
        lines.append(r"\midrule")
        if part.heading:
            lines.append(rf"\multicolumn{{{len(table.head)}}}{{l}}{{\emph{{{part.heading.translate(LATEX)}}}}} \\")
        lines += [line([_cell_in_latex(cell) for cell in row]) for row in part.rows]
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {_one_line(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _cell_in_latex(cell: Cell) -> str:
    text = cell.text.translate(LATEX)
    strong = rf"\textbf{{{text}}}" if cell.bold and text else text
    spread = rf" {{\scriptsize$\pm${cell.spread}}}" if cell.spread else ""
    return strong + spread + (rf"~\cite{{{','.join(cell.cites)}}}" if cell.cites else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


# What a model is called is whatever somebody called it.
MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\|`*_[]<>#~"} | {"\n": " ", "\r": " "})
LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
    | {"−": "$-$", "×": r"$\times$", "†": r"$^\dagger$", "—": "---", "\n": " ", "\r": " "}
)
