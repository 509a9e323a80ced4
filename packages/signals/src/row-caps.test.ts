// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { hostSignals } from "./catalogue.ts";
import { rowsMaxOf } from "./row-caps.ts";
import { limits } from "./wire.ts";

describe("rowsMaxOf", () => {
  const caps = new Map(hostSignals.map((signal) => [signal.name, rowsMaxOf(signal)]));

  it("gives least to what has no end, and most to what is asked for one by one", () => {
    expect(["file_io", "file_opens", "fsync_latency", "dns_queries"].map((name) => caps.get(name))).toEqual([300, 300, 300, 300]);
    expect(["cpu_profile", "off_cpu", "stack_frames"].map((name) => caps.get(name))).toEqual([500, 500, 500]);
    expect(["tcp_connections", "tcp_rtt", "syscall_latency", "block_latency"].map((name) => caps.get(name))).toEqual([1_000, 1_000, 1_000, 1_000]);
  });

  it("stays below what the API takes, for every signal", () => {
    for (const [name, cap] of caps) expect([name, cap <= limits.blockRowsMax && cap >= 100]).toEqual([name, true]);
  });
});
