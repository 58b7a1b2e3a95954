"""Importing this raises an error that names the extra, unless Hypothesis is installed."""

from agenticaiframework.actors import MissingExtra

try:
    import hypothesis
except ImportError as error:
    raise MissingExtra("Property testing with Hypothesis", "testing") from error

version: str = str(hypothesis.__version__)  # pyright: ignore
