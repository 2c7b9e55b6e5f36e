"""DNS over the catalog: `<service>.service.consul` and its kin, on the wire, without a library in between."""
