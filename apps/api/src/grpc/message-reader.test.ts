// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { GrpcError, GrpcStatus } from "./grpc-status.ts";
import { frameMessage, MessageReader, PartialMemory } from "./message-reader.ts";

const LIMIT = 1_000_000;

function makeReader(memory = new PartialMemory(10 * LIMIT)) {
  let dropped = 0;
  const holder = { dropPartial: () => void dropped++ };
  const reader = new MessageReader(memory, holder, LIMIT);
  const read = (bytes: Buffer): Buffer[] => {
    const messages: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) at = reader.next(bytes, at, (message) => void messages.push(Buffer.from(message)));
    return messages;
  };
  return { memory, reader, read, dropped: () => dropped };
}

const codeOf = (run: () => unknown): unknown => {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof GrpcError ? error.code : error;
  }
};

describe("MessageReader", () => {
  it("finds messages of any length however their bytes are cut", () => {
    const messages = [0, 1, 5, 0, 4_096, 70_000, 3, 900_000].map((length, index) => Buffer.alloc(length, index + 1));
    const bytes = Buffer.concat(messages.map(frameMessage));
    for (const size of [3, 4_099, 65_536, bytes.length]) {
      const { read, reader, memory } = makeReader();
      const found: Buffer[] = [];
      // Chunks are the transport's: what it does with them afterwards must not matter.
      for (let at = 0; at < bytes.length; at += size) {
        const chunk = Buffer.from(bytes.subarray(at, at + size));
        found.push(...read(chunk));
        chunk.fill(0xee);
      }
      expect(found.length).toBe(messages.length);
      found.forEach((message, index) => {
        expect(message.equals(messages[index] as Buffer)).toBe(true);
      });
      expect(reader.isInside).toBe(false);
      expect(memory.heldBytes).toBe(0);
    }
  });

  it("takes memory by what has come, not by what was announced", () => {
    const { read, memory, reader } = makeReader();
    read(frameMessage(Buffer.alloc(LIMIT)).subarray(0, 100));
    expect(memory.heldBytes).toBeLessThanOrEqual(65_536);
    reader.drop();
    expect(memory.heldBytes).toBe(0);
  });

  it("refuses a message over the limit by its length alone, and a compressed one", () => {
    const prefix = Buffer.from([0, 0, 0, 0, 0]);
    prefix.writeUInt32BE(LIMIT + 1, 1);
    expect(codeOf(() => makeReader().read(prefix))).toBe(GrpcStatus.RESOURCE_EXHAUSTED);
    expect(codeOf(() => makeReader().read(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])))).toBe(GrpcStatus.RESOURCE_EXHAUSTED);
    expect(codeOf(() => makeReader().read(Buffer.from([1, 0, 0, 0, 1, 7])))).toBe(GrpcStatus.UNIMPLEMENTED);
  });

  it("asks whoever waits longest to give way when all together hold too much", () => {
    const memory = new PartialMemory(200_000);
    const readers = [0, 1, 2, 3].map(() => {
      let isDropped = false;
      const holder = {
        dropPartial: () => {
          isDropped = true;
          reader.drop();
        },
      };
      const reader: MessageReader = new MessageReader(memory, holder, LIMIT);
      reader.next(frameMessage(Buffer.alloc(LIMIT)).subarray(0, 60_000), 0, () => {});
      return () => isDropped;
    });
    expect(readers.map((isDropped) => isDropped())).toEqual([true, false, false, false]);
    expect(memory.heldBytes).toBeLessThanOrEqual(200_000);
  });
});
