// SPDX-License-Identifier: Apache-2.0

/** What people can set for agents, for one host or a whole organisation; null: not set here. */
export interface HostSettings {
  /** Length of a window in milliseconds: a divisor of 60,000 from 1,000 on. */
  readonly windowMs: number | null;
  /** Names of signals. */
  readonly signalsOff: readonly string[] | null;
  /** Process names, whose rows are the last to go into `~other`. */
  readonly watchedProcesses: readonly string[] | null;
  /** What the agent and its programs may use together, in CPU cores. */
  readonly cpuBudgetCores: number | null;
  /** Rows of one signal in one window. */
  readonly rowsMax: number | null;
}

export type SettingName = keyof HostSettings;
export const settingNames = ["windowMs", "signalsOff", "watchedProcesses", "cpuBudgetCores", "rowsMax"] as const satisfies readonly SettingName[];

/** Settings with the number of the change that made them; revisions rise over hosts and organisations together. */
export interface RevisedSettings extends HostSettings {
  /** 0: nothing was ever set. */
  readonly revision: number;
}

export const nothingSet: RevisedSettings = {
  revision: 0,
  windowMs: null,
  signalsOff: null,
  watchedProcesses: null,
  cpuBudgetCores: null,
  rowsMax: null,
};

/** Where a value comes from: the host's own setting, its organisation's, or neither, so that the agent's configuration holds. */
export type SettingOrigin = "host" | "organisation" | "agent";

export function originOf(name: SettingName, host: HostSettings, organisation: HostSettings): SettingOrigin {
  if (host[name] !== null) return "host";
  return organisation[name] === null ? "agent" : "organisation";
}

/** What holds for a host: field by field its own setting, else its organisation's. */
export function effectiveSettings(host: RevisedSettings, organisation: RevisedSettings): RevisedSettings {
  return {
    revision: Math.max(host.revision, organisation.revision),
    windowMs: host.windowMs ?? organisation.windowMs,
    signalsOff: host.signalsOff ?? organisation.signalsOff,
    watchedProcesses: host.watchedProcesses ?? organisation.watchedProcesses,
    cpuBudgetCores: host.cpuBudgetCores ?? organisation.cpuBudgetCores,
    rowsMax: host.rowsMax ?? organisation.rowsMax,
  };
}
