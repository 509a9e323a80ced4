// SPDX-License-Identifier: Apache-2.0
import { Command, InvalidArgumentError } from "commander";
import { type FaultKind, faultKinds, parseFaults } from "./faults.ts";
import { roles } from "./fleet.ts";
import { type Incident, incidentKinds, parseIncident, parseTime } from "./incident.ts";
import { rowsDefault, rowsMin } from "./workload/row-shares.ts";
import { everySignal, parseSignals } from "./workload/selection.ts";

export interface SimulatorOptions {
  readonly hosts: number;
  readonly rows: number;
  /** Names of the signals that are made up. */
  readonly signals: ReadonlySet<string>;
  readonly windowMs: number;
  readonly seed: number;
  /** Infinite for `max`. */
  readonly speed: number;
  readonly addresses: readonly string[];
  readonly tokenFile: string;
  readonly connections: number;
  /** Unix ms, a multiple of `windowMs`. */
  readonly fromMs: number;
  /** Unix ms; infinite unless asked for. */
  readonly untilMs: number;
  /** Infinite unless asked for. */
  readonly durationMs: number;
  readonly incidents: readonly Incident[];
  readonly faults: readonly FaultKind[];
  readonly ledger: string | undefined;
  readonly ledgerForm: "windows" | "totals";
  readonly resume: boolean;
  readonly inFlightBytesMax: number;
}

const MEBIBYTE = 1024 * 1024;
/** Hosts that share a connection unless asked for otherwise. */
const HOSTS_PER_CONNECTION = 100;

const wholeNumber = (min: number, max: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
  return value;
};

/** Runs a parser that throws in words, as one of commander's. */
function orExplain<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function addressesOf(text: string): string[] {
  const addresses = text.split(",");
  for (const address of addresses) {
    const port = /^(?:\[[0-9a-fA-F:]+\]|[^:\s/]+):(\d{1,5})$/.exec(address)?.[1];
    if (port === undefined || Number(port) < 1 || Number(port) > 65_535) throw new InvalidArgumentError(`"${address}" is no host:port`);
  }
  return addresses;
}

/**
 * Reads the command line. Ends the process with a message for `--help` and for words that make no sense.
 * @param nowMs what `now` means in times
 */
