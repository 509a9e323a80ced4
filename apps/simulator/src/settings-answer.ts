// SPDX-License-Identifier: Apache-2.0
import type { Settings, SettingsReport } from "@waggle/proto";

/**
 * What a simulated host acknowledges of the settings it was told. It follows window length and row cap through the Config itself; of the rest it says that it
 * does not.
 * @param lengthFor the length that it makes its windows when asked for one
 */
export function settingsAnswer(settings: Settings, lengthFor: (askedMs: number) => number): SettingsReport {
  const { windowMs } = settings;
  const problems: string[] = [];
  if (windowMs !== undefined && lengthFor(windowMs) !== windowMs)
    problems.push(`this host is simulated in steps; windows of ${windowMs} ms become ${lengthFor(windowMs)} ms`);
  if (settings.signalsOff.length > 0) problems.push(`this host is simulated and goes on making ${settings.signalsOff.join(", ")}`);
  if (settings.watchedProcesses.length > 0) problems.push("this host is simulated and does not prefer processes");
  if (settings.cpuBudgetCores !== undefined) problems.push("this host is simulated and has no CPU time to budget");
  return { revision: settings.revision, problems };
}
