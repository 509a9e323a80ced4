// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { QueryAnswer, ValueSeries } from "../../lib/api/types";
import { connectionRows, unitsByProcess, worstConnectionsFirst } from "./connections";

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
      answer(["segments_sent", "sum", pg, 1000], ["segments_retransmitted", "sum", pg, 81], ["bytes_sent", "rate", pg, 2.1e6]),
      answer(["rtt", "p50", pg, 9e5], ["rtt", "p99", pg, 2.12e8]),
      answer(["latency", "p99", pg, 1.03e9]),
      new Map([["pgbouncer", ["pgbouncer.service"]]]),
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      process: "pgbouncer",
      units: ["pgbouncer.service"],
      peer: "10.0.0.7",
      share: 0.081,
      rttP99: 2.12e8,
      connectP99: 1.03e9,
      bytesIn: null,
    });
  });
  it("keeps a pair that only one signal knows, with the rest unknown", () => {
    const [row] = connectionRows(answer(), answer(), answer(["latency", "p99", web, 5]), new Map());
    expect(row).toMatchObject({ process: "nginx", sent: null, share: null, rttP99: null, connectP99: 5 });
  });
});

it("puts loss before delay, and one lost segment of ten before nothing", () => {
  const rows = connectionRows(
    answer(
      ["segments_sent", "sum", pg, 1000],
      ["segments_retransmitted", "sum", pg, 50],
      ["segments_sent", "sum", web, 10],
      ["segments_retransmitted", "sum", web, 1],
    ),
    answer(["rtt", "p99", web, 9e9], ["rtt", "p99", { ...pg, peer: "slow" }, 5e9]),
    undefined,
    new Map(),
  );
  expect(worstConnectionsFirst(rows, 5).map((r) => r.peer)).toEqual(["10.0.0.7", "10.0.0.9", "slow"]);
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
