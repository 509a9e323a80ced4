// SPDX-License-Identifier: Apache-2.0
import { TAGS_MAX, tagProblem } from "@waggle/query";
import { catalogue, hostSignals } from "@waggle/signals";
import { type LogLevel, logLevels } from "../log.ts";

/** One environment variable: what it is for people, and how its text becomes a value. */
export interface Setting<T> {
  readonly variable: string;
  readonly help: string;
  /** What holds when the variable is unset, as text for the docs. */
  readonly fallback: string;
  /** Gets the variable's text, undefined if unset or empty. Throws an Error that says what is expected, without repeating the value. */
  readonly parse: (text: string | undefined) => T;
}

/** A configuration that cannot be used; `problems` has one sentence per variable. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}: ${problems.join("; ")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

function integer(fallback: number, min: number, max: number): (text: string | undefined) => number {
  return (text) => {
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) throw new Error(`expected a whole number from ${min} to ${max}`);
    return value;
  };
}

function boolean(fallback: boolean): (text: string | undefined) => boolean {
  return (text) => {
    if (text === undefined) return fallback;
    if (text !== "true" && text !== "false") throw new Error("expected true or false");
    return text === "true";
  };
}

function absolutePath(fallback: string): (text: string | undefined) => string;
function absolutePath(fallback?: undefined): (text: string | undefined) => string | undefined;
function absolutePath(fallback?: string) {
  return (text: string | undefined) => {
    if (text === undefined) return fallback;
    if (!text.startsWith("/")) throw new Error("expected an absolute path");
    return text.length > 1 ? text.replace(/\/+$/, "") : text;
  };
}

/** A share of one core, given in per cent. */
function corePercent(fallback: number): (text: string | undefined) => number {
  return (text) => {
    const value = text === undefined ? fallback : Number(text.replace(/\s*%$/, ""));
    if (!(value >= 0.1 && value <= 1_000)) throw new Error("expected per cent of one core, from 0.1 to 1000");
    return value / 100;
  };
}

function signalNames(text: string | undefined): ReadonlySet<string> {
  const names = (text ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const known = hostSignals.filter(({ family }) => family !== "agent").map(({ name }) => name);
  for (const name of names) {
    if (known.includes(name)) continue;
    if (catalogue.some((signal) => signal.name === name)) throw new Error(`${name} cannot be switched off: it says what the others are worth`);
    throw new Error(`there is no signal ${JSON.stringify(name.slice(0, 64))}; did you mean ${nearest(name, known)}?`);
  }
  return new Set(names);
}

/** Of the candidates the one that takes the fewest edits to get to. */
function nearest(word: string, candidates: readonly string[]): string {
  const distances = candidates.map((candidate) => editDistance(word.slice(0, 64), candidate));
  return candidates[distances.indexOf(Math.min(...distances))] as string;
}

/** Insertions, deletions and replacements of single characters (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min((next[j - 1] as number) + 1, (row[j] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] as number;
}

/** `env=prod,region=eu`. */
function hostTags(text: string | undefined): Readonly<Record<string, string>> {
  const entries = (text ?? "")
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "")
    .map((entry): [string, string] => {
      const equals = entry.indexOf("=");
      if (equals < 0) throw new Error("expected key=value pairs, separated by commas, such as env=prod,region=eu");
      return [entry.slice(0, equals).trim(), entry.slice(equals + 1).trim()];
    });
  for (const [index, [key, value]] of entries.entries()) {
    const problem = tagProblem(key, value);
    if (problem !== undefined) throw new Error(`tag ${index + 1}: ${problem}`);
  }
  const tags = Object.fromEntries(entries);
  if (Object.keys(tags).length < entries.length) throw new Error("the same key stands there twice");
  if (entries.length > TAGS_MAX) throw new Error(`expected at most ${TAGS_MAX} tags`);
  return tags;
}

function oneOf<const T extends string>(fallback: T, values: readonly T[]): (text: string | undefined) => T {
  return (text) => {
    if (text === undefined) return fallback;
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) throw new Error(`expected one of ${values.join(", ")}`);
    return value;
  };
}

