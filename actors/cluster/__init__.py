"""Several systems as the nodes of one cluster: the same refs, links, exits, supervision and names.

On the actors, which do not know it; below the agents. `ClusterNode` is one system's part in it, what
stands for a remote actor is a `RemoteActor`, and a `Transport` carries batches between nodes. All state
of a node belongs to the loop's thread of its system.
"""

from .codec import Codec, check_importable
from .errors import CannotTravel, ClusterError, NoNode, NotInCluster
from .incoming import Withdrawal
from .node import LEASE_S, QUEUE_LIMIT, ClusterNode
from .node_events import NodeDown, NodeState, NodeUp
from .placement import ANYWHERE, Near, Placement, Spread, near, spread
from .remote import Birth, RemoteActor
from .transport import Batch, NodeInfo, NodeLost, NodeUnavailable, Transport

__all__ = [
    "ANYWHERE",
    "LEASE_S",
    "QUEUE_LIMIT",
    "Batch",
    "Birth",
    "CannotTravel",
    "ClusterError",
    "ClusterNode",
    "Codec",
    "Near",
    "NoNode",
    "NodeDown",
    "NodeInfo",
    "NodeLost",
    "NodeState",
    "NodeUnavailable",
    "NodeUp",
    "NotInCluster",
    "Placement",
    "RemoteActor",
    "Spread",
    "Transport",
    "Withdrawal",
    "check_importable",
    "near",
    "spread",
]
