// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { applicable, formatTerm, hostPredicate, parseTerm, problemWithTerm, splitTerms, withoutTerm, withTerm } from "./where";

describe("the filter grammar", () => {
  it("splits at spaces but not inside quotes", () => {
    expect(splitTerms('host:web-* -peer_port:443  process:"Web Content"')).toEqual(["host:web-*", "-peer_port:443", 'process:"Web Content"']);
  });
  it("reads back what it writes", () => {
    for (const text of ["host:web-*", "-peer_port:443", 'process:"Web Content"', "peer:fd00::1"]) {
      const term = parseTerm(text);
      expect(term && formatTerm(term)).toBe(text);
    }
  });
  it("takes a value literally when it comes from data, and keeps wildcards and lists when they were typed", () => {
    expect(formatTerm({ negated: false, key: "process", value: 'a*"b' })).toBe('process:"a*\\"b"');
    expect(parseTerm('process:"a*\\"b"')?.value).toBe('a*"b');
    expect(formatTerm({ negated: true, key: "process", value: "" })).toBe('-process:""');
    expect(problemWithTerm('process:"a b",nginx')).toBeNull();
    const list = parseTerm("host:web-*,db-1");
    expect(list && formatTerm(list)).toBe("host:web-*,db-1");
  });
  it("replaces a term of the same key and keeps exclusions", () => {
    expect(withTerm("process:nginx -process:curl", { negated: false, key: "process", value: "psql" })).toBe("-process:curl process:psql");
    expect(withTerm("process:nginx", { negated: false, key: "process", value: "nginx" })).toBe("process:nginx");
    expect(withoutTerm("a:1 b:2 c:3", 1)).toBe("a:1 c:3");
  });
  it("leaves out what a signal has no dimension for, and says which", () => {
    expect(applicable("host:a peer:10.0.0.1 process:x", ["process", "unit", "syscall"])).toEqual({
      where: "host:a process:x",
      ignored: ["peer:10.0.0.1"],
    });
  });
  it("passes an unknown key on, so that the API can refuse it by name", () => {
    expect(applicable("proces:x", ["process"]).where).toBe("proces:x");
  });
  it("knows which hosts a filter leaves", () => {
    const passing = (text: string) => ["web-1", "web-2", "db-1", "a.b"].filter(hostPredicate(text));
    expect(passing("")).toHaveLength(4);
    expect(passing("host:web-* -host:web-2 process:x")).toEqual(["web-1"]);
    expect(passing("host:db-1,web-2")).toEqual(["web-2", "db-1"]);
    expect(passing('host:"web-*"')).toEqual([]);
    expect(passing("host:aXb")).toEqual([]);
  });
  it("explains a term that is none", () => {
    expect(problemWithTerm("nginx")).toContain("process:nginx");
    expect(problemWithTerm("proces:x")).toContain('"proces" is no key');
    expect(problemWithTerm("process:x")).toBeNull();
  });
});
