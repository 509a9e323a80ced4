// SPDX-License-Identifier: Apache-2.0
import { tableFromIPC } from "apache-arrow";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { Answer, HeatmapSeries, ValueSeries } from "../query/query.schemas.ts";
import { answerTable } from "./answer-table.ts";
import { toArrow } from "./arrow.ts";
import { toCsv } from "./csv.ts";
import { listTable } from "./list-table.ts";
import { negotiateFormat } from "./media-type.ts";
import { toNdjson } from "./ndjson.ts";
import type { Table } from "./table.ts";

const answer = (series: Answer["series"]): Answer => ({
  meta: {
    signal: "tcp_rtt",
    from: "2026-11-20T10:00:00.000Z",
    to: "2026-11-20T10:00:30.000Z",
    stepSeconds: 10,
    points: 3,
    unit: "ns",
    coverage: {
      hosts: 2,
      reporting: 1,
      missing: [],
      steps: [1, 0.5, 0],
      stepHosts: { reporting: [2, 1, 0], expected: [2, 2, 2] },
      states: [],
      note: null,
    },
    truncated: null,
    level: "raw",
    scope: "host",
    sources: [],
    rowsRead: 7,
    elapsedMs: 1,
    plannerMs: 0.1,
    assemblyMs: 0.2,
  },
  series,
});
const values = (aggregate: string, process: string, numbers: (number | null)[]): ValueSeries => ({
  measure: "rtt",
  aggregate,
  unit: "ns",
  labels: { process },
  values: numbers,
});
const heatmap: HeatmapSeries = {
  measure: "rtt",
  aggregate: "heatmap",
  unit: "ns",
  labels: {},
  buckets: [
    { lower: 1, upper: 2 },
    { lower: 2, upper: 4 },
  ],
  cells: [
    [3, 0, null],
    [5, 0, null],
  ],
};

describe("an answer as CSV", () => {
  it("has a row per step and group, a column per selection, coverage, and nothing where there is no value", () => {
    const csv = toCsv(answerTable(answer([values("p50", "nginx", [1, 2.5, null]), values("p99", "nginx", [9, 0, null])])));
    expect(csv.split("\r\n")).toEqual([
      "time,process,rtt_p50,rtt_p99,coverage",
      "2026-11-20T10:00:00.000Z,nginx,1,9,1",
      "2026-11-20T10:00:10.000Z,nginx,2.5,0,0.5",
      "2026-11-20T10:00:20.000Z,nginx,,,0",
      "",
    ]);
  });

  it.each([
    ["=HYPERLINK(1)", "'=HYPERLINK(1)"],
    ["+1", "'+1"],
    ["-x", "'-x"],
    ["@sum", "'@sum"],
    ['a"b', '"a""b"'],
    ["a,b", '"a,b"'],
    ["a\r\nb", '"a\r\nb"'],
    ["\tx", "'\tx"],
    ["", '""'],
  ])("writes the label %j so that a spreadsheet shows it and runs nothing", (label, cell) => {
    const csv = toCsv(answerTable({ ...answer([values("p50", label, [-1, null, null])]) }));
    // A negative number stays a number.
    expect(csv).toContain(`2026-11-20T10:00:00.000Z,${cell},-1,1\r\n`);
  });

  it("has the buckets of a heat map below each other, and tells a step without anything counted from one without hosts", () => {
    expect(toCsv(answerTable(answer([heatmap]))).split("\r\n")).toEqual([
      "time,lower,upper,count,coverage",
      "2026-11-20T10:00:00.000Z,1,2,3,1",
      "2026-11-20T10:00:00.000Z,2,4,5,1",
      "2026-11-20T10:00:10.000Z,,,0,0.5",
      "2026-11-20T10:00:20.000Z,,,,0",
      "",
    ]);
  });

  it("has the earlier window's buckets beside a heat map's, where something was counted in either", () => {
    const compared = [
      [0, 4, null],
      [5, 0, 0],
    ];
    expect(toCsv(answerTable(answer([{ ...heatmap, compared }]))).split("\r\n")).toEqual([
      "time,lower,upper,count,count_compared,coverage",
      "2026-11-20T10:00:00.000Z,1,2,3,0,1",
      "2026-11-20T10:00:00.000Z,2,4,5,5,1",
      "2026-11-20T10:00:10.000Z,1,2,0,4,0.5",
      "2026-11-20T10:00:20.000Z,,,,0,0",
      "",
    ]);
  });

  it("has the earlier window beside what it is compared with", () => {
    const series = { ...values("p50", "nginx", [1, 2, 3]), compared: [4, null, 6], change: -0.5 };
    expect(
      toCsv(answerTable(answer([series])))
        .split("\r\n")
        .slice(0, 3),
    ).toEqual(["time,process,rtt_p50,rtt_p50_compared,coverage", "2026-11-20T10:00:00.000Z,nginx,1,4,1", "2026-11-20T10:00:10.000Z,nginx,2,,0.5"]);
  });

  it("says which rows are values and which are buckets where it has both", () => {
    const table = answerTable(answer([heatmap, { ...values("p99", "", [4, 5, 6]), labels: {} }]));
    expect(table.columns.map(({ name }) => name)).toEqual(["time", "row", "rtt_p99", "lower", "upper", "count", "coverage"]);
    expect(table.columns[1]?.values).toEqual(["values", "bucket", "bucket", "values", "bucket", "values", "bucket"]);
  });
});

