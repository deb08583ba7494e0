"""Discovery by mDNS/DNS-SD. The only package that imports zeroconf; its traps are in docs/design/discovery.md.

python-zeroconf does the packets. Ours is what it leaves out: following interfaces, the text that was heard last,
limits, and questions by multicast only (an answer by unicast goes to the oldest process that shares port 5353).
`discovery` runs it, `network` hears and looks up, `cache` bounds what strangers send, `names` are names of the DNS, and
`windows` announces pairing.
"""

from agent.adapters.discovery.mdns.discovery import MdnsDiscovery

__all__ = ["MdnsDiscovery"]
