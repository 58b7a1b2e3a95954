"""A cluster over Ray, which is imported when one is made. On `cluster`, whose transport this is.

All state of the head belongs to the loop's thread of its system; that of a node, to the loop of its
Ray actor.
"""

from .ray_cluster import RayCluster
from .ray_module import WrongVersion

__all__ = ["RayCluster", "WrongVersion"]
