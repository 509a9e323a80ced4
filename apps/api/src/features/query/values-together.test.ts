// SPDX-License-Identifier: Apache-2.0
import type { Filter } from "@waggle/query";
import { getSignalOrThrow } from "@waggle/signals";
import { beforeEach, describe, expect, it } from "vitest";
import { measuresOf, type QueryableMeasure, type Selection, toSelection } from "./measures.ts";
import type { Plan } from "./sql.ts";
import type { Reading } from "./statements.ts";
import { ValuesTogether } from "./values-together.ts";

const connections = getSignalOrThrow("tcp_connections");
const rtt = getSignalOrThrow("tcp_rtt");
const sources = [{ level: "raw", scope: "host", fromMs: 0, toMs: 20_000 }] as const;

const clients: Filter = { key: "role", negated: false, patterns: [{ text: "client", glob: false }] };
const notLoopback: Filter = { key: "peer", negated: true, patterns: [{ text: "127.*", glob: true }] };

function selections(signal: typeof rtt, ...named: [measure: string, aggregate: string][]): Selection[] {
  return named.map(([name, aggregate]) =>
    toSelection(measuresOf(signal).find((measure) => measure.name === name) as QueryableMeasure, aggregate as never),
  );
}

function plan(of: Partial<Plan>): Plan {
  const steps = { fromMs: 0, toMs: 20_000, stepMs: 20_000, count: 1 };
  return { tenant: "t", signal: connections, selections: [], by: [], filters: [], hosts: ["h"], steps, limit: 10, ...of };
}

const sums = (...measures: [string, string][]): Reading => ({
  form: "sums",
  selections: selections(connections, ...measures),
  sources,
  coverage: sources,
  isOfFleet: true,
});
const sentBy = plan({ by: ["process", "peer"], filters: [clients] });
const sent = sums(["bytes_sent", "rate"], ["bytes_sent", "sum"]);
const receivedBy = plan({ by: ["process"], filters: [clients, notLoopback] });
const received = sums(["bytes_received", "sum"], ["bytes_sent", "sum"]);

let together: ValuesTogether;
beforeEach(() => {
  together = new ValuesTogether();
});

const whole = <T>(all: T): T => all;

describe("questions about the same rows", () => {
  it("are one statement, which tells apart all that they group by and whether their filters let a group pass", () => {
    expect(together.of(sentBy, sent, "sums", 0)).toBeUndefined();
    const second = together.of(receivedBy, received, "sums", 0);
    const first = together.of(sentBy, sent, "sums", 0);
    const statement = first?.statement(sentBy, whole);
    expect(second?.statement(receivedBy, whole)).toEqual(statement);
    expect(statement?.sql).toContain("GROUP BY step, g0, g1, m0, m1");
    // Rows that nobody wants are not read out: each of the questions has a filter.
    expect(statement?.sql.match(/ LIKE /g)).toHaveLength(2);
    together.of(plan({}), sent, "sums", 0);
    const all = together.of(sentBy, sent, "sums", 0)?.statement(sentBy, whole);
    expect(all?.sql.match(/ LIKE /g)).toHaveLength(1);
  });

  it("each find their own groups in its rows", () => {
    together.of(sentBy, sent, "sums", 0);
    const second = together.of(receivedBy, received, "sums", 0);
    const first = together.of(sentBy, sent, "sums", 0);
    const marks = (statement: string | undefined) => [...(statement ?? "").matchAll(/AS (m\d)/g)].map(([, name]) => name);
    expect(marks(first?.statement(sentBy, whole).sql)).toEqual(["m0", "m1"]);
    // By peer and process; marks of the clients not of loopback, and of all clients; bytes received and sent.
    const row = (step: number, g0: string, g1: string, m0: number, m1: number, v0: number, v1: number) => ({ step, g0, g1, m0, m1, v0, v1 });
    const rows = [
      row(0, "10.0.0.1", "nginx", 1, 1, 1, 10),
      row(0, "10.0.0.2", "nginx", 1, 1, 2, 20),
      row(1, "10.0.0.1", "nginx", 1, 1, 4, 40),
      row(0, "127.0.0.1", "nginx", 0, 1, 8, 80),
      row(0, "10.0.0.1", "node", 0, 0, 16, 160),
    ];
    expect(first?.own(rows)).toEqual([
      { step: 0, g0: "nginx", g1: "10.0.0.1", v0: 10, v1: 10 },
      { step: 0, g0: "nginx", g1: "10.0.0.2", v0: 20, v1: 20 },
      { step: 0, g0: "nginx", g1: "127.0.0.1", v0: 80, v1: 80 },
      { step: 1, g0: "nginx", g1: "10.0.0.1", v0: 40, v1: 40 },
    ]);
    expect(second?.own(rows)).toEqual([
      { step: 0, g0: "nginx", v0: 3, v1: 30 },
      { step: 1, g0: "nginx", v0: 4, v1: 40 },
    ]);
  });

  it("put distributions together out of buckets", () => {
    const of = (by: readonly string[]) => plan({ signal: rtt, by });
    const reading: Reading = { form: "buckets", selections: selections(rtt, ["rtt", "p99"]), sources, coverage: sources };
    together.of(of([]), reading, "buckets", 0);
    together.of(of(["process"]), reading, "buckets", 0);
    const rows = [
      { step: 0, g0: "a", indexes: [5, 8], counts: [1, 2], lowest: 40, highest: 90 },
      { step: 0, g0: "b", indexes: [2, 8], counts: [4, 1], lowest: 10, highest: 80 },
    ];
    expect(together.of(of([]), reading, "buckets", 0)?.own(rows)).toEqual([
      { step: 0, indexes: [2, 5, 8], counts: [4, 1, 3], lowest: 10, highest: 90 },
    ]);
    expect(together.of(of(["process"]), reading, "buckets", 0)?.own(rows)).toEqual(rows);
  });

  it("are those of one organisation, of the same hosts and signal, and of the last half minute", () => {
    together.of(sentBy, sent, "sums", 0);
    for (const other of [{ tenant: "another" }, { hosts: ["other"] }, { signal: rtt }, { steps: { ...sentBy.steps, stepMs: 10_000, count: 2 } }])
      expect(together.of({ ...receivedBy, ...other }, received, "sums", 0), JSON.stringify(Object.keys(other))).toBeUndefined();
    expect(together.of(receivedBy, received, "sums", 31_000)).toBeUndefined();
    expect(together.of(sentBy, sent, "sums", 31_000)).toBeDefined();
  });

  it("are not those about what is known of hosts, nor those that compare groups' values", () => {
    for (const alone of [{ by: ["kernel"] }, { by: ["tag.env", "process"] }, { passing: () => "1" }])
      for (let time = 0; time < 2; time++) expect(together.of(plan(alone), sent, "sums", 0)).toBeUndefined();
    expect(together.of(sentBy, sent, "sums", 0)).toBeUndefined();
  });

  it("are asked one by one once there were too many rows", () => {
    together.of(sentBy, sent, "sums", 0);
    together.of(receivedBy, received, "sums", 0)?.giveUp();
    expect(together.of(sentBy, sent, "sums", 0)).toBeUndefined();
  });
});
