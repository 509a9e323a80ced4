// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration, formatExact, formatFactor, formatMemory, formatRate, formatRatio, formatValue, NO_VALUE } from "./index.ts";

describe("formatValue", () => {
  it.each([
    [212e6, "ns", "212 ms"],
    [1.03e9, "ns", "1.03 s"],
    [900_000, "ns", "900 µs"],
    [40_000, "ns", "40 µs"],
    [2.1e6, "bytes/s", "2.1 MB/s"],
    [4_000, "bytes/s", "4 kB/s"],
    [18_000, "calls", "18 k"],
    [18_000, "calls/s", "18 k/s"],
    [12, "connections/s", "12/s"],
    [0.081, "ratio", "8.1 %"],
    [350e6, "ns/s", "350 ms/s"],
    [0, "segments/s", "0/s"],
    [0, "ratio", "0 %"],
  ])("writes %d %s as %s", (value, unit, text) => {
    expect(formatValue(value, unit)).toBe(text);
  });

  it("never shows missing as zero", () => {
    expect(formatValue(null, "ns")).toBe(NO_VALUE);
    expect(formatValue(undefined, "bytes/s")).toBe(NO_VALUE);
    expect(formatValue(Number.NaN, "ratio")).toBe(NO_VALUE);
  });
});

describe("rounding", () => {
  it("moves to the next step instead of writing 1000 of the smaller one", () => {
    expect(formatBytes(999_700)).toBe("1 MB");
    expect(formatDuration(999_999)).toBe("1 ms");
    expect(formatRate(999.9)).toBe("1 k/s");
  });

  it("says that something tiny is there", () => {
    expect(formatRatio(0.00001)).toBe("<0.01 %");
    expect(formatRate(0.00001)).toBe("<0.001/s");
  });

  it("does not round a gap away: 99.999 % is not all", () => {
    expect(formatRatio(0.99999)).toBe("99.99 %");
    expect(formatRatio(1)).toBe("100 %");
    expect(formatRatio(0.9998)).toBe("99.98 %");
  });
});

describe("formatDuration", () => {
  it.each([
    [0, "0 ns"],
    [119e9, "119 s"],
    [150e9, "2 min 30 s"],
    [180e9, "3 min"],
    [(3 * 3600 + 5 * 60) * 1e9, "3 h 5 min"],
    [(2 * 86_400 + 4 * 3600) * 1e9, "2 d 4 h"],
  ])("writes %d ns as %s", (ns, text) => {
    expect(formatDuration(ns)).toBe(text);
  });
});

it("counts memory in binary steps and traffic in decimal ones", () => {
  expect(formatMemory(64 * 2 ** 30)).toBe("64 GiB");
  expect(formatBytes(64e9)).toBe("64 GB");
});

it("writes factors with as many digits as they deserve", () => {
  expect(formatFactor(3.123)).toBe("3.1 ×");
  expect(formatFactor(240.4)).toBe("240 ×");
});

it("writes counts that are compared with every digit", () => {
  expect([0, 41, 1000, 1_234_567].map(formatExact)).toEqual(["0", "41", "1\u00a0000", "1\u00a0234\u00a0567"]);
  expect(formatExact(null)).toBe(NO_VALUE);
});
