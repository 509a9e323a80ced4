// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { nameOf, tenantOf } from "./statement-name.ts";

const sql = "SELECT 1 FROM `t` WHERE tenant = {p1:String} AND host IN {p0:Array(String)}";

describe("the name of a statement", () => {
  it("is that of its text and values, whichever objects they are", () => {
    const name = nameOf({ sql, parameters: { p0: ["a", "b"], p1: "one" } });
    expect(nameOf({ sql, parameters: { p0: ["a", "b"], p1: "one" } })).toBe(name);
    const others = [
      { sql, parameters: { p0: ["a", "b"], p1: "two" } },
      { sql, parameters: { p0: ["a,b"], p1: "one" } },
      { sql, parameters: { p0: '["a","b"]', p1: "one" } },
      { sql, parameters: { p0: ["a", "b"], p1: ["one"] } },
      { sql: `${sql} LIMIT 1`, parameters: { p0: ["a", "b"], p1: "one" } },
    ].map(nameOf);
    expect(new Set([name, ...others]).size).toBe(6);
  });
});

describe("the tenant of a statement", () => {
  it("is the value its condition names; a statement without one is none of ours", () => {
    expect(tenantOf({ sql, parameters: { p0: ["a"], p1: "one" } })).toBe("one");
    expect(() => tenantOf({ sql: "SELECT 1", parameters: {} })).toThrow("without a tenant");
    expect(() => tenantOf({ sql, parameters: { p1: ["one"] } })).toThrow("without a tenant");
  });
});
