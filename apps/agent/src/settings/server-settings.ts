// SPDX-License-Identifier: Apache-2.0
import type { Settings as WireSettings } from "@waggle/proto";
import { hostSignals } from "@waggle/signals";

/** What people set for this host on the server; null: not set, the agent's own configuration holds. */
export interface ServerSettings {
  readonly revision: number;
  readonly windowMs: number | null;
  readonly signalsOff: readonly string[];
  readonly watchedProcesses: readonly string[];
  /** Share of one core. */
  readonly cpuBudgetCores: number | null;
  readonly rowsMax: number | null;
}

/** Settings that this agent can follow, and in words what of those that were asked for it cannot. */
export interface CheckedSettings {
  readonly settings: ServerSettings;
  readonly problems: readonly string[];
}

const WATCHED_PROCESSES_MAX = 32;
/** TASK_COMM_LEN without its NUL. */
const PROCESS_NAME_BYTES_MAX = 15;
const SIGNALS_OFF_MAX = 1_000;

const known = new Set(hostSignals.map((signal) => signal.name));
/** An agent that did not report itself any more could not say either that it does not. */
const reportingItself = new Set(hostSignals.filter((signal) => signal.family === "agent").map((signal) => signal.name));

export function fromWire(wire: WireSettings): ServerSettings {
  return {
    revision: Number(wire.revision),
    windowMs: wire.windowMs ?? null,
    signalsOff: wire.signalsOff.slice(0, SIGNALS_OFF_MAX),
    watchedProcesses: wire.watchedProcesses,
    cpuBudgetCores: wire.cpuBudgetCores ?? null,
    rowsMax: wire.rowsMax ?? null,
  };
}

/**
 * Keeps what this version can do; the API may be of another one.
 * @param own what the agent's configuration says
 */
export function checkSettings(asked: ServerSettings, own: { readonly rowsMax: number }): CheckedSettings {
  const problems: string[] = [];
  const unless = <Value>(isWrong: boolean, value: Value, problem: string): Value | null => {
    if (isWrong) problems.push(problem);
    return isWrong ? null : value;
  };
  const { windowMs, cpuBudgetCores, rowsMax } = asked;
  const settings = {
    revision: asked.revision,
    windowMs: unless(
      windowMs !== null && (windowMs < 1_000 || windowMs > 60_000 || 60_000 % windowMs !== 0),
      windowMs,
      `a window of ${windowMs} ms is no divisor of a minute from 1 s on; it stays as it is`,
    ),
    signalsOff: asked.signalsOff.filter((name) => {
      if (!known.has(name)) problems.push(`there is no signal ${name} in this version of the agent`);
      else if (reportingItself.has(name)) problems.push(`${name} is what the agent says of itself and is not switched off`);
      return known.has(name) && !reportingItself.has(name);
    }),
    watchedProcesses: asked.watchedProcesses.slice(0, WATCHED_PROCESSES_MAX).filter((name) => {
      const isTooLong = Buffer.byteLength(name) > PROCESS_NAME_BYTES_MAX;
      if (isTooLong) problems.push(`no process is called ${name}: the kernel cuts names to ${PROCESS_NAME_BYTES_MAX} bytes`);
      return !isTooLong;
    }),
    cpuBudgetCores: unless(
      cpuBudgetCores !== null && !(cpuBudgetCores > 0 && Number.isFinite(cpuBudgetCores)),
      cpuBudgetCores,
      `a CPU budget of ${cpuBudgetCores} cores cannot be kept to; it stays as the agent's configuration says`,
    ),
    rowsMax: unless(rowsMax === 0, rowsMax, "no rows at all cannot be kept to; the cap stays as the agent's configuration says"),
  };
  if (asked.watchedProcesses.length > WATCHED_PROCESSES_MAX)
    problems.push(`only ${WATCHED_PROCESSES_MAX} processes can be watched; those behind the first ${WATCHED_PROCESSES_MAX} are not`);
  if (rowsMax !== null && rowsMax > own.rowsMax)
    problems.push(`up to ${rowsMax} rows were asked for; the agent's own WAGGLE_AGENT_ROWS_MAX of ${own.rowsMax} is less and holds`);
  return { settings, problems };
}
