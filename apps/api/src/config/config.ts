// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { Retention, RetentionError } from "./retention.ts";

const DATABASE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;
const port = z.coerce.number().int().min(0).max(65_535);
const limit = (defaultValue: number) => z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).default(defaultValue);

/** Every variable the API reads, with its default. Values of secrets never appear in messages. */
export const environmentSchema = z.object({
  WAGGLE_API_HTTP_HOST: z.string().min(1).default("127.0.0.1").describe("Address the REST server listens on."),
  WAGGLE_API_HTTP_PORT: port.default(7301).describe("Port of the REST server; 0 picks a free one."),
  WAGGLE_API_GRPC_HOST: z.string().min(1).default("127.0.0.1").describe("Address the ingest server listens on."),
  WAGGLE_API_GRPC_PORT: port.default(7302).describe("Port of the ingest server; 0 picks a free one."),
  WAGGLE_API_GRPC_TLS_CERTIFICATE_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("PEM certificate chain of the ingest server. Without it the server speaks plain HTTP/2."),
  WAGGLE_API_GRPC_TLS_KEY_FILE: z.string().min(1).optional().describe("PEM private key that belongs to the certificate."),
  WAGGLE_API_DATA_DIRECTORY: z.string().min(1).default(".waggle").describe("Where the embedded Postgres and the token files live."),
  WAGGLE_API_LOG_LEVEL: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
    .default("info")
    .describe("Least severe level that is logged."),
  WAGGLE_API_RETENTION: z
    .string()
    .optional()
    .describe(
      "How long rows are kept, in days per level, and per signal where that differs: `raw=7d,1m=30d,1h=400d,syscall_latency.raw=3d`. What is left out keeps its default.",
    ),
  WAGGLE_API_LIMIT_ROWS_PER_SECOND: limit(2_000_000).describe(
    "Signal rows an organisation may send per second, averaged over 10 s. This and the limits below hold for organisations without one of their own, on each API node.",
  ),
  WAGGLE_API_LIMIT_HOSTS: limit(50_000).describe("Hosts an organisation may have enrolled."),
  WAGGLE_API_LIMIT_SERIES: limit(20_000_000).describe("Series an organisation may have: rows of every host's newest window, summed."),
  WAGGLE_API_LIMIT_QUERY_ROWS_PER_MINUTE: limit(20_000_000_000).describe("Stored rows an organisation's queries may read per minute."),
  WAGGLE_API_LIMIT_QUERIES_AT_ONCE: limit(500).describe(
    "Queries an organisation may have under way at the same time, those that wait for ClickHouse too. A browser asks six at once: 500 carry 80 people who look at the same moment.",
  ),
  WAGGLE_API_LIMIT_STATEMENTS_AT_ONCE: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .optional()
    .describe(
      "Statements of queries that ClickHouse is given at a time by each API node; the others wait, organisations in turn. Default: as many as the server has cores, at least 2.",
    ),
  WAGGLE_API_LIMIT_STATEMENTS_WAITING: limit(2_000).describe("Statements of one organisation that may wait for ClickHouse, on each API node."),
  WAGGLE_API_LIMIT_STATEMENT_WAIT_SECONDS: z.coerce
    .number()
    .int()
    .min(1)
    .max(600)
    .default(10)
    .describe("How long a statement may wait for ClickHouse. One that would wait longer is refused at once, with the time after which to try again."),
  WAGGLE_API_LIMIT_REQUESTS_PER_MINUTE: limit(30_000).describe(
    "Requests that one API token, and the browsers that signed in with it, may make per minute, on each API node.",
  ),
  WAGGLE_API_STORAGE_BYTES_MAX: z.coerce
    .number()
    .int()
    .min(1_000_000)
    .max(Number.MAX_SAFE_INTEGER)
    .optional()
    .describe(
      "Bytes that the tables may take on disk, on all servers together. At 80 % agents are asked for longer windows, at 90 % the oldest raw rows are dropped; the same holds for the disks, with or without this.",
    ),
  WAGGLE_CLICKHOUSE_URL: z
    .url({ protocol: /^https?$/ })
    .default("http://127.0.0.1:7303")
    .describe("HTTP interface of ClickHouse; may carry user, password and database (`http://user:password@host:8123/database`)."),
  WAGGLE_CLICKHOUSE_DATABASE: z
    .string()
    .regex(DATABASE_NAME, "must be letters, digits and _")
    .optional()
    .describe("Database that holds the tables, created if missing. Default: the URL's, or `waggle`."),
  WAGGLE_CLICKHOUSE_USERNAME: z.string().min(1).optional().describe("ClickHouse user. Default: the URL's, or `default`."),
  WAGGLE_CLICKHOUSE_PASSWORD: z.string().optional().describe("Its password."),
  WAGGLE_CLICKHOUSE_PASSWORD_FILE: z.string().min(1).optional().describe("File that holds the password instead."),
  WAGGLE_CLICKHOUSE_CLUSTER: z
    .string()
    .regex(DATABASE_NAME, "must be letters, digits and _")
    .optional()
    .describe(
      "Name of the cluster in the servers' `remote_servers`. With it tables are cut into its shards, by tenant and host; without it they lie on one server.",
    ),
  WAGGLE_CLICKHOUSE_REPLICATED: z
    .enum(["true", "false"])
    .default("false")
    .describe(
      "Whether the cluster's shards have replicas: tables are then Replicated*, which need a Keeper and the macros `{shard}` and `{replica}`.",
    ),
  WAGGLE_CLICKHOUSE_NODE_URLS: z
    .string()
    .optional()
    .describe(
      "HTTP URLs of every server of the cluster, separated by commas. Tables are then made on each of them; without it by `ON CLUSTER`, which needs a Keeper.",
    ),
  WAGGLE_DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .describe("Postgres server. Without it an embedded one runs in the data directory."),
  WAGGLE_DATABASE_URL_FILE: z.string().min(1).optional().describe("File that holds the database URL instead."),
});

