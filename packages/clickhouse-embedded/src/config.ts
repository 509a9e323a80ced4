// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";

/** One server of a cluster, on its native port. */
export interface ClusterServer {
  readonly host: string;
  readonly tcpPort: number;
  readonly username: string;
  readonly password: string;
}

/** Cluster name → its shards, each of one server. A name is an identifier: letters, digits, underscore. */
export type Clusters = Readonly<Record<string, readonly ClusterServer[]>>;

/** What the generated `config.xml` depends on. Sizes in bytes. */
export interface EngineConfig {
  readonly clusters: Clusters;
  readonly usersConfigPath: string;
  readonly logDirectory: string;
  readonly maxMemoryBytes: number;
  readonly maxConcurrentQueries: number;
}

const MEBIBYTE = 1024 * 1024;

/**
 * Inserts are refused while the disk has less than this: what is needed to drop old rows and to end the merges that have begun. A write that finds nothing at all
 * waits (guarded-writes.c), and so would a drop.
 */
const INSERT_FREE_BYTES_MIN = 64 * MEBIBYTE;

/** A log file is rotated at this size, and this many old ones are kept, for the log and for the error log: at most 40 MiB in all. */
const LOG_BYTES_MAX = 5 * MEBIBYTE;
const LOG_FILES_MAX = 3;

/** The user the product connects as. The engine's own session uses `default`, which nobody else can (see {@link usersXml}). */
export const USERNAME = "waggle";

/**
 * Server configuration.
 *
 * Sizes are for a machine of two cores that is also doing other work. There is no section for `query_log` and its like: the engine starts a
 * system log only when its section is present, and on a laptop those logs would outgrow the data.
 */
export function configXml(config: EngineConfig): string {
  const { maxMemoryBytes } = config;
  return `<clickhouse>
  <users_config>${escapeXml(config.usersConfigPath)}</users_config>
  <timezone>UTC</timezone>

  <!-- log-level is what this engine reads; logger/level alone would leave it at trace. -->
  <log-level>warning</log-level>
  <logger>
    <level>warning</level>
    <console>false</console>
    <log>${escapeXml(`${config.logDirectory}/clickhouse.log`)}</log>
    <errorlog>${escapeXml(`${config.logDirectory}/clickhouse.error.log`)}</errorlog>
    <size>${LOG_BYTES_MAX}</size>
    <count>${LOG_FILES_MAX}</count>
  </logger>

  <!--
    Seconds. A stop waits until connections are gone, idle ones included, and cuts them after 5 s: with the default of 30 s an idle pool would
    always run into that. Well above the 1.5 s after which the API drops an idle connection itself, so that it hardly ever meets a closed one.
  -->
  <keep_alive_timeout>3</keep_alive_timeout>

  <max_server_memory_usage>${maxMemoryBytes}</max_server_memory_usage>
  <max_concurrent_queries>${config.maxConcurrentQueries}</max_concurrent_queries>
  <mark_cache_size>${share(maxMemoryBytes, 0.05)}</mark_cache_size>
  <uncompressed_cache_size>${share(maxMemoryBytes, 0.05)}</uncompressed_cache_size>
  <index_mark_cache_size>${share(maxMemoryBytes, 0.01)}</index_mark_cache_size>
  <primary_index_cache_size>${share(maxMemoryBytes, 0.05)}</primary_index_cache_size>
  <mmap_cache_size>256</mmap_cache_size>
  <compiled_expression_cache_size>${16 * MEBIBYTE}</compiled_expression_cache_size>

  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>16</background_schedule_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <max_thread_pool_size>1000</max_thread_pool_size>

  <merge_tree>
    <min_free_disk_bytes_to_perform_insert>${INSERT_FREE_BYTES_MIN}</min_free_disk_bytes_to_perform_insert>
    <!--
      How many times its largest part a merge has to be. To the size of each part the selector adds 5 MiB, so that parts of less, which is four million rows of calls, are merged by their number alone: with its
      default of 5 a part of a million rows is written anew with every five small ones. At 50,000 rows/s that took 20 s of CPU in 70 s, with 10 it takes 8, for two or three parts more to read.
    -->
    <merge_selector_base>10</merge_selector_base>
    <!-- Defaults of these assume a pool of 32: with 4 tasks the server would never start a mutation or a large merge. -->
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>

  <remote_servers>
${Object.entries(config.clusters)
  .map(([name, shards]) => `    <${name}>\n${shards.map(shardXml).join("\n")}\n    </${name}>`)
  .join("\n")}
  </remote_servers>
</clickhouse>
`;
}

