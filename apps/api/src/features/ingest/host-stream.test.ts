// SPDX-License-Identifier: Apache-2.0
import { setImmediate as turn } from "node:timers/promises";
import { RefusalCode, StreamSnapshotsRequest, StreamSnapshotsResponse, type Throttle } from "@waggle/proto";
import { Registry } from "prom-client";
import { describe, expect, it, vi } from "vitest";
import { makeSnapshot } from "../../../test/test-agent.ts";
import { Clock } from "../../common/clock.ts";
import { createLog } from "../../common/log.ts";
import type { CallListener, GrpcCall } from "../../grpc/grpc-call.ts";
import type { GrpcStatus } from "../../grpc/grpc-status.ts";
import { nothingSet, type RevisedSettings } from "../host-settings/settings.ts";
import type { SettingsWatch } from "../host-settings/settings-watch.service.ts";
import type { ClaimsService } from "../ledger/claims.service.ts";
import type { Excess, LimitsService } from "../limits/limits.service.ts";
import type { DiskGuard } from "../storage/disk-guard.service.ts";
import type { RawFloor } from "../storage/raw-floor.service.ts";
import type { WatchLeases } from "../watch/watch-leases.service.ts";
import type { Frame } from "./frame.ts";
import type { FrameOutcome } from "./frame-queue.ts";
import { FrameSlabs } from "./frame-slabs.ts";
import type { Deferral, FrameWriter } from "./frame-writer.service.ts";
import type { HostStatusService } from "./host-status.service.ts";
import { encodeAck, FRAMES_IN_FLIGHT_MAX, HELLO_TIMEOUT_MS, HostStream } from "./host-stream.ts";
import { IngestMetrics } from "./ingest.metrics.ts";

const NOW_MS = 1_800_000_000_000;

class FixedClock extends Clock {
  override now(): number {
    return NOW_MS;
  }
}

/** A writer that holds what it is given until the test settles it. */
class HeldWriter {
  isFull = false;
  deferred: Deferral | undefined;
  readonly held: { frame: Frame; isLive: boolean; done: (outcome: FrameOutcome) => void }[] = [];
  private listener: (() => void) | undefined;

  join(): () => void {
    return () => {};
  }
  mustPause(): boolean {
    return this.isFull;
  }
  deferral(_: string, isLive: boolean): Deferral | undefined {
    return this.deferred === undefined || (isLive && !this.deferred.includesLive) ? undefined : this.deferred;
  }
  onChange(listener: () => void): () => void {
    this.listener = listener;
    return () => {
      this.listener = undefined;
    };
  }
  add(frame: Frame, isLive: boolean, done: (outcome: FrameOutcome) => void): void {
    this.held.push({ frame, isLive, done });
  }
  drain(): void {
    this.isFull = false;
    this.listener?.();
  }
}

/** The server's end of a call: messages are said to it, answers are collected. */
class FakeCall implements GrpcCall {
  readonly peer = "test";
  readonly headers = {};
  readonly answers: NonNullable<StreamSnapshotsResponse["message"]>[] = [];
  readonly ends: string[] = [];
  isOver = false;
  isPaused = false;
  unreadBytes = 0;
  private listener: CallListener | undefined;
  private readonly waiting: Buffer[] = [];

  listen(listener: CallListener): void {
    this.listener = listener;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
    for (let next = this.waiting.shift(); next !== undefined; next = this.isPaused ? undefined : this.waiting.shift()) this.tell(next);
  }
  write(message: Uint8Array): void {
    const answer = StreamSnapshotsResponse.decode(message).message;
    if (answer !== undefined) this.answers.push(answer);
  }
  end(_: GrpcStatus, details = ""): void {
    this.isOver = true;
    this.ends.push(details);
  }
  say(message: NonNullable<StreamSnapshotsRequest["message"]>): void {
    const bytes = Buffer.from(StreamSnapshotsRequest.encode({ message }).finish());
    if (this.isPaused) this.waiting.push(bytes);
    else this.tell(bytes);
  }
  snapshot(sequence: number, agoMs = 30_000): void {
    this.say({ $case: "snapshot", value: makeSnapshot(sequence, NOW_MS - agoMs, {}) });
  }
  /** As the transport does, which uses its memory again. */
  private tell(bytes: Buffer): void {
    this.listener?.onMessage(bytes);
    bytes.fill(0xff);
  }
}

