"""presence.rules.endpoints: the order in which one device's addresses are tried, and how many."""

from __future__ import annotations

from agent.presence.rules.endpoints import ENDPOINTS_MAX, Endpoints
from agent.protocol.model import DeviceId, Endpoint, PresenceRecord


def at(*hosts: str) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(host, 7471) for host in hosts)


def test_what_was_advertised_comes_after_all_that_is_surer() -> None:  # L10
    endpoints = Endpoints()
    endpoints.advertised = at("10.9.0.1", "10.9.0.2")
    endpoints.heard = at("10.0.0.2")
    endpoints.remembered = at("10.0.0.3")
    endpoints.reach(Endpoint("10.0.0.4", 7471), 1.0)
    hint = PresenceRecord(device=DeviceId("a" * 16), revision=1, name="", port=7471, hosts=("10.0.0.9",))
    endpoints.hint(hint)
    assert endpoints.to_dial() == [*at("10.0.0.4", "10.0.0.2", "10.0.0.3", "10.9.0.1", "10.9.0.2", "10.0.0.9")]


def test_neither_what_was_advertised_nor_what_was_reached_takes_all_the_room() -> None:  # L10
    endpoints = Endpoints()
    for number in range(40):
        endpoints.reach(Endpoint(f"10.0.1.{number}", 7471), float(number))
    endpoints.advertised = at(*(f"10.9.0.{number}" for number in range(40)))
    tried = endpoints.to_dial()
    assert len(tried) == ENDPOINTS_MAX
    assert tried[0] == Endpoint("10.0.1.39", 7471)
    assert sum(endpoint.host.startswith("10.9.") for endpoint in tried) == ENDPOINTS_MAX // 2
    assert endpoints.to_dial()[:8] == list(at(*(f"10.0.1.{number}" for number in range(39, 31, -1))))


def test_a_device_that_is_put_out_leaves_no_advertised_endpoint() -> None:  # T4
    endpoints = Endpoints()
    endpoints.advertised = at("10.9.0.1")
    endpoints.distrust()
    assert endpoints.to_dial() == []


def test_what_was_advertised_is_listed_of_a_device_that_was_never_reached() -> None:  # L10
    endpoints = Endpoints()
    endpoints.advertised = at("10.9.0.1")
    assert endpoints.to_show(None, trusted=True) == [*at("10.9.0.1")]
