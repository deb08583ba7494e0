"""For all tests."""

from __future__ import annotations

import signal

# A script that runs the tests in the background has them ignore SIGINT, and every program that they start inherits it
# (POSIX, 2.12): nothing that waits for Ctrl-C could be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
