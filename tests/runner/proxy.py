"""A TCP proxy on loopback that breaks what goes through it at a chosen byte. Touches no network but loopback."""

import contextlib
import select
import socket
import struct
import threading

MODES = ("reset", "close", "stall")


class Proxy:
    """Passes connections on to a port. After `limit` bytes in one direction everything open breaks, once; what comes later passes."""

    def __init__(self, port, mode, direction, limit):
        self.target, self.mode, self.direction, self.limit = port, mode, direction, limit
        self.passed = {"up": 0, "down": 0}
        self.struck = threading.Event()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                with self.lock:
                    self.sockets += [client, server]
                for source, sink, direction in ((client, server, "up"), (server, client, "down")):
                    threading.Thread(target=self._pump, args=(source, sink, direction), daemon=True).start()

    def _pump(self, source, sink, direction):
        with contextlib.suppress(OSError, ValueError):
            while data := self._read(source):
                data = self._let_through(data, direction)
                if data:
                    sink.sendall(data)
                if self.struck.is_set() and self.mode == "stall":
                    self.over.wait()
            sink.shutdown(socket.SHUT_WR)

    def _read(self, source):
        """Never blocked in the kernel: a socket that a thread waits on is not closed by another one."""
        while not select.select([source], [], [], 0.02)[0]:
            pass
        return source.recv(65536)

    def _let_through(self, data, direction):
        with self.lock:
            before = self.passed[direction]
            self.passed[direction] += len(data)
            if self.struck.is_set() or direction != self.direction or self.passed[direction] <= self.limit:
                return data
            self.struck.set()
            if self.mode != "stall":
                self._break()
            return data[:self.limit - before] if self.mode == "stall" else b""

    def _break(self):
        for each in self.sockets:
            with contextlib.suppress(OSError):
                if self.mode == "reset":
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        self.sockets = []

    def end(self):
        self.listener.close()
        with self.lock:
            self.mode = "close"
            self._break()
        self.over.set()


@contextlib.contextmanager
def proxy(port, mode="close", direction="up", limit=float("inf")):
    made = Proxy(port, mode, direction, limit)
    try:
        yield made
    finally:
        made.end()
