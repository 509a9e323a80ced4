// SPDX-License-Identifier: Apache-2.0
import { dimensionValues } from "./dimension-values.ts";

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
  /** The field is an id whose text the programs register (`struct text`, packages/bpf/include/texts.bpf.h). */
  readonly registered?: boolean;
  /** All values it has, where they are few and known; left out: any text. */
  readonly values?: readonly string[];
  /** Most bytes of one value where that differs from what strings may have in general (`limits.stringBytesMax`). */
  readonly bytesMax?: number;
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
    help: "systemd unit, container (`docker/<name>`, `podman/<name>`, `k8s/<namespace>/<pod>/<container>`; by ids where the agent may not read the name) or control group path of the process; empty in the root group, and where it could not be found.",
    fleet: false,
  },
  peer: {
    field: "peer",
    cType: "__u8[16]",
    clickhouseType: "String",
    label: "peer",
    help: "Address of the other end. IPv4 is written as IPv4. Empty if it is not known.",
    fleet: false,
  },
  peer_port: {
    field: "peer_port",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "peer port",
    help: "Port of the other end for role=client; `ephemeral` for role=server, where the other end's port belongs to one connection only. For UDP: `ephemeral` if the kernel of the other end is likely to have picked it.",
    fleet: true,
  },
  port: {
    field: "port",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "port",
    help: "Local listening port for role=server; `ephemeral` for role=client. For UDP: the port that the program chose, `ephemeral` if the kernel did.",
    fleet: true,
  },
  role: {
    field: "role",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "role",
    help: "`client` if this host opened the connection, `server` if it accepted it, empty if the connection is older than the agent and neither end listens.",
    fleet: true,
    values: dimensionValues.role,
  },
  class: {
    field: "class",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "class",
    help: "Why the segment was sent again: `fast` (duplicate ACKs), `timeout` (RTO), `tlp` (tail-loss probe), `syn`, `synack`, `other`.",
    fleet: true,
    values: dimensionValues.class,
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
    values: dimensionValues.state,
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
    help: "What both the agent and the kernel count, such as `RetransSegs`.",
    fleet: true,
  },
  direction: {
    field: "direction",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "direction",
    help: "`sent` by this host or `received` by it.",
    fleet: true,
    values: dimensionValues.direction,
  },
  reset_reason: {
    field: "reason",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "reason",
    help: "Why the connection was reset, in the kernel's own words (enum sk_rst_reason); `unknown` where the kernel does not say.",
    fleet: true,
  },
  drop_reason: {
    field: "reason",
    cType: "__u32",
    clickhouseType: "LowCardinality(String)",
    label: "reason",
    help: "Why the packet was dropped, in the kernel's own words (enum skb_drop_reason, decoded from its BTF).",
    fleet: true,
  },
  protocol: {
    field: "protocol",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "protocol",
    help: "Protocol of the packet or socket, such as `tcp`, `udp`, `icmp`, `arp`.",
    fleet: true,
  },
  congestion_state: {
    field: "congestion_state",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "state",
    help: "State of congestion control: `open`, `disorder`, `cwr`, `recovery`, `loss`.",
    fleet: true,
    values: dimensionValues.congestion_state,
  },
  algorithm: {
    field: "algorithm",
    cType: "__u8[16]",
    clickhouseType: "LowCardinality(String)",
    label: "algorithm",
    help: "Congestion control algorithm, such as `cubic` or `bbr`.",
    fleet: true,
  },
  resolver: {
    field: "resolver",
    cType: "__u8[16]",
    clickhouseType: "String",
    label: "resolver",
    help: "Address of the DNS server that was asked.",
    fleet: true,
  },
  query_name: {
    field: "query_name_id",
    cType: "__u64",
    clickhouseType: "String",
    label: "name",
    help: "Name that was asked for, lower case, without the final dot.",
    fleet: true,
    registered: true,
  },
  query_type: {
    field: "query_type",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "type",
    help: "Type of the DNS query, such as `A` or `AAAA`.",
    fleet: true,
  },
  rcode: {
    field: "rcode",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "answer",
    help: "How the query ended: `NOERROR`, `NXDOMAIN`, `SERVFAIL`, …; `timeout` if no answer came.",
    fleet: true,
  },
  device: {
    field: "device",
    cType: "__u32",
    clickhouseType: "LowCardinality(String)",
    label: "device",
    help: "Block device or network interface, by its name on the host.",
    fleet: true,
  },
  operation: {
    field: "operation",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "operation",
    help: "What was done: `read`, `write`, `flush`, `discard`, `fsync`, `fdatasync`, `sync_file_range`, `msync`, `syncfs`, `sync`, `other`.",
    fleet: true,
    values: dimensionValues.operation,
  },
  file: {
    field: "file_id",
    cType: "__u64",
    clickhouseType: "String",
    label: "file",
    help: "Path of the file, from the root of its mount namespace; `…/` stands for directories that had no room. Empty where the file is not known.",
    fleet: false,
    registered: true,
  },
  result: {
    field: "result",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "result",
    help: "`ok`, or the symbolic error.",
    fleet: true,
  },
  softirq: {
    field: "softirq",
    cType: "__u8",
    clickhouseType: "LowCardinality(String)",
    label: "softirq",
    help: "Kind of softirq, such as `NET_RX`.",
    fleet: true,
  },
  exit_status: {
    field: "exit_status",
    cType: "__u16",
    clickhouseType: "LowCardinality(String)",
    label: "exit",
    help: "How the process ended: its exit code, or the signal that killed it, such as `SIGKILL`.",
    fleet: true,
  },
  stack: {
    field: null,
    cType: null,
    clickhouseType: "String",
    label: "stack",
    help: "Name of a call stack: 16 hex digits, the same on every host for the same frames; `stack_frames` says what it is.",
    fleet: true,
  },
  frames: {
    field: null,
    cType: null,
    clickhouseType: "String",
    label: "frames",
    help: "The stack from its outermost to its innermost frame, separated by `;`.",
    fleet: true,
    bytesMax: 8_192,
  },
  domain: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "domain",
    help: "What the energy was measured of, as RAPL names it: `package-0`, `core`, `dram`, …",
    fleet: true,
  },
  resource: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "resource",
    help: "What was waited for: `cpu`, `memory`, `io`, `irq`.",
    fleet: true,
    values: dimensionValues.resource,
  },
  fact: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "fact",
    help: "What the value says, such as `kernel_release` or `sysctl:net.ipv4.tcp_congestion_control`.",
    fleet: true,
  },
  value: {
    field: null,
    cType: null,
    clickhouseType: "String",
    label: "value",
    help: "The fact, in text.",
    fleet: true,
  },
  cause: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "cause",
    help: "Why something could not be kept as it should: `full`, `no_memory`, `row_cap`, …",
    fleet: true,
  },
  place: {
    field: null,
    cType: null,
    clickhouseType: "LowCardinality(String)",
    label: "place",
    help: "Where something could not be kept: a BPF map, a program, a signal's rows, the spool.",
    fleet: true,
  },
} as const satisfies Record<string, Dimension>;

export type DimensionName = keyof typeof dictionary;
export const dimensions: Readonly<Record<DimensionName, Dimension>> = dictionary;