/** Where the ingest API is: host and port for gRPC, and whether the connection is encrypted. */
export interface ApiAddress {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly encrypted: boolean;
}

function apiAddress(text = "http://127.0.0.1:7302"): ApiAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error("expected a URL such as https://waggle.example:7302");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new Error("expected http:// or https://");
  if (url.username !== "" || url.password !== "")
    throw new Error("must not hold a user name or password; the agent signs in with its own credential");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw new Error("expected scheme, host and port only, without a path");
  const encrypted = url.protocol === "https:";
  return {
    url: url.origin,
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? (encrypted ? 443 : 80) : Number(url.port),
    encrypted,
  };
}

/** True for addresses that never leave the machine. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Every variable the agent reads, in the order they are documented. */
export const settings = {
  api: {
    variable: "WAGGLE_AGENT_API_URL",
    help: "The API's gRPC ingest endpoint: http://host:port (plaintext) or https://host:port (TLS).",
    fallback: "http://127.0.0.1:7302",
    parse: apiAddress,
  },
  caFile: {
    variable: "WAGGLE_AGENT_CA_FILE",
    help: "PEM file with the certificate authorities that may sign the API's certificate.",
    fallback: "the authorities Node.js ships",
    parse: absolutePath(),
  },
  plaintextAllowed: {
    variable: "WAGGLE_AGENT_PLAINTEXT_ALLOWED",
    help: "Allows http:// to an address that is not this machine. The credential and the data then cross the network unencrypted.",
    fallback: "false",
    parse: boolean(false),
  },
  enrolmentTokenFile: {
    variable: "WAGGLE_AGENT_ENROLMENT_TOKEN_FILE",
    help: "File that holds an enrolment token (wgl_enr_…). Read when there is no credential yet, and when the API refuses the credential.",
    fallback: "none; the credential in the state directory is used",
    parse: absolutePath(),
  },
  stateDirectory: {
    variable: "WAGGLE_AGENT_STATE_DIRECTORY",
    help: "Directory for the credential, the spool and status.json. Must be writable and survive restarts.",
    fallback: "/var/lib/waggle-agent",
    parse: absolutePath("/var/lib/waggle-agent"),
  },
  windowMs: {
    variable: "WAGGLE_AGENT_WINDOW_MS",
    help: "Length of a window in milliseconds, 1000 to 60000; must divide a minute so that hosts line up. The API may ask for another one.",
    fallback: "10000",
    parse: (text) => {
      const value = integer(10_000, 1_000, 60_000)(text);
      if (60_000 % value !== 0) throw new Error("expected a divisor of 60000");
      return value;
    },
  },
  rowsMax: {
    variable: "WAGGLE_AGENT_ROWS_MAX",
    help: "Rows of one signal in one window at most, 100 to 20000; beyond, small rows give up dimensions to `~other`, who they were of last. Signals whose variety has no end have lower caps (docs/signals.md), and the API may ask for fewer.",
    fallback: "2000",
    parse: integer(2_000, 100, 20_000),
  },
  profileHz: {
    variable: "WAGGLE_AGENT_PROFILE_HZ",
    help: "Samples of the CPU profile per second and CPU, 1 to 199; 0 switches it off. A prime number does not keep step with what happens at even rates.",
    fallback: "49",
    parse: integer(49, 0, 199),
  },
  offCpuMinUs: {
    variable: "WAGGLE_AGENT_OFF_CPU_MIN_US",
    help: "Shortest wait that the off-CPU profile counts, in microseconds, 100 to 60000000.",
    fallback: "1000",
    parse: integer(1_000, 100, 60_000_000),
  },
  cpuBudget: {
    variable: "WAGGLE_AGENT_CPU_BUDGET",
    help: "Per cent of one core that the agent's process and its programs in the kernel may use together, 0.1 to 1000. Over it, the agent samples what is hot, coarsens keys and in the end switches signals off, says so as coverage, and comes back when there is room.",
    fallback: "10",
    parse: corePercent(10),
  },
  mapBytesMax: {
    variable: "WAGGLE_AGENT_MAP_BYTES_MAX",
    help: "Bytes of kernel memory that all BPF maps together may take, 4194304 to 1073741824. They are planned for the host's CPUs before they are made, and shrunk until they fit; what then has no room goes to `~other`.",
    fallback: "33554432 (32 MiB)",
    parse: integer(32 * 1024 * 1024, 4 * 1024 * 1024, 1024 ** 3),
  },
  signalsOff: {
    variable: "WAGGLE_AGENT_SIGNALS_OFF",
    help: "Signals that this host shall not measure, by name, separated by commas. Their coverage is `disabled`.",
    fallback: "none",
    parse: signalNames,
  },
  tags: {
    variable: "WAGGLE_AGENT_TAGS",
    help: "What this host is called by besides its name, such as env=prod,region=eu: queries filter and group by it. Tags that people set over REST go before these.",
    fallback: "none",
    parse: hostTags,
  },
  spoolBytesMax: {
    variable: "WAGGLE_AGENT_SPOOL_BYTES",
    help: "Bytes of unacknowledged windows kept on disk. From half of it on, windows that were never sent are merged to a minute, five minutes, an hour; beyond it the oldest are dropped. Both are counted.",
    fallback: "268435456 (256 MiB)",
    parse: integer(256 * 1024 * 1024, 1024 * 1024, 1024 ** 4),
  },
  spoolHoursMax: {
    variable: "WAGGLE_AGENT_SPOOL_HOURS",
    help: "Hours' worth of unacknowledged windows kept on disk, 1 to 8760; beyond it the oldest are dropped and counted. The API refuses what is older than it keeps single windows.",
    fallback: "168",
    parse: integer(168, 1, 8_760),
  },
  bpfDirectory: {
    variable: "WAGGLE_AGENT_BPF_DIRECTORY",
    help: "Directory of the compiled BPF objects (*.bpf.o).",
    fallback: "bpf/ beside the agent's bundle",
    parse: absolutePath(),
  },
  hostRoot: {
    variable: "WAGGLE_AGENT_HOST_ROOT",
    help: "Where the host's root directory is mounted, for an agent in a container. /proc and /sys below it are read.",
    fallback: "/",
    parse: absolutePath("/"),
  },
  logLevel: {
    variable: "WAGGLE_AGENT_LOG_LEVEL",
    help: `How much is logged to standard error: ${logLevels.join(", ")}.`,
    fallback: "info",
    parse: oneOf<LogLevel>("info", logLevels),
  },
} satisfies Record<string, Setting<unknown>>;