function makeStream(windowMsWanted: number | null = null, set: RevisedSettings = nothingSet) {
  const writer = new HeldWriter();
  const call = new FakeCall();
  const excess: { now: Excess | undefined } = { now: undefined };
  const services = {
    writer: writer as unknown as FrameWriter,
    slabs: new FrameSlabs(),
    statuses: { noteHello: () => {}, noteWindow: () => {}, noteStatus: () => {} } as unknown as HostStatusService,
    limits: { rowsMax: () => 0, admitFrame: () => excess.now } as unknown as LimitsService,
    settings: { settingsOf: () => set } as unknown as SettingsWatch,
    watches: { windowMsOf: () => undefined } as unknown as WatchLeases,
    claims: { note: () => {} } as unknown as ClaimsService,
    diskGuard: { windowMsWanted: () => windowMsWanted } as unknown as DiskGuard,
    rawFloor: { rawFloorMs: () => 0, reason: () => "" } as unknown as RawFloor,
    metrics: new IngestMetrics(new Registry()),
    clock: new FixedClock(),
    log: createLog("silent"),
  };
  new HostStream(
    call,
    { organisationId: "o", hostId: "h" },
    services,
    () => {},
    () => {},
  );
  return { writer, call, excess };
}

async function open(windowMsWanted: number | null = null, set: RevisedSettings = nothingSet) {
  const { writer, call, excess } = makeStream(windowMsWanted, set);
  const facts = {
    name: "h",
    kernelRelease: "",
    architecture: "",
    distribution: "",
    cpuCount: 1,
    memoryBytes: 1n,
    agentVersion: "",
    simulated: false,
    tags: {},
  };
  call.say({
    $case: "hello",
    value: { bootId: "b", facts, windowMs: 10_000, signals: [], firstUnacknowledgedSequence: 0n, hostTimeMs: BigInt(NOW_MS) },
  });
  await turn();
  const config = call.answers.shift();
  if (config?.$case !== "config") throw new Error("a Hello is answered by a Config");
  return { writer, call, excess, config: config.value };
}

