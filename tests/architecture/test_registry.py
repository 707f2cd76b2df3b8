"""Registries: read-only, ordered, and helpful about names they do not hold."""

import pytest

from nasdepth.architecture.registry import Registry, unknown


def colours() -> Registry[str]:
    registry = Registry[str]("colour")
    registry.register("vermilion")("#e34234")
    registry.register("azure")("#f0ffff")
    return registry


def test_members_are_found_in_order_of_registration() -> None:
    registry = colours()

    assert list(registry) == ["vermilion", "azure"]
    assert len(registry) == 2
    assert registry["azure"] == "#f0ffff"
    assert dict(registry) == {"vermilion": "#e34234", "azure": "#f0ffff"}


def test_membership_asks_for_names() -> None:
    assert "azure" in colours()
    assert "#f0ffff" not in colours()
    assert 3 not in colours()


def test_the_decorator_gives_back_what_it_registers() -> None:
    registry = Registry[object]("function")

    @registry.register("twice")
    def twice(x: int) -> int:
        return 2 * x

    assert registry["twice"] is twice
    assert twice(2) == 4


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match=r"colour 'azure' is registered already\."):
        colours().register("azure")


def test_a_registry_cannot_be_written_to() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        colours()["red"] = "#f00"


def test_an_unknown_name_gets_the_choices_and_the_nearest() -> None:
    message = (
        r"^Unknown colour 'asure'; choose from: azure, vermilion\. "
        r"Did you mean 'azure'\?$"
    )

    with pytest.raises(ValueError, match=message):
        colours()["asure"]


def test_a_name_like_no_other_gets_the_choices_alone() -> None:
    message = unknown("colour", "x", ["azure", "vermilion"])

    assert message == "Unknown colour 'x'; choose from: azure, vermilion."