/** The API's settings, read once at start. Also the injection token. */
export class Config {
  readonly http!: { readonly host: string; readonly port: number };
  readonly grpc!: {
    readonly host: string;
    readonly port: number;
    readonly tls: { readonly certificateFile: string; readonly keyFile: string } | null;
  };
  readonly dataDirectory!: string;
  readonly logLevel!: string;
  /** What one API token may ask. */
  readonly requestsPerMinuteMax!: number;
  /** What an organisation may use that has no limits of its own. */
  readonly limits!: {
    readonly rowsPerSecondMax: number;
    readonly hostsMax: number;
    readonly seriesMax: number;
    readonly queryRowsPerMinuteMax: number;
    readonly queriesAtOnceMax: number;
  };
  /** What queries may ask of ClickHouse at a time, over all organisations; of those that wait `waitingMax` are one's. */
  readonly statements!: {
    /** null: as ClickHouse has cores. */
    readonly runningMax: number | null;
    readonly waitingMax: number;
    readonly waitMsMax: number;
  };
  readonly clickhouse!: {
    readonly url: string;
    readonly database: string;
    readonly username: string;
    readonly password: string;
    /** null: one server. `nodeUrls` is empty where the servers hand statements on to each other. */
    readonly cluster: { readonly name: string; readonly replicated: boolean; readonly nodeUrls: readonly string[] } | null;
  };
  readonly retention!: Retention;
  /** null: what the disks hold. */
  readonly storageBytesMax!: number | null;
  /** undefined: the embedded Postgres in the data directory. */
  readonly databaseUrl!: string | undefined;
}

