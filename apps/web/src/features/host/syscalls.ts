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
  /** The error that happens most, trouble before ways of working, and its rate. */
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
    const value = rate ?? 0;
    const known = errorOf.get(pair) ?? { total: 0, errno, rate: value };
    const louder = Number(isTrouble(errno, syscall)) - Number(isTrouble(known.errno, syscall)) || value - known.rate;
    errorOf.set(pair, { total: known.total + value, ...(louder > 0 ? { errno, rate: value } : { errno: known.errno, rate: known.rate }) });
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

/** Calls that are there to wait: for work, for a lock, for time to pass. Their latency is how idle a thread is, not how slow the kernel. */
const WAITS = new Set([
  ...["futex", "futex_wait", "futex_waitv", "poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "io_getevents"],
  ...["io_pgetevents", "io_uring_enter", "nanosleep", "clock_nanosleep", "pause", "rt_sigsuspend", "rt_sigtimedwait", "wait4", "waitid"],
  "restart_syscall",
]);

export function isWait(syscall: string): boolean {
  return WAITS.has(syscall);
}

/**
 * Trouble first; then where the time goes; then calls that only wait. Calls without latency
 * by how often they are made. Overflow rows are nobody and go last.
 */
export function worstCallsFirst(rows: readonly SyscallRow[]): SyscallRow[] {
  const failing = (row: SyscallRow): number =>
    row.topErrno !== null && isTrouble(row.topErrno, row.syscall) && row.topErrnoPerSecond >= TROUBLE_PER_SECOND ? 1 : 0;
  return [...rows].sort(
    (a, b) =>
      Number(a.process === OTHER) - Number(b.process === OTHER) ||
      failing(b) - failing(a) ||
      Number(isWait(a.syscall)) - Number(isWait(b.syscall)) ||
      (b.spent ?? -1) - (a.spent ?? -1) ||
      (b.perSecond ?? 0) - (a.perSecond ?? 0),
  );
}

/** A call that fails more rarely stays where its time puts it. */
const TROUBLE_PER_SECOND = 0.1;

/**
 * Errors that say something is exhausted, out of reach or forbidden. Most others are a way of working: a file looked for in several places, a
 * directory that exists already, non-blocking I/O that would block.
 */
const TROUBLE = new Set([
  ...["EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT", "EFBIG", "ENOBUFS", "EIO", "EROFS", "ESTALE", "EDEADLK", "EACCES", "EPERM"],
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EPIPE", "EADDRINUSE", "EADDRNOTAVAIL"],
]);

export function isTrouble(errno: string, syscall: string): boolean {
  if (errno === "ETIMEDOUT") return !isWait(syscall) && syscall !== "mq_timedreceive";
  // How epoll says that a regular file needs no waiting for.
  if (errno === "EPERM") return syscall !== "epoll_ctl";
  return TROUBLE.has(errno);
}
