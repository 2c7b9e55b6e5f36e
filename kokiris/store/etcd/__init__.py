"""The store of several nodes: etcd's v3 API over gRPC, with TLS, several endpoints, and watches that resume."""
