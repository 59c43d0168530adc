"""All tests. If coverage is measured, the processes that run tests are measured, and not those that they start.

Each of these, daemons and commands by the hundred, would pay half a second of a core for it. Nearly all of their code
is also run by tests in the process of the test.
"""

import os
import signal
import sys

# With -j, trial runs the tests in other processes: those are measured.
if not any(argument.startswith(("-j", "--jobs")) for argument in sys.argv):
    os.environ.pop("COVERAGE_PROCESS_START", None)

# A script that starts trial in the background lets it ignore Ctrl-C. The programs that tests start would do so, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
