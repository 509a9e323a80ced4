// SPDX-License-Identifier: Apache-2.0
import { type CoverageState, catalogue, type SignalFamily } from "@waggle/signals";
import type { StatusReport } from "../status/status-report.ts";
import { coverageOf } from "./coverage.ts";
import type { ProgramState } from "./program-state.ts";
import { programPlans } from "./programs.ts";

export interface ProbeProgram {
  readonly program: string;
  readonly hook: string;
  /** null: no agent runs that could tell. */
  readonly attached: boolean | null;
  /** Why it is not attached; empty if it is. */
  readonly reason: string;
  /** Of the last window; null: no agent runs. `nsPerEvent` is null where nothing was timed. */
  readonly eventsPerSecond: number | null;
  readonly nsPerEvent: number | null;
  /** Share of one core spent inside the program. A program that feeds several signals is paid for once. */
  readonly coreRatio: number | null;
}

export interface ProbeMap {
  readonly map: string;
  /** Keys when each copy was last read; null: not read yet, or no agent runs. */
  readonly entriesA: number | null;
  readonly entriesB: number | null;
  readonly entriesMax: number | null;
}

export interface ProbeSignal {
  readonly signal: string;
  readonly family: SignalFamily;
  /** Coverage of the last window; without a running agent what the kernel's description lets expect, or null where that does not tell. */
  readonly state: CoverageState | null;
  readonly reason: string;
  /** Rows of the last window; null: no agent runs. */
  readonly rows: number | null;
  /** Hooks in words, for signals that no program feeds. */
  readonly hooks: readonly string[];
  readonly programs: readonly ProbeProgram[];
  readonly map: ProbeMap | null;
}

/** What `probes list --json` prints. Fields are added, not changed, while `formatVersion` stays. */
export interface ProbeReport {
  readonly formatVersion: 1;
  /** `running`: out of the running agent's last window. `expected`: none runs; what this kernel's BTF lets expect, with nothing loaded. `unknown`: not even that. */
  readonly basis: "running" | "expected" | "unknown";
  /** Why there is no more, in words; empty if the agent runs. */
  readonly why: string;
  /** End (Unix ms) and length of the window; null without a running agent. */
  readonly windowEndMs: number | null;
  readonly windowMs: number | null;
  readonly signals: readonly ProbeSignal[];
  /** Maps that no signal has for itself: names of processes, texts and so on. */
  readonly sharedMaps: readonly ProbeMap[];
}

/** Out of the last window of an agent that runs. */
export function reportOfRunning(report: StatusReport): ProbeReport {
  const { lastWindow } = report;
  if (lastWindow === null) return { ...reportWithout("the agent runs, and has ended no window yet"), basis: "unknown" };
  const programs = new Map(lastWindow.programs.map((program) => [program.program, program]));
  const coverage = new Map(lastWindow.signals.map((signal) => [signal.signal, signal]));
  const signals = hostCatalogue().map(({ name, family, hooks, bpf }): ProbeSignal => {
    const found = coverage.get(name);
    return {
      signal: name,
      family,
      state: found?.state ?? null,
      reason: found?.reason ?? "the agent says nothing of it",
      rows: found?.rows ?? null,
      hooks,
      programs: plansFor(bpf?.programs ?? [], (program) => programs.has(program)).map(({ name: program, hook }) => {
        const seen = programs.get(program);
        if (seen === undefined) return { ...unseen(program, hook), attached: false, reason: "the agent does not know it" };
        const { attached, reason, eventsPerSecond, nsPerEvent, coreRatio } = seen;
        return attached
          ? { program, hook, attached, reason, eventsPerSecond, nsPerEvent: nsPerEvent > 0 ? nsPerEvent : null, coreRatio }
          : { ...unseen(program, hook), attached, reason };
      }),
      map: bpf === null ? null : mapOf(bpf.map, lastWindow.fills),
    };
  });
  const own = new Set(signals.flatMap(({ map }) => map?.map ?? []));
  const shared = [...new Set(lastWindow.fills.map(({ map }) => map))].filter((map) => !own.has(map));
  return {
    formatVersion: 1,
    basis: "running",
    why: "",
    windowEndMs: lastWindow.startMs + lastWindow.lengthMs,
    windowMs: lastWindow.lengthMs,
    signals,
    sharedMaps: shared.map((map) => mapOf(map, lastWindow.fills)),
  };
}

/**
 * Without an agent that runs.
 * @param expected how each program would fare, by the kernel's BTF; left out: there is none to ask
 */
export function reportWithout(why: string, expected?: readonly ProgramState[]): ProbeReport {
  const coverage = new Map((expected === undefined ? [] : coverageOf(expected)).map((entry) => [entry.signal, entry]));
  const states = new Map((expected ?? []).map((state) => [state.program, state]));
  return {
    formatVersion: 1,
    basis: expected === undefined ? "unknown" : "expected",
    why,
    windowEndMs: null,
    windowMs: null,
    signals: hostCatalogue().map(({ name, family, hooks, bpf }) => ({
      signal: name,
      family,
      state: coverage.get(name)?.state ?? null,
      reason: coverage.get(name)?.reason ?? "known once an agent runs",
      rows: null,
      hooks,
      programs: plansFor(bpf?.programs ?? [], (program) => states.has(program)).map(({ name: program, hook }) => ({
        ...unseen(program, hook),
        reason: states.get(program)?.failure?.message ?? "",
      })),
      map: bpf === null ? null : { map: bpf.map, entriesA: null, entriesB: null, entriesMax: null },
    })),
    sharedMaps: [],
  };
}

/** What hosts measure; the agent's words about itself need no probe. */
function hostCatalogue() {
  return catalogue.filter(({ source, family, bpf }) => source !== "server" && (family !== "agent" || bpf !== null));
}

/** Plans of the programs that a signal needs, and of those that stand in for one of them here. */
function plansFor(needed: readonly string[], isKnown: (program: string) => boolean) {
  return programPlans.filter(
    ({ name, insteadOf }) => needed.includes(name) || (insteadOf !== undefined && needed.includes(insteadOf.program) && isKnown(name)),
  );
}

function unseen(program: string, hook: string): ProbeProgram {
  return { program, hook, attached: null, reason: "", eventsPerSecond: null, nsPerEvent: null, coreRatio: null };
}

function mapOf(map: string, fills: NonNullable<StatusReport["lastWindow"]>["fills"]): ProbeMap {
  const of = (copy: "a" | "b" | null) => fills.find((fill) => fill.map === map && fill.copy === copy);
  const a = of("a") ?? of(null);
  const b = of("b");
  return { map, entriesA: a?.entries ?? null, entriesB: b?.entries ?? null, entriesMax: (a ?? b)?.entriesMax ?? null };
}
