"""The command line: results on standard output, progress and logs on standard error.

Commands import what they need when they run, so that help and `describe` are quick.
"""

from nasdepth.cli import (
    evidence,
    inverse,
    measures,
    networks,
    plan,
    report,
    results,
    studies,
)
from nasdepth.cli.base import main

__all__ = [
    "evidence",
    "inverse",
    "main",
    "measures",
    "networks",
    "plan",
    "report",
    "results",
    "studies",
]
