// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { globToLike, matchesFilter, parseWhere } from "./where.ts";

const keys = ["host", "process", "unit", "peer", "peer_port"];
const parse = (text: string) => {
  const parsed = parseWhere(text, keys);
  if (parsed.problems !== undefined) throw new Error(parsed.problems.map((problem) => problem.detail).join(" "));
  return parsed.filters;
};
const problem = (text: string) => parseWhere(text, keys).problems?.[0];

describe("the filter grammar", () => {
  it("reads keys, globs, negations, lists and quotes", () => {
    expect(parse('host:web-* -peer_port:443,8443 process:"my app"')).toEqual([
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

  it("takes everything behind the first colon as the value, so IPv6 peers need no quotes", () => {
    expect(parse("peer:fe80::1")[0]?.patterns).toEqual([{ text: "fe80::1", glob: false }]);
  });

  it("takes an asterisk in quotes literally and keeps escaped quotes", () => {
    expect(parse('process:"a*b\\"c\\\\"')[0]?.patterns).toEqual([{ text: 'a*b"c\\', glob: false }]);
  });

  it("reads an empty quoted value as unknown", () => {
    expect(parse('unit:""')[0]?.patterns).toEqual([{ text: "", glob: false }]);
  });

  it("reads an empty text as no filter", () => {
    expect(parse("  ")).toEqual([]);
  });

  it("names the position and the probable key of an unknown key", () => {
    expect(problem("host:a proces:nginx")).toEqual({
      pointer: "/where",
      detail: "Position 8: This signal has no dimension `proces`; it has host, process, unit, peer, peer_port.",
      suggestion: "process:nginx",
    });
  });

  it("suggests the colon to someone who writes SQL or a bare word", () => {
    expect(problem("peer_port!=443")?.suggestion).toBe("-peer_port:443");
    expect(problem("nginx")?.suggestion).toBe("process:nginx");
  });

  it("refuses a missing value, an open quote and a quote in the middle", () => {
    expect(problem("process:")?.detail).toContain("Position 9");
    expect(problem('process:"ngin')?.suggestion).toBe('process:"ngin"');
    expect(problem('process:a"b"')?.detail).toContain("start of a value");
    expect(problem("process:a,,b")?.detail).toContain("has no value");
  });

  it("reports every wrong term at once", () => {
    expect(parseWhere("foo:1 bar:2", keys).problems).toHaveLength(2);
  });

  it("refuses a text beyond its limit instead of reading part of it", () => {
    expect(problem(`process:${"a".repeat(2_000)}`)?.detail).toContain("at most 2000");
  });
});

describe("matching", () => {
  const matches = (text: string, value: string): boolean => matchesFilter(parse(text)[0] as never, value);

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
