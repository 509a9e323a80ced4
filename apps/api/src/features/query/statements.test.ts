// SPDX-License-Identifier: Apache-2.0
import { parseWhere } from "@waggle/query";
import { catalogue, getSignalOrThrow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { fewHostsStatement, hostStepsStatement, hostsStatement, stepsStatement } from "./coverage-statements.ts";
import { byStatement, measuresOf, toSelection } from "./measures.ts";
import { vocabularyOf } from "./resolve.ts";
import type { Source } from "./sources.ts";
import type { Plan, Statement } from "./sql.ts";
import {
  hasRankableSeries,
  isRankable,
  type Reading,
  rankedSeriesStatement,
  rankedStatement,
  seriesStatement,
  valueRankStatement,
  volumeStatement,
} from "./statements.ts";

const hour = 3_600_000;
const t0 = 1_800_000_000_000;
const steps = { fromMs: t0, toMs: t0 + 4 * hour, stepMs: hour, count: 4 };
const source = (level: Source["level"], scope: Source["scope"], index: number): Source => ({
  level,
  scope,
  fromMs: t0 + index * hour,
  toMs: t0 + (index + 1) * hour,
});
const hostSources = [source("1h", "host", 0), source("1m", "host", 1), source("raw", "host", 2)];
const fleetSources = [source("1h", "fleet", 0), source("1m", "fleet", 1), source("1m", "host", 2), source("raw", "host", 3)];

function plan(signalName: string, select: readonly [measure: string, aggregate: string][], overrides: Partial<Plan> = {}): Plan {
  const signal = getSignalOrThrow(signalName);
  const selections = select.map(([name, aggregate]) => {
    const measure = measuresOf(signal).find((candidate) => candidate.name === name);
    if (measure === undefined) throw new Error(name);
    return toSelection(measure, aggregate as never);
  });
  return { tenant: "tenant-1", signal, selections, by: [], filters: [], hosts: null, steps, limit: 10, ...overrides };
}

function readingsOf(of: Plan, sources: readonly Source[]): Reading[] {
  return [...byStatement(of.selections)].map(([form, selections]) => ({ form, selections, sources, coverage: hostSources }));
}

function statementsOf(of: Plan, sources: readonly Source[] = hostSources): Statement[] {
  const readings = readingsOf(of, sources);
  const top = of.by.length === 0 ? null : [of.by.map(() => "a value")];
  const onePoint = { ...of, steps: { ...steps, stepMs: 4 * hour, count: 1 } };
  const ranks = readings
    .filter((reading) => of.by.length > 0 && reading.selections.includes(of.selections[0] as never))
    .map((reading) => (isRankable(onePoint, reading) ? rankedStatement(onePoint, reading) : valueRankStatement(onePoint, reading)));
  const series = readings.filter(
    (reading) => of.by.length > 0 && reading.selections.includes(of.selections[0] as never) && hasRankableSeries(of, reading),
  );
  return [
    hostsStatement(of, hostSources),
    fewHostsStatement(of, hostSources, [of.signal.name]),
    ...series.map((reading) => rankedSeriesStatement(of, reading)),
    stepsStatement(of, sources),
    hostStepsStatement(of, hostSources),
    ...(of.by.length === 0 ? [] : [volumeStatement(of, sources)]),
    ...ranks,
    ...readings.map((reading) => seriesStatement(of, reading, top)),
  ];
}

const hostile = "x' OR 1=1 --`){}";

describe("the statements of a query", () => {
  /** Every signal with everything it can be asked, grouped by everything it has, with filters of every kind. */
  const everything = catalogue.flatMap((signal) => {
    const where = ["host", ...signal.dimensions].map((name) => `${name}:"${hostile}",a* -${name}:b*`).join(" ");
    const filters = parseWhere(where, vocabularyOf(signal, [], [])).filters?.filter((filter) => filter.key !== "host") ?? [];
    const select = measuresOf(signal).flatMap((measure) => measure.aggregates.map((aggregate): [string, string] => [measure.name, aggregate]));
    // Heat maps apart: beside one, percentiles are computed another way.
    return [select.filter(([, aggregate]) => aggregate !== "heatmap"), select].map((selected) =>
      plan(signal.name, selected, { by: ["host", ...signal.dimensions.slice(0, 2)], filters, hosts: [hostile], tenant: hostile }),
    );
  });

  it("start every condition with the tenant", () => {
    for (const statement of everything.flatMap((of) => statementsOf(of))) {
      const conditions = statement.sql.match(/WHERE (?!NOT \(g0|covered > 0)[^\n]*/g) ?? [];
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
    for (const statement of everything.flatMap((of) => statementsOf(of))) {
      expect(statement.sql).not.toContain("OR 1=1");
      expect(statement.sql).not.toContain("a value");
      const placeholders = [...statement.sql.matchAll(/\{(p\d+):/g)].map((match) => match[1] as string);
      expect(Object.keys(statement.parameters).sort()).toEqual([...new Set(placeholders)].sort());
    }
  });

  it("send a long host list once, however many tables are read", () => {
    const hosts = Array.from({ length: 1_000 }, (_, i) => `host-${i}`);
    const rates = plan("syscalls", [["count", "rate"]], { hosts });
    const series = (of: Plan): Statement => seriesStatement(of, readingsOf(of, hostSources)[0] as Reading, null);
    expect(series(rates).sql.match(/host IN/g)).toHaveLength(6);
    expect(Object.values(series(rates).parameters).filter((value) => value === hosts)).toHaveLength(1);
    const many = plan("syscalls", [["count", "rate"]], { hosts: Array.from({ length: 5_000 }, (_, i) => `host-${i}`) });
    const lists = Object.values(series(many).parameters).filter((value) => Array.isArray(value) && value.length > 100);
    expect(lists.map((value) => (value as string[]).length)).toEqual([2_000, 2_000, 1_000]);
  });

  it("never put a name in backticks that is not a plain identifier", () => {
    const signal = { ...getSignalOrThrow("tcp_rtt"), name: "x` --" };
    const of = plan("tcp_rtt", [["rtt", "p50"]], { by: ["process"] });
    expect(() => volumeStatement(of, hostSources)).not.toThrow();
    expect(() => volumeStatement({ ...of, signal }, hostSources)).toThrow(TypeError);
  });

  it("read plain sums and rates of a fleet without a look at coverage, and rates of hosts with one", () => {
    const of = (aggregate: string, sources: readonly Source[]) => {
      const rates = plan("syscalls", [["count", aggregate]]);
      return seriesStatement(rates, readingsOf(rates, sources)[0] as Reading, null).sql;
    };
    expect(of("sum", hostSources)).not.toContain("agent_coverage");
    expect(of("rate", fleetSources)).not.toContain("agent_coverage");
    expect(of("rate", hostSources)).toContain("agent_coverage");
  });

  it("do not filter by host unless a filter asked for it", () => {
    expect(hostsStatement(plan("syscalls", [["count", "sum"]]), hostSources).sql).not.toContain("host IN");
    expect(hostsStatement(plan("syscalls", [["count", "sum"]], { hosts: ["a"] }), hostSources).sql).toContain("host IN");
  });

  it("read the tables of their sources, each for its own time", () => {
    const of = plan("tcp_rtt", [["rtt", "p99"]], { by: ["process"] });
    const { sql } = seriesStatement(of, readingsOf(of, fleetSources)[0] as Reading, null);
    expect(sql.match(/FROM `[a-z0-9_]+` FINAL/g)).toEqual(
      ["tcp_rtt_fleet_1h", "tcp_rtt_fleet_1m", "tcp_rtt_1m", "tcp_rtt"].map((name) => `FROM \`${name}\` FINAL`),
    );
  });

  it("read a table once, however many stretches of it they are about", () => {
    const of = plan("tcp_retransmits", [["segments", "sum"]], { hosts: ["h"] });
    const sources = [source("raw", "host", 0), source("1m", "host", 1), source("raw", "host", 2)];
    const [reading] = readingsOf(of, sources);
    const { sql, parameters, reads } = seriesStatement(of, reading as Reading, null);
    expect(sql.match(/FROM `tcp_retransmits`/g)).toHaveLength(1);
    expect(sql.match(/FROM `tcp_retransmits_1m`/g)).toHaveLength(1);
    expect(sql).toMatch(/tenant = \{p\d+:String\} AND \(\(ts >= [^)]+\) AND ts < [^)]+\)\) OR \(ts >= [^)]+\) AND ts < [^)]+\)\)\) AND host IN/);
    for (const { fromMs, toMs } of sources) expect(Object.values(parameters)).toEqual(expect.arrayContaining([fromMs, toMs]));
    expect(reads).toEqual({ fromMs: t0, toMs: t0 + 3 * hour, isRolledUp: false });
  });
});
