#!/usr/bin/env python3
"""Runs a program on a terminal of its own and prints as JSON what a person saw there: every line that ever was on the screen, in the
order in which they appeared, what is left at the end, and the exit code.

    on_terminal.py COLUMNS [--keys TEXT KEYS] -- PROGRAM [ARGUMENT...]

With --keys these are typed as soon as TEXT is on the screen: "\\x03" is Ctrl-C. Ends the program after 30 seconds.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

import pyte

ROWS = 200  # nothing scrolls away
PATIENCE = 30
REDRAWN = b"\r\x1b[2K"

options, command = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
columns = int(options[0])
text, keys = options[2:4] if options[1:2] == ["--keys"] else (None, None)

master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
child = os.fork()
if child == 0:
    os.close(master)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for stream in (0, 1, 2):
        os.dup2(slave, stream)
    os.execvp(command[0], command)
os.close(slave)

screen = pyte.Screen(columns, ROWS)
stream = pyte.ByteStream(screen)
seen = []
until = time.monotonic() + PATIENCE


def lines():
    return [line.rstrip() for line in screen.display if line.strip()]


while True:
    if time.monotonic() > until:
        os.kill(child, signal.SIGKILL)
        sys.exit(f"still running after {PATIENCE} s: {seen}")
    if not select.select([master], [], [], 1)[0]:
        continue
    try:
        data = os.read(master, 65536)
    except OSError:  # the other end is closed
        break
    if not data:
        break
    # one drawing after the other, as a person sees them
    for n, part in enumerate(data.split(REDRAWN)):
        stream.feed(part if n == 0 else REDRAWN + part)
        seen += [line for line in lines() if line not in seen]
    if text is not None and any(text in line for line in lines()):
        os.write(master, keys.encode().decode("unicode_escape").encode())
        text = None

status = os.waitpid(child, 0)[1]
print(json.dumps({
    "code": os.waitstatus_to_exitcode(status),
    "seen": seen,
    "left": lines(),
    "cursor": not screen.cursor.hidden,
}))
