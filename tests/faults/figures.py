"""What a run has found, as a table."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.faults.model import Model
from tests.faults.schedule import Round, text

TWO = "two at once"


class Figures:
    """Counts of one run."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.faults: Counter[str] = Counter()
        self.recovery: defaultdict[str, list[float]] = defaultdict(list)
        self.memory: dict[str, list[int]] = {}  # device -> KiB, after each round
        self.tracebacks: list[str] = []
        self.seconds = 0.0

    def took_place(self, together: Round) -> str:
        """Count the faults of a round; under which name its recovery is told."""
        for fault in together:
            self.faults[fault.kind] += 1
        return together[0].kind if len(together) == 1 else TWO

    def table(self) -> str:
        """For people."""
        model = self.model
        wrong = Counter(violation.kind for violation in model.violations)
        states = Counter(prompt.state for prompt in model.prompts.values())
        excused = sum(prompt.excused for prompt in model.prompts.values())
        lines = [
            f"faults                {sum(self.faults.values())} in {self.seconds:.0f} s",
            f"events compared       {model.compared}",
            f"prompts               {len(model.prompts)}: {dict(states)}, {excused} before an older state came back",
            f"of these              {dict(Counter(each.ledger.partition('-')[0] for each in model.prompts.values()))}",
            f"words on terminals    {len(model.keys)}",
            *(f"{kind:21} {wrong[kind]}" for kind in ("lost", "doubled", "out of order", "gap", "silent")),
            f"other violations      {dict(wrong - Counter({k: wrong[k] for k in _SHOWN})) or 0}",
            f"tracebacks            {len(self.tracebacks)}",
            f"refusals, answers     {dict(model.refused)}",
            "",
            f"{'kind':14}{'faults':>7}{'seen':>7}{'median s':>10}{'worst s':>9}",
        ]
        for kind in sorted(self.recovery, key=lambda kind: -len(self.recovery[kind])):
            lines += [_line(kind, self.faults[kind], self.recovery[kind])]
        everything = [seconds for each in self.recovery.values() for seconds in each]
        if everything:
            lines.append(_line("all", sum(self.faults.values()), everything))
        lines += ["", f"{'memory, MiB':14}{'first':>7}{'last':>7}{'most':>7}"]
        for device, sizes in self.memory.items():
            known = [size / 1024 for size in sizes if size]
            lines.append(f"{device:14}{known[0]:7.1f}{known[-1]:7.1f}{max(known):7.1f}")
        return "\n".join(lines)

    def failures(self, schedule: Sequence[Round], most: int = 30) -> str:
        """What went wrong, with the round in which it did; empty: nothing."""
        told = [
            f"round {wrong.round} ({text(schedule[wrong.round : wrong.round + 1])}): {wrong.kind}: {wrong.what}"
            for wrong in self.model.violations[:most]
        ]
        if len(self.model.violations) > most:
            told.append(f"… and {len(self.model.violations) - most} more")
        return "\n".join([*told, *(f"traceback: {each}" for each in self.tracebacks[:5])])


_SHOWN = ("lost", "doubled", "out of order", "gap", "silent")


def _line(kind: str, faults: int, seconds: Sequence[float]) -> str:
    return f"{kind:14}{faults:7}{len(seconds):7}{statistics.median(seconds):10.2f}{max(seconds):9.2f}"
