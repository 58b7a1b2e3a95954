"""What the tests of models share: what one says about providers is forgotten before the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agenticaiframework.models.providers.settings import forget_providers


@pytest.fixture(autouse=True)
def _says_nothing_about_providers() -> Iterator[None]:
    yield
    forget_providers()
