"""What papers report, one TOML file a paper: all result tables of HSNet, HMFS and HDMNet, main results of later ones.

Figures are in percent, as printed. What a table leaves blank is left out of the file and is ``None`` here; so is what
the text at hand garbles, with a note.
"""

from fssbench.leaderboard.reported.costs import ReportedCosts, reported_costs
from fssbench.leaderboard.reported.rows import ReportedRow, reported_rows
from fssbench.leaderboard.reported.tables import Ours, Paper, Row, Table, find_table, papers, read_paper, tables

__all__ = [
    "Ours",
    "Paper",
    "ReportedCosts",
    "ReportedRow",
    "Row",
    "Table",
    "find_table",
    "papers",
    "read_paper",
    "reported_costs",
    "reported_rows",
    "tables",
]