/** A variable is missing, malformed or names a file that cannot be read. The message names variables, never values. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Reads the settings.
 * @returns the settings and, as sentences, what looks like a mistake but is not fatal (unknown WAGGLE_API_ variables).
 * @throws ConfigError listing every variable that is wrong
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): { config: Config; warnings: string[] } {
  // A variable set to nothing means "not set", as in a compose file with an empty default.
  const present = Object.fromEntries(Object.entries(environment).filter(([name, value]) => name.startsWith("WAGGLE_") && value !== ""));
  const parsed = environmentSchema.safeParse(present);
  const problems: string[] = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${describe(issue)}`);
  const env = parsed.success ? parsed.data : undefined;

  const secret = (name: "WAGGLE_CLICKHOUSE_PASSWORD" | "WAGGLE_DATABASE_URL"): string | undefined => {
    const file = env?.[`${name}_FILE`];
    if (file === undefined) return env?.[name];
    if (env?.[name] !== undefined) problems.push(`${name} and ${name}_FILE are both set; keep one`);
    try {
      return readFileSync(file, "utf8").trim();
    } catch (error) {
      problems.push(`${name}_FILE: the file cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`);
      return undefined;
    }
  };
  const clickhouseUrl = new URL(env?.WAGGLE_CLICKHOUSE_URL ?? "http://invalid");
  const databaseOfUrl = decodeURIComponent(clickhouseUrl.pathname.slice(1));
  if (databaseOfUrl !== "" && !DATABASE_NAME.test(databaseOfUrl))
    problems.push("WAGGLE_CLICKHOUSE_URL: the database in the path must be letters, digits and _");
  const password = secret("WAGGLE_CLICKHOUSE_PASSWORD") ?? decodeURIComponent(clickhouseUrl.password);
  const databaseUrl = secret("WAGGLE_DATABASE_URL");
  const certificateFile = env?.WAGGLE_API_GRPC_TLS_CERTIFICATE_FILE;
  const keyFile = env?.WAGGLE_API_GRPC_TLS_KEY_FILE;
  if ((certificateFile === undefined) !== (keyFile === undefined)) {
    problems.push("WAGGLE_API_GRPC_TLS_CERTIFICATE_FILE and WAGGLE_API_GRPC_TLS_KEY_FILE belong together; set both or none");
  }
  const nodeUrls = readUrls(env?.WAGGLE_CLICKHOUSE_NODE_URLS, problems);
  if (nodeUrls.length > 0 && env?.WAGGLE_CLICKHOUSE_CLUSTER === undefined) {
    problems.push("WAGGLE_CLICKHOUSE_NODE_URLS needs WAGGLE_CLICKHOUSE_CLUSTER, the name under which the servers know each other");
  }
  const retention = readRetention(env?.WAGGLE_API_RETENTION, problems);
  if (env === undefined || problems.length > 0) throw new ConfigError(`the environment is not usable:\n  ${problems.join("\n  ")}`);

  const warnings = Object.keys(present)
    .filter((name) => /^WAGGLE_(API|CLICKHOUSE|DATABASE)_/.test(name) && !(name in environmentSchema.shape))
    .map((name) => `${name} is not a variable of this version and has no effect`);
  const config: Config = {
    http: { host: env.WAGGLE_API_HTTP_HOST, port: env.WAGGLE_API_HTTP_PORT },
    grpc: {
      host: env.WAGGLE_API_GRPC_HOST,
      port: env.WAGGLE_API_GRPC_PORT,
      tls: certificateFile !== undefined && keyFile !== undefined ? { certificateFile, keyFile } : null,
    },
    dataDirectory: resolve(env.WAGGLE_API_DATA_DIRECTORY),
    logLevel: env.WAGGLE_API_LOG_LEVEL,
    limits: {
      rowsPerSecondMax: env.WAGGLE_API_LIMIT_ROWS_PER_SECOND,
      hostsMax: env.WAGGLE_API_LIMIT_HOSTS,
      seriesMax: env.WAGGLE_API_LIMIT_SERIES,
      queryRowsPerMinuteMax: env.WAGGLE_API_LIMIT_QUERY_ROWS_PER_MINUTE,
      queriesAtOnceMax: env.WAGGLE_API_LIMIT_QUERIES_AT_ONCE,
    },
    requestsPerMinuteMax: env.WAGGLE_API_LIMIT_REQUESTS_PER_MINUTE,
    statements: {
      runningMax: env.WAGGLE_API_LIMIT_STATEMENTS_AT_ONCE ?? null,
      waitingMax: env.WAGGLE_API_LIMIT_STATEMENTS_WAITING,
      waitMsMax: env.WAGGLE_API_LIMIT_STATEMENT_WAIT_SECONDS * 1_000,
    },
    clickhouse: {
      url: clickhouseUrl.origin,
      database: env.WAGGLE_CLICKHOUSE_DATABASE ?? (databaseOfUrl || "waggle"),
      username: env.WAGGLE_CLICKHOUSE_USERNAME ?? (decodeURIComponent(clickhouseUrl.username) || "default"),
      password,
      cluster:
        env.WAGGLE_CLICKHOUSE_CLUSTER === undefined
          ? null
          : { name: env.WAGGLE_CLICKHOUSE_CLUSTER, replicated: env.WAGGLE_CLICKHOUSE_REPLICATED === "true", nodeUrls },
    },
    retention,
    storageBytesMax: env.WAGGLE_API_STORAGE_BYTES_MAX ?? null,
    databaseUrl,
  };
  return { config, warnings };
}

/** Origins only: user and password are those of WAGGLE_CLICKHOUSE_URL for every server. */
function readUrls(text: string | undefined, problems: string[]): string[] {
  const urls: string[] = [];
  for (const [index, part] of (text ?? "").split(",").entries()) {
    if (part.trim() === "") continue;
    const url = URL.canParse(part.trim()) ? new URL(part.trim()) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol))
      problems.push(`WAGGLE_CLICKHOUSE_NODE_URLS: entry ${index + 1} must be a URL with the right scheme`);
    else if (url.username !== "" || url.password !== "")
      problems.push(`WAGGLE_CLICKHOUSE_NODE_URLS: entry ${index + 1} carries a user; set WAGGLE_CLICKHOUSE_USERNAME`);
    else urls.push(url.origin);
  }
  return urls;
}

function readRetention(text: string | undefined, problems: string[]): Retention {
  if (text === undefined) return Retention.default;
  try {
    return Retention.parse(text);
  } catch (error) {
    if (!(error instanceof RetentionError)) throw error;
    problems.push(`WAGGLE_API_RETENTION: ${error.message}`);
    return Retention.default;
  }
}

/** zod's own texts may quote the value; these do not. */
function describe(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${issue.expected}`;
    case "too_small":
      return `must be at least ${String(issue.minimum)}`;
    case "too_big":
      return `must be at most ${String(issue.maximum)}`;
    case "invalid_format":
      return issue.format === "url" ? "must be a URL with the right scheme" : issue.message;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    default:
      return "is not valid";
  }
}
