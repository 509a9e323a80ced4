// SPDX-License-Identifier: Apache-2.0
import { catalogue, envelopeColumns, retentionDaysDefault, signalTables, type TableDefinition, TIME_KEY } from "@waggle/signals";
import type { Retention } from "../config/retention.ts";

/** One row per accepted snapshot; written after the snapshot's signal rows, so a window found here is complete in every table. */
export const WINDOWS_TABLE = "windows";
/** Which snapshots each roll-up has taken in. */
export const ROLLUPS_TABLE = "rollups";
/** What agents say they sent. */
export const CLAIMS_TABLE = "ingest_claims";

const TENANT = { name: "tenant", type: "LowCardinality(String)" };
const HOST = { name: "host", type: "LowCardinality(String)" };
const RECEIVED_INDEX = "INDEX received received_at TYPE minmax GRANULARITY 1";

/**
 * `tenant` is the organisation's id, `host` the host's id (never its name, which may change), `ts` the window's true start on the
 * API's clock. `sequence` and `boot_id` are the sender's; `clock_offset_ms` is what was added to the host's clock to get `ts`.
 * `windows` is how many of the agent's windows the snapshot speaks for (more than 1 if the agent merged some), `rows` how many rows of
 * all signals it had.
 */
export const windowsTable: TableDefinition = {
  name: WINDOWS_TABLE,
  columns: [
    ...envelopeColumns,
    { name: "sequence", type: "UInt64" },
    { name: "boot_id", type: "String" },
    { name: "clock_offset_ms", type: "Int64" },
    { name: "windows", type: "UInt32 DEFAULT 1" },
    { name: "rows", type: "UInt32" },
    { name: "received_at", type: "DateTime64(3, 'UTC') DEFAULT now64(3)" },
  ],
  orderBy: ["tenant", "toStartOfFiveMinutes(ts)", "host", TIME_KEY],
  partitionBy: "toDate(ts)",
  version: null,
  retentionDays: retentionDaysDefault.raw,
  shardBy: ["tenant", "host"],
  indexes: [RECEIVED_INDEX],
};

/**
 * `step` names the roll-up that took rows in (`1m`, `1h`, `fleet_1m`, `fleet_1h`), `ts` the start of its bucket (5 min for the minute steps, an hour for the
 * hour steps), `host` the host ('' for the fleet steps). `frames` is how many rows of `windows` FINAL it has seen: where that is less than
 * there are, the bucket is rolled up again. The rows that were written have as `version` how many frames of all hosts the bucket had then.
 */
export const rollupsTable: TableDefinition = {
  name: ROLLUPS_TABLE,
  columns: [
    TENANT,
    { name: "step", type: "LowCardinality(String)" },
    { name: "ts", type: "DateTime64(3, 'UTC')" },
    HOST,
    { name: "frames", type: "UInt64" },
    { name: "received_at", type: "DateTime64(3, 'UTC') DEFAULT now64(3)" },
  ],
  orderBy: ["tenant", "step", "ts", "host"],
  partitionBy: "toDate(ts)",
  version: "frames",
  retentionDays: retentionDaysDefault["1m"],
  shardBy: ["tenant", "host"],
  indexes: [RECEIVED_INDEX],
};

/**
 * What an agent says of one hour on its own clock (`ts` is the hour's start there): windows it made, rows and frames it made of them, windows it gave up
 * (`dropped_windows`) and windows the API refused for good. The newest statement counts.
 */
export const claimsTable: TableDefinition = {
  name: CLAIMS_TABLE,
  columns: [
    TENANT,
    HOST,
    { name: "ts", type: "DateTime64(3, 'UTC')" },
    { name: "windows", type: "UInt64" },
    { name: "rows", type: "UInt64" },
    { name: "frames", type: "UInt64" },
    { name: "dropped_windows", type: "UInt64" },
    { name: "refused_windows", type: "UInt64" },
    { name: "received_at", type: "DateTime64(3, 'UTC') DEFAULT now64(3)" },
  ],
  orderBy: ["tenant", "toDate(ts)", "host", TIME_KEY],
  partitionBy: "toDate(ts)",
  version: "received_at",
  retentionDays: retentionDaysDefault.raw,
  shardBy: ["tenant", "host"],
  indexes: [],
};

/** All tables. Those of the bookkeeping stay as long as the longest-lived of the rows they speak of. */
export function allTables(retention: Retention): readonly TableDefinition[] {
  return [
    ...catalogue.flatMap((signal) => signalTables(signal, retention.daysOf(signal.name))),
    { ...windowsTable, retentionDays: retention.longestDays("raw") },
    { ...rollupsTable, retentionDays: retention.longestDays("1m") },
    { ...claimsTable, retentionDays: retention.longestDays("raw") },
  ];
}
