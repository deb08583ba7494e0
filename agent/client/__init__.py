"""The service from outside: what scripts and front ends build on.

Nouns: a call (`control_socket`: one request, one answer, without asyncio), a stream (`stream`: a WebSocket that heals
itself), a followed session (`follow`: its log, every entry once), its view (`view`: what happens in it, as values and
sentences), a waiting call (`pending`: a request that waits for a device out of reach).

What people read: `reading` (replies, answers), `turn_ends` (how a turn ended), `request_text` and `form_input` (what a
session asks), `styled_lines` and `terminal_text` (made fit for a terminal). What people send: `prompts`, `answers` and
the `choices` that they name. Nothing here prints, reads a keyboard or knows click: that is left to the front ends.
"""
