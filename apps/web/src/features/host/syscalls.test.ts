// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { QueryAnswer, ValueSeries } from "../../lib/api/types";
import { isTrouble, syscallRows, worstCallsFirst } from "./syscalls";

function answer(...series: [string, ValueSeries["aggregate"], Record<string, string>, number | null][]): QueryAnswer {
  return {
    meta: {} as QueryAnswer["meta"],
    series: series.map(([measure, aggregate, labels, value]) => ({ measure, aggregate, unit: "", labels, values: [value] })),
  };
}
const call = { process: "php-fpm", syscall: "connect" };

it("joins count, latency and errors; names the error that happens most and adds all up", () => {
  const [row] = syscallRows(
    answer(["count", "rate", call, 41]),
    answer(["latency", "p99", call, 1.03e9], ["sum", "rate", call, 2e8]),
    answer(["count", "rate", { ...call, errno: "ECONNREFUSED" }, 2], ["count", "rate", { ...call, errno: "ETIMEDOUT" }, 12]),
  );
  expect(row).toMatchObject({ perSecond: 41, p99: 1.03e9, spent: 2e8, errorsPerSecond: 14, topErrno: "ETIMEDOUT", topErrnoPerSecond: 12 });
});

it("a call without latency keeps its count; its latency is unknown, not zero", () => {
  const [row] = syscallRows(answer(["count", "rate", call, 41]), undefined, undefined);
  expect(row).toMatchObject({ perSecond: 41, p99: null, spent: null, topErrno: null });
});

it("orders by time spent, then by count when no time is known", () => {
  const rows = syscallRows(
    answer(
      ["count", "rate", { process: "a", syscall: "x" }, 9],
      ["count", "rate", { process: "b", syscall: "x" }, 5],
      ["count", "rate", { process: "c", syscall: "x" }, 7],
    ),
    answer(["sum", "rate", { process: "b", syscall: "x" }, 100]),
    undefined,
  );
  expect(worstCallsFirst(rows).map((r) => r.process)).toEqual(["b", "a", "c"]);
});

it("puts calls that fail first and calls that only wait last", () => {
  const rows = syscallRows(
    answer(
      ["count", "rate", { process: "a", syscall: "futex" }, 9],
      ["count", "rate", { process: "b", syscall: "read" }, 5],
      ["count", "rate", { process: "c", syscall: "connect" }, 1],
    ),
    answer(["sum", "rate", { process: "a", syscall: "futex" }, 1e9], ["sum", "rate", { process: "b", syscall: "read" }, 100]),
    answer(["count", "rate", { process: "c", syscall: "connect", errno: "ECONNREFUSED" }, 1]),
  );
  expect(worstCallsFirst(rows).map((r) => r.process)).toEqual(["c", "b", "a"]);
});

it("tells trouble from errors that are a way of working", () => {
  expect(isTrouble("EAGAIN", "recvfrom")).toBe(false);
  expect(isTrouble("EEXIST", "mkdir")).toBe(false);
  expect(isTrouble("ETIMEDOUT", "futex")).toBe(false);
  expect(isTrouble("ETIMEDOUT", "connect")).toBe(true);
  expect(isTrouble("EPERM", "epoll_ctl")).toBe(false);
  expect(isTrouble("ENOSPC", "write")).toBe(true);
});

it("names trouble before a more frequent way of working", () => {
  const [row] = syscallRows(
    undefined,
    undefined,
    answer(["count", "rate", { ...call, errno: "EAGAIN" }, 900], ["count", "rate", { ...call, errno: "EMFILE" }, 2]),
  );
  expect(row).toMatchObject({ errorsPerSecond: 902, topErrno: "EMFILE", topErrnoPerSecond: 2 });
});
