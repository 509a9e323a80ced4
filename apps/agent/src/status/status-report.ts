// SPDX-License-Identifier: Apache-2.0
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeDirectory } from "@waggle/directory";
import type { CoverageState } from "@waggle/signals";
import type { SettingsInForce } from "../settings/settings-keeper.ts";
import type { SpoolState } from "../spool/spool.ts";
import type { StreamState } from "../stream/ingest-stream.ts";
import type { GovernorReport, MapFill } from "../window/source.ts";
import type { SpooledWindow } from "../window/window-loop.ts";

/** Resident memory that the agent promises to stay within on an ordinary host. */
export const RSS_BYTES_MAX = 90_000_000;

/** What the running agent says of itself, written to status.json with every window. Holds no secrets. */
export interface StatusReport {
  readonly formatVersion: 4;
  readonly pid: number;
  readonly agentVersion: string;
  readonly bootId: string;
  readonly startedAtMs: number;
  readonly writtenAtMs: number;
  /** Set by the last report of an agent that was told to stop. */
  readonly stoppedAtMs: number | null;
  readonly api: string;
  readonly windowMs: number;
  /** Settings of the server that are in force; null: it never set anything. */
  readonly settings: SettingsInForce | null;
  readonly windows: number;
  readonly stream: StreamState;
  readonly spool: SpoolState;
  readonly lastWindow: LastWindow | null;
}

export interface LastWindow {
  readonly sequence: number;
  readonly startMs: number;
  readonly lengthMs: number;
  readonly readMs: number;
  readonly programs: readonly {
    readonly program: string;
    readonly attached: boolean;
    readonly reason: string;
    readonly eventsPerSecond: number;
    readonly nsPerEvent: number;
    /** Share of one core spent inside the program. */
    readonly coreRatio: number;
  }[];
  readonly signals: readonly { readonly signal: string; readonly state: CoverageState; readonly reason: string; readonly rows: number }[];
  /** What could not be kept as it should (`agent_drops`). */
  readonly drops: readonly { readonly place: string; readonly cause: string; readonly lost: number; readonly merged: number }[];
  /** How much of what each signal counted stands under a process and a unit (`agent_attribution`). */
  readonly attribution: readonly { readonly signal: string; readonly counted: number; readonly withProcess: number; readonly withUnit: number }[];
  readonly accounting: readonly { readonly quantity: string; readonly counted: number; readonly kernel: number }[];
  readonly rssBytes: number;
  /** Share of one core used by the agent's process. */
  readonly cpuRatio: number;
  readonly mapBytes: number;
  /** What all maps were planned to take, and may; null where there are none. */
  readonly mapPlan: { readonly bytes: number; readonly bytesMax: number } | null;
  /** The maps of signals: entries of the window, and room for them. */
  readonly maps: readonly { readonly map: string; readonly entries: number; readonly entriesMax: number; readonly bytes: number }[];
  /** All maps that are emptied with windows; of those with two copies each as it was when it was last read. */
  readonly fills: readonly MapFill[];
  /** Budget, price and what is done to keep to it; null where nothing is governed. */
  readonly governor: GovernorReport | null;
}

/**
 * The window as people look at it: per second, per event, per core.
 * @param before fills of the window before, which was counted in the other copies
 */
export function summariseWindow({ sequence, window, data, own, assembled }: SpooledWindow, before: readonly MapFill[] = []): LastWindow {
  const seconds = window.lengthMs / 1000;
  return {
    sequence,
    startMs: window.startMs,
    lengthMs: window.lengthMs,
    readMs: Math.round(data.readMs * 10) / 10,
    programs: data.programs.map(({ program, attached, reason, events, kernelNs }) => ({
      program,
      attached,
      reason,
      eventsPerSecond: Number(events) / seconds,
      nsPerEvent: events === 0n ? 0 : Number(kernelNs) / Number(events),
      coreRatio: Number(kernelNs) / 1e9 / seconds,
    })),
    signals: assembled.coverage.map(({ signal, state, reason }) => ({ signal, state, reason, rows: assembled.rows.get(signal) ?? 0 })),
    drops: assembled.drops.map(({ place, cause, lost, merged }) => ({ place, cause, lost: Number(lost), merged: Number(merged) })),
    attribution: assembled.attribution.map(({ signal, counted, withProcess, withUnit }) => ({
      signal,
      counted: Number(counted),
      withProcess: Number(withProcess),
      withUnit: Number(withUnit),
    })),
    accounting: data.accounting.map(({ quantity, counted, kernel }) => ({ quantity, counted: Number(counted), kernel: Number(kernel) })),
    rssBytes: Number(own.rssBytes),
    cpuRatio: Number(own.cpuNs) / 1e9 / seconds,
    mapBytes: data.mapBytes,
    mapPlan: data.mapPlan ?? null,
    maps: data.maps ?? [],
    fills: mergeFills(before, data.fills ?? []),
    governor: data.governor ?? null,
  };
}

/** Fills of both copies: of those that were not read now, as they were before. */
export function mergeFills(before: readonly MapFill[], now: readonly MapFill[]): MapFill[] {
  const nameOf = ({ map, copy }: MapFill): string => `${map}_${copy}`;
  return [...new Map([...before, ...now].map((fill) => [nameOf(fill), fill])).values()];
}

const statusFile = (stateDirectory: string) => join(stateDirectory, "status.json");

/** Replaces status.json; readable by everyone, as it is for people. Throws if the directory cannot be written. */
export function writeStatusReport(stateDirectory: string, report: StatusReport): void {
  const path = statusFile(stateDirectory);
  makeDirectory(dirname(path), 0o755);
  writeFileSync(`${path}.tmp`, `${JSON.stringify(report)}\n`, { mode: 0o644 });
  renameSync(`${path}.tmp`, path);
}

/** Reads status.json. Throws an Error that names the file: absent (never ran here), closed to this user, or not of this version. */
export function readStatusReport(stateDirectory: string): StatusReport {
  const path = statusFile(stateDirectory);
  let report: StatusReport;
  try {
    report = JSON.parse(readFileSync(path, "utf8")) as StatusReport;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Error(`there is no ${path}: no agent has run with this state directory (WAGGLE_AGENT_STATE_DIRECTORY)`);
    if (code === "EACCES") throw new Error(`${path} may not be read by this user; run as the agent's user or as root`);
    throw new Error(`${path} is no status report: ${(error as Error).message}`);
  }
  if (report.formatVersion !== 4) throw new Error(`${path} was written by another version of the agent`);
  return report;
}

/** Why the report's agent is not running now; undefined if it is. */
export function whyNotRunning(report: StatusReport, nowMs: number, processExists: (pid: number) => boolean = exists): string | undefined {
  if (report.stoppedAtMs !== null) return "it was stopped";
  if (!processExists(report.pid)) return `its process ${report.pid} is gone`;
  const silentMs = nowMs - report.writtenAtMs;
  if (silentMs > 3 * report.windowMs + 5_000) return `its process ${report.pid} has reported nothing for ${Math.round(silentMs / 1000)} s`;
  return undefined;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
