"""What users need to test their own agents."""

from .scripted_model import ScriptedModel, scripted_model

__all__ = ["ScriptedModel", "scripted_model"]
