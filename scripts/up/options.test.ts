// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { parseUpOptions, UsageError } from "./options.ts";

describe("parseUpOptions", () => {
  it("counts the ports up from 7300 and keeps data inside the project unless told otherwise", () => {
    expect(parseUpOptions([], "/srv/waggle")).toEqual({
      dataDirectory: "/srv/waggle/.waggle/data",
      ports: { web: 7300, rest: 7301, ingest: 7302, clickhouse: 7303 },
      simulateHosts: 0,
      agent: true,
      web: true,
    });
  });

  it("takes every option", () => {
    const options = parseUpOptions(["--data", "/d", "--port-base", "9000", "--simulate", "20", "--no-agent", "--no-web"], "/srv/waggle");
    expect(options).toEqual({
      dataDirectory: "/d",
      ports: { web: 9000, rest: 9001, ingest: 9002, clickhouse: 9003 },
      simulateHosts: 20,
      agent: false,
      web: false,
    });
  });

  it.each([["--port-base", "80"], ["--port-base", "x"], ["--simulate", "0"], ["--simulate", "1e3"], ["--nope"], ["stray"]])(
    "refuses %s %s",
    (...words) => {
      expect(() => parseUpOptions(words, "/srv/waggle")).toThrow(UsageError);
    },
  );
});
