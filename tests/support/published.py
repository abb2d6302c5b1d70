"""Tokenizer settings as the published system has them, for tests of what it specifies. No test in here."""

from __future__ import annotations

from typing import Any

from stream.tokenizer.settings import TokenizerSettings, settings_from


def published(**given: Any) -> TokenizerSettings:
    """Those, but for what is given."""
    return settings_from({"preset": "published", **given})