export function parseOptions(words: readonly string[], nowMs: number): SimulatorOptions {
  const command = new Command("waggle simulate")
    .description("A fleet of made-up hosts over the real wire, marked as simulated. Host names start with sim-.")
    .option("--hosts <n>", "hosts in the fleet", wholeNumber(1, 100_000), 20)
    .option(
      "--rows <n>",
      `rows of a host and window on average, over all signals made up; agent_coverage adds one per signal; default: ${rowsDefault(everySignal)} of all signals, of some their part`,
      wholeNumber(1, 10_000),
    )
    .option(
      "--signals <list>",
      "families (tcp, net, …) and single signals that are made up, besides what a host says of itself; default: all that agents report",
      (text) => orExplain(() => parseSignals(text)),
    )
    .option("--window <seconds>", "length of a window", wholeNumber(1, 60), 10)
    .option("--seed <n>", "the same seed gives the same fleet and numbers", wholeNumber(0, 2 ** 31 - 1), 1)
    .option("--backfill <minutes>", "windows of the past to send first", wholeNumber(0, 10_080), 0)
    .option("--from <time>", "the same as a time: now-2h, 2026-11-21T10:00:00Z", (text) => orExplain(() => parseTime(text, nowMs)))
    .option("--until <time>", "stop when the windows up to then are delivered", (text) => orExplain(() => parseTime(text, nowMs)))
    .option(
      "--speed <factor>",
      "simulated time runs this much faster until it has caught up with now; max: as fast as the API takes it",
      speedOf,
      Infinity,
    )
    .option("--duration <seconds>", "stop after this long", wholeNumber(1, 86_400))
    .option(
      "--incident <spec>",
      `something that goes wrong, kind@start+length[:role], such as retransmits@now-30m+10m:web; kinds: ${incidentKinds.join(", ")}; roles: ${roles.join(", ")}; may be given several times`,
      (text, all: Incident[]) => [...all, orExplain(() => parseIncident(text, nowMs))],
      [] as Incident[],
    )
    .option(
      "--faults <list>",
      `what goes wrong on the sender's side: ${faultKinds.join(",")}`,
      (text) => orExplain(() => parseFaults(text)),
      [] as FaultKind[],
    )
    .option("--api <addresses>", "host:port of the ingest API; several, parted by commas, for several nodes", addressesOf, ["127.0.0.1:7302"])
    .option("--token-file <file>", "file with an enrolment token", ".waggle/data/enrolment-token")
    .option("--connections <n>", `TCP connections; default: one per ${HOSTS_PER_CONNECTION} hosts`, wholeNumber(1, 10_000))
    .option("--in-flight <mib>", "frames sent and not answered, of all hosts together", wholeNumber(1, 4_096), 24)
    .option("--ledger <file>", "append what was acknowledged, one JSON line per host and window")
    .option("--ledger-totals <file>", "the same, one line per host and hour")
    .option("--resume", "leave out the windows that the ledger holds already", false)
    .allowExcessArguments(false);
  command.parse(words, { from: "user" });
  const given = command.opts<{
    hosts: number;
    rows?: number;
    signals?: ReadonlySet<string>;
    window: number;
    seed: number;
    backfill: number;
    from?: number;
    until?: number;
    speed: number;
    duration?: number;
    incident: Incident[];
    faults: FaultKind[];
    api: string[];
    tokenFile: string;
    connections?: number;
    inFlight: number;
    ledger?: string;
    ledgerTotals?: string;
    resume: boolean;
  }>();
  const windowMs = given.window * 1_000;
  const floor = (ms: number): number => ms - (ms % windowMs);
  const fromMs = floor(given.from ?? floor(nowMs) - windowMs - given.backfill * 60_000);
  if (given.from !== undefined && given.backfill > 0) command.error("error: --from and --backfill say the same; keep one");
  if (given.ledger !== undefined && given.ledgerTotals !== undefined) command.error("error: --ledger and --ledger-totals exclude each other");
  if (given.resume && given.ledger === undefined) command.error("error: --resume needs --ledger: it says what was delivered");
  if (fromMs < 0) command.error("error: --from lies before 1970");
  if (given.until !== undefined && given.until <= fromMs) command.error("error: --until lies before the first window");
  if (given.until !== undefined && floor(given.until) <= fromMs)
    command.error(`error: no whole window of ${given.window} s lies before --until; the first ends at ${new Date(fromMs + windowMs).toISOString()}`);
  const signals = given.signals ?? everySignal;
  const least = rowsMin(signals);
  if (given.rows !== undefined && given.rows < least)
    command.error(`error: --rows ${given.rows} is too few: one of each of these signals takes ${least}; name fewer with --signals`);
  if (fromMs > nowMs) command.error("error: --from lies in the future");
  return {
    hosts: given.hosts,
    rows: given.rows ?? rowsDefault(signals),
    signals,
    windowMs,
    seed: given.seed,
    speed: given.speed,
    addresses: given.api,
    tokenFile: given.tokenFile,
    connections: Math.min(given.hosts, given.connections ?? Math.ceil(given.hosts / HOSTS_PER_CONNECTION)),
    fromMs,
    untilMs: given.until === undefined ? Number.POSITIVE_INFINITY : floor(given.until),
    durationMs: given.duration === undefined ? Number.POSITIVE_INFINITY : given.duration * 1_000,
    incidents: given.incident,
    faults: given.faults,
    ledger: given.ledger ?? given.ledgerTotals,
    ledgerForm: given.ledgerTotals === undefined ? "windows" : "totals",
    resume: given.resume,
    inFlightBytesMax: given.inFlight * MEBIBYTE,
  };
}

function speedOf(text: string): number {
  if (text === "max") return Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (!(value >= 1 && value <= 100_000)) throw new InvalidArgumentError("expected a factor from 1 to 100000, or max");
  return value;
}
