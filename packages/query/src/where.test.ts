// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  applicable,
  COMPARISONS_MAX,
  formatTerm,
  globToLike,
  literal,
  matchesFilter,
  matchesHost,
  parseWhere,
  readTerms,
  splitTerms,
  tagKeysOf,
  type Vocabulary,
  wildcard,
  withoutTerm,
  withTerm,
} from "./index.ts";

const vocabulary: Vocabulary = {
  signal: "tcp_retransmits",
  dimensions: ["process", "unit", "peer", "peer_port", "role"],
  measures: [
    {
      name: "segments",
      aggregate: "sum",
      aggregates: [
        { name: "sum", unit: "segments" },
        { name: "rate", unit: "segments/s" },
        { name: "share", unit: "ratio" },
      ],
    },
    { name: "bytes", aggregate: "sum", aggregates: [{ name: "sum", unit: "bytes" }] },
    {
      name: "rtt",
      aggregates: [
        { name: "p99", unit: "ns" },
        { name: "p99.9", unit: "ns" },
      ],
    },
  ],
  tagKeys: ["env", "role"],
};
const parse = (text: string) => {
  const parsed = parseWhere(text, vocabulary);
  if (parsed.problems !== undefined) throw new Error(parsed.problems.map((problem) => problem.detail).join(" "));
  return parsed;
};
const filtersOf = (text: string) => parse(text).filters;
const problemsOf = (text: string) => parseWhere(text, vocabulary).problems ?? [];
const problem = (text: string) => problemsOf(text)[0];

describe("filters on values", () => {
  it("read keys, globs, negations, lists and quotes", () => {
    expect(filtersOf('host:web-* -peer_port:443,8443 process:"my app"')).toEqual([
      { key: "host", negated: false, patterns: [{ text: "web-*", glob: true }] },
      {
        key: "peer_port",
        negated: true,
        patterns: [
          { text: "443", glob: false },
          { text: "8443", glob: false },
        ],
      },
      { key: "process", negated: false, patterns: [{ text: "my app", glob: false }] },
    ]);
  });

  it("take everything behind the first colon as the value, so IPv6 peers need no quotes", () => {
    expect(filtersOf("peer:fe80::1")[0]?.patterns).toEqual([{ text: "fe80::1", glob: false }]);
  });

  it("take an asterisk in quotes literally and keep escaped quotes", () => {
    expect(filtersOf('process:"a*b\\"c\\\\"')[0]?.patterns).toEqual([{ text: 'a*b"c\\', glob: false }]);
  });

  it("read an empty quoted value as unknown, and an empty text as no filter", () => {
    expect(filtersOf('unit:""')[0]?.patterns).toEqual([{ text: "", glob: false }]);
    expect(filtersOf("  ")).toEqual([]);
  });

  it("take a known tag and a host's attribute by their plain names, a dimension before a tag, and any tag as tag.…", () => {
    expect(filtersOf("env:prod kernel:6.1* role:client tag.role:db tag.app.example/tier:1").map(({ key }) => key)).toEqual([
      "tag.env",
      "kernel",
      "role",
      "tag.role",
      "tag.app.example/tier",
    ]);
    expect(problem("region:eu")?.detail).toContain("hosts have the tags env, role");
  });
});

