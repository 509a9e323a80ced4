// SPDX-License-Identifier: Apache-2.0
import { formatCount, formatDuration, formatMoment, formatRate, formatRatio } from "@waggle/units";
import { loadConfig } from "../config/config.ts";
import { KERNEL_BTF_PATH, KernelBtf } from "../kernel/kernel-btf.ts";
import { predictPrograms } from "../probes/prediction.ts";
import { type ProbeMap, type ProbeReport, reportOfRunning, reportWithout } from "../probes/probe-report.ts";
import { readStatusReport, type StatusReport, whyNotRunning } from "../status/status-report.ts";
import { table } from "../status/table.ts";

/** `waggle-agent probes list`: what feeds each signal, how well, and at what price. Returns the exit code, 0: what cannot be known is said. */
export function listProbes(environment: NodeJS.ProcessEnv, options: { json: boolean }, print: (text: string) => void): number {
  const report = readProbes(loadConfig(environment).config.stateDirectory);
  print(options.json ? JSON.stringify(report, null, 2) : renderProbes(report, Date.now()));
  return 0;
}

function readProbes(stateDirectory: string): ProbeReport {
  let status: StatusReport;
  let why: string | undefined;
  try {
    status = readStatusReport(stateDirectory);
    why = whyNotRunning(status, Date.now());
    if (why === undefined) return reportOfRunning(status);
  } catch (error) {
    why = (error as Error).message;
  }
  const kernel = KernelBtf.open();
  if (kernel === null) return reportWithout(`no agent runs (${why}), and ${KERNEL_BTF_PATH} cannot be read`);
  return reportWithout(
    `no agent runs (${why}): coverage is what this kernel's BTF lets expect, price and fill are not known`,
    predictPrograms(kernel),
  );
}

/** One line per signal, and one per further program that feeds it. */
export function renderProbes({ basis, why, windowEndMs, windowMs, signals, sharedMaps }: ProbeReport, nowMs: number): string {
  const rows: string[][] = [
    ["SIGNAL", basis === "running" ? "COVERAGE" : "EXPECTED", "ROWS", "HOOK", "EVENTS/S", "PER EVENT", "OF A CORE", "MAP A / B OF MAX"],
  ];
  const notes: string[] = [];
  for (const { signal, state, reason, rows: count, hooks, programs, map } of signals) {
    const lines =
      programs.length === 0
        ? [{ hook: hooks.join(", ") || "–", price: ["–", "–", "–"] }]
        : programs.map((program) => ({ hook: program.hook, price: priceOf(program) }));
    for (const [index, { hook, price }] of lines.entries()) {
      const isFirst = index === 0;
      rows.push([
        isFirst ? signal : "",
        isFirst ? (state ?? "?") : "",
        isFirst && count !== null ? formatCount(count) : isFirst ? "–" : "",
        hook,
        ...price,
        isFirst ? fillOf(map) : "",
      ]);
    }
    if (reason !== "" && state !== null) notes.push(`  ${signal}: ${reason}`);
  }
  const head =
    basis === "running" && windowEndMs !== null && windowMs !== null
      ? `window of ${formatDuration(windowMs * 1e6)} that ended ${formatMoment(windowEndMs, nowMs, "local")} (${formatDuration((nowMs - windowEndMs) * 1e6)} ago)`
      : why;
  return [
    head,
    "",
    ...table(rows),
    ...(sharedMaps.length === 0 ? [] : ["", "maps of all signals together:", ...table(sharedMaps.map((map) => [`  ${map.map}`, fillOf(map)]))]),
    ...(notes.length === 0 ? [] : ["", "not exact:", ...notes]),
  ].join("\n");
}

function priceOf({ attached, eventsPerSecond, nsPerEvent, coreRatio }: ProbeReport["signals"][number]["programs"][number]): string[] {
  if (attached === false) return ["not attached", "–", "–"];
  if (eventsPerSecond === null || coreRatio === null) return ["–", "–", "–"];
  return [formatRate(eventsPerSecond), nsPerEvent === null ? "–" : formatDuration(nsPerEvent), formatRatio(coreRatio)];
}

function fillOf(map: ProbeMap | null): string {
  if (map === null || map.entriesMax === null) return "–";
  const count = (entries: number | null): string => (entries === null ? "–" : formatCount(entries));
  const copies = map.entriesB === null ? count(map.entriesA) : `${count(map.entriesA)} / ${count(map.entriesB)}`;
  return `${copies} of ${formatCount(map.entriesMax)} (${formatRatio(Math.max(map.entriesA ?? 0, map.entriesB ?? 0) / map.entriesMax)})`;
}
