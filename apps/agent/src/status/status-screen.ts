// SPDX-License-Identifier: Apache-2.0
import { formatBytes, formatCount, formatDuration, formatMoment, formatRate, formatRatio } from "@waggle/units";
import type { SpoolState } from "../spool/spool.ts";
import type { StreamState } from "../stream/ingest-stream.ts";
import type { GovernorReport } from "../window/source.ts";
import { type LastWindow, RSS_BYTES_MAX, type StatusReport } from "./status-report.ts";
import { table } from "./table.ts";

/** One screen for people: is it connected, is anything waiting or lost, what does each program cost. */
export function renderStatus(report: StatusReport, nowMs: number, notRunning: string | undefined): string {
  const { stream, spool } = report;
  const moment = (ms: number | undefined) =>
    ms === undefined ? "never" : `${formatMoment(ms, nowMs, "local")} (${formatDuration((nowMs - ms) * 1e6)} ago)`;
  const lines = [
    notRunning === undefined
      ? `waggle-agent ${report.agentVersion} is running (process ${report.pid})`
      : `waggle-agent is not running: ${notRunning}`,
    "",
    ...table([
      ["API", report.api],
      ["host", stream.hostName === undefined ? "not enrolled yet" : `${stream.hostName} (${stream.hostId})`],
      [
        "stream",
        stream.connectedSinceMs === undefined
          ? `${stream.phase}${stream.lastError === undefined ? "" : `: ${stream.lastError}`}`
          : `connected since ${moment(stream.connectedSinceMs)}`,
      ],
      ["last ack", moment(stream.lastAckAtMs)],
      ["settings", describeSettings(report.settings)],
      [
        "windows",
        `${formatCount(report.windows)} of ${formatDuration(report.windowMs * 1e6)} since ${moment(report.startedAtMs)}, ${formatCount(stream.acknowledgedFrames)} acknowledged`,
      ],
      [
        "spool",
        `${formatCount(spool.windows)} windows waiting in ${formatCount(spool.frames)} frames, ${formatBytes(spool.bytes)}${spool.memoryFrames > 0 ? `, ${spool.memoryFrames} of them in memory: ${spool.problem}` : ""}`,
      ],
      ...(stream.backlogFrames === 0 ? [] : [["backlog", describeBacklog(stream)]]),
      ...(spool.coarsenedWindows === 0 && spool.coarseLengthMs === undefined ? [] : [["coarsened", describeCoarsening(spool)]]),
      [
        "lost",
        `${formatCount(spool.lostWindows)} windows in ${spool.droppedFrames} dropped and ${spool.corruptFrames} unreadable frames; frames refused: ${spool.refusedFrames}${stream.lastRefusal === undefined ? "" : ` (last: ${stream.lastRefusal})`}`,
      ],
      ["clock", describeClock(stream)],
      ...describeThrottle(stream, nowMs),
    ]),
  ];
  if (report.lastWindow === null) return [...lines, "", "no window has ended yet", ""].join("\n");
  return [...lines, "", ...renderWindow(report.lastWindow), ""].join("\n");
}

function describeClock({ clockOffsetMs, connects }: StreamState): string {
  if (clockOffsetMs !== 0)
    return `${formatDuration(Math.abs(clockOffsetMs) * 1e6)} ${clockOffsetMs < 0 ? "ahead of" : "behind"} the API's; windows are corrected`;
  return connects === 0 ? "not held against the API's yet: there was no connection since the start" : "agrees with the API's";
}

function describeBacklog({ backlogFrames, backlogFramesPerSecond }: StreamState): string {
  const waiting = `${formatCount(backlogFrames)} frames behind the newest`;
  return backlogFramesPerSecond === undefined
    ? `${waiting}, none went in the last minute`
    : `${waiting}, gone in ${formatDuration((backlogFrames / backlogFramesPerSecond) * 1e9)} at ${formatRate(backlogFramesPerSecond)}`;
}

/** What is not named holds as the agent's own configuration says. */
function describeSettings(inForce: StatusReport["settings"]): string {
  if (inForce === null || inForce.settings.revision === 0) return "own configuration; nothing is set on the server";
  const { settings, problems, from } = inForce;
  const { windowMs, rowsMax, cpuBudgetCores, signalsOff, watchedProcesses } = settings;
  const set = [
    ...(windowMs === null ? [] : [`windows of ${formatDuration(windowMs * 1e6)}`]),
    ...(rowsMax === null ? [] : [`${formatCount(rowsMax)} rows`]),
    ...(cpuBudgetCores === null ? [] : [`CPU budget ${formatRatio(cpuBudgetCores)} of a core`]),
    ...(signalsOff.length === 0 ? [] : [`off: ${signalsOff.join(" ")}`]),
    ...(watchedProcesses.length === 0 ? [] : [`watched: ${watchedProcesses.join(" ")}`]),
  ];
  const origin = from === "server" ? "told by the server" : "kept from an earlier life, the server has not spoken yet";
  const words = `revision ${settings.revision}, ${origin}: ${set.length === 0 ? "nothing but the own configuration" : set.join(", ")}`;
  return problems.length === 0 ? words : `${words}; NOT FOLLOWED: ${problems.join("; ")}`;
}

