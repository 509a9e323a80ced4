// SPDX-License-Identifier: Apache-2.0
import type { Role } from "./fleet.ts";

/** A kind of conversation that hosts of a role have: who, on which side, with which network, through which port. */
export interface FlowKind {
  readonly process: string;
  readonly side: "client" | "server";
  /** First two numbers of the peers' addresses. */
  readonly network: string;
  /** The listening side's port. */
  readonly port: string;
  /** Typical round trip, ns. */
  readonly rttNs: number;
}

const client = (process: string, network: string, port: string, rttNs: number): FlowKind => ({ process, side: "client", network, port, rttNs });
const server = (process: string, network: string, port: string, rttNs: number): FlowKind => ({ process, side: "server", network, port, rttNs });

/** The port of the database, which lossy hosts lose packets to and refused ones cannot reach. */
export const DATABASE_PORT = "5432";

/** By role, the busiest first. */
export const flowKinds: Readonly<Record<Role, readonly FlowKind[]>> = {
  web: [
    server("nginx", "198.51", "443", 31e6),
    client("nginx", "10.2", "8080", 4e5),
    client("pgbouncer", "10.3", DATABASE_PORT, 9e5),
    server("nginx", "198.51", "80", 34e6),
    server("node_exporter", "10.9", "9100", 3e5),
  ],
  api: [
    server("node", "10.1", "8080", 4e5),
    client("node", "10.3", DATABASE_PORT, 8e5),
    client("node", "10.4", "6379", 2e5),
    client("node", "203.0", "443", 2.2e7),
    server("node_exporter", "10.9", "9100", 3e5),
  ],
  db: [
    server("postgres", "10.2", DATABASE_PORT, 8e5),
    client("postgres", "10.3", DATABASE_PORT, 1.2e6),
    server("pgbouncer", "10.1", "6432", 6e5),
    client("wal-g", "203.0", "443", 2.6e7),
    server("node_exporter", "10.9", "9100", 3e5),
  ],
  cache: [server("redis-server", "10.2", "6379", 2e5), client("redis-server", "10.4", "6379", 2.5e5), server("node_exporter", "10.9", "9100", 3e5)],
  batch: [
    client("python3", "10.3", DATABASE_PORT, 1e6),
    client("python3", "203.0", "443", 2.4e7),
    client("java", "10.6", "9092", 7e5),
    server("node_exporter", "10.9", "9100", 3e5),
  ],
};

/** Processes that every host runs, beside those of its role. */
export const commonProcesses = ["systemd-journal", "sshd", "systemd", "cron", "dbus-daemon", "rsyslogd"] as const;

/** A system call as processes make it: how often in 10 s, how long it takes (ns), and the error it most often returns. */
export interface CallKind {
  readonly syscall: string;
  readonly count: number;
  readonly latencyNs: number;
  readonly errno: string;
  readonly errorShare: number;
}

/** The most frequent first. */
export const callKinds: readonly CallKind[] = [
  { syscall: "recvfrom", count: 12_000, latencyNs: 4e3, errno: "EAGAIN", errorShare: 0.2 },
  { syscall: "epoll_wait", count: 9_000, latencyNs: 2e6, errno: "EINTR", errorShare: 0.001 },
  { syscall: "sendto", count: 8_000, latencyNs: 9e3, errno: "EPIPE", errorShare: 0.0005 },
  { syscall: "futex", count: 6_000, latencyNs: 8e5, errno: "EAGAIN", errorShare: 0.04 },
  { syscall: "read", count: 5_000, latencyNs: 3e3, errno: "EAGAIN", errorShare: 0.1 },
  { syscall: "write", count: 4_000, latencyNs: 6e3, errno: "EPIPE", errorShare: 0.0002 },
  { syscall: "openat", count: 700, latencyNs: 2e4, errno: "ENOENT", errorShare: 0.1 },
  { syscall: "newfstatat", count: 600, latencyNs: 3e3, errno: "ENOENT", errorShare: 0.15 },
  { syscall: "close", count: 500, latencyNs: 1e3, errno: "EBADF", errorShare: 0.0001 },
  { syscall: "accept4", count: 300, latencyNs: 5e3, errno: "EAGAIN", errorShare: 0.4 },
  { syscall: "connect", count: 120, latencyNs: 6e4, errno: "EINPROGRESS", errorShare: 0.9 },
  { syscall: "mmap", count: 100, latencyNs: 5e3, errno: "ENOMEM", errorShare: 0.0001 },
  { syscall: "fsync", count: 20, latencyNs: 6e6, errno: "EIO", errorShare: 0.001 },
];
