"""Several LANs with a router between them, which passes no multicast on: `lab.Lab`, beyond one segment.

    with Town(1, 2, 2) as town:
        desk, pi, laptop = town.hosts           # desk on LAN 1, the others on LAN 2
        town.move(laptop, 1)

Host number i on LAN number n has 10.81.n.i/24. The router is 10.81.n.254; without `routed` the LANs know nothing of
each other.
"""

from __future__ import annotations

from tests.e2e.lab import Host, Lab


class Town(Lab):
    """A context manager: one host for each number, which says on which LAN it is."""

    def __init__(self, *lans: int, routed: bool = True) -> None:
        super().__init__(len(lans))
        self._lans = lans
        self.routed = routed

    def _build(self) -> None:
        self.make_namespaces()
        for number in (1, 2):
            self.switch(
                f"link add lan{number} type bridge mcast_snooping 0 forward_delay 0\n"
                f"addr add 10.81.{number}.254/24 dev lan{number}\nlink set lan{number} up"
            )
        forwarding = f"echo {int(self.routed)} > /proc/sys/net/ipv4/ip_forward"
        self.router.run(["sh", "-c", forwarding], check=True)
        for host, number in zip(self.hosts, self._lans, strict=True):
            self.plug_in(host, f"lan{number}")
            self._lease(host, number)

    @property
    def router(self) -> Host:
        """The machine that has an end in each LAN."""
        host = Host(self, 0)
        host.namespace = self.name
        return host

    def move(self, host: Host, number: int) -> None:
        """Take a host's cable to another LAN, where it gets another address."""
        host.unplug()
        self.switch(f"link set {host.port} master lan{number}")
        self._lease(host, number)
        host.plug()

    def join_vpn(self, host: Host, name: str = "tailscale0") -> str:
        """Give the host an interface into a network that all who joined it reach from anywhere; its address there."""
        self.switch("link show vpn", check=False) or self.switch("link add vpn type bridge\nlink set vpn up")
        address = f"100.64.0.{host.number}"
        port = f"vpn{host.number}"
        self.switch(f"link add {port} type veth peer name {name} netns {host.namespace}\nlink set {port} master vpn up")
        host.up(name)
        host.set_ipv4(address, name)
        return address

    def _lease(self, host: Host, number: int) -> None:
        host.set_ipv4(f"10.81.{number}.{host.number}")
        if self.routed:
            host.ip(f"route replace default via 10.81.{number}.254")
