"""Functions of IP networks."""

from __future__ import annotations

import ipaddress

from kokiris.orchestrator.jobspec.values import Value, ValueProblem, to_integer, to_string

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(prefix: Value) -> _Network:
    text = to_string(prefix)
    try:
        if "/" not in text:
            raise ValueError("no prefix length")
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueProblem(f'"{text[:60]}" is not a network like 10.0.0.0/8') from None


def cidrhost(prefix: Value, number: Value) -> Value:
    """The address of that number in the network; negative numbers count from the end."""
    network, host = _network(prefix), to_integer(number)
    count = network.num_addresses
    if not -count <= host < count:
        raise ValueProblem(f"{network} has no host {host}")
    return str(network.network_address + (host if host >= 0 else count + host))


def cidrnetmask(prefix: Value) -> Value:
    """The netmask of an IPv4 network."""
    network = _network(prefix)
    if network.version != 4:
        raise ValueProblem("IPv6 networks have no netmask")
    return str(network.netmask)


def cidrsubnet(prefix: Value, newbits: Value, number: Value) -> Value:
    """The subnet of that number, `newbits` longer."""
    network, bits, wanted = _network(prefix), to_integer(newbits), to_integer(number)
    length = network.prefixlen + bits
    if bits < 0 or length > network.max_prefixlen:
        raise ValueProblem(f"{network} cannot be extended by {bits} bits")
    if not 0 <= wanted < 2**bits:
        raise ValueProblem(f"{bits} bits have no subnet {wanted}")
    start = int(network.network_address) + (wanted << (network.max_prefixlen - length))
    return str(type(network)((start, length)))


def cidrsubnets(prefix: Value, *newbits: Value) -> Value:
    """Subnets one after the other, each as many bits longer as asked."""
    network = _network(prefix)
    at = int(network.network_address)
    end = at + network.num_addresses
    found: list[str] = []
    for value in newbits:
        bits = to_integer(value)
        length = network.prefixlen + bits
        if bits < 1 or length > network.max_prefixlen:
            raise ValueProblem(f"{network} cannot be extended by {bits} bits")
        size = 1 << (network.max_prefixlen - length)
        at = (at + size - 1) // size * size
        if at + size > end:
            raise ValueProblem(f"not enough addresses left in {network}")
        found.append(str(type(network)((at, length))))
        at += size
    return tuple(found)


FUNCTIONS = {
    "cidrhost": cidrhost,
    "cidrnetmask": cidrnetmask,
    "cidrsubnet": cidrsubnet,
    "cidrsubnets": cidrsubnets,
}
