// SPDX-License-Identifier: Apache-2.0
import type { DimensionName } from "./dimensions.ts";

/**
 * What one value per key and window is, and so how values merge. A `stack` signal is a counter whose dimension `stack` names a call stack; the
 * signal `stack_frames` says what that stack is.
 */
export type SignalKind = "counter" | "gauge" | "histogram" | "stack";

/** A measure of a counter signal is a sum over the window or a gauge read at its end. */
export type MeasureKind = "sum" | "gauge";

/** Units are UCUM-like words shown to people by one formatter; `1` is a plain number. */
export type Unit =
  | "ns"
  | "bytes"
  | "segments"
  | "connections"
  | "packets"
  | "datagrams"
  | "queries"
  | "calls"
  | "operations"
  | "errors"
  | "events"
  | "samples"
  | "faults"
  | "processes"
  | "sockets"
  | "windows"
  /** Thousandths of a plain number: values are whole on the wire, and 1,500 is shown as 1.5. */
  | "milli"
  /** Millionths of a joule. */
  | "microjoules"
  | "1";

export type SignalFamily = "tcp" | "net" | "syscall" | "file" | "disk" | "cpu" | "host" | "agent" | "server";

export interface Measure {
  readonly name: string;
  readonly kind: MeasureKind;
  readonly unit: Unit;
  readonly help: string;
}

/**
 * Where the signal's rows come from in the kernel. The map exists twice, `<map>_a` and `<map>_b`; one is written while the
 * other is read. The key struct is `struct <map>_key` with one field per distinct dimension field (`process_id` first if it has one, `bucket` last when
 * bucketed); the value struct is `struct <map>_value`.
 */
export interface BpfSource {
  readonly map: string;
  /** The key ends in a `__u16 bucket` on the histogram grid; BUCKET_NONE = counted but not measured. */
  readonly bucketed: boolean;
  /** The key names call stacks by ids of its own; the agent's profile reader finds out what they are called (apps/agent/src/profile). */
  readonly stacks?: true;
  /** Programs that must be attached for the signal to be exact. */
  readonly programs: readonly string[];
}

export interface Signal {
  readonly name: string;
  readonly family: SignalFamily;
  /** `server`: the API makes its rows, no agent is asked for them. Left out: agents do. */
  readonly source?: "server";
  readonly kind: SignalKind;
  readonly question: string;
  readonly help: string;
  readonly dimensions: readonly DimensionName[];
  /** For a counter: its sums and gauges. For a histogram: empty, see `distribution`. */
  readonly measures: readonly Measure[];
  /** For a histogram: what is distributed. `name` takes percentiles and `heatmap`; count, sum, min and max stand beside it. */
  readonly distribution: { readonly name: string; readonly unit: Unit; readonly countUnit: Unit; readonly help: string } | null;
  /** The hooks that feed it, as documentation and for coverage. */
  readonly hooks: readonly string[];
  /** null: the agent makes the rows itself, out of /proc or its own state. */
  readonly bpf: BpfSource | null;
  /** What the number does not see; shown beside it. */
  readonly caveats: readonly string[];
}
