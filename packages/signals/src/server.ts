// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

/** The host under which the API itself reports, in every organisation. No host can be enrolled with this id. */
export const SERVER_HOST = "~server";

export const serverStorage: Signal = {
  name: "server_storage",
  family: "server",
  source: "server",
  kind: "counter",
  question: "How full is the store, and was anything given up for it?",
  help: "Disks of the ClickHouse servers, and what the tables may take if that is limited; once a minute, of the whole installation.",
  dimensions: ["disk", "state"],
  measures: [
    { name: "used_bytes", kind: "gauge", unit: "bytes", help: "Bytes in use, by whatever." },
    { name: "total_bytes", kind: "gauge", unit: "bytes", help: "Size of the disk, or the limit." },
    { name: "dropped_partitions", kind: "sum", unit: "1", help: "Partitions of raw rows that were dropped before their time to make room." },
  ],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: ["Made by the API and stored like everything else: with the store full to the last byte there are no new rows, which shows as a gap."],
};

export const serverSignals = [serverStorage] as const;
