// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import { parseArgs } from "node:util";

/** What `./waggle up` was asked to do. */
export interface UpOptions {
  readonly dataDirectory: string;
  readonly ports: Ports;
  /** Hosts of the simulated fleet, 0 = none. */
  readonly simulateHosts: number;
  readonly agent: boolean;
  readonly web: boolean;
}

export interface Ports {
  readonly web: number;
  readonly rest: number;
  readonly ingest: number;
  readonly clickhouse: number;
}

export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Ports count up from the base in this order; nothing else decides a port. */
export function portsFrom(base: number): Ports {
  return { web: base, rest: base + 1, ingest: base + 2, clickhouse: base + 3 };
}

export const DEFAULT_PORT_BASE = 7300;

export function defaultDataDirectory(root: string): string {
  return resolve(root, ".waggle/data");
}

/** Parses the words after `up`. Throws a UsageError that says what is wrong and what is allowed. */
export function parseUpOptions(words: readonly string[], root: string): UpOptions {
  let values: ReturnType<typeof parse>["values"];
  try {
    ({ values } = parse(words));
  } catch (error) {
    throw new UsageError(`${(error as Error).message}; see ./waggle help`);
  }
  const base = wholeNumber("--port-base", values["port-base"] ?? String(DEFAULT_PORT_BASE), 1024, 65_532);
  return {
    dataDirectory: values.data === undefined ? defaultDataDirectory(root) : resolve(values.data),
    ports: portsFrom(base),
    simulateHosts: values.simulate === undefined ? 0 : wholeNumber("--simulate", values.simulate, 1, 10_000),
    agent: !values["no-agent"],
    web: !values["no-web"],
  };
}

function parse(words: readonly string[]) {
  return parseArgs({
    args: [...words],
    options: {
      data: { type: "string" },
      "port-base": { type: "string" },
      simulate: { type: "string" },
      "no-agent": { type: "boolean", default: false },
      "no-web": { type: "boolean", default: false },
    },
  });
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) throw new UsageError(`${option} ${text}: expected a whole number from ${min} to ${max}`);
  return value;
}
