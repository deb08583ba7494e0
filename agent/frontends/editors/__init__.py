"""`agent acp`: sessions as an agent of the Agent Client Protocol (version 1), for editors. See docs/acp.md.

Nouns: the agent that an editor talks to (`editor_agent`), a session that it has opened (`editor_session`), the updates
that it is told (`updates`), the prompts that it waits for (`turns`), the connection (`connection` on `pipes`), what the
own service is asked for once (`sessions`). The messages are in `incoming` and `outgoing`; `options` and `questions` say
what may be set and asked. What is the same for every front end is in `client`.
"""
