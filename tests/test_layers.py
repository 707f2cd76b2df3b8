"""Packages, and files inside a package, import only what stands above them.

Imports are read from the syntax tree, so deferred and typing-only ones count too.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: every package and file, each importing only from those above it
ORDER = {
    "architecture": (
        "registry",
        "ops",
        "opaque",
        "graph",
        "canonical",
        "blocks",
        "links",
        "spec",
        "lower",
        "families",
    ),
    "measures": (
        "structure",
        "cost",
        "depth",
        "mass",
        "catalogue",
        "summaries",
        "breakdown",
        "description",
    ),
    "inverse": ("bounds", "routes", "box", "vectors", "parts", "question", "design"),
    "network": (
        "source",
        "build",
        "population",
        "call",
        "exported",
        "aten_maps",
        "aten_layers",
        "trace",
        "watch",
        "saliency",
        "responses",
        "proxies",
        "dynamics",
        "isometry",
        "probes",
        "latency",
    ),
    "training": (
        "schedule",
        "augment",
        "averaging",
        "files",
        "images",
        "folder",
        "sources",
        "datasets",
        "data",
        "device",
        "recipe",
        "polling",
        "batches",
        "evaluation",
        "processors",
        "memory",
        "ledger",
        "probe",
        "forward",
        "state",
        "checkpoint",
        "finite",
        "optimizers",
        "run",
        "steps",
        "loop",
        "allocator",
        "side_by_side",
        "together",
        "population",
        "weights",
    ),
    "statistics": (
        "linear",
        "calibration",
        "simulation",
        "wild",
        "regression",
        "dependent",
        "nested",
        "rivals",
        "mixed",
        "grouped",
        "multiverse",
        "subsets",
        "power",
    ),
    "guide": (
        "draws",
        "encoding",
        "surrogate",
        "acquisition",
        "pareto",
        "coverage",
        "fidelity",
        "transfer",
        "history",
        "inferred",
        "pruner",
        "pool",
        "settings",
        "model",
        "proposal",
        "sampler",
        "evolution",
    ),
    "evidence": (
        "records",
        "preregistration",
        "responses",
        "observations",
        "units",
        "cache",
        "delimited",
        "foreign_networks",
        "nasbench201_cells",
        "nasbench201",
        "zoo_accuracies",
        "tables",
        "column_roles",
        "columns",
    ),
    "claims": (
        "finding",
        "scope",
        "claim",
        "rows",
        "headline",
        "superiority",
        "depth",
        "training",
        "parallel",
        "trends",
    ),
    "analysis": (
        "document",
        "exploratory",
        "wording",
        "wording_exploratory",
        "answer",
        "front",
        "figures",
        "plotting",
        "plots",
        "plots_search",
        "plots_front",
    ),
    "search": (
        "template",
        "space_config",
        "config",
        "space",
        "candidates",
        "siblings",
        "design",
        "plan",
        "retries",
        "screen",
        "storage",
        "guided",
        "status",
        "stopping",
        "trainer",
        "objective",
        "study",
        "workers",
    ),
    "pictures": (
        "svg",
        "stages",
        "sketch",
        "series",
        "layout",
        "rows",
        "paths",
        "network",
    ),
    # outward files, then the command line
    "": (
        "zoo",
        "networks",
        "export_card",
        "export_template",
        "export",
        "retrain",
        "dashboard",
        "doctor",
        "tables",
        "report_style",
        "report_page",
        "report_study",
        "report_front",
        "report",
        "present",
        "watching",
    ),
    "cli": (
        "base",
        "evidence",
        "inverse",
        "measures",
        "networks",
        "plan",
        "report",
        "results",
        "studies",
        "",
    ),
}
MODULES = [
    ".".join(filter(None, ("nasdepth", package, file)))
    for package, files in ORDER.items()
    for file in files
]
LAST = "nasdepth.__main__"

#: third-party packages by the file or package that may import them
THIRD_PARTY = {
    "nasdepth.architecture": set(),
    "nasdepth.measures": {"numpy"},
    "nasdepth.inverse": {"numpy"},
    "nasdepth.network": {"jaxtyping", "numpy", "torch"},
    "nasdepth.training": {
        "PIL",
        "jaxtyping",
        "numpy",
        "safetensors",
        "sklearn",
        "torch",
        "torchvision",
    },
    "nasdepth.statistics": {"numpy", "scipy", "sklearn", "statsmodels"},
    "nasdepth.guide": {"numpy", "optuna", "scipy", "sklearn"},
    "nasdepth.evidence": {"numpy", "scipy"},
    "nasdepth.claims": {"numpy", "scipy", "statsmodels"},
    "nasdepth.analysis": {"matplotlib", "numpy", "plotly"},
    # the accuracies that it states of its weights; imported on the first reading
    "nasdepth.evidence.zoo_accuracies": {"torchvision"},
    # sqlalchemy is a dependency of optuna, whose storages speak its errors
    "nasdepth.search": {
        "numpy",
        "optuna",
        "pydantic",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "torch",
    },
    "nasdepth.zoo": {"timm", "torch", "torchvision"},
    "nasdepth.networks": {"torch"},
    "nasdepth.pictures.svg": {"matplotlib", "resvg_py"},
    "nasdepth.export": {"jaxtyping", "safetensors", "torch"},
    # a file of the export, run on its own
    "nasdepth.export_template": {"PIL", "safetensors", "torch"},
    "nasdepth.retrain": {"torch"},
    "nasdepth.dashboard": {"optuna", "optuna_dashboard", "sqlalchemy"},
    "nasdepth.report_study": {"optuna"},
    "nasdepth.doctor": {"torch"},
    "nasdepth.present": {"optuna"},
    "nasdepth.watching": {"click", "optuna", "rich"},
    "nasdepth.cli": {"click", "optuna", "rich"},
}
#: where imports of optional or slow packages may stand inside functions
OPTIONAL = (
    "nasdepth.training.sources",
    "nasdepth.zoo",
    "nasdepth.evidence.zoo_accuracies",
    "nasdepth.export",
    "nasdepth.pictures.svg",
)
#: imports by name: the top's lazy names, and the networks that a user names
DYNAMIC = ("nasdepth", "nasdepth.zoo")
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}


def sources() -> dict[str, str]:
    """Text of every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / "nasdepth").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = path.read_text(encoding="utf-8")
    return found


