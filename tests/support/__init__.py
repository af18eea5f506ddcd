"""What tests share: doubles that pass the contract suites, and facts about this machine."""

from __future__ import annotations

import pytest

# Their assertions say what was compared, as those in tests do.
pytest.register_assert_rewrite(
    *(f"support.{name}" for name in ("documents", "engines", "memory", "project", "registry", "sites", "suite"))
)
