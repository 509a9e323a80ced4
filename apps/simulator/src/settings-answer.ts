// SPDX-License-Identifier: Apache-2.0
import type { Config, Settings, SettingsReport } from "@waggle/proto";
import { everySignal } from "./workload/selection.ts";

/** Sets that were asked for before: one for all hosts of an organisation, so that what is made of it is made once. */
const knownSets = new Map<string, ReadonlySet<string>>();
const SETS_MAX = 1_000;

/** Signals that people switched off on the host. */
export function signalsOffOf({ settings }: Config): ReadonlySet<string> {
  const names = settings?.signalsOff ?? [];
  const key = names.join();
  let off = knownSets.get(key);
  if (off === undefined) {
    if (knownSets.size >= SETS_MAX) knownSets.clear();
    off = new Set(names);
    knownSets.set(key, off);
  }
  return off;
}

/** What a host can do of what it is told. */
export interface SettingsAbilities {
  /** The length that it makes its windows when asked for one, ms. */
  readonly lengthFor: (askedMs: number) => number;
  /** It repeats an earlier run: windows stay as they are. */
  readonly isReplay: boolean;
}

/**
 * What a simulated host acknowledges of the settings it was told. It follows window length, signals and row cap; of the rest it says that it does not.
 */
export function settingsAnswer(settings: Settings, { lengthFor, isReplay }: SettingsAbilities): SettingsReport {
  const { windowMs, signalsOff, rowsMax } = settings;
  const problems: string[] = [];
  if (isReplay) {
    if (windowMs !== undefined || rowsMax !== undefined || signalsOff.length > 0)
      problems.push("this host is simulated and goes on with an earlier run, whose windows stay as they were");
  } else {
    if (windowMs !== undefined && lengthFor(windowMs) !== windowMs)
      problems.push(`this host is simulated in steps; windows of ${windowMs} ms become ${lengthFor(windowMs)} ms`);
    const unknown = signalsOff.filter((name) => !everySignal.has(name));
    if (unknown.length > 0) problems.push(`this version does not know ${unknown.join(", ")}`);
  }
  if (settings.watchedProcesses.length > 0) problems.push("this host is simulated and does not prefer processes");
  if (settings.cpuBudgetCores !== undefined) problems.push("this host is simulated and has no CPU time to budget");
  return { revision: settings.revision, problems };
}
