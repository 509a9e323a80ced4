#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Known workloads with a name of their own, so that a test can count what the probes saw of them.

Each prints one line when it is done. Times and amounts are bounded by the arguments.
"""

import argparse
import ctypes
import socket
import sys

PR_SET_NAME = 15
libc = ctypes.CDLL(None, use_errno=True)


def rename(name: str) -> None:
    """Gives this process the name the kernel and so the probes know it by (comm, 15 characters)."""
    libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)


def serve(args: argparse.Namespace) -> None:
    """Accepts `count` connections and reads each to its end."""
    listener = socket.create_server((args.host, args.port), backlog=128)
    print(f"listening {listener.getsockname()[1]}", flush=True)
    total = 0
    for _ in range(args.count):
        connection, _ = listener.accept()
        while data := connection.recv(65536):
            total += len(data)
        connection.close()
    print(f"served {args.count} connections, {total} bytes", flush=True)


def connect(args: argparse.Namespace) -> None:
    """Opens `count` connections, one after another, sends `bytes` over each and closes it."""
    for _ in range(args.count):
        connection = socket.create_connection((args.host, args.port), timeout=60)
        connection.sendall(b"x" * args.bytes)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        connection.close()
    print(f"connected {args.count} times", flush=True)


def refuse(args: argparse.Namespace) -> None:
    """Connects `count` times to a port where nobody listens."""
    refused = 0
    for _ in range(args.count):
        try:
            socket.create_connection((args.host, args.port), timeout=5)
        except ConnectionRefusedError:
            refused += 1
    print(f"refused {refused} times", flush=True)


def getppid(args: argparse.Namespace) -> None:
    """Calls getppid `count` times; glibc asks the kernel each time."""
    for _ in range(args.count):
        libc.getppid()
    print(f"called getppid {args.count} times", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("what", choices=["serve", "connect", "refuse", "getppid"])
    args = parser.parse_args()
    rename(args.name)
    {"serve": serve, "connect": connect, "refuse": refuse, "getppid": getppid}[args.what](args)


if __name__ == "__main__":
    sys.exit(main())
