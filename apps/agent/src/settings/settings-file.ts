// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeDurably } from "../spool/durable-file.ts";
import type { ServerSettings } from "./server-settings.ts";

const FORMAT_VERSION = 1;

/** What was kept of an earlier life; `problem` says in words why a file that is there was not used. */
export interface KeptSettings {
  readonly settings: ServerSettings | undefined;
  readonly problem: string | undefined;
}

const settingsFile = (stateDirectory: string) => join(stateDirectory, "settings.json");

/** The settings that were last in force on this machine. Never throws: without them the agent's own configuration holds. */
export function readSettings(stateDirectory: string, machineKey: string): KeptSettings {
  const path = settingsFile(stateDirectory);
  const unusable = (why: string): KeptSettings => ({ settings: undefined, problem: `${path} is not used: ${why}` });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? { settings: undefined, problem: undefined } : unusable(code ?? String(error));
  }
  let value: { formatVersion?: unknown; machineKey?: unknown; settings?: unknown } | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return unusable("it is torn");
  }
  if (typeof value !== "object" || value === null || value.formatVersion !== FORMAT_VERSION) return unusable("another version of the agent wrote it");
  // A cloned disk brings the file along.
  if (value.machineKey !== machineKey) return unusable("it is another machine's");
  return isSettings(value.settings) ? { settings: value.settings, problem: undefined } : unusable("it does not hold settings");
}

/** Keeps the settings for the next start, readable by the agent's user alone. Rejects if that is impossible. */
export async function writeSettings(stateDirectory: string, machineKey: string, settings: ServerSettings): Promise<void> {
  const text = `${JSON.stringify({ formatVersion: FORMAT_VERSION, machineKey, settings }, null, 1)}\n`;
  await writeDurably(settingsFile(stateDirectory), text, 0o600);
}

function isSettings(value: unknown): value is ServerSettings {
  if (typeof value !== "object" || value === null) return false;
  const { revision, windowMs, signalsOff, watchedProcesses, cpuBudgetCores, rowsMax } = value as Record<string, unknown>;
  const areNames = (names: unknown) => Array.isArray(names) && names.every((name) => typeof name === "string");
  const areNumbers = [windowMs, cpuBudgetCores, rowsMax].every((number) => number === null || typeof number === "number");
  return Number.isSafeInteger(revision) && areNumbers && areNames(signalsOff) && areNames(watchedProcesses);
}
