// SPDX-License-Identifier: Apache-2.0
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgSequence,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import type { Scope } from "../common/caller.ts";

const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });
/** Number of a transaction. Which of two are over is known from a snapshot, not from their order. */
const transaction = customType<{ data: string }>({ dataType: () => "xid8" });
const createdAt = () => time("created_at").notNull().defaultNow();

/** A tenant. Its id is the `tenant` of every ClickHouse row. */
export const organisations = pgTable("organisations", {
  id: uuid("id").primaryKey(),
  name: text("name").notNull(),
  createdAt: createdAt(),
});

const organisationId = () =>
  uuid("organisation_id")
    .notNull()
    .references(() => organisations.id, { onDelete: "cascade" });

/** Tokens of people's scripts and of the first sign-in. Of a token only the SHA-256 is kept, here and in every table below. */
export const apiTokens = pgTable(
  "api_tokens",
  {
    id: uuid("id").primaryKey(),
    organisationId: organisationId(),
    name: text("name").notNull(),
    tokenHash: text("token_hash").notNull(),
    scopes: text("scopes").array().$type<Scope[]>().notNull(),
    createdAt: createdAt(),
    expiresAt: time("expires_at"),
    revokedAt: time("revoked_at"),
    /** Written at most once a minute. */
    lastUsedAt: time("last_used_at"),
  },
  (table) => [uniqueIndex("api_tokens_token_hash").on(table.tokenHash), index("api_tokens_organisation").on(table.organisationId)],
);

/** What an agent shows once to become a host. */
export const enrolmentTokens = pgTable(
  "enrolment_tokens",
  {
    id: uuid("id").primaryKey(),
    organisationId: organisationId(),
    name: text("name").notNull(),
    tokenHash: text("token_hash").notNull(),
    createdAt: createdAt(),
    expiresAt: time("expires_at"),
    revokedAt: time("revoked_at"),
    lastUsedAt: time("last_used_at"),
  },
  (table) => [uniqueIndex("enrolment_tokens_token_hash").on(table.tokenHash), index("enrolment_tokens_organisation").on(table.organisationId)],
);

/** A machine that was enrolled. Its id is the `host` of every ClickHouse row. */
export const hosts = pgTable(
  "hosts",
  {
    id: uuid("id").primaryKey(),
    organisationId: organisationId(),
    /** SHA-256 over the machine id; the same machine stays the same host. */
    machineKey: text("machine_key").notNull(),
    /** Unique in the organisation. */
    name: text("name").notNull(),
    kernel: text("kernel").notNull().default(""),
    distribution: text("distribution").notNull().default(""),
    architecture: text("architecture").notNull().default(""),
    cpus: integer("cpus").notNull().default(0),
    memoryBytes: bigint("memory_bytes", { mode: "number" }).notNull().default(0),
    agentVersion: text("agent_version").notNull().default(""),
    /** Of the last Hello. Empty before. */
    bootId: text("boot_id").notNull().default(""),
    windowMs: integer("window_ms").notNull().default(10_000),
    enrolledAt: time("enrolled_at").notNull().defaultNow(),
    retiredAt: time("retired_at"),
    /** End of the newest stored window (API clock). Null: no window was ever stored. */
    lastWindowEndAt: time("last_window_end_at"),
    /** When the API last heard anything from the host (API clock). */
    lastSeenAt: time("last_seen_at"),
    /** From the agent's newest Status; null before the first. */
    statusAt: time("status_at"),
    clockOffsetMs: bigint("clock_offset_ms", { mode: "number" }),
    spoolFrames: bigint("spool_frames", { mode: "number" }),
    spoolBytes: bigint("spool_bytes", { mode: "number" }),
    refusedFrames: bigint("refused_frames", { mode: "number" }),
    droppedFrames: bigint("dropped_frames", { mode: "number" }),
    agentStartedAt: time("agent_started_at"),
    /** Windows merged into longer ones because the spool was filling, since the agent started. */
    coarsenedWindows: bigint("coarsened_windows", { mode: "number" }),
    /** Revision of the settings that the agent says it follows; null: it never said. */
    settingsRevision: bigint("settings_revision", { mode: "number" }),
    /** When it first said so (API clock), and what of them it could not do. */
    settingsAppliedAt: time("settings_applied_at"),
    settingsProblems: text("settings_problems").array(),
    /** Made up by a simulator. */
    simulated: boolean("simulated").notNull().default(false),
    /** What people call hosts by besides their name: `env` → `prod`. Keys and values are text. */
    tags: jsonb("tags").$type<Record<string, string>>().notNull().default({}),
    /** What `tags` is made of: those of its agent's last Hello, and before them those that people set. */
    agentTags: jsonb("agent_tags").$type<Record<string, string>>().notNull().default({}),
    ownTags: jsonb("own_tags").$type<Record<string, string>>().notNull().default({}),
    /** Which transaction was the last to change what queries know of the host (name, tags, kernel, …, not what it reports every few seconds). A trigger writes it, whoever changes the row. */
    toldIn: transaction("told_in").notNull().default(sql`pg_current_xact_id()`),
  },
  (table) => [
    uniqueIndex("hosts_organisation_machine_key").on(table.organisationId, table.machineKey),
    uniqueIndex("hosts_organisation_name").on(table.organisationId, table.name),
    index("hosts_organisation_told_in").on(table.organisationId, table.toldIn),
  ],
);

