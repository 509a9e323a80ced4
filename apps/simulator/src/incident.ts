// SPDX-License-Identifier: Apache-2.0
import { type Role, roles } from "./fleet.ts";

export const incidentKinds = ["retransmits", "rtt", "connect-failures", "syscalls", "disk", "dns", "cpu", "oom"] as const;
export type IncidentKind = (typeof incidentKinds)[number];

/** Something that goes wrong for a while on all hosts of a role, or of the fleet. */
export interface Incident {
  readonly kind: IncidentKind;
  /** Unix milliseconds. */
  readonly startMs: number;
  readonly endMs: number;
  /** undefined: every role. */
  readonly role: Role | undefined;
}

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads `kind@start+length[:role]`, such as `retransmits@now-30m+10m:web` or `rtt@2026-11-21T10:00:00Z+90s`.
 * Throws an Error in words.
 */
export function parseIncident(text: string, nowMs: number): Incident {
  const [, kind, start, length, unit, role] = /^([a-z-]+)@(.+)\+(\d+)([smhd])(?::(\w+))?$/.exec(text) ?? [];
  if (kind === undefined || start === undefined || length === undefined || unit === undefined)
    throw new Error(`"${text}" is no incident; expected kind@start+length[:role], such as retransmits@now-30m+10m:web`);
  if (!(incidentKinds as readonly string[]).includes(kind)) throw new Error(`there is no incident "${kind}"; there are ${incidentKinds.join(", ")}`);
  if (role !== undefined && !(roles as readonly string[]).includes(role))
    throw new Error(`there is no role "${role}"; there are ${roles.join(", ")}`);
  if (Number(length) === 0) throw new Error(`"${text}" lasts no time at all; give it a length of at least 1s`);
  const startMs = parseTime(start, nowMs);
  return { kind: kind as IncidentKind, startMs, endMs: startMs + Number(length) * (unitMs[unit] as number), role: role as Role | undefined };
}

/** Reads `now`, `now-30m`, `now+10s` or an ISO 8601 time with its zone. Returns Unix milliseconds. Throws an Error in words. */
export function parseTime(text: string, nowMs: number): number {
  const relative = /^now(?:([+-])(\d+)([smhd]))?$/.exec(text);
  if (relative !== null) {
    const [, sign, amount, unit] = relative;
    if (amount === undefined || unit === undefined) return nowMs;
    return nowMs + (sign === "-" ? -1 : 1) * Number(amount) * (unitMs[unit] as number);
  }
  const ms = /(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new Error(`"${text}" is no time; expected now, now-30m or an ISO time with its zone, such as 2026-11-21T10:00:00Z`);
  return ms;
}
