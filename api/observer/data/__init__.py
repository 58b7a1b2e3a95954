"""What is shown of a system, as plain dictionaries and lists: for pages, terminals and tests.

Knows the layers below by what they export, and changes nothing.
What it keeps is owned by the loop's thread of the system that it looks at.
"""

from .observed import Observed
from .recorded import ObserverAction

__all__ = ["Observed", "ObserverAction"]