describe("comparisons", () => {
  const comparison = (text: string) => parse(text).comparisons[0];

  it("read the measure, its usual or a named aggregate, and the signal's name before it", () => {
    const sum = { measure: "segments", aggregate: "sum", operator: ">", value: 10 };
    for (const text of ["segments>10", "segments.sum>10", "retransmits.segments>10", "tcp_retransmits.segments.sum>1e1"])
      expect(comparison(text)).toEqual(sum);
    expect(comparison("rtt.p99.9<=1.5ms")).toEqual({ measure: "rtt", aggregate: "p99.9", operator: "<=", value: 1_500_000 });
  });

  it("turn round when negated", () => {
    expect(comparison("-segments>=10")).toMatchObject({ operator: "<", value: 10 });
  });

  it.each([
    ["segments>3k", 3_000],
    ["segments.rate>5/s", 5],
    ["segments.rate>5", 5],
    ["segments.share>1%", 0.01],
    ["segments.share>0.5", 0.5],
    ["bytes>64KiB", 65_536],
    ["bytes>2MB", 2_000_000],
    ["rtt.p99>250us", 250_000],
    ["rtt.p99>250µs", 250_000],
    ["rtt.p99>2m", 120e9],
    ["rtt.p99>0", 0],
  ])("read the unit of %s", (text, value) => {
    expect(comparison(text)?.value).toBe(value);
  });

  it.each([
    ["rtt.p99>10", "no unit", undefined],
    ["rtt.p99>10MS", "no unit", "rtt.p99>10ms"],
    ["bytes>1kb", "no unit", "bytes>1kB"],
    ["segments>10ms", "no unit of what is counted in segments", undefined],
    ["segments>1%", "no unit", "segments.share>1%"],
    ["segments>5/s", "not a rate", undefined],
    ["segments>ten", "not a number", undefined],
    ["segments>1e999", "beyond", undefined],
    ["segments>constructor", "not a number", undefined],
    ["segments>1constructor", "no unit", undefined],
    ["rtt>10ms", "Say which value", "rtt.p99>10ms"],
    ["segments.p50>1", "takes sum, rate, share", "segments.sum>1"],
    ["segmets>1", "no measure", "segments>1"],
    ["-segmets.rate>1", "no measure", "-segments.rate>1"],
    ["process>1", "is a dimension", undefined],
    ["segments>", "no number", undefined],
  ])("refuse %s", (text, detail, suggestion) => {
    expect(problem(text)?.detail).toContain(detail);
    expect(problem(text)?.suggestion).toBe(suggestion);
    if (suggestion !== undefined) expect(problemsOf(suggestion)).toEqual([]);
  });
});

describe("problems", () => {
  const at = (text: string) => problemsOf(text).map(({ start, end }) => text.slice(start, end));

  it("stand where the wrong character stands", () => {
    expect(at("host:a proces:nginx")).toEqual(["proces"]);
    expect(at("host:a rtt.p99>10xs -x:1")).toEqual(["10xs", "x"]);
    expect(at('process:"ngin')).toEqual(['"ngin']);
    expect(at('process:a"b" host:a')).toEqual(['"b"']);
    expect(at("ngi!nx")).toEqual(["ngi!nx"]);
    expect(at("process:a,,b")).toEqual([","]);
    expect(problem("process:")).toMatchObject({ start: 8, end: 9, suggestion: 'process:""' });
  });

  it("name the probable term", () => {
    expect(problem("host:a proces:nginx")?.suggestion).toBe("process:nginx");
    expect(problem("-proc:nginx")?.suggestion).toBe("-process:nginx");
    expect(problem("peer_port!=443")?.suggestion).toBe("-peer_port:443");
    expect(problem("proces=nginx")?.suggestion).toBe("process:nginx");
    expect(problem("nginx")?.suggestion).toBe("process:nginx");
    expect(problem("tag.ENV:a")?.suggestion).toBe("tag.env:a");
    expect(problem('process:"ngin')?.suggestion).toBe('process:"ngin"');
  });

  it("are all reported, but never more than a person reads", () => {
    expect(problemsOf("foo:1 bar:2")).toHaveLength(2);
    expect(problemsOf("x ".repeat(900)).length).toBe(20);
    expect(problemsOf("x:1 ".repeat(400)).length).toBe(20);
  });

  it("are more comparisons than a filter may have, from the first that is too many", () => {
    const comparisons = (count: number) => Array.from({ length: count }, (_, index) => `segments>${index}`).join(" ");
    expect(problemsOf(comparisons(COMPARISONS_MAX))).toEqual([]);
    expect(at(comparisons(COMPARISONS_MAX + 2))).toEqual([`segments>${COMPARISONS_MAX}`, `segments>${COMPARISONS_MAX + 1}`]);
  });

  it("are found in a text that is too long, and in characters that no name has", () => {
    expect(problem(`process:${"a".repeat(2_000)}`)?.detail).toContain("at most 2000");
    expect(problem("process:a\u0000b")).toMatchObject({ start: 9, end: 10 });
    expect(problem('process:"a\u009bb"')?.detail).toContain("control character");
    expect(problem("process:a\ud800")).toMatchObject({ start: 9, end: 10 });
    expect(problem("process:😀")).toBeUndefined();
  });
});

