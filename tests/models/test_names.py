from __future__ import annotations

import pytest

from agenticaiframework.models import UnknownModel
from agenticaiframework.models.providers.names import ModelName, read_model_name


@pytest.mark.parametrize(
    ("name", "provider", "known_as"),
    [
        ("scripted", "scripted", "scripted"),
        ("local", "local", "smollm2"),
        ("local:smollm2", "local", "smollm2"),
        ("local:/models/big.gguf", "local", "/models/big.gguf"),
        ("test", "pydantic-ai", "test"),
        ("gpt-4o-mini", "pydantic-ai", "openai-chat:gpt-4o-mini"),
        ("gpt-4", "pydantic-ai", "openai-chat:gpt-4"),
        ("openai:gpt-4o-mini", "pydantic-ai", "openai-chat:gpt-4o-mini"),
        ("openai-responses:gpt-5", "pydantic-ai", "openai-responses:gpt-5"),
        ("anthropic:claude-x", "pydantic-ai", "anthropic:claude-x"),
        ("claude-x", "pydantic-ai", "anthropic:claude-x"),
    ],
)
def test_a_name_says_who_runs_the_model(name: str, provider: str, known_as: str) -> None:
    assert read_model_name(name) == ModelName(provider, known_as)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "gpt4", "local:", "local:other", "openai:", ":gpt-4"])
def test_an_unknown_name_is_told_the_forms_that_work(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        read_model_name(name)
    assert repr(name) in str(caught.value)
    assert "openai:gpt-4o-mini" in str(caught.value)
    assert caught.value.model == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opnai:gpt-4o", "openai:gpt-4o"),
        ("antropic:claude-x", "anthropic:claude-x"),
        ("google-gla:gemini-x", "google:gemini-x"),
        ("clade-sonnet", "claude-sonnet"),
        ("gtp-4o", "gpt-4o"),
    ],
)
def test_a_misspelt_provider_is_told_the_near_name(name: str, meant: str) -> None:
    assert f"Did you mean {meant!r}?" in str(UnknownModel(name))


@pytest.mark.parametrize("name", ["house:qwen3", "no-such", "openai:gpt-4o", "qwen3"])
def test_a_name_that_is_near_none_is_told_no_other(name: str) -> None:
    assert "Did you mean" not in str(UnknownModel(name))


def test_the_class_of_a_model_is_told_to_be_made() -> None:
    class HouseModel:
        """Stands for a model of the user's own."""

    assert "model=HouseModel(...)" in str(UnknownModel(HouseModel))
