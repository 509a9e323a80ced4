// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { applicable, formatTerm, parseTerm, problemWithTerm, splitTerms, withoutTerm, withTerm } from "./where";

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
  it("replaces a term of the same key and keeps exclusions", () => {
    expect(withTerm("process:nginx -process:curl", { negated: false, key: "process", value: "psql" })).toBe("-process:curl process:psql");
    expect(withTerm("process:nginx", { negated: false, key: "process", value: "nginx" })).toBe("process:nginx");
    expect(withoutTerm("a:1 b:2 c:3", 1)).toBe("a:1 c:3");
  });
  it("leaves out what a signal has no dimension for, and says which", () => {
    expect(applicable("host:a peer:10.0.0.1 process:x", ["process", "unit", "syscall"])).toEqual({ where: "host:a process:x", ignored: ["peer:10.0.0.1"] });
  });
  it("passes an unknown key on, so that the API can refuse it by name", () => {
    expect(applicable("proces:x", ["process"]).where).toBe("proces:x");
  });
  it("explains a term that is none", () => {
    expect(problemWithTerm("nginx")).toContain("process:nginx");
    expect(problemWithTerm("proces:x")).toContain('"proces" is no key');
    expect(problemWithTerm("process:x")).toBeNull();
  });
});