describe("networks", () => {
  it.each([
    ["peer:10.0.0.0/8", "peer:10.*"],
    ["-peer:10.1.0.0/16", "-peer:10.1.*"],
    ["peer:10.1.2.0/24", "peer:10.1.2.*"],
    ["peer:10.1.2.3/32", "peer:10.1.2.3"],
    ["peer:10.1.2.0/23", undefined],
    ["peer:fd00::/8", undefined],
    ["peer:10.0.0.1,10.0.0.0/8", undefined],
  ])("%s is no peer that was never met, but refused", (text, suggestion) => {
    const { start, detail, suggestion: suggested } = problem(text) ?? {};
    expect([start, suggested]).toEqual([text.indexOf(":") + 1, suggestion]);
    expect(detail).toContain("is a network");
    if (suggestion !== undefined) expect(problemsOf(suggestion)).toEqual([]);
  });

  it("are what only addresses are taken for", () => {
    expect(problemsOf("unit:10.0.0.0/8 process:a/1 peer:10.*")).toEqual([]);
  });
});

describe("dimensions with few values", () => {
  const closed: Vocabulary = { ...vocabulary, values: new Map([["role", ["client", "server"]]]) };
  const problemsWith = (text: string) => parseWhere(text, closed).problems ?? [];

  it.each([
    ["role:clint", "clint", "role:client"],
    ["process:a -role:Server", "Server", "-role:server"],
    ["role:client,sever", "sever", "role:client,server"],
    ["role:cl*x", "cl*x", undefined],
    ["role:server,xyz host:a", "xyz", undefined],
  ])("%s is refused at the value, with what was probably meant", (text, wrong, suggestion) => {
    const [only, ...others] = problemsWith(text);
    expect(others).toEqual([]);
    expect(text.slice(only?.start, only?.end)).toBe(wrong);
    expect(only?.detail).toContain("it has client, server");
    expect(only?.suggestion).toBe(suggestion);
    if (suggestion !== undefined) expect(problemsWith(suggestion)).toEqual([]);
  });

  it("can be asked for each value, unknown, what is summed up, globs, and in quotes for whatever agents of other versions send", () => {
    for (const text of [
      "role:client,server",
      "-role:client",
      'role:""',
      "role:~other",
      "role:*er*",
      "role:cl*",
      'role:"relay"',
      'role:client,"relay"',
    ])
      expect(problemsWith(text)).toEqual([]);
    expect(parseWhere('role:"relay"', closed).filters).toEqual([literal("role", "relay")]);
    expect(formatTerm(literal("role", "relay"), true)).toBe('role:"relay"');
  });

  it("are no tags of the same name", () => {
    expect(problemsWith("tag.role:edge process:clint")).toEqual([]);
  });

  it("list each value that is wrong, and no more problems than a person reads", () => {
    expect(problemsWith("role:a,client,b")).toHaveLength(2);
    expect(problemsWith(`role:${"x,".repeat(900)}x`)).toHaveLength(20);
  });
});

