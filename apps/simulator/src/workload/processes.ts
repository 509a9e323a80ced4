// SPDX-License-Identifier: Apache-2.0
import type { Role } from "../fleet.ts";
import { commonProcesses, flowKinds } from "../services.ts";

/** A file as a process uses it in an average window of 10 s. */
export interface FileUse {
  readonly file: string;
  readonly reads: number;
  readonly bytesPerRead: number;
  readonly writes: number;
  readonly bytesPerWrite: number;
  readonly syncs: number;
  readonly opens: number;
}

/** What a program does in an average window of 10 s on an average host. */
export interface ProgramTraits {
  readonly unit: string;
  readonly threads: number;
  readonly cpuNs: number;
  /** Share of its CPU time that it spends in the kernel. */
  readonly systemShare: number;
  /** Times a thread waits for something. */
  readonly waits: number;
  readonly faults: number;
  readonly files: readonly FileUse[];
  /** What it tries to open and does not find, and how often. */
  readonly missing: readonly (readonly [file: string, opens: number])[];
  /** Names it asks DNS for, and how often. */
  readonly lookups: readonly (readonly [name: string, queries: number])[];
}

const reads = (file: string, count: number, bytesPerRead: number, opens = 0): FileUse => ({
  file,
  reads: count,
  bytesPerRead,
  writes: 0,
  bytesPerWrite: 0,
  syncs: 0,
  opens,
});
const writes = (file: string, count: number, bytesPerWrite: number, syncs = 0, opens = 0): FileUse => ({
  file,
  reads: 0,
  bytesPerRead: 0,
  writes: count,
  bytesPerWrite,
  syncs,
  opens,
});
const opens = (file: string, count: number): FileUse => reads(file, count, 900, count);

const quiet = { threads: 1, cpuNs: 1e7, systemShare: 0.4, waits: 60, faults: 20, files: [], missing: [], lookups: [] };
const kernelThread = { ...quiet, unit: "", systemShare: 1, faults: 0 };