/** What a host shows on every stream. One at a time per host: enrolling again revokes the older. */
export const hostCredentials = pgTable(
  "host_credentials",
  {
    id: uuid("id").primaryKey(),
    organisationId: organisationId(),
    hostId: uuid("host_id")
      .notNull()
      .references(() => hosts.id, { onDelete: "cascade" }),
    tokenHash: text("token_hash").notNull(),
    createdAt: createdAt(),
    revokedAt: time("revoked_at"),
    lastUsedAt: time("last_used_at"),
  },
  (table) => [uniqueIndex("host_credentials_token_hash").on(table.tokenHash), index("host_credentials_host").on(table.hostId)],
);

/** A browser that signed in with an API token; it ends with that token. */
export const sessions = pgTable(
  "sessions",
  {
    id: uuid("id").primaryKey(),
    organisationId: organisationId(),
    apiTokenId: uuid("api_token_id")
      .notNull()
      .references(() => apiTokens.id, { onDelete: "cascade" }),
    tokenHash: text("token_hash").notNull(),
    createdAt: createdAt(),
    expiresAt: time("expires_at").notNull(),
  },
  (table) => [uniqueIndex("sessions_token_hash").on(table.tokenHash), index("sessions_expires_at").on(table.expiresAt)],
);

/** What an organisation may use at most; null = the default of the installation's configuration. */
export const organisationLimits = pgTable("organisation_limits", {
  organisationId: organisationId().primaryKey(),
  rowsPerSecondMax: bigint("rows_per_second_max", { mode: "number" }),
  hostsMax: integer("hosts_max"),
  seriesMax: bigint("series_max", { mode: "number" }),
  queryRowsPerMinuteMax: bigint("query_rows_per_minute_max", { mode: "number" }),
  queriesAtOnceMax: integer("queries_at_once_max"),
  updatedAt: time("updated_at").notNull().defaultNow(),
});

/** Numbers the changes of settings, of hosts and organisations alike, in the order they are committed. */
export const settingsRevision = pgSequence("settings_revision");

/** null: not set here. */
const settingColumns = () => ({
  revision: bigint("revision", { mode: "number" }).notNull(),
  windowMs: integer("window_ms"),
  signalsOff: text("signals_off").array(),
  watchedProcesses: text("watched_processes").array(),
  cpuBudgetCores: doublePrecision("cpu_budget_cores"),
  rowsMax: integer("rows_max"),
  updatedAt: time("updated_at").notNull().defaultNow(),
});

/** What agents shall do, for all hosts of an organisation. */
export const organisationSettings = pgTable(
  "organisation_settings",
  { organisationId: organisationId().primaryKey(), ...settingColumns() },
  (table) => [uniqueIndex("organisation_settings_revision").on(table.revision)],
);

/** The same for one host; goes before its organisation's. */
export const hostSettings = pgTable(
  "host_settings",
  {
    organisationId: organisationId(),
    hostId: uuid("host_id")
      .primaryKey()
      .references(() => hosts.id, { onDelete: "cascade" }),
    ...settingColumns(),
  },
  (table) => [uniqueIndex("host_settings_revision").on(table.revision)],
);

