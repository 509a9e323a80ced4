// SPDX-License-Identifier: Apache-2.0
import { encodeBlock, encodeStrings, getSignalOrThrow, type WireRow, wireColumns } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { retransmits } from "../../../test/test-agent.ts";
import { BodyArena } from "./body-arena.ts";
import { frameOf } from "./frame.ts";
import { buildInserts, type NativeInsert } from "./native-body.ts";

const rtt = getSignalOrThrow("tcp_rtt");
const counter = getSignalOrThrow("tcp_retransmits");
const row = (process: string, k: number[]): WireRow => ({
  process,
  unit: "",
  role: "client",
  peer: "192.0.2.1",
  peer_port: "1",
  port: "ephemeral",
  count: k.length,
  sum: 1,
  min: 1,
  max: 1,
  k,
  c: k.map((bucket) => bucket * 3),
});

const head = (host: string) => ({
  tenant: "t",
  host,
  sequence: 1n,
  tsMs: 1_800_000_000_000,
  windowMs: 10_000,
  clockOffsetMs: 0n,
  bootId: "b",
  windows: 1,
});

/** What an insert's body holds of a column: what follows its name and type, as many bytes as asked for. */
function columnOf(insert: NativeInsert, name: string, type: string, bytes: number): Buffer {
  const start = Buffer.from(encodeStrings([name, type]));
  const at = insert.body.indexOf(start) + start.length;
  return insert.body.subarray(at, at + bytes);
}

describe("buildInserts", () => {
  it("strings columns of several frames together as the encoding of all their rows at once, for every column of a histogram", () => {
    const groups = [[row("a", [1, 2, 3]), row("ü", [])], [row("c", [511])], [row("d", [4, 5])]];
    const frames = groups.map((rows, index) => frameOf(head(`h${index}`), [{ signal: rtt, ...encodeBlock(rtt, rows) }]));
    const [insert] = buildInserts(frames, new BodyArena(1_000_000)) as [NativeInsert];
    expect(insert).toMatchObject({ table: "tcp_rtt", rows: 4 });
    const whole = encodeBlock(rtt, groups.flat());
    wireColumns(rtt).forEach(({ name, type }, index) => {
      const expected = Buffer.from(whole.columns[index] as Uint8Array);
      expect(columnOf(insert, name, type, expected.length), name).toEqual(expected);
    });
  });

  it("names each row's host, also where not every frame has rows of the signal", () => {
    const hosts = [0, 1, 2].map((index) => {
      const blocks = [{ signal: counter, ...encodeBlock(counter, [retransmits(index + 1), retransmits(1, "other")]) }];
      return frameOf(head(`h${index}`), index === 1 ? [] : blocks);
    });
    const [insert] = buildInserts(hosts, new BodyArena(1_000_000)) as [NativeInsert];
    const keys = Buffer.from(encodeStrings(["h0", "h2"]));
    const indexes = columnOf(insert, "host", "LowCardinality(String)", 24 + keys.length + 8 + 8).subarray(24);
    expect(indexes.subarray(0, keys.length)).toEqual(keys);
    expect([...new Uint16Array(new Uint8Array(indexes.subarray(keys.length + 8)).buffer)]).toEqual([0, 0, 1, 1]);
  });
});

describe("BodyArena", () => {
  it("gives memory of its own to each body, and the same again once nobody reads it", () => {
    const arena = new BodyArena(1_000);
    const bodies = [300, 0, 500, 700].map((length) => arena.take(length));
    bodies.forEach((body, index) => {
      body.fill(index);
    });
    expect(bodies.map((body) => body.length)).toEqual([300, 0, 500, 700]);
    bodies.forEach((body, index) => {
      expect(body.every((byte) => byte === index)).toBe(true);
    });
    arena.reset();
    expect(arena.take(10).buffer).toBe(bodies[0]?.buffer);
  });
});
