"""`agent schema`: the wire as JSON Schema, for clients in other languages."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from agent import __version__
from agent.errors import KINDS, AgentError
from agent.frontends.cli.main import App, Exit
from agent.protocol.codec import PROTOCOL
from agent.protocol.events import TYPES
from agent.protocol.methods import METHODS, NOTIFICATIONS


@click.command()
@click.pass_obj
def schema(app: App) -> int:
    """Print what crosses the wire as JSON Schema: methods, notifications, events, and the codes of errors."""
    app.printer.json(document())
    return Exit.OK


def document() -> dict[str, Any]:
    """All rows of `protocol.methods`, with the types that they name under `$defs`."""
    methods, notes = list(METHODS.values()), list(NOTIFICATIONS.values())
    kinds: list[Any] = [
        *(row.params for row in methods),
        *(row.result for row in methods),
        *(note.params for note in notes),
        *TYPES.values(),
    ]
    shapes, types = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    shape = iter(shapes)
    params = {row.name: next(shape) for row in methods}
    results = {row.name: next(shape) for row in methods}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lan-agent",
        "version": __version__,
        "protocol": PROTOCOL,
        "methods": {
            row.name: {
                "on": row.on,
                "right": row.right,
                "guarded": row.guarded,
                "patient": row.patient,
                "follows": row.follows,
                "since": row.since,
                "params": params[row.name],
                "result": results[row.name],
            }
            for row in methods
        },
        "notifications": {note.name: {"by": note.by, "since": note.since, "params": next(shape)} for note in notes},
        "events": {name: next(shape) for name in TYPES},
        "errors": {AgentError.kind: AgentError.code, **{kind: error.code for kind, error in KINDS.items()}},
        "$defs": types,
    }