describe("an answer as NDJSON", () => {
  it("begins with what the answer says of itself", () => {
    const lines = toNdjson(answerTable(answer([values("p50", "nginx", [1, null, 3])])))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ meta: { coverage: { hosts: 2, reporting: 1 }, truncated: null, rowsRead: 7 } });
    expect(lines.slice(1)).toMatchObject([{ time: "2026-11-20T10:00:00.000Z", process: "nginx", rtt_p50: 1 }, { rtt_p50: null }, { rtt_p50: 3 }]);
  });
});

describe("an answer as Arrow", () => {
  it("is read back by the library with types, nulls and meta", async () => {
    const table = tableFromIPC(await toArrow(answerTable(answer([values("p50", "=né", [1, null, 3])]))));
    expect(table.schema.fields.map((field) => `${field.name} ${field.type}`)).toEqual([
      "time Timestamp<MILLISECOND, UTC>",
      "process Utf8",
      "rtt_p50 Float64",
      "coverage Float64",
    ]);
    expect(table.toArray().map((row) => [Number(row?.["time"]), row?.["process"], row?.["rtt_p50"]])).toEqual([
      [Date.parse("2026-11-20T10:00:00Z"), "=né", 1],
      [Date.parse("2026-11-20T10:00:10Z"), "=né", null],
      [Date.parse("2026-11-20T10:00:20Z"), "=né", 3],
    ]);
    expect(JSON.parse(table.schema.metadata.get("waggle.meta") ?? "")).toMatchObject({ signal: "tcp_rtt", coverage: { hosts: 2 } });
  });

  it("of no rows still has its columns", async () => {
    const table = tableFromIPC(await toArrow(answerTable({ ...answer([]) })));
    expect([table.numRows, table.schema.fields.map(({ name }) => name)]).toEqual([0, ["time", "coverage"]]);
  });
});

describe("a list as rows", () => {
  const toTable = listTable(
    z.object({ name: z.string(), cpus: z.int().nullable(), agent: z.object({ rss: z.number().nullable() }), tags: z.array(z.string()).optional() }),
  );
  const list = { data: [{ name: "a", cpus: 4, agent: { rss: null }, tags: ["x"] }], page: { next: "n", hasMore: true } };

  it("has a column per field, nested ones by their path, lists as JSON", () => {
    expect(toCsv(toTable(list))).toBe('name,cpus,agent.rss,tags\r\na,4,,"[""x""]"\r\n');
  });

  it("has the same columns without entries", () => {
    expect(toCsv(toTable({ data: [] }))).toBe("name,cpus,agent.rss,tags\r\n");
  });

  it("keeps whole entries in NDJSON, behind the page", () => {
    expect(
      toNdjson(toTable(list))
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([{ meta: { page: list.page } }, list.data[0]]);
  });

  it("becomes Arrow, lists as JSON", async () => {
    const table: Table = toTable(list);
    expect(
      tableFromIPC(await toArrow(table))
        .toArray()[0]
        ?.toJSON(),
    ).toEqual({ name: "a", cpus: 4, "agent.rss": null, tags: '["x"]' });
  });
});

describe("Accept", () => {
  it.each([
    [undefined, "json"],
    ["", "json"],
    ["*/*", "json"],
    ["text/html,application/xhtml+xml,*/*;q=0.8", "json"],
    ["application/json", "json"],
    ["text/csv", "csv"],
    ["text/csv;q=0.5, application/x-ndjson", "ndjson"],
    ["application/ndjson", "ndjson"],
    ["application/vnd.apache.arrow.stream", "arrow"],
    ["application/problem+json, text/csv", "csv"],
  ])("%j gets %s", (accept, format) => {
    expect(negotiateFormat(accept)).toBe(format);
  });

  it.each([
    ["application/x-tool", "tool"],
    ["application/tool", "tool"],
    ["application/x-tool;q=0.4, text/csv", "csv"],
    ["application/json, application/x-tool", "json"],
    ["*/*", "json"],
    [undefined, "json"],
  ])("%j gets %s where a route has a form of its own", (accept, format) => {
    const own = { tool: { mediaType: "application/x-tool", aliases: ["application/tool"], encode: () => ({ body: "", summary: {} }) } };
    expect(negotiateFormat(accept, own)).toBe(format);
    expect(() => negotiateFormat("image/png", own)).toThrow("application/x-tool");
  });

  it.each(["image/png", "application/json;q=0", "nonsense"])("%j is refused with the list of what there is", (accept) => {
    expect(() => negotiateFormat(accept)).toThrow("application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream");
  });
});
