"""docs/measures.md: its examples are true, and nothing that is measured lacks words."""

import doctest
import re
from pathlib import Path

import pytest

from nasdepth.measures.catalogue import CATALOGUE
from nasdepth.measures.depth import DepthConvention
from nasdepth.network.probes import PROBES

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = {**CATALOGUE, **PROBES}
BETTER = {1: "higher", -1: "lower", 0: "not said"}
#: what of a row's source must stand in its entry
CITED = re.compile(r"arXiv:[\w.]+\d|doi:\S+\d|Glorot & Bengio 2010|convention|nasdepth")


def entries() -> list[tuple[list[str], str]]:
    """Names of each entry, and its text up to the next one or an example."""
    _, *parts = re.split(r"^- (?=\*\*`)", TEXT, flags=re.M)
    found = []
    for part in parts:
        text = re.split(r"^(?:```python|#)", part, flags=re.M)[0]
        names = re.match(r"(?:\*\*`\w+`\*\*,? ?)+", part)
        assert names
        found.append((re.findall(r"\w+", names[0]), " ".join(text.split())))
    return found


def entry(name: str) -> str:
    (text,) = (text for names, text in entries() if name in names)
    return text


@pytest.mark.slow
def test_the_examples_are_true() -> None:
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)

    assert attempted > len(entries())
    assert failed == 0


def test_every_measure_and_probe_has_one_entry_and_there_are_no_others() -> None:
    named = [name for names, _ in entries() for name in names]

    assert sorted(named) == sorted(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_an_entry_has_a_source_an_example_and_where_it_fails(name: str) -> None:
    examples = "\n".join(re.findall(r"^(?:>>>|\.\.\.) .*", TEXT, flags=re.M))

    assert "*Source:* " in entry(name)
    assert "*Fails:* " in entry(name)
    assert re.search(rf"\b{name}\b", examples)


@pytest.mark.parametrize("name", ROWS)
def test_an_entry_cites_what_the_table_cites(name: str) -> None:
    cited = CITED.findall(ROWS[name].source)

    assert cited
    assert all(source in entry(name) for source in cited)


@pytest.mark.parametrize("name", PROBES)
def test_an_entry_says_which_way_is_better(name: str) -> None:
    (given,) = re.findall(r"\*Better:\* ([^.]+)\.", entry(name))
    apart = {probe: word for word, probe in re.findall(r"([\w ]+) \(`(\w+)`\)", given)}

    assert apart.get(name, given).strip() == BETTER[PROBES[name].better]


@pytest.mark.parametrize("option", DepthConvention.__slots__)
def test_every_option_of_the_convention_has_a_row(option: str) -> None:
    assert re.search(rf"^\| `{option}` \|", TEXT, re.M)
