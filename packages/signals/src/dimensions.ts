// SPDX-License-Identifier: Apache-2.0

/**
 * The shared dictionary of dimensions: how each one is held in BPF map keys, on the wire, in ClickHouse, and how it is explained.
 *
 * On the wire and in storage every dimension is a string, so that the overflow row (`~other`) and "unknown" (empty string)
 * exist for all of them alike. A pid is a drill-down detail and never a dimension.
 */

/** The value every dimension takes in a row that sums what did not fit under a cap. */
export const OTHER = "~other";

/** The value of a port dimension whose port the kernel picked for one connection only. */
export const EPHEMERAL = "ephemeral";

/** C types that may stand in a BPF key struct, with their size in bytes. */
export const cTypeSizes = {
  __u8: 1,
  __u16: 2,
  __u32: 4,
  __u64: 8,
  "__u8[16]": 16,
} as const;
export type CType = keyof typeof cTypeSizes;

export interface Dimension {
  /** Field of the BPF key struct this dimension is decoded from; several dimensions may share one field. */
  readonly field: string | null;
  readonly cType: CType | null;
  readonly clickhouseType: "LowCardinality(String)" | "String";
  /** Heading in tables and charts. */
  readonly label: string;
  readonly help: string;
  /** Kept when hosts are added up: it takes few values in a whole fleet. */
  readonly fleet: boolean;
}

const dictionary = {
  process: {
    field: "process_id",
    cType: "__u64",
    clickhouseType: "LowCardinality(String)",
    label: "process",
    help: "Name of the thread-group leader (comm, at most 15 characters). For TCP: the owner of the socket, never whoever ran in softirq.",
    fleet: true,
  },
  unit: {
    field: "process_id",
    cType: "__u64",
    clickhouseType: "LowCardinality(String)",
    label: "unit",
    help: "systemd unit, container (`docker/…`, `podman/…`, `k8s/…`) or control group path of the process; empty in the root group.",
    fleet: false,
  },
  peer: {
    field: "peer",
    cType: "__u8[16]",
    clickhouseType: "String",
    label: "peer",
    help: "Address of the other end. IPv4 is written as IPv4.",
    fleet: false,
  },
  peer_port: {
    field: "peer_port",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "peer port",
    help: "Port of the other end for role=client; `ephemeral` for role=server, where the other end's port belongs to one connection only.",
    fleet: true,
  },
  port: {
    field: "port",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "port",
    help: "Local listening port for role=server; `ephemeral` for role=client.",
    fleet: true,
  },
  role: {
    field: "role",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "role",
    help: "`client` if this host opened the connection, `server` if it accepted it, empty if the connection is older than the agent and neither end listens.",
    fleet: true,
  },
  class: {
    field: "class",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "class",
    help: "Why the segment was sent again: `fast` (duplicate ACKs), `timeout` (RTO), `tlp` (tail-loss probe), `syn`, `synack`, `other`.",
    fleet: true,
  },
  errno: {
    field: "errno",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "error",
    help: "Symbolic error, such as `ECONNREFUSED`. `closed` for a connect the caller gave up itself.",
    fleet: true,
  },
  syscall: {
    field: "syscall",
    cType: "__u32",
    clickhouseType: "LowCardinality(String)",
    label: "call",
    help: "Name of the system call on the host's architecture; `syscall_<n>` if this build does not know the number; prefix `compat:` for 32-bit calls.",
    fleet: true,
  },
  program: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "program",
    help: "BPF program name, or `waggle-agent` for the agent's own process.",
    fleet: true,
  },
  signal: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "signal",
    help: "Name of the signal that the row speaks about.",
    fleet: true,
  },
  state: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "state",
    help: "How far the signal can be trusted in the window: exact, fallback, sampled, shed, disabled, unsupported, failed. Of the store: ok, warn, coarsen, drop.",
    fleet: true,
  },
  reason: {
    field: null,
    cType: null,
    clickhouseType: "String",
    label: "reason",
    help: "Why the state is not `exact`, in words; empty when it is.",
    fleet: false,
  },
  disk: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "disk",
    help: "Disk of the store, as ClickHouse names it, with the server before it where there are several; `limit` for what the tables may take.",
    fleet: true,
  },
  quantity: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "quantity",
    help: "The kernel counter that the probes' sum is held against, such as `RetransSegs`.",
    fleet: true,
  },
} as const satisfies Record<string, Dimension>;

export type DimensionName = keyof typeof dictionary;
export const dimensions: Readonly<Record<DimensionName, Dimension>> = dictionary;
