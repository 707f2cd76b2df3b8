"""Neural architecture search that measures topology before it trains.

The names below load what they need when they are first used: `import nasdepth` alone
loads neither torch nor optuna.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Architecture": "nasdepth.architecture.spec",
    "Head": "nasdepth.architecture.spec",
    "Stage": "nasdepth.architecture.spec",
    "Stem": "nasdepth.architecture.spec",
    "family": "nasdepth.architecture.families",
    "lower": "nasdepth.architecture.lower",
    "digest": "nasdepth.architecture.canonical",
    "measure": "nasdepth.measures.catalogue",
    "DepthConvention": "nasdepth.measures.depth",
    "Measures": "nasdepth.measures.description",
    "build": "nasdepth.network.build",
    "trace": "nasdepth.network.trace",
    "describe": "nasdepth.networks",
    "TrialRecord": "nasdepth.evidence.records",
    "Evidence": "nasdepth.evidence.observations",
    "Preregistration": "nasdepth.evidence.preregistration",
    "analyze": "nasdepth.analysis.answer",
    "StudyConfig": "nasdepth.search.config",
    "Space": "nasdepth.search.space",
    "ScreenSampler": "nasdepth.search.screen",
    "GuidedSampler": "nasdepth.guide.sampler",
    "Cost": "nasdepth.guide.sampler",
    "Prior": "nasdepth.guide.transfer",
    "ShortRuns": "nasdepth.guide.pruner",
    "KeepFront": "nasdepth.guide.pruner",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nasdepth' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
