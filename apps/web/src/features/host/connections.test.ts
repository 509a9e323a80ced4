// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { QueryAnswer, ValueSeries } from "../../lib/api/types";
import { connectionRows, shortUnit, unitsByProcess, worstConnectionsFirst } from "./connections";

function answer(...series: [string, ValueSeries["aggregate"], Record<string, string>, number | null][]): QueryAnswer {
  return {
    meta: {} as QueryAnswer["meta"],
    series: series.map(([measure, aggregate, labels, value]) => ({ measure, aggregate, unit: "", labels, values: [value] })),
  };
}
const pg = { process: "pgbouncer", peer: "10.0.0.7", peer_port: "5432" };
const web = { process: "nginx", peer: "10.0.0.9", peer_port: "ephemeral" };

describe("connectionRows", () => {
  it("joins volume, round trips and connects of the same pair", () => {
    const rows = connectionRows(
      "client",
      answer(["segments_sent", "sum", pg, 1000], ["segments_retransmitted", "sum", pg, 81], ["bytes_sent", "rate", pg, 2.1e6]),
      answer(["rtt", "p50", pg, 9e5], ["rtt", "p99", pg, 2.12e8]),
      answer(["latency", "p99", pg, 1.03e9]),
      new Map([["pgbouncer", ["pgbouncer.service"]]]),
      answer(["segments_sent", "sum", pg, 1000], ["segments_retransmitted", "sum", pg, 81]),
      20,
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      process: "pgbouncer",
      units: ["pgbouncer.service"],
      peer: "10.0.0.7",
      port: "5432",
      share: 0.081,
      pathShare: 0.081,
      rttP99: 2.12e8,
      connectP99: 1.03e9,
      bytesIn: null,
    });
  });
  it("keeps a pair that only one signal knows, with the rest unknown", () => {
    const [row] = connectionRows("client", answer(), answer(), answer(["latency", "p99", web, 5]), new Map(), undefined, 20);
    expect(row).toMatchObject({ process: "nginx", sent: null, share: null, rttP99: null, connectP99: 5 });
  });
});

it("puts all clients of a port in one row", () => {
  const port = { process: "nginx", port: "443" };
  const [row] = connectionRows("server", answer(["segments_sent", "sum", port, 10]), undefined, undefined, new Map(), undefined, 20);
  expect(row).toMatchObject({ role: "server", process: "nginx", peer: "", port: "443", sent: 10 });
});

it("puts loss before delay, but neither one lost segment of ten nor what was sent again over loopback", () => {
  const slow = { ...pg, peer: "slow" };
  const loopback = { ...pg, peer: "127.0.0.1" };
  const lost = (labels: Record<string, string>, sent: number, again: number) =>
    [
      ["segments_sent", "sum", labels, sent],
      ["segments_retransmitted", "sum", labels, again],
    ] as const;
  const rows = connectionRows(
    "client",
    answer(...[...lost(pg, 1000, 50), ...lost(web, 10, 1), ...lost(loopback, 1000, 500)].map((s) => [...s] as Parameters<typeof answer>[0])),
    answer(["rtt", "p99", web, 1e9], ["rtt", "p99", slow, 5e9]),
    undefined,
    new Map(),
    answer(...[...lost(pg, 1000, 50), ...lost(web, 10, 1)].map((s) => [...s] as Parameters<typeof answer>[0])),
    5,
  );
  expect(worstConnectionsFirst(rows).map((r) => r.peer)).toEqual(["10.0.0.7", "slow", "10.0.0.9", "127.0.0.1"]);
});

it("cuts a long unit from the left, at a path boundary", () => {
  expect(shortUnit("nginx.service")).toBe("nginx.service");
  expect(shortUnit("/process_api/sessions/build-7/worker", 20)).toBe("…/build-7/worker");
  expect(shortUnit("/process_api/9f86d081884c7d659a2feaa0c55ad015", 10)).toBe("…/9f86d081");
  expect(shortUnit("/a/kubepods-burstable-pod1234567890abcdef.slice", 20)).toBe("…4567890abcdef.slice");
});

it("lists every unit a process runs in", () => {
  const units = unitsByProcess(
    answer(
      ["bytes_sent", "rate", { process: "nginx", unit: "nginx.service" }, 2],
      ["bytes_sent", "rate", { process: "nginx", unit: "docker/3f2a" }, 1],
    ),
  );
  expect(units.get("nginx")).toEqual(["nginx.service", "docker/3f2a"]);
});
