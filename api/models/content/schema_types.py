"""A JSON schema as a type: pydantic-ai tells the model what it says, and checks the answer against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .json_schema import JsonSchema

ANSWER_NAME: Final = "answer"
"""What the model is told that an answer by an `output_schema` is called."""


def schema_type(given: Mapping[str, Any]) -> type[Any]:
    """Return a type whose values are those that fit the JSON schema *given*.

    What does not fit is a `ValidationError` that says what and where, which the model is then told.
    """
    schema = JsonSchema(given)
    told = schema.inlined()
    told.setdefault("title", ANSWER_NAME)
    is_object = told.get("type") == "object"

    def check(value: Any) -> Any:
        faults = schema.faults(value)
        if faults:
            raise PydanticCustomError("json_schema", "{faults}", {"faults": "; ".join(faults)})
        return value

    class SchemaAnswer(dict[str, Any]):
        # As pydantic-ai marks a mapping that has a schema: it is the answer, not a field of it.
        __is_model_like__ = is_object

        @classmethod
        def __get_pydantic_core_schema__(
            cls, _source: Any, _handler: GetCoreSchemaHandler
        ) -> CoreSchema:
            inner: CoreSchema = core_schema.any_schema()
            if is_object:
                inner = core_schema.dict_schema(core_schema.str_schema(), inner)
            return core_schema.no_info_after_validator_function(check, inner)

        @classmethod
        def __get_pydantic_json_schema__(
            cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
        ) -> dict[str, Any]:
            return told

    SchemaAnswer.__name__ = SchemaAnswer.__qualname__ = str(told["title"])
    return SchemaAnswer


__all__ = ["schema_type"]
