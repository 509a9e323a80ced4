// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../log.ts";
import { writeDurably } from "./durable-file.ts";
import { frameHeaderBytes } from "./frame-file.ts";
import { type NewFrame, Spool, type SpoolOptions } from "./spool.ts";

let stateDirectory: string;

beforeEach(() => {
  stateDirectory = mkdtempSync(join(tmpdir(), "waggle-spool-"));
});
afterEach(() => rmSync(stateDirectory, { recursive: true, force: true }));

function open(options: Partial<SpoolOptions> = {}): Spool {
  return Spool.open({ stateDirectory, bytesMax: 1_000_000, framesMax: 1_000, log: silentLogger, ...options });
}

function frame(text = "payload", windowStartMs = 1): NewFrame {
  return { windowStartMs, windowMs: 10_000, rows: 1, shiftMs: 7, bootTag: 9n, encode: (sequence) => Buffer.from(`${sequence}:${text}`) };
}

async function payload(spool: Spool, sequence: number): Promise<string | undefined> {
  const read = await spool.read(sequence);
  return read === undefined ? undefined : Buffer.from(read.payload).toString();
}

const file = (sequence: number, directory = "spool") => join(stateDirectory, directory, `${String(sequence).padStart(20, "0")}.frame`);

describe("Spool", () => {
  it("keeps a frame on disk until it is acknowledged", async () => {
    const spool = open();
    expect(await spool.append(frame())).toBe(1);
    expect(existsSync(file(1))).toBe(true);
    expect(await payload(spool, 1)).toBe("1:payload");
    expect(spool.acknowledge(1)).toBe(true);
    expect(existsSync(file(1))).toBe(false);
    expect(spool.state).toMatchObject({ frames: 0, bytes: 0, droppedFrames: 0, refusedFrames: 0, corruptFrames: 0 });
    expect(spool.acknowledge(1)).toBe(false);
  });

  it("goes on with the sequence, the window start and the waiting frames after a restart", async () => {
    const first = open();
    for (let index = 1; index <= 12; index++) await first.append(frame(`n${index}`, index * 10));
    for (const sequence of [1, 2, 3, 12]) first.acknowledge(sequence);
    const second = open();
    expect([...second.sequences()]).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(second.lastWindowStartMs).toBe(120);
    expect(await payload(second, 10)).toBe("10:n10");
    expect(await second.append(frame())).toBe(13);
  });

  it("goes on behind every sequence it can still see when its progress file is lost or cut", async () => {
    const first = open();
    for (let index = 0; index < 3; index++) await first.append(frame());
    first.refuse(3, "why");
    writeFileSync(join(stateDirectory, "progress.json"), '{"sequ');
    expect(await open().append(frame())).toBe(4);
    rmSync(join(stateDirectory, "progress.json"));
    expect(await open().append(frame())).toBe(5);
  });

  it("takes up a whole frame whose renaming a kill prevented, and throws away a half-written one", async () => {
    const first = open();
    await first.append(frame("whole"));
    await first.append(frame("half"));
    renameSync(file(1), `${file(1)}.tmp`);
    renameSync(file(2), `${file(2)}.tmp`);
    truncateSync(`${file(2)}.tmp`, frameHeaderBytes + 2);
    const second = open();
    expect([...second.sequences()]).toEqual([1]);
    expect(await payload(second, 1)).toBe("1:whole");
    expect(readdirSync(join(stateDirectory, "spool"))).toHaveLength(1);
    expect(await second.append(frame())).toBe(3);
  });

  it.each([
    ["cut inside the payload", (path: string) => truncateSync(path, frameHeaderBytes + 3)],
    ["cut inside the header", (path: string) => truncateSync(path, 11)],
    ["empty", (path: string) => truncateSync(path, 0)],
    ["changed", (path: string) => writeFileSync(path, readFileSync(path).fill(0xff, frameHeaderBytes + 1))],
    ["something else", (path: string) => writeFileSync(path, "x".repeat(100))],
  ])("sets aside a file that is %s, counts it and goes on", async (_what, harm) => {
    const spool = open();
    await spool.append(frame());
    await spool.append(frame());
    harm(file(1));
    const reopened = open();
    expect(await payload(reopened, 1)).toBeUndefined();
    expect(reopened.state).toMatchObject({ frames: 1, corruptFrames: 1 });
    expect(existsSync(file(1, "corrupt"))).toBe(true);
    expect(await payload(reopened, 2)).toBe("2:payload");
  });

  it("drops the oldest frames beyond its bytes and counts them", async () => {
    const spool = open({ bytesMax: 5_000 });
    for (let index = 0; index < 20; index++) await spool.append(frame("x".repeat(1_000 - frameHeaderBytes - 2)));
    expect([...spool.sequences()].at(-1)).toBe(20);
    expect(spool.state.bytes).toBeLessThanOrEqual(5_000);
    expect(spool.state.frames + spool.state.droppedFrames).toBe(20);
    expect(readdirSync(join(stateDirectory, "spool"))).toHaveLength(spool.state.frames);
  });

  it("drops the oldest frames beyond their number and counts them", async () => {
    const spool = open({ framesMax: 3 });
    for (let index = 0; index < 5; index++) await spool.append(frame());
    expect([...spool.sequences()]).toEqual([3, 4, 5]);
    expect(spool.state.droppedFrames).toBe(2);
  });

  it("keeps a single frame however large it is", async () => {
    const spool = open({ bytesMax: 100 });
    await spool.append(frame("x".repeat(500)));
    expect(spool.state).toMatchObject({ frames: 1, droppedFrames: 0 });
  });

  it("moves a refused frame aside with its reason and keeps a bounded number of them", async () => {
    const spool = open();
    for (let index = 0; index < 40; index++) {
      const sequence = await spool.append(frame());
      spool.refuse(sequence, `reason ${sequence}`);
    }
    expect(spool.state).toMatchObject({ frames: 0, refusedFrames: 40 });
    expect(readdirSync(join(stateDirectory, "refused")).filter((name) => name.endsWith(".frame"))).toHaveLength(32);
    expect(readFileSync(`${file(40, "refused")}.reason`, "utf8")).toBe("reason 40\n");
    expect(existsSync(file(8, "refused"))).toBe(false);
  });

  it("remembers across a restart with what clock offset a frame was sent", async () => {
    const spool = open();
    await spool.append({ ...frame(), knownOffsetMs: 5 });
    expect(await spool.read(1)).toMatchObject({ knownOffsetMs: 5, sentOffsetMs: undefined, shiftMs: 7, bootTag: 9n });
    spool.stamp(1, -86_400_000);
    expect(await open().read(1)).toMatchObject({ sentOffsetMs: -86_400_000, knownOffsetMs: undefined, shiftMs: 7 });
  });

  it("still reads what an older version spooled", async () => {
    await open().append(frame("new"));
    const payload1 = Buffer.from("of format 1");
    const header = Buffer.alloc(40);
    header.writeUInt32LE(0x31464757, 0);
    header.writeUInt32LE(payload1.length, 4);
    header.writeUInt32LE(crc32(payload1), 8);
    header.writeUInt32LE(2, 12);
    header.writeBigInt64LE(-5n, 16);
    header.writeBigInt64LE(77n, 24);
    header.writeBigUInt64LE(9n, 32);
    writeFileSync(file(2), Buffer.concat([header, payload1]));
    const spool = open();
    expect(await spool.read(2)).toEqual({
      payload: payload1,
      shiftMs: 77,
      bootTag: 9n,
      knownOffsetMs: -5,
      sentOffsetMs: undefined,
      extent: undefined,
    });
    expect(await payload(spool, 1)).toBe("1:new");
    expect(await spool.append(frame())).toBe(3);
  });

  it("drops the oldest frames beyond the summed length of windows", async () => {
    const spool = open({ spanMsMax: 30_000 });
    for (let index = 0; index < 5; index++) await spool.append(frame("x", 1_000_000 * index));
    expect([...spool.sequences()]).toEqual([3, 4, 5]);
    expect(spool.state).toMatchObject({ droppedFrames: 2, lostWindows: 2 });
  });

  it("says which directory it cannot use", () => {
    writeFileSync(join(stateDirectory, "file"), "");
    expect(() => open({ stateDirectory: join(stateDirectory, "file") })).toThrow(join(stateDirectory, "file"));
  });
});