SOURCES = sources()
PACKAGES = {f"nasdepth.{name}" for name in ORDER if name}


def within(module: str, *places: str) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Modules that a statement names; a name that is no module is part of one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    origin = "." * node.level + (node.module or "")
    for alias in node.names:
        name = f"{origin}.{alias.name}"
        yield name if name in MODULES or name in PACKAGES else origin


def violations(module: str, source: str) -> list[str]:
    """Every rule that a module breaks, as `line: import (rule)`."""
    tree = ast.parse(source)
    deferred = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(outer)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_dynamic(node) and module not in DYNAMIC:
            found.append(f"{node.lineno}: dynamic import")
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for name in imported(node):
            found += [
                f"{node.lineno}: {name} ({rule})"
                for rule in _broken(module, name, node, deferred=id(node) in deferred)
            ]
    return found


def _is_dynamic(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return name in ("import_module", "__import__")


def _broken(
    module: str, name: str, node: ast.Import | ast.ImportFrom, *, deferred: bool
) -> Iterator[str]:
    top = name.split(".")[0]
    if top == "":
        yield "relative"
    elif top == "nasdepth":
        if name == "nasdepth":
            if [alias.name for alias in node.names] != ["__version__"]:
                yield "only __version__ comes from the top"
        elif name not in MODULES:
            yield "no file of the order"
        elif module != LAST and MODULES.index(name) >= MODULES.index(module):
            yield "upward"
    elif top not in sys.stdlib_module_names:
        allowed = [THIRD_PARTY[place] for place in THIRD_PARTY if within(module, place)]
        if not any(top in some for some in allowed):
            yield "third party"
    optional = top not in ("nasdepth", "") and within(module, *OPTIONAL)
    # the command line defers to start fast
    if deferred and not optional and not within(module, "nasdepth.cli"):
        yield "inside a function"


# --- the rules hold


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_stands_in_the_order(module: str) -> None:
    assert module in {*MODULES, *PACKAGES, "nasdepth", LAST}, (
        f"give {module} its place in ORDER of {__file__}"
    )


@pytest.mark.parametrize("module", [m for m in SOURCES if m in {*MODULES, LAST}])
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    assert violations(module, SOURCES[module]) == []


@pytest.mark.parametrize("module", sorted({*PACKAGES, "nasdepth"} - {"nasdepth.cli"}))
def test_a_package_itself_imports_nothing_of_ours(module: str) -> None:
    tree = ast.parse(SOURCES[module])

    found = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(node)
    ]

    assert set(found) <= {"importlib", "typing"}


