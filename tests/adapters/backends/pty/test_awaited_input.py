"""adapters.backends.pty.awaited_input: programs on a real terminal."""

from __future__ import annotations

import asyncio

from agent.adapters.backends.pty.awaited_input import awaited_input, reads_terminal
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.processes import reads_from
from tests.fakes.waiting import until


async def test_a_program_waits_once_its_question_was_read() -> None:
    terminal = PseudoTerminal(24, 80, plain=True)
    asks = 'exec <"$0" >"$0"; printf "which one? "; read x'
    program = await asyncio.create_subprocess_exec("sh", "-c", asks, terminal.name, start_new_session=True)
    await until(lambda: terminal.name in reads_from(program.pid))
    assert reads_terminal(terminal, program.pid) is False
    assert terminal.read(100) == (b"which one? ", True)
    assert reads_terminal(terminal, program.pid) is True
    assert awaited_input(terminal, program.pid, quiet=0.0, half_line=True) == "line"
    program.kill()
    await program.wait()
    terminal.close()
