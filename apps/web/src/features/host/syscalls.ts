// SPDX-License-Identifier: Apache-2.0
import type { QueryAnswer } from "../../lib/api/types";
import { OTHER } from "../../lib/series";
import { totals } from "../facts";

export const SYSCALL_KEY = ["process", "syscall"] as const;

/** One call of one process over the range. null = not measured. */
export interface SyscallRow {
  readonly key: string;
  readonly process: string;
  readonly syscall: string;
  readonly perSecond: number | null;
  readonly p99: number | null;
  /** Time spent in the call per second of wall time, ns/s; waiting included. */
  readonly spent: number | null;
  readonly errorsPerSecond: number;
  /** The error that happens most, and its rate. */
  readonly topErrno: string | null;
  readonly topErrnoPerSecond: number;
}

export function syscallRows(counts: QueryAnswer | undefined, latency: QueryAnswer | undefined, errors: QueryAnswer | undefined): SyscallRow[] {
  const perSecond = totals(counts, "count", "rate", SYSCALL_KEY);
  const p99 = totals(latency, "latency", "p99", SYSCALL_KEY);
  const spent = totals(latency, "sum", "rate", SYSCALL_KEY);
  const byErrno = totals(errors, "count", "rate", [...SYSCALL_KEY, "errno"]);
  const errorOf = new Map<string, { total: number; errno: string; rate: number }>();
  for (const [key, rate] of byErrno) {
    const [process = "", syscall = "", errno = ""] = key.split("\u0000");
    const pair = `${process}\u0000${syscall}`;
    const known = errorOf.get(pair) ?? { total: 0, errno, rate: 0 };
    const value = rate ?? 0;
    errorOf.set(pair, { total: known.total + value, errno: value > known.rate ? errno : known.errno, rate: Math.max(value, known.rate) });
  }
  return [...new Set([...perSecond.keys(), ...p99.keys(), ...errorOf.keys()])].map((key) => {
    const [process = "", syscall = ""] = key.split("\u0000");
    const error = errorOf.get(key);
    return {
      key,
      process,
      syscall,
      perSecond: perSecond.get(key) ?? null,
      p99: p99.get(key) ?? null,
      spent: spent.get(key) ?? null,
      errorsPerSecond: error?.total ?? 0,
      topErrno: error && error.total > 0 ? (error.errno === OTHER ? "other" : error.errno) : null,
      topErrnoPerSecond: error?.rate ?? 0,
    };
  });
}

/** Where the time goes, waiting included; calls without latency by how often they are made. Overflow rows are nobody and go last. */
export function mostTimeFirst(rows: readonly SyscallRow[]): SyscallRow[] {
  return [...rows].sort(
    (a, b) =>
      Number(a.process === OTHER) - Number(b.process === OTHER) || (b.spent ?? -1) - (a.spent ?? -1) || (b.perSecond ?? 0) - (a.perSecond ?? 0),
  );
}

/** Errors that are how programs work, not trouble: non-blocking I/O that would block, lookups that search a path, restarts after a signal. */
const ORDINARY = new Set(["EAGAIN", "EINPROGRESS", "ENOENT", "EINTR", "ERESTARTSYS", "ENODATA", "ECHILD", "ENOTTY"]);

export function isOrdinary(errno: string, syscall: string): boolean {
  return ORDINARY.has(errno) || (errno === "ETIMEDOUT" && (syscall === "futex" || syscall === "rt_sigtimedwait" || syscall === "mq_timedreceive"));
}