function describeCoarsening({ coarsenedWindows, coarseLengthMs }: SpoolState): string {
  const sofar = `${formatCount(coarsenedWindows)} were merged into longer ones`;
  return coarseLengthMs === undefined
    ? sofar
    : `${sofar}; the spool is filling, waiting windows are merged to ${formatDuration(coarseLengthMs * 1e6)}`;
}

function describeThrottle({ throttledUntilMs, backlogThrottledUntilMs, throttleReason }: StreamState, nowMs: number): string[][] {
  const untilMs = throttledUntilMs ?? backlogThrottledUntilMs;
  if (untilMs === undefined) return [];
  const what = throttledUntilMs === undefined ? "the backlog" : "all windows";
  return [["throttled", `${what} until ${formatMoment(untilMs, nowMs, "local")}${throttleReason === "" ? "" : `: ${throttleReason}`}`]];
}

function renderWindow(window: LastWindow): string[] {
  const { mapPlan, governor } = window;
  const kernelRatio = window.programs.reduce((sum, program) => sum + program.coreRatio, 0);
  return [
    ...table([
      [
        "memory",
        `${formatBytes(window.rssBytes)} of ${formatBytes(RSS_BYTES_MAX)}${window.rssBytes > RSS_BYTES_MAX ? ", TOO MUCH" : ""}; BPF maps ${formatBytes(window.mapBytes)}${mapPlan === null ? "" : `, planned ${formatBytes(mapPlan.bytes)} of ${formatBytes(mapPlan.bytesMax)}`}`,
      ],
      [
        "CPU",
        `${formatRatio(window.cpuRatio)} of a core; programs in the kernel ${formatRatio(governor?.kernel ?? kernelRatio)}${governor === null ? "" : ` with entering them; budget of both ${formatRatio(governor.budget)}`}`,
      ],
      ...(governor === null ? [] : [["saving", describeSavings(governor)]]),
      ["fullest maps", describeFill(window)],
      [
        "last window",
        `${formatDuration(window.lengthMs * 1e6)}, read in ${formatDuration(window.readMs * 1e6)}${governor?.endedEarly ? `; ended early: ${governor.endedEarly}` : ""}`,
      ],
    ]),
    "",
    ...table([
      ["PROGRAM", "EVENTS/S", "PER EVENT", "OF A CORE", ""],
      ...window.programs.map(({ program, attached, reason, eventsPerSecond, nsPerEvent, coreRatio }) =>
        attached
          ? [program, formatRate(eventsPerSecond), nsPerEvent === 0 ? "–" : formatDuration(nsPerEvent), formatRatio(coreRatio), ""]
          : [program, "–", "–", "–", `not attached: ${reason}`],
      ),
    ]),
    "",
    ...table([
      ["SIGNAL", "ROWS", "OF A PROCESS", "OF A UNIT", "STATE", ""],
      ...window.signals.map(({ signal, rows, state, reason }) => [signal, formatCount(rows), ...describeOwners(window, signal), state, reason]),
    ]),
    "",
    ...(window.drops.length === 0
      ? ["nothing was dropped in the last window"]
      : [
          "not kept as it should be in the last window:",
          ...table(window.drops.map(({ place, cause, lost, merged }) => [`  ${place}`, cause.replaceAll("_", " "), describeDrop(lost, merged)])),
        ]),
  ];
}

function describeOwners({ attribution }: LastWindow, signal: string): [string, string] {
  const found = attribution.find((entry) => entry.signal === signal);
  if (found === undefined || found.counted === 0) return ["–", "–"];
  return [formatRatio(found.withProcess / found.counted), formatRatio(found.withUnit / found.counted)];
}

function describeDrop(lost: number, merged: number): string {
  return [...(lost > 0 ? [`${formatCount(lost)} lost`] : []), ...(merged > 0 ? [`${formatCount(merged)} merged`] : [])].join(", ");
}

function describeSavings({ steps, predicted, budget, isExhausted }: GovernorReport): string {
  const left = isExhausted
    ? `; ${formatRatio(predicted)} of a core is OVER BUDGET (${formatRatio(budget)}), and nothing is left that would help`
    : "";
  return steps.length === 0 ? `nothing${left}` : `${steps.map(({ words, saves }) => `${words} (${formatRatio(saves)})`).join("; ")}${left}`;
}

/** Maps that are full lose dimensions. */
function describeFill({ maps }: LastWindow): string {
  const fullest = maps
    .filter(({ entries }) => entries > 0)
    .toSorted((a, b) => b.entries / b.entriesMax - a.entries / a.entriesMax)
    .slice(0, 3);
  return fullest.length === 0 ? "all empty" : fullest.map(({ map, entries, entriesMax }) => `${map} ${formatRatio(entries / entriesMax)}`).join(", ");
}