describe("HostStream", () => {
  it("asks for longer windows while the store is short of space", async () => {
    expect((await open()).config.windowMs).toBe(10_000);
    expect((await open(60_000)).config.windowMs).toBe(60_000);
  });

  it("asks for what was set, and for no less than storage and series allow", async () => {
    const set = { ...nothingSet, revision: 4, windowMs: 1_000, rowsMax: 500 };
    expect((await open(null, set)).config).toMatchObject({
      windowMs: 1_000,
      rowsMax: 500,
      settings: { revision: 4n, windowMs: 1_000, rowsMax: 500 },
    });
    // What was set is told as it is also while something else holds: the agent keeps it for later.
    expect((await open(60_000, set)).config).toMatchObject({ windowMs: 60_000, settings: { windowMs: 1_000 } });
  });

  it("ends when no Hello comes, and stays when one has come", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const { call: mute } = makeStream();
      const { call: greeted } = await open();
      vi.advanceTimersByTime(HELLO_TIMEOUT_MS);
      expect(mute.ends).toEqual(["no Hello within 15 s"]);
      expect(greeted.ends).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("asks for a pause and refuses with `retry` what the writer cannot take", async () => {
    const { writer, call } = await open();
    writer.deferred = { reason: "the storage does not take rows", includesLive: true };
    call.snapshot(5);
    await turn();
    expect(call.answers.map((answer) => answer.$case)).toEqual(["throttle", "refusal"]);
    const throttle = call.answers[0]?.value as Throttle;
    expect(throttle.waitMs).toBeGreaterThan(0);
    expect(throttle.reason).toBe("the storage does not take rows");
    expect(call.answers[1]?.value).toMatchObject({ sequence: 5n, code: RefusalCode.STORAGE_UNAVAILABLE, retry: true });
    expect(writer.held).toHaveLength(0);
  });

  it("sends the past away and goes on with the present while the writer has enough of the past", async () => {
    const { writer, call } = await open();
    writer.deferred = { reason: "enough of the past", includesLive: false };
    call.snapshot(1, 600_000);
    call.snapshot(2);
    await turn();
    expect(call.answers).toMatchObject([
      { $case: "throttle", value: { waitMs: 0, backlogWaitMs: expect.any(Number), reason: "enough of the past" } },
      { $case: "refusal", value: { sequence: 1n, retry: true } },
    ]);
    expect(writer.held.map(({ frame, isLive }) => [frame.sequence, isLive])).toEqual([[2n, true]]);
  });

  it("sends a frame away that its organisation has no room for, with the limit in words", async () => {
    const { writer, call, excess } = await open();
    excess.now = { reason: "the organisation may send 10 rows/s", waitMs: 4_000 };
    call.snapshot(1);
    await turn();
    expect(call.answers).toMatchObject([
      { $case: "throttle", value: { waitMs: 4_000, backlogWaitMs: 4_000, reason: "the organisation may send 10 rows/s" } },
      { $case: "refusal", value: { sequence: 1n, code: RefusalCode.LIMIT_EXCEEDED, retry: true, reason: "the organisation may send 10 rows/s" } },
    ]);
    expect(writer.held).toHaveLength(0);
  });

  it("stops reading while the writer is full and the storage works, and goes on when there is room", async () => {
    const { writer, call } = await open();
    writer.isFull = true;
    call.snapshot(1);
    await turn();
    call.snapshot(2);
    await turn();
    expect(writer.held.map(({ frame }) => frame.sequence)).toEqual([1n]);
    writer.drain();
    await turn();
    expect(writer.held.map(({ frame }) => frame.sequence)).toEqual([1n, 2n]);
  });

  it("stops reading a stream that has too many snapshots in flight, and goes on with each answer", async () => {
    const { writer, call } = await open();
    for (let sequence = 1; sequence <= FRAMES_IN_FLIGHT_MAX + 5; sequence++) call.snapshot(sequence);
    await turn();
    expect(writer.held).toHaveLength(FRAMES_IN_FLIGHT_MAX);
    writer.held[0]?.done({ result: "stored" });
    await turn();
    expect(call.answers).toEqual([{ $case: "ack", value: { sequence: 1n } }]);
    expect(writer.held).toHaveLength(FRAMES_IN_FLIGHT_MAX + 1);
  });

  it("passes on why a frame could not be stored", async () => {
    const { writer, call } = await open();
    call.snapshot(1);
    await turn();
    writer.held[0]?.done({ result: "refused", reason: "ClickHouse could not read the rows for tcp_rtt" });
    await turn();
    expect(call.answers).toMatchObject([{ $case: "refusal", value: { sequence: 1n, retry: false, reason: expect.stringContaining("tcp_rtt") } }]);
  });

  it("ends when its answers are not read", async () => {
    const { writer, call } = await open();
    call.snapshot(1);
    call.unreadBytes = 1_000_000;
    writer.held[0]?.done({ result: "stored" });
    expect(call.ends).toEqual([expect.stringContaining("were not read")]);
    expect(call.answers).toEqual([]);
  });
});

describe("encodeAck", () => {
  it("writes what the generated encoder writes, of every length", () => {
    for (const sequence of [0n, 1n, 127n, 128n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n])
      expect(StreamSnapshotsResponse.decode(encodeAck(sequence)).message).toEqual({ $case: "ack", value: { sequence } });
  });
});
