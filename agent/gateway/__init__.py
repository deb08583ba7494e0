"""The aiohttp server: the LAN listener, the control socket and the methods they offer."""