const programs: Readonly<Record<string, ProgramTraits>> = {
  nginx: {
    unit: "nginx.service",
    threads: 8,
    cpuNs: 1.6e9,
    systemShare: 0.45,
    waits: 22_000,
    faults: 500,
    files: [
      writes("/var/log/nginx/access.log", 5_200, 420),
      reads("/var/www/assets/app.4f1c2e.js", 420, 64_000, 420),
      reads("/usr/share/nginx/html/index.html", 900, 2_300, 900),
      writes("/var/log/nginx/error.log", 6, 210),
    ],
    missing: [["/var/www/assets/favicon.ico", 60]],
    lookups: [["api.internal.example", 8]],
  },
  pgbouncer: {
    ...quiet,
    unit: "pgbouncer.service",
    cpuNs: 3.5e8,
    systemShare: 0.55,
    waits: 9_000,
    faults: 40,
    files: [writes("/var/log/postgresql/pgbouncer.log", 20, 180)],
    lookups: [["db.internal.example", 12]],
  },
  node: {
    unit: "node.service",
    threads: 12,
    cpuNs: 2.4e9,
    systemShare: 0.2,
    waits: 14_000,
    faults: 2_500,
    files: [
      writes("/srv/api/log/api.log", 1_500, 700),
      reads("/srv/api/templates/receipt.html", 90, 9_000, 90),
      reads("/srv/api/config/production.json", 2, 3_100, 2),
    ],
    missing: [["/srv/api/config/override.json", 40]],
    lookups: [
      ["db.internal.example", 60],
      ["cache.internal.example", 50],
      ["api.partner.example", 30],
    ],
  },
  postgres: {
    unit: "postgresql.service",
    threads: 40,
    cpuNs: 2.8e9,
    systemShare: 0.3,
    waits: 18_000,
    faults: 6_000,
    files: [
      writes("/var/lib/postgresql/16/main/pg_wal/000000010000004A000000C1", 900, 8_192, 110, 1),
      reads("/var/lib/postgresql/16/main/base/16384/24601", 2_400, 8_192, 30),
      { ...reads("/var/lib/postgresql/16/main/base/16384/24617", 800, 8_192, 12), writes: 500, bytesPerWrite: 8_192, syncs: 8 },
      writes("/var/log/postgresql/postgresql-16-main.log", 60, 220),
    ],
    missing: [["base/16384/24601_fsm", 8]],
    lookups: [["ldap.internal.example", 4]],
  },
  "wal-g": {
    ...quiet,
    unit: "wal-g.service",
    threads: 6,
    cpuNs: 2.5e8,
    waits: 900,
    faults: 300,
    files: [reads("/var/lib/postgresql/16/main/pg_wal/000000010000004A000000C0", 64, 262_144, 1)],
    lookups: [["backup.objects.example", 4]],
  },
  "redis-server": {
    unit: "redis-server.service",
    threads: 5,
    cpuNs: 1.1e9,
    systemShare: 0.5,
    waits: 26_000,
    faults: 900,
    files: [writes("/var/lib/redis/appendonlydir/appendonly.aof.7.incr.aof", 2_400, 190, 10)],
    missing: [],
    lookups: [["cache-peer.internal.example", 2]],
  },
  python3: {
    unit: "etl.service",
    threads: 4,
    cpuNs: 3.6e9,
    systemShare: 0.15,
    waits: 6_000,
    faults: 9_000,
    files: [
      writes("/data/export/part-0001.parquet", 160, 131_072, 6, 1),
      reads("/data/input/events.csv", 320, 65_536, 1),
      reads("/opt/etl/lib/pandas/core/frame.py", 4, 21_000, 4),
    ],
    missing: [["/opt/etl/settings_local.py", 24]],
    lookups: [
      ["db.internal.example", 30],
      ["warehouse.partner.example", 16],
    ],
  },
  java: {
    unit: "streams.service",
    threads: 60,
    cpuNs: 2.2e9,
    systemShare: 0.2,
    waits: 16_000,
    faults: 3_000,
    files: [writes("/var/lib/streams/rocksdb/000412.log", 400, 4_096, 12, 1), reads("/opt/streams/lib/streams.jar", 20, 32_768, 1)],
    missing: [],
    lookups: [["kafka.internal.example", 10]],
  },
  node_exporter: {
    ...quiet,
    unit: "node_exporter.service",
    threads: 7,
    cpuNs: 6e7,
    systemShare: 0.6,
    waits: 1_500,
    faults: 200,
    files: [reads("/proc/diskstats", 2, 2_100, 2), reads("/proc/net/netstat", 2, 3_400, 2)],
    missing: [["/sys/class/thermal/thermal_zone0/temp", 2]],
  },
  "systemd-journal": {
    ...quiet,
    unit: "systemd-journald.service",
    cpuNs: 5e7,
    waits: 400,
    faults: 60,
    files: [writes("/var/log/journal/8f2c41d09c2e4f0b/system.journal", 40, 1_200, 2)],
  },
  sshd: { ...quiet, unit: "ssh.service", files: [opens("/etc/passwd", 2)], missing: [["/etc/nologin", 1]] },
  systemd: { ...quiet, unit: "init.scope", cpuNs: 3e7, files: [opens("/sys/fs/cgroup/system.slice/memory.pressure", 6)] },
  cron: { ...quiet, unit: "cron.service", files: [opens("/etc/crontab", 2)], missing: [["/etc/cron.allow", 1]] },
  "dbus-daemon": { ...quiet, unit: "dbus.service" },
  rsyslogd: { ...quiet, unit: "rsyslog.service", threads: 4, waits: 300, files: [writes("/var/log/syslog", 80, 150)] },
  "waggle-agent": {
    ...quiet,
    unit: "waggle-agent.service",
    threads: 11,
    waits: 220,
    faults: 150,
    files: [writes("/var/lib/waggle-agent/spool/00000000000000000001.frame", 1, 9_000, 1, 1)],
  },
  "ksoftirqd/0": { ...kernelThread, waits: 900 },
  "kworker/u16:1": { ...kernelThread, waits: 1_400 },
};

/** Where rsyslogd takes datagrams. */
export const SYSLOG_PORT = "514";

export const AGENT_PROCESS = "waggle-agent";
const kernelThreads = ["ksoftirqd/0", "kworker/u16:1"] as const;

/** A process of a host. */
export interface HostProcess extends ProgramTraits {
  readonly process: string;
  /** What it runs, by the name that its first process has. */
  readonly program: string;
  /** Compared with the first one of its program. */
  readonly weight: number;
}

/** The unit that a process of this name runs in. */
export function unitOf(process: string): string {
  return traitsOf(process).unit;
}

/** Whether the program ever waits for what it wrote to be on its disk. */
export function syncs(process: string): boolean {
  return traitsOf(process).files.some((use) => use.syncs > 0);
}

function traitsOf(process: string): ProgramTraits {
  const traits = programs[process];
  if (traits === undefined) throw new TypeError(`nobody said what the process "${process}" does`);
  return traits;
}

/**
 * The processes of a host, those of its role first: the first is the one that the host is there for. Hosts with more than one of each run further ones of the same
 * programs, each less busy.
 */
export function processesOf(role: Role, count: number): readonly HostProcess[] {
  const names = [...new Set(flowKinds[role].map(({ process }) => process)), AGENT_PROCESS, ...commonProcesses, ...kernelThreads];
  return Array.from({ length: count }, (_, index) => {
    const copy = Math.floor(index / names.length);
    const name = names[index % names.length] as string;
    return { ...traitsOf(name), program: name, process: copy === 0 ? name : `${name}-${copy}`, weight: 1 / (copy + 1) };
  });
}

/** Of a host that runs one of each. */
export function processCount(role: Role): number {
  return new Set(flowKinds[role].map(({ process }) => process)).size + 1 + commonProcesses.length + kernelThreads.length;
}
