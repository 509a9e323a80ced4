// SPDX-License-Identifier: Apache-2.0
import { catalogue, getSignalOrThrow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { type Form, measuresOf, type Selection, toSelection } from "./measures.ts";
import { coverageStatement, type Plan, rankStatement, type Statement, seriesStatement } from "./statements.ts";
import { parseWhere } from "./where.ts";

const steps = { fromMs: 1_800_000_000_000, toMs: 1_800_000_060_000, stepMs: 10_000, count: 6 };

function plan(signalName: string, select: readonly [measure: string, aggregate: string][], overrides: Partial<Plan> = {}): Plan {
  const signal = getSignalOrThrow(signalName);
  const selections = select.map(([name, aggregate]) => {
    const measure = measuresOf(signal).find((candidate) => candidate.name === name);
    if (measure === undefined) throw new Error(name);
    return toSelection(measure, aggregate as never);
  });
  return { tenant: "tenant-1", signal, selections, by: [], filters: [], hosts: null, steps, limit: 10, ...overrides };
}

function statementsOf(of: Plan): Statement[] {
  const forms = Map.groupBy(of.selections, (selection: Selection) => selection.form);
  const top = of.by.length === 0 ? null : [of.by.map(() => "a value")];
  return [
    coverageStatement(of),
    ...(of.by.length === 0 ? [] : [rankStatement(of)]),
    ...[...forms].map(([form, selections]) => seriesStatement(of, form as Form, selections, top)),
  ];
}

const hostile = "x' OR 1=1 --`){}";

describe("the statements of a query", () => {
  /** Every signal with everything it can be asked, grouped by everything it has, with filters of every kind. */
  const everything = catalogue.map((signal) => {
    const where = ["host", ...signal.dimensions].map((name) => `${name}:"${hostile}",a* -${name}:b*`).join(" ");
    const filters = parseWhere(where, ["host", ...signal.dimensions]).filters?.filter((filter) => filter.key !== "host") ?? [];
    const select = measuresOf(signal).flatMap((measure) => measure.aggregates.map((aggregate): [string, string] => [measure.name, aggregate]));
    return plan(signal.name, select, { by: ["host", ...signal.dimensions.slice(0, 2)], filters, hosts: [hostile], tenant: hostile });
  });

  it("start every condition with the tenant", () => {
    for (const statement of everything.flatMap(statementsOf)) {
      const conditions = statement.sql.match(/WHERE (?!NOT \(g0)[^\n]*/g) ?? [];
      expect(conditions.length).toBeGreaterThan(0);
      for (const condition of conditions) {
        const placeholder = /^WHERE tenant = \{(p\d+):String\} AND ts >= /.exec(condition);
        expect(placeholder, condition).not.toBeNull();
        expect(statement.parameters[placeholder?.[1] as string]).toBe(hostile);
      }
      // One condition per table that is read: none is read without.
      expect(conditions.length).toBe(statement.sql.match(/ FINAL/g)?.length);
    }
  });

  it("carry no value in their text, and a value for every placeholder", () => {
    for (const statement of everything.flatMap(statementsOf)) {
      expect(statement.sql).not.toContain("OR 1=1");
      expect(statement.sql).not.toContain("a value");
      const placeholders = [...statement.sql.matchAll(/\{(p\d+):/g)].map((match) => match[1] as string);
      expect(Object.keys(statement.parameters).sort()).toEqual([...new Set(placeholders)].sort());
    }
  });

  it("send a long host list once, however many tables are read", () => {
    const hosts = Array.from({ length: 1_000 }, (_, i) => `host-${i}`);
    const rates = plan("syscalls", [["count", "rate"]], { hosts });
    const statement = seriesStatement(rates, "sums", rates.selections, null);
    expect(statement.sql.match(/host IN/g)).toHaveLength(2);
    expect(Object.values(statement.parameters).filter((value) => value === hosts)).toHaveLength(1);
    const many = plan("syscalls", [["count", "rate"]], { hosts: Array.from({ length: 5_000 }, (_, i) => `host-${i}`) });
    const lists = Object.values(seriesStatement(many, "sums", many.selections, null).parameters).filter(
      (value) => Array.isArray(value) && value.length > 100,
    );
    expect(lists.map((value) => (value as string[]).length)).toEqual([2_000, 2_000, 1_000]);
  });

  it("never put a name in backticks that is not a plain identifier", () => {
    const signal = { ...getSignalOrThrow("tcp_rtt"), name: "x` --" };
    expect(() => coverageStatement(plan("tcp_rtt", [["rtt", "p50"]]))).not.toThrow();
    expect(() => rankStatement({ ...plan("tcp_rtt", [["rtt", "p50"]], { by: ["process"] }), signal })).toThrow(TypeError);
  });

  it("read plain sums without a look at coverage, and rates with one", () => {
    const of = (aggregate: string) => {
      const rates = plan("syscalls", [["count", aggregate]]);
      return seriesStatement(rates, "sums", rates.selections, null).sql;
    };
    expect(of("sum")).not.toContain("agent_coverage");
    expect(of("rate")).toContain("agent_coverage");
  });

  it("do not filter by host unless a filter asked for it", () => {
    expect(coverageStatement(plan("syscalls", [["count", "sum"]])).sql).not.toContain("host IN");
    expect(coverageStatement(plan("syscalls", [["count", "sum"]], { hosts: ["a"] })).sql).toContain("host IN");
  });
});