const shardXml = ({ host, tcpPort, username, password }: ClusterServer): string =>
  `      <shard><internal_replication>true</internal_replication><replica><host>${escapeXml(host)}</host><port>${tcpPort}</port>` +
  `<user>${escapeXml(username)}</user><password>${escapeXml(password)}</password></replica></shard>`;

/**
 * Users.
 *
 * `waggle` may do everything with databases and tables, and nothing with files and other addresses as tables: in this engine those reach every
 * file the process can read. REMOTE stays, for `Distributed` tables. (The scalar function `file` asks for no grant; nothing here can close it.)
 *
 * `default` has to exist without a password, because the engine's own session (the one that opens the listeners) logs in with exactly
 * that. `max_sessions_for_user` = 1 closes it to everyone else: that session is open before the first listener is, and stays open as long
 * as the process lives, so any other log-in as `default`, HTTP or native, is refused before it can run even KILL QUERY.
 */
export function usersXml(password: string): string {
  const hash = createHash("sha256").update(password).digest("hex");
  return `<clickhouse>
  <profiles>
    <!-- The engine insists on a profile of this name. -->
    <default>
      <!-- Without it a SELECT goes on after its caller went away. Works for queries that come with readonly=1 or 2. -->
      <cancel_http_readonly_queries_on_client_close>1</cancel_http_readonly_queries_on_client_close>
    </default>
    <engine>
      <max_sessions_for_user>1</max_sessions_for_user>
    </engine>
  </profiles>
  <quotas>
    <unlimited></unlimited>
  </quotas>
  <users>
    <${USERNAME}>
      <password_sha256_hex>${hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>unlimited</quota>
      <grants>
${productGrants()
  .map((grant) => `        <query>${grant}</query>`)
  .join("\n")}
      </grants>
    </${USERNAME}>
    <default>
      <no_password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>engine</profile>
      <quota>unlimited</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN, CREATE TEMPORARY TABLE, FILE ON *.*</query>
      </grants>
    </default>
  </users>
</clickhouse>
`;
}

const DATABASE_GRANTS = [
  "SHOW",
  "SELECT",
  "INSERT",
  "ALTER",
  "CREATE",
  "DROP",
  "UNDROP TABLE",
  "TRUNCATE",
  "OPTIMIZE",
  "CHECK",
  "KILL QUERY",
  "SYSTEM",
  "dictGet",
  "REMOTE",
  "CLUSTER",
];

/** Every engine of tables and databases that keeps its data in the data directory or in another of these tables. */
const ENGINES = [
  "Atomic",
  "MergeTree",
  "ReplacingMergeTree",
  "SummingMergeTree",
  "AggregatingMergeTree",
  "CollapsingMergeTree",
  "VersionedCollapsingMergeTree",
  "CoalescingMergeTree",
  "Distributed",
  "Merge",
  "Buffer",
  "Dictionary",
  "Join",
  "Set",
  "Memory",
  "Null",
];

const productGrants = (): string[] => [`GRANT ${DATABASE_GRANTS.join(", ")} ON *.*`, ...ENGINES.map((engine) => `GRANT TABLE ENGINE ON ${engine}`)];

const share = (bytes: number, ratio: number): number => Math.floor(bytes * ratio);

const escapeXml = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
