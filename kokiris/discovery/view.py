"""The whole catalog, compactly: what DNS answers from."""

from __future__ import annotations

import msgspec

from kokiris.discovery.catalog import Catalog


class InstanceView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An instance as DNS needs it. `Status` includes the node's."""

    Node: str
    ID: str
    Service: str
    Address: str = ""
    """Of the instance itself; empty: its node's."""
    Port: int = 0
    Tags: list[str] = msgspec.field(default_factory=list)
    Weight: int = 1
    Status: str = "passing"


class NodeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A node as DNS needs it."""

    Node: str
    Address: str = ""
    Meta: dict[str, str] = msgspec.field(default_factory=dict)


class CatalogView(msgspec.Struct, kw_only=True):
    """The whole catalog at `Index`."""

    Index: int
    Nodes: list[NodeView]
    Instances: list[InstanceView]


def view(catalog: Catalog, index: int) -> CatalogView:
    """The catalog as it is now, compactly."""
    instances = []
    for one in catalog.all_instances():
        status = catalog.status_of(one)
        weight = one.Weights.get("Warning" if status == "warning" else "Passing", 1)
        instances.append(
            InstanceView(
                Node=one.Node,
                ID=one.ID,
                Service=one.Service,
                Address=one.Address,
                Port=one.Port,
                Tags=one.Tags,
                Weight=weight,
                Status=status,
            )
        )
    nodes = [NodeView(Node=one.Node, Address=one.Address, Meta=one.Meta) for one in catalog.nodes.values()]
    return CatalogView(Index=index, Nodes=nodes, Instances=instances)