def test_third_parties_are_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        re.split(r"[<>=!~\[; ]", line)[0] for line in project["dependencies"]
    } | {"sqlalchemy"}
    used = set()
    for source in SOURCES.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                used |= {name.split(".")[0] for name in imported(node)}
    third = used - sys.stdlib_module_names - {"nasdepth", ""}

    names = {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in third}

    assert names <= declared


# --- and the test can fail


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("measures.depth", "import nasdepth.network.build", "upward"),
        ("measures.depth", "from nasdepth.network import build", "upward"),
        ("measures.depth", "from nasdepth.network.build import build", "upward"),
        ("measures.depth", "from nasdepth.measures import mass", "upward"),
        ("measures.depth", "from nasdepth.measures.depth import x", "upward"),
        ("measures.depth", "from nasdepth.cli import main", "upward"),
        ("measures.depth", "from nasdepth.elsewhere import x", "no file of the order"),
        ("measures.depth", "from nasdepth import Stage", "only __version__"),
        ("measures.depth", "import nasdepth", "only __version__"),
        ("measures.depth", "from . import structure", "relative"),
        ("measures.depth", "from .structure import Arm", "relative"),
        ("measures.depth", "from ..architecture import ops", "relative"),
        ("measures.depth", "import torch", "third party"),
        ("measures.depth", "from torch.nn import Module", "third party"),
        ("architecture.ops", "import numpy as np", "third party"),
        ("analysis.records", "import torch", "third party"),
        ("pictures.network", "import matplotlib", "third party"),
        ("measures.depth", "__import__('torch')", "dynamic"),
        ("measures.depth", "importlib.import_module('torch')", "dynamic"),
        ("measures.depth", "def f():\n    import math", "inside a function"),
        ("measures.depth", "async def f():\n    import math", "inside a function"),
        ("measures.depth", "def f():\n    import torch", "third party"),
        ("export", "def f():\n    from nasdepth import networks", "inside a function"),
        (
            "measures.depth",
            "if TYPE_CHECKING:\n    from nasdepth.network.build import build",
            "upward",
        ),
        (
            "measures.depth",
            "try:\n    import torch\nexcept ImportError:\n    pass",
            "third party",
        ),
    ],
)
def test_a_made_up_file_is_caught(module: str, line: str, rule: str) -> None:
    found = violations(f"nasdepth.{module}", line)

    assert any(rule in each for each in found)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("measures.depth", "from nasdepth.measures.structure import Arm"),
        ("measures.depth", "from nasdepth.architecture import graph, ops"),
        ("measures.depth", "import numpy as np\nimport math\nfrom typing import Any"),
        ("search.study", "from nasdepth import __version__"),
        ("pictures.network", "from nasdepth.pictures import sketch"),
        ("cli.base", "def f():\n    import optuna"),
        ("export", "def f():\n    import torch"),
    ],
)
def test_a_made_up_file_may_be_right(module: str, line: str) -> None:
    assert violations(f"nasdepth.{module}", line) == []