export type Config = { readonly [K in keyof typeof settings]: ReturnType<(typeof settings)[K]["parse"]> };

export interface LoadedConfig {
  readonly config: Config;
  /** Variables that look like ours and are not: a typing error would otherwise change nothing, silently. */
  readonly warnings: readonly string[];
}

/** Reads the configuration out of an environment. Throws a ConfigError with every problem at once, naming variables and never their values. */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): LoadedConfig {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings) as [string, Setting<unknown>][]) {
    const text = environment[setting.variable]?.trim();
    try {
      values[key] = setting.parse(text === "" ? undefined : text);
    } catch (error) {
      problems.push(`${setting.variable}: ${(error as Error).message}`);
    }
  }
  const config = values as Config;
  if (problems.length === 0 && !config.api.encrypted && !isLoopback(config.api.host) && !config.plaintextAllowed) {
    problems.push(
      `${settings.api.variable}: http:// to ${config.api.host} would send the credential unencrypted; use https://, or set ${settings.plaintextAllowed.variable}=true if the network is trusted`,
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { config, warnings: unknownVariables(environment) };
}

function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set(Object.values(settings).map((setting) => setting.variable));
  return Object.keys(environment)
    .filter((name) => name.startsWith("WAGGLE_AGENT_") && !known.has(name))
    .sort()
    .map((name) => `${name} is not a setting of this agent and has no effect; see \`waggle-agent run --help\` for the list`);
}