describe("matching", () => {
  const matches = (text: string, value: string): boolean => matchesFilter(filtersOf(text)[0] as never, value);

  it("anchors globs at both ends", () => {
    expect(matches("host:web-*", "web-1")).toBe(true);
    expect(matches("host:web-*", "a-web-1")).toBe(false);
    expect(matches("host:*-db", "eu-db")).toBe(true);
    expect(matches("host:a*b*c", "a1b2c")).toBe(true);
    expect(matches("host:ab*ba", "aba")).toBe(false);
    expect(matches("host:a**z", "az")).toBe(true);
  });

  it("turns the whole list round when negated", () => {
    expect(matches("-host:a,b", "a")).toBe(false);
    expect(matches("-host:a,b", "c")).toBe(true);
  });

  it("escapes what LIKE would treat as a wildcard", () => {
    expect(globToLike("a_b%c\\*")).toBe("a\\_b\\%c\\\\%");
  });
});

describe("writing", () => {
  it("gives text that is read as the same term", () => {
    for (const text of [
      "host:web-*",
      "-peer_port:443",
      'process:"Web Content"',
      "peer:fd00::1",
      "host:web-*,db-1",
      "-segments.rate>=1.5/s",
      'process:"a\\"b",c',
    ])
      expect(readTerms(text).terms.map(({ term }) => formatTerm(term))).toEqual([text]);
    for (const value of ["", "a b", 'a"b', "a\\b", "a*", "a,b", "-x", "ü😀"]) {
      expect(filtersOf(formatTerm(literal("process", value)))).toEqual([literal("process", value)]);
    }
    expect(formatTerm(wildcard("peer", "127.*", true))).toBe("-peer:127.*");
  });

  it("splits at spaces but not inside quotes", () => {
    expect(splitTerms('host:web-* -peer_port:443  process:"Web \\" Content" "open x')).toEqual([
      "host:web-*",
      "-peer_port:443",
      'process:"Web \\" Content"',
      '"open x',
    ]);
  });

  it("replaces a term of the same key and keeps exclusions and comparisons", () => {
    expect(withTerm("process:nginx -process:curl segments>1", literal("process", "psql"))).toBe("-process:curl segments>1 process:psql");
    expect(withTerm("process:nginx", literal("process", "nginx"))).toBe("process:nginx");
    expect(withoutTerm("a:1 b:2 c:3", 1)).toBe("a:1 c:3");
  });

  it("leaves out what one signal cannot answer, and says which; what nobody knows stays, to be refused by name", () => {
    const has = (names: readonly string[]) => (term: { readonly key: string }) => names.includes(term.key);
    expect(applicable("host:a peer:10.0.0.1 proces:x segments>1", has(["host", "process"]), has(["host", "process", "peer", "segments"]))).toEqual({
      where: "host:a proces:x",
      ignored: ["peer:10.0.0.1", "segments>1"],
    });
  });
});

describe("hosts", () => {
  const host = (name: string, tags: Record<string, string>, kernel = "6.1") => ({
    id: `id-${name}`,
    name,
    tags,
    attributes: { kernel, distribution: "", architecture: "", agent_version: "" },
  });
  const hosts = [host("web-1", { env: "prod" }), host("web-2", { env: "test" }, "6.12"), host("db-1", {})];
  const passing = (text: string) => hosts.filter((one) => matchesHost(filtersOf(text), one)).map(({ name }) => name);

  it("pass by name, id, tag and attribute; a tag that a host lacks is unknown", () => {
    expect(passing("host:web-* -host:web-2")).toEqual(["web-1"]);
    expect(passing("host:id-db-1,web-2")).toEqual(["web-2", "db-1"]);
    expect(passing('host:"web-*"')).toEqual([]);
    expect(passing("-host:id-web-1")).toEqual(["web-2", "db-1"]);
    expect(passing("env:prod")).toEqual(["web-1"]);
    expect(passing('env:""')).toEqual(["db-1"]);
    expect(passing('tag.constructor:""')).toHaveLength(3);
    expect(passing("kernel:6.12*")).toEqual(["web-2"]);
    expect(tagKeysOf(hosts)).toEqual(["env"]);
  });
});
