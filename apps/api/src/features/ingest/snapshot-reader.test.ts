// SPDX-License-Identifier: Apache-2.0
import { type Snapshot, StreamSnapshotsRequest } from "@waggle/proto";
import { encodeBlock, getSignalOrThrow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { makeSnapshot, retransmits } from "../../../test/test-agent.ts";
import { readAgentMessage, type WireSnapshot } from "./snapshot-reader.ts";

const encode = (value: Snapshot): Buffer => Buffer.from(StreamSnapshotsRequest.encode({ message: { $case: "snapshot", value } }).finish());

/** With its columns cut out, as the generated decoder gives them. */
function unpack({ memory, blocks, ...head }: WireSnapshot): Snapshot {
  return {
    ...head,
    blocks: blocks.map(({ spans, ...block }) => ({
      ...block,
      columns: Array.from({ length: spans.length / 2 }, (_, index) => Buffer.from(memory.subarray(spans[index * 2], spans[index * 2 + 1]))),
    })),
  };
}

function read(bytes: Buffer): Snapshot {
  const message = readAgentMessage(bytes);
  if (message?.$case !== "snapshot") throw new Error(`expected a snapshot, got ${message?.$case}`);
  return unpack(message.value);
}

/** What the generated decoder makes of it: a snapshot, another case, or undefined if it throws. */
function reference(bytes: Buffer): unknown {
  try {
    const { message } = StreamSnapshotsRequest.decode(bytes);
    return message?.$case === "snapshot"
      ? { ...message.value, blocks: message.value.blocks.map((block) => ({ ...block, columns: block.columns.map((column) => Buffer.from(column)) })) }
      : message?.$case;
  } catch {
    return undefined;
  }
}

function ours(bytes: Buffer): unknown {
  try {
    const message = readAgentMessage(bytes);
    return message?.$case === "snapshot" ? unpack(message.value) : message?.$case;
  } catch {
    return undefined;
  }
}

describe("readAgentMessage", () => {
  it("reads a snapshot without copying its columns", () => {
    const bytes = encode(makeSnapshot(7, 1_800_000_000_000, { tcp_retransmits: [retransmits(3)] }));
    const message = readAgentMessage(bytes);
    expect(message?.$case === "snapshot" && message.value.memory).toBe(bytes);
    expect(read(bytes)).toEqual(reference(bytes));
  });

  it.each<[string, Partial<Snapshot>]>([
    ["a clock that is behind", { clockOffsetMs: -500n }],
    ["numbers beyond what JavaScript holds exactly", { sequence: 2n ** 64n - 1n, clockOffsetMs: -(2n ** 63n), windowStartMs: 2n ** 60n }],
    ["the largest that it does hold", { sequence: 2n ** 49n - 1n, windowStartMs: 2n ** 49n, windowMs: 2 ** 32 - 1, windows: 2 ** 32 - 1 }],
    ["no block", { blocks: [] }],
    ["a block without columns", { blocks: [{ signal: "ü", schemaHash: "", rows: 0, columns: [] }] }],
    ["a boot id outside ASCII", { bootId: "böot" }],
  ])("reads %s as the generated decoder does", (_, changes) => {
    const bytes = encode(makeSnapshot(1, 1_800_000_000_000, { tcp_retransmits: [retransmits(3)] }, changes));
    expect(read(bytes)).toEqual(reference(bytes));
  });

  it("leaves hellos, statuses, unknown fields and repeated snapshots to the generated decoder", () => {
    const snapshot = encode(makeSnapshot(1, 1_800_000_000_000, {}));
    const other = encode(makeSnapshot(2, 1_800_000_000_000, {}));
    expect(read(Buffer.concat([snapshot, other]))).toMatchObject({ sequence: 2n });
    expect(read(Buffer.concat([snapshot, Buffer.from([0x78, 0x01])]))).toMatchObject({ sequence: 1n });
    expect(readAgentMessage(Buffer.alloc(0))).toBeUndefined();
  });

  it("says of 20,000 damaged messages what the generated decoder says", () => {
    const block = encodeBlock(getSignalOrThrow("tcp_retransmits"), [retransmits(1)]);
    const good = encode(
      makeSnapshot(
        300,
        1_800_000_000_000,
        {},
        { blocks: [{ signal: "s", schemaHash: "h", rows: 1, columns: block.columns.map((column) => Buffer.from(column)) }] },
      ),
    );
    let seed = 11;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    let refused = 0;
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(good.subarray(0, random(8) === 0 ? random(good.length) : good.length));
      // Mostly where lengths and numbers of fields stand.
      for (let change = random(3); change >= 0; change--) bytes[random(random(2) === 0 ? Math.min(48, bytes.length) : bytes.length)] = random(256);
      const expected = reference(bytes);
      if (expected === undefined) refused++;
      expect(ours(bytes), bytes.toString("hex")).toEqual(expected);
    }
    expect(refused).toBeGreaterThan(1_000);
  });

  it("refuses blocks and columns beyond any catalogue before there is an object for each", () => {
    const empty = { signal: "", schemaHash: "", rows: 0, columns: [] };
    expect(() => read(encode(makeSnapshot(1, 1, {}, { blocks: Array.from({ length: 1_001 }, () => empty) })))).toThrow("more than 1000 blocks");
    const columns = Array.from({ length: 1_001 }, () => Buffer.alloc(0));
    expect(() => read(encode(makeSnapshot(1, 1, {}, { blocks: [{ ...empty, columns }] })))).toThrow("more than 1000 columns");
  });
});
