// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { MapShape } from "../libbpf/bpf-object.ts";
import { ENTRIES_MIN, mapBytes, planMaps } from "./map-plan.ts";

const hash = (name: string, entries: number, keySize = 16, valueSize = 32): MapShape => ({ name, type: 1, keySize, valueSize, entries });
const perCpu = (name: string, valueSize: number): MapShape => ({ name, type: 6, keySize: 4, valueSize, entries: 1 });
const MiB = 2 ** 20;

describe("mapBytes", () => {
  it("counts per-CPU values for each CPU, and nothing for storage that belongs to tasks and sockets", () => {
    expect(mapBytes(perCpu("costs", 800), 128) - mapBytes(perCpu("costs", 800), 127)).toBe(800);
    const bare = mapBytes({ type: 24, keySize: 4, valueSize: 72, entries: 0 }, 128);
    expect(bare).toBeLessThan(1024);
    expect(mapBytes({ type: 2, keySize: 4, valueSize: 30, entries: 10 }, 128)).toBe(bare + 320);
  });
});

describe("planMaps", () => {
  it("changes nothing while everything fits", () => {
    const plan = planMaps([hash("tcp_rtt_a", 1000), perCpu("costs", 800)], 4, 32 * MiB);
    expect(plan.shrunk).toEqual({});
    expect(plan.bytes).toBe(plan.maps.reduce((sum, { bytes }) => sum + bytes, 0));
  });

  it("shrinks large maps until they fit, names later than counts, small ones and fixed ones not at all", () => {
    const shapes = [hash("syscall_latency_a", 32768), hash("processes", 32768), hash("oom_kills_a", 128), hash("file_io_a", 4096)];
    const plan = planMaps(shapes, 2, 3 * MiB);
    expect(plan.bytes).toBeLessThanOrEqual(3 * MiB);
    expect(plan.bytes).toBeGreaterThan(2.5 * MiB);
    expect(Object.keys(plan.shrunk).sort()).toEqual(["processes", "syscall_latency_a"]);
    expect(plan.shrunk.processes).toBeGreaterThan(plan.shrunk.syscall_latency_a as number);
  });

  it("gives both copies of a map one size", () => {
    const plan = planMaps([hash("tcp_rtt_a", 16384), hash("tcp_rtt_b", 16384)], 2, MiB);
    expect(plan.shrunk.tcp_rtt_a).toBe(plan.shrunk.tcp_rtt_b);
  });

  it("says how much the smallest sizes take where even they do not fit", () => {
    const plan = planMaps([hash("tcp_rtt_a", 16384)], 2, 1000);
    expect(plan.shrunk).toEqual({ tcp_rtt_a: ENTRIES_MIN });
    expect(plan.bytes).toBeGreaterThan(1000);
  });
});
