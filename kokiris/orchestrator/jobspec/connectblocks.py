"""Consul's connect blocks: they parse and are stored; `acted` says that nothing acts on them."""

from __future__ import annotations

from kokiris.orchestrator.jobspec.schema import OPAQUE, STRINGS, Spec, by_label, fields, many, one
from kokiris.orchestrator.jobspec.taskblocks import IDENTITY, LOGS, RESOURCES, VOLUME_MOUNT

_MESH_GATEWAY = Spec(fields=fields("mode Mode str"))
_UPSTREAM = Spec(
    fields=fields("""
        destination_name DestinationName str
        destination_namespace DestinationNamespace str
        destination_peer DestinationPeer str
        destination_partition DestinationPartition str
        destination_type DestinationType str
        local_bind_port LocalBindPort int
        datacenter Datacenter str
        local_bind_address LocalBindAddress str
        local_bind_socket_path LocalBindSocketPath str
        local_bind_socket_mode LocalBindSocketMode str
    """),
    blocks={"mesh_gateway": one("MeshGateway", _MESH_GATEWAY), "config": one("Config", OPAQUE)},
)
_EXPOSE = Spec(
    blocks={
        "path": many(
            "Paths",
            Spec(
                fields=fields("""
                    path Path str
                    protocol Protocol str
                    local_path_port LocalPathPort int
                    listener_port ListenerPort str
                """)
            ),
        )
    }
)
_TRANSPARENT_PROXY = Spec(
    fields=fields("""
        uid UID str
        outbound_port OutboundPort int
        exclude_inbound_ports ExcludeInboundPorts strings
        exclude_outbound_ports ExcludeOutboundPorts ints
        exclude_outbound_cidrs ExcludeOutboundCIDRs strings
        exclude_uids ExcludeUIDs strings
        no_dns NoDNS bool
    """)
)
_PROXY = Spec(
    fields=fields("""
        local_service_address LocalServiceAddress str
        local_service_port LocalServicePort int
    """),
    blocks={
        "expose": one("Expose", _EXPOSE),
        "upstreams": many("Upstreams", _UPSTREAM),
        "transparent_proxy": one("TransparentProxy", _TRANSPARENT_PROXY),
        "config": one("Config", OPAQUE),
    },
)
_SIDECAR_SERVICE = Spec(
    fields=fields("""
        tags Tags strings
        port Port str
        disable_default_tcp_check DisableDefaultTCPCheck bool
    """),
    blocks={"proxy": one("Proxy", _PROXY), "meta": one("Meta", STRINGS)},
)
_SIDECAR_TASK = Spec(
    fields=fields("""
        name Name str
        driver Driver str
        user User str
        kill_timeout KillTimeout duration
        shutdown_delay ShutdownDelay duration
        kill_signal KillSignal str
    """),
    blocks={
        "config": one("Config", OPAQUE),
        "env": one("Env", STRINGS),
        "meta": one("Meta", STRINGS),
        "resources": one("Resources", RESOURCES),
        "logs": one("LogConfig", LOGS),
        "volume_mount": many("VolumeMounts", VOLUME_MOUNT),
        "identity": many("Identities", IDENTITY),
    },
)
_TLS = Spec(
    fields=fields("""
        enabled Enabled bool
        tls_min_version TLSMinVersion str
        tls_max_version TLSMaxVersion str
        cipher_suites CipherSuites strings
    """),
    blocks={"sds": one("SDS", Spec(fields=fields("cluster_name ClusterName str\ncert_resource CertResource str")))},
)
_HEADERS = Spec(fields=fields("remove Remove strings"), blocks={"add": one("Add", STRINGS), "set": one("Set", STRINGS)})
_INGRESS_SERVICE = Spec(
    fields=fields("""
        name Name str
        hosts Hosts strings
        max_connections MaxConnections int
        max_pending_requests MaxPendingRequests int
        max_concurrent_requests MaxConcurrentRequests int
    """),
    blocks={
        "tls": one("TLS", _TLS),
        "request_headers": one("RequestHeaders", _HEADERS),
        "response_headers": one("ResponseHeaders", _HEADERS),
    },
)
_LISTENER = Spec(
    fields=fields("port Port int\nprotocol Protocol str"), blocks={"service": many("Services", _INGRESS_SERVICE)}
)
_LINKED_SERVICE = Spec(
    fields=fields("""
        name Name str
        ca_file CAFile str
        cert_file CertFile str
        key_file KeyFile str
        sni SNI str
    """)
)
_GATEWAY_PROXY = Spec(
    fields=fields("""
        connect_timeout ConnectTimeout duration
        envoy_gateway_bind_tagged_addresses EnvoyGatewayBindTaggedAddresses bool
        envoy_gateway_no_default_bind EnvoyGatewayNoDefaultBind bool
        envoy_dns_discovery_type EnvoyDNSDiscoveryType str
    """),
    blocks={
        "envoy_gateway_bind_addresses": by_label(
            "EnvoyGatewayBindAddresses",
            Spec(labels=("Name",), fields=fields("address Address str\nport Port int")),
        ),
        "config": one("Config", OPAQUE),
    },
)
_GATEWAY = Spec(
    blocks={
        "proxy": one("Proxy", _GATEWAY_PROXY),
        "ingress": one("Ingress", Spec(blocks={"tls": one("TLS", _TLS), "listener": many("Listeners", _LISTENER)})),
        "terminating": one("Terminating", Spec(blocks={"service": many("Services", _LINKED_SERVICE)})),
        "mesh": one("Mesh", Spec()),
    }
)
CONNECT = Spec(
    fields=fields("native Native bool"),
    blocks={
        "gateway": one("Gateway", _GATEWAY),
        "sidecar_service": one("SidecarService", _SIDECAR_SERVICE),
        "sidecar_task": one("SidecarTask", _SIDECAR_TASK),
    },
)