describe("Spool on a full disk", () => {
  let isFull = false;
  const write = async (path: string, bytes: Uint8Array | string) => {
    if (isFull) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    await writeDurably(path, bytes);
  };

  it("holds frames in memory, says so, and writes them once there is room", async () => {
    const spool = open({ write });
    await spool.append(frame("a"));
    isFull = true;
    await spool.append(frame("b"));
    await spool.append(frame("c"));
    expect(spool.state).toMatchObject({ frames: 3, memoryFrames: 2, droppedFrames: 0, problem: expect.stringContaining("ENOSPC") });
    expect(await payload(spool, 2)).toBe("2:b");
    spool.stamp(2, 42);
    isFull = false;
    await spool.append(frame("d"));
    expect(spool.state).toMatchObject({ frames: 4, memoryFrames: 0, problem: undefined });
    const reopened = open();
    expect(await Promise.all([1, 2, 3, 4].map((sequence) => payload(reopened, sequence)))).toEqual(["1:a", "2:b", "3:c", "4:d"]);
    expect((await reopened.read(2))?.sentOffsetMs).toBe(42);
  });

  it("stays within its memory, giving up the oldest and counting it", async () => {
    isFull = false;
    const spool = open({ write, memoryBytesMax: 3_000 });
    await spool.append(frame("old".repeat(300)));
    isFull = true;
    for (let index = 0; index < 10; index++) await spool.append(frame("x".repeat(900)));
    isFull = false;
    expect(spool.state.frames + spool.state.droppedFrames).toBe(11);
    expect(spool.state.frames).toBeLessThanOrEqual(4);
    expect([...spool.sequences()].at(-1)).toBe(11);
    expect(existsSync(file(1))).toBe(false);
  });

  it("acknowledges and refuses frames it holds in memory", async () => {
    const spool = open({ write });
    isFull = true;
    await spool.append(frame());
    await spool.append(frame());
    isFull = false;
    spool.acknowledge(1);
    spool.refuse(2, "why");
    expect(spool.state).toMatchObject({ frames: 0, bytes: 0, memoryFrames: 0 });
    expect(existsSync(file(2, "refused"))).toBe(true);
  });
});