/** Who changed what, when. Rows are written with the change in one transaction, and never changed. */
export const auditEntries = pgTable(
  "audit_entries",
  {
    organisationId: organisationId(),
    /** Rises with time. */
    id: bigint("id", { mode: "number" }).generatedAlwaysAsIdentity(),
    at: time("at").notNull().defaultNow(),
    /** The token that was used; its name as it was then. */
    tokenId: uuid("token_id").notNull(),
    tokenName: text("token_name").notNull(),
    /** Such as `settings.update`. */
    action: text("action").notNull(),
    /** `host` or `organisation`, and which one; its name as it was then. */
    targetKind: text("target_kind").$type<"host" | "organisation">().notNull(),
    targetId: uuid("target_id").notNull(),
    targetName: text("target_name").notNull(),
    /** The fields that were changed, as they were and as they are. */
    before: jsonb("before").$type<Record<string, unknown>>().notNull(),
    after: jsonb("after").$type<Record<string, unknown>>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.organisationId, table.id] })],
);

/**
 * What changed, and may explain what the signals show: reboots, new kernels and agents (noticed at a Hello), deploys and notes (told over REST). Facts
 * that are counted in ClickHouse (OOM kills, executions) are not copied here.
 */
export const events = pgTable(
  "events",
  {
    organisationId: organisationId(),
    id: uuid("id").notNull(),
    /** When it happened, as far as known. */
    at: time("at").notNull(),
    /** Such as `host.reboot`, `host.kernel`, `agent.version`, `deploy`, `note`. */
    kind: text("kind").notNull(),
    title: text("title").notNull(),
    /** The host it happened on; null: not on one host. */
    hostId: uuid("host_id").references(() => hosts.id, { onDelete: "cascade" }),
    details: jsonb("details").$type<Record<string, string>>().notNull().default({}),
    /** The token that told of it, and its name as it was then; null: noticed by the API. */
    tokenId: uuid("token_id"),
    tokenName: text("token_name"),
    /** Telling the same twice under one key makes one event. */
    idempotencyKey: text("idempotency_key"),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.organisationId, table.id] }),
    index("events_organisation_at").on(table.organisationId, table.at),
    uniqueIndex("events_idempotency_key").on(table.organisationId, table.idempotencyKey),
  ],
);

/** How far each roll-up step has come. One row per step: `1m`, `1h`, `fleet_1m`, `fleet_1h`. */
export const rollupProgress = pgTable("rollup_progress", {
  step: text("step").primaryKey(),
  /** Everything before was rolled up once; windows that came later than this was reached are rolled up when they are found. */
  completeUntil: time("complete_until").notNull(),
  /** What ClickHouse received before has been looked at. */
  scannedUntil: time("scanned_until").notNull(),
});

/** Work that one API node does for all. */
export const leases = pgTable("leases", {
  name: text("name").primaryKey(),
  holder: text("holder").notNull(),
  expiresAt: time("expires_at").notNull(),
});

/** Keys that all API nodes of an installation share; base64. */
export const installationSecrets = pgTable("installation_secrets", {
  name: text("name").primaryKey(),
  secret: text("secret").notNull(),
  createdAt: createdAt(),
});

/**
 * Hosts that somebody looks at live through a node of the API: their windows are short until the lease is over. A row per node, so that one that dies lets
 * go of its own alone. Times are Postgres's.
 */
export const watchLeases = pgTable(
  "watch_leases",
  {
    organisationId: organisationId(),
    hostId: uuid("host_id")
      .notNull()
      .references(() => hosts.id, { onDelete: "cascade" }),
    /** Unique among all API processes that ever ran. */
    node: text("node").notNull(),
    watchers: integer("watchers").notNull(),
    expiresAt: time("expires_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.organisationId, table.hostId, table.node] }), index("watch_leases_expires_at").on(table.expiresAt)],
);

/** Raw rows that the disk guard gave up: snapshots older than this are refused, their minutes could not be rolled up again. */
export const storageFloors = pgTable("storage_floors", {
  level: text("level").primaryKey(),
  droppedBefore: time("dropped_before").notNull(),
  reason: text("reason").notNull(),
  updatedAt: time("updated_at").notNull().defaultNow(),
});

/** Partitions of raw rows that the disk guard dropped to make room, and how far that was reported in the signal `server_storage`. */
export const storageDrops = pgTable(
  "storage_drops",
  {
    tableName: text("table_name").notNull(),
    partitionId: text("partition_id").notNull(),
    droppedAt: time("dropped_at").notNull().defaultNow(),
    /** Start of the minute whose report counts it; null: none yet. */
    reportedMinute: time("reported_minute"),
    /** When that report was stored in every organisation; null: not known to be. */
    confirmedAt: time("confirmed_at"),
  },
  (table) => [primaryKey({ columns: [table.tableName, table.partitionId] })],
);
