"""A child process that runs revisions' functions for their SQL, and the parent's part of it: deadline and results. Touches no network.

The child has no open socket, no right to make one, no URL in its environment and no file to write to. It answers through a pipe.
"""

import json
import os
import select
import signal
import struct
import sys
import time

SIZE = struct.Struct("!I")
ANSWER_LIMIT = 4 * 1000 * 1000  # bytes
SYSCALLS = {"x86_64": (0xC000003E, (41, 42, 44, 46)), "aarch64": (0xC00000B7, (198, 203, 206, 211))}  # socket, connect, sendto, sendmsg


class Child:
    """Runs `work(number)` for one number after the other in a child process, as long as it lives."""

    def __init__(self, work, numbers):
        self.reader, writer = os.pipe()
        self.process = os.fork()
        if not self.process:
            try:
                os.close(self.reader)
                shut_in(writer)
                for number in numbers:
                    answer = json.dumps(work(number)).encode("utf-8", "replace")
                    write_all(writer, SIZE.pack(len(answer)) + answer)
            finally:
                os._exit(0)
        os.close(writer)

    def answer(self, seconds):
        """The next answer, or None when there is none in time or the child has ended."""
        deadline = time.monotonic() + seconds
        size = self.read(SIZE.size, deadline)
        if size is None or SIZE.unpack(size)[0] > ANSWER_LIMIT:
            return None
        content = self.read(SIZE.unpack(size)[0], deadline)
        return None if content is None else json.loads(content.decode("utf-8"))

    def read(self, size, deadline):
        content = b""
        while len(content) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.reader], [], [], left)[0]:
                self.late = True
                return None
            part = os.read(self.reader, size - len(content))
            if not part:
                self.late = False
                return None
            content += part
        return content

    def end(self):
        """How it ended by itself, or the end of it."""
        os.close(self.reader)
        try:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        except OSError:
            pass  # env.py may leave its children to the system (SIGCHLD ignored)


def write_all(descriptor, content):
    while content:
        content = content[os.write(descriptor, content):]


def shut_in(answers):
    """Takes from this process what could reach a database, a file or another process's eyes; `answers` stays."""
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            signal.signal(number, signal.SIG_DFL)
        except ValueError:
            pass  # not in the main thread
    readable, writable = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDWR)
    for descriptor in open_descriptors():
        if descriptor in (answers, readable, writable):
            continue
        try:
            is_socket = (os.fstat(descriptor).st_mode & 0o170000) == 0o140000
            # A statement that is sent to what was a socket fails, and is not lost in silence.
            os.dup2(readable if is_socket else writable, descriptor, False)
        except OSError:
            pass
    sys.stdout = sys.stderr = open(writable, "w", closefd=False)
    sys.dont_write_bytecode = True
    hide_urls(os.environ)
    forbid_sockets()


def open_descriptors():
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return list(range(1024))


def hide_urls(environ):
    for name, value in list(environ.items()):
        if name.startswith(("PG", "MYSQL_")):
            del environ[name]
        elif "://" in value and "@" in value:
            scheme, _, rest = value.partition("://")
            environ[name] = "%s://rendering.invalid/%s" % (scheme, rest.rpartition("@")[2].partition("/")[2])


def forbid_sockets():
    """By the kernel, as drivers written in C ask nobody else; where that can't be, the guard sees what Python code does."""
    try:
        import ctypes

        architecture, calls = SYSCALLS[os.uname().machine]
        load, jump_if_equal, give = 0x20, 0x15, 0x06
        program = [(load, 0, 0, 4), (jump_if_equal, 0, len(calls) + 1, architecture), (load, 0, 0, 0)]
        program += [(jump_if_equal, len(calls) - number, 0, call) for number, call in enumerate(calls)]
        program += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | 13)]  # go on; EACCES
        code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
        text = ctypes.create_string_buffer(code, len(code))

        class Filter(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]

        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        prctl(22, 2, ctypes.byref(Filter(len(program), ctypes.addressof(text))), 0, 0)  # PR_SET_SECCOMP
    except Exception:
        pass
