#!/usr/bin/env python3
"""The same hostile tree, tried on this server and on rust-mcp-filesystem, as a Markdown table.

    tests/bench/jail.py PROGRAM PEER
PEER is the binary that `cargo install rust-mcp-filesystem` gives. Both are started over stdio as the user who runs this, with one
directory that may be read and changed. `kept`: nothing of what lies outside, and no secret, was told or touched.
"""

import ctypes
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

SECRET = "the-secret-that-lies-outside"
PATIENCE = 10


class Server:
    """A server, asked one thing at a time."""

    def __init__(self, command, environment):
        self.command, self.environment = command, environment
        self.start()

    def start(self):
        self.child = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.lines, self.id = queue.Queue(), 0
        threading.Thread(target=self.read, args=(self.child, self.lines), daemon=True).start()
        self.ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "jail", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def read(self, child, lines):
        for line in child.stdout:
            lines.put(json.loads(line))

    def send(self, message):
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def ask(self, method, params):
        """The answer as text, or None if there is none in time."""
        self.id += 1
        self.send({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params})
        try:
            while True:
                line = self.lines.get(timeout=PATIENCE)
                if line.get("id") == self.id:
                    return json.dumps(line, ensure_ascii=False)
        except queue.Empty:
            return None

    def call(self, tool, arguments):
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments})
        if answer is None:
            self.stop()
            self.start()
        return answer

    def stop(self):
        self.child.kill()
        self.child.wait()


class Ours(Server):
    def __init__(self, program, directory, state):
        super().__init__([program, "stdio", "--scopes", "files:read,files:write", "--files", f"{directory}:rw"], {"STATE_DIRECTORY": state})

    def file(self, path):
        return self.call("file_read", {"path": path})

    def search(self, path, text):
        return self.call("file_grep", {"path": path, "pattern": text, "literal": True})

    def write(self, path):
        return self.call("file_write", {"path": path, "content": "written"})


class Peer(Server):
    def __init__(self, program, directory):
        super().__init__([program, "--allow-write", directory], {})

    def file(self, path):
        return self.call("read_text_file", {"path": path})

    def search(self, path, text):
        return self.call("search_files_content", {"path": path, "pattern": "**/*", "query": text})

    def write(self, path):
        return self.call("write_file", {"path": path, "content": "written"})


class Tree:
    """A directory that is allowed, and one beside it that is not."""

    def __init__(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="jail-"))
        self.inside, self.outside = f"{self.top}/in", f"{self.top}/out"
        for directory in (self.inside, f"{self.inside}/sub", f"{self.inside}/.ssh", self.outside, f"{self.inside}side"):
            os.mkdir(directory)
        for path in (f"{self.outside}/file", f"{self.inside}side/file", f"{self.inside}/.env", f"{self.inside}/.ssh/id_rsa"):
            with open(path, "w") as file:
                file.write(f"{SECRET}\n")
        with open(f"{self.inside}/file", "w") as file:
            file.write("fine\n")
        with open(f"{self.inside}/app.conf", "w") as file:
            file.write(f"user = web\npassword = {SECRET}\n")
        links = {"link": "../out/file", "dir": "../out", "absolute": f"{self.outside}/file", "chain": "chain-2", "chain-2": "link", "new": "../out/new", "magic": "/proc/self/root", "harmless": ".env"}
        for name, target in links.items():
            os.symlink(target, f"{self.inside}/{name}")
        os.mkfifo(f"{self.inside}/fifo")
        os.mkdir(f"{self.inside}/swapped")
        with open(f"{self.inside}/swapped/file", "w") as file:
            file.write("fine\n")

    def is_touched(self):
        with open(f"{self.outside}/file") as file:
            return file.read() != f"{SECRET}\n" or os.path.lexists(f"{self.outside}/new") or os.path.lexists(f"{self.outside}/file-2")


def verdict(answer, tree, told=SECRET):
    if tree.is_touched():
        return "**written outside**"
    if answer is None:
        return f"**no answer in {PATIENCE} s**"
    return "**told**" if told in answer else "kept"


def swapped(server, tree):
    """Reads below a name that is a directory and a link to the outside in turn."""
    stop, path, other = threading.Event(), f"{tree.inside}/swapped", f"{tree.top}/other"
    os.symlink(tree.outside, other)

    def swap():
        libc, here, exchange = ctypes.CDLL(None), -100, 2
        while not stop.is_set():
            libc.renameat2(here, path.encode(), here, other.encode(), exchange)

    thread = threading.Thread(target=swap)
    thread.start()
    told = tries = 0
    end = time.monotonic() + 5
    while time.monotonic() < end:
        told += SECRET in (server.file(f"{path}/file") or "")
        tries += 1
    stop.set()
    thread.join()
    return f"kept ({tries} tries)" if not told else f"**told** {told} times in {tries}"


def attempts(server, tree):
    inside = tree.inside
    read = lambda what, path, told=SECRET: (what, verdict(server.file(path), tree, told))
    write = lambda what, path: (what, verdict(server.write(path), tree))
    yield read("`..` in a path", f"{inside}/../out/file")
    yield read("a sibling whose name begins alike (CVE-2025-53110)", f"{inside}side/file")
    yield read("a link to a file outside (CVE-2025-53109)", f"{inside}/link")
    yield read("a link to a directory outside", f"{inside}/dir/file")
    yield read("an absolute link", f"{inside}/absolute")
    yield read("a chain of links", f"{inside}/chain")
    yield read("a link to /proc/self/root", f"{inside}/magic/etc/passwd", "root:")
    yield read("a FIFO that nobody writes to", f"{inside}/fifo")
    yield write("writing through a link to a file outside", f"{inside}/link")
    yield write("writing through a link to a file that does not exist yet", f"{inside}/new")
    yield write("writing below a link to a directory outside", f"{inside}/dir/file-2")
    yield read("`.env`", f"{inside}/.env")
    yield read("a link to `.env`", f"{inside}/harmless")
    yield read("a private key in `.ssh`", f"{inside}/.ssh/id_rsa")
    yield read("a password in a file that may be read", f"{inside}/app.conf")
    yield "a search for what lies outside or is secret", verdict(server.search(inside, SECRET[:12]), tree)
    yield "a directory swapped for a link while it is read, 5 s", swapped(server, tree)


def tried(start):
    tree = Tree()
    server = start(tree)
    try:
        assert "fine" in (server.file(f"{tree.inside}/file") or ""), "it reads nothing at all"
        return dict(attempts(server, tree))
    finally:
        server.stop()
        shutil.rmtree(tree.top)


def main():
    program, peer = sys.argv[1:]
    ours = tried(lambda tree: Ours(program, tree.inside, f"{tree.top}/state"))
    theirs = tried(lambda tree: Peer(peer, tree.inside))
    version = subprocess.run([peer, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"| what is tried | this server | {version} |\n|---|---|---|")
    for what, result in ours.items():
        print(f"| {what} | {result} | {theirs[what]} |")
    return 0 if all(result.startswith("kept") for result in ours.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
