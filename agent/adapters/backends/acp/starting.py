"""A session of an agent, from how it was asked for to ready for prompts."""

from __future__ import annotations

from pathlib import Path

from agent.adapters.backends.acp.agent_process import Program
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.recent import Recent
from agent.adapters.backends.acp.session import AcpSession
from agent.adapters.backends.acp.supervisor import Upkeep
from agent.adapters.backends.acp.timeouts import Patience
from agent.adapters.backends.pty.starting import folder_of, heed_keyboard
from agent.errors import BackendFailed
from agent.ports import Described, Emit, Start
from agent.ports.backends import no_history


async def start_session(
    program: Program, start: Start, emit: Emit, *, cwd: str, orphans: Orphans, recent: Recent, patience: Patience
) -> AcpSession:
    """Start an agent and open its session; `cwd` is used where none was asked for.

    A restored session whose directory is gone goes on in the user's home and says so. Raises: BackendFailed.
    """
    folder, note = _folder(start.cwd or cwd, restored=start.restored)
    heed_keyboard()
    known = start.lineage[-1] if start.lineage else ""
    upkeep = Upkeep(program, folder, start.session, known=known, orphans=orphans, recent=recent, patience=patience)
    session = AcpSession(program.name, upkeep, emit, patience)
    remembers = start.restored and (start.history is no_history or bool(await start.history(_ALL)))
    try:
        await session.open(Described(cwd=str(folder), note=note), remembers=remembers)
    except BaseException:
        await session.close()
        raise
    return session


_ALL = 1 << 30  # characters: whether there is anything at all


def _folder(cwd: str, *, restored: bool) -> tuple[Path, str]:
    try:
        return folder_of(cwd), ""
    except BackendFailed as exc:
        if not restored:
            raise
        return Path.home(), f"{exc}: it goes on in your home directory"
