"""A machine that lacks a program: its user's tests are skipped, CI's fail."""

from __future__ import annotations

import pytest
from programs import PROGRAMS, require


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_program_is_told_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setitem(PROGRAMS, "tuba", ("the package tuba", lambda: False))
    with pytest.raises(outcome, match=r"expected the package tuba on this machine; scripts/system_packages\.sh installs it"):
        require("tuba")
