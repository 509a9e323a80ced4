// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status as grpcStatus, ServerCredentials } from "@grpc/grpc-js";
import { RefusalCode, Snapshot } from "@waggle/proto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { IngestServer } from "../../test/support/ingest-server.ts";
import { madeUpSnapshot } from "../../test/support/windows.ts";
import type { HostClock } from "../host/clock.ts";
import { silentLogger } from "../log.ts";
import { Spool, type SpoolOptions } from "../spool/spool.ts";
import { Backoff } from "./backoff.ts";
import { createIngestClient, waitForConnection } from "./client.ts";
import { readCredential, writeCredential } from "./credential.ts";
import { IngestStream, type IngestStreamOptions } from "./ingest-stream.ts";
import { ServerClock } from "./server-clock.ts";

const bootTag = 7n;
const day = 86_400_000;
const identity = { machineKey: "a".repeat(64), machineKeySource: "machine-id", bootId: "boot", bootTag } as const;
const facts = {
  name: "test",
  kernelRelease: "6",
  architecture: "x86_64",
  distribution: "",
  cpuCount: 2,
  memoryBytes: 1n,
  agentVersion: "0",
  simulated: false,
  tags: {},
};

/** The real clock, with a wall clock that can be wrong. */
class SettableClock implements HostClock {
  wrongByMs = 0;
  wallMs = () => Date.now() + this.wrongByMs;
  elapsedMs = () => performance.now();
}

let stateDirectory: string;
let server: IngestServer;
let clock: SettableClock;
let spool: Spool;
const streams: IngestStream[] = [];

beforeEach(async () => {
  stateDirectory = mkdtempSync(join(tmpdir(), "waggle-stream-"));
  server = await new IngestServer().start();
  clock = new SettableClock();
  spool = openSpool();
  server.validCredentials.add("wgl_hst_0");
  await writeCredential(stateDirectory, { hostId: "host-1", hostName: "test-host", credential: "wgl_hst_0", machineKey: identity.machineKey });
});

afterEach(async () => {
  for (const stream of streams.splice(0)) await stream.stop(0);
  await server.stop();
  rmSync(stateDirectory, { recursive: true, force: true });
});

function openSpool(options: Partial<SpoolOptions> = {}): Spool {
  return Spool.open({ stateDirectory, bytesMax: 100_000_000, framesMax: 10_000, log: silentLogger, ...options });
}

/** Spools window number `index` of an hour, with blocks of real signals: such can be merged. */
async function spoolMadeUp(index: number): Promise<void> {
  const startMs = 3_600_000 * Math.floor(clock.wallMs() / 3_600_000 - 1) + index * 10_000;
  await spool.append({
    windowStartMs: startMs,
    windowMs: 10_000,
    rows: 1,
    shiftMs: 0,
    bootTag,
    encode: (sequence) => Snapshot.encode(madeUpSnapshot({ startMs, sequence })).finish(),
  });
}

function connect(options: Partial<IngestStreamOptions> = {}): IngestStream {
  const stream = new IngestStream({
    api: { url: `http://127.0.0.1:${server.port}`, host: "127.0.0.1", port: server.port, encrypted: false },
    stateDirectory,
    identity,
    facts,
    signals: [{ name: "s", schemaHash: "h" }],
    windowMs: 10_000,
    spool,
    clock,
    serverClock: new ServerClock(bootTag),
    log: silentLogger,
    startedAtMs: 1,
    backoff: new Backoff({ minMs: 20, maxMs: 50 }),
    ...options,
  });
  streams.push(stream);
  stream.start();
  return stream;
}

/** Spools a window that starts now by the host's wall clock. */
async function spoolWindow(stream?: IngestStream, payloadBytes = 10): Promise<number> {
  const windowStartMs = Math.round(clock.wallMs());
  const blocks = [{ signal: "s", schemaHash: "h", rows: 1, columns: [Buffer.alloc(payloadBytes)] }];
  const sequence = await spool.append({
    windowStartMs,
    windowMs: 10_000,
    rows: 1,
    shiftMs: Math.round(windowStartMs - clock.elapsedMs()),
    bootTag,
    encode: (number) =>
      Snapshot.encode({
        sequence: BigInt(number),
        windowStartMs: BigInt(windowStartMs),
        windowMs: 10_000,
        clockOffsetMs: 0n,
        bootId: "boot",
        windows: 1,
        blocks,
      }).finish(),
  });
  stream?.notify();
  return sequence;
}

async function spoolWindows(count: number, stream?: IngestStream): Promise<void> {
  for (let index = 0; index < count; index++) await spoolWindow(stream);
}

const until = (condition: () => void) => vi.waitFor(condition, { timeout: 60_000, interval: 5 });
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("IngestStream", () => {
  it("says hello, sends the newest two windows and then what waits oldest first, and frees the disk of what is acknowledged", async () => {
    await spoolWindows(10);
    const stream = connect();
    await until(() => expect(server.sequences(server.acknowledged)).toEqual([9, 10, ...range(1, 8)]));
    await until(() => expect(spool.state.frames).toBe(0));
    expect(readdirSync(join(stateDirectory, "spool"))).toEqual([]);
    expect(server.hellos[0]).toMatchObject({
      bootId: "boot",
      windowMs: 10_000,
      firstUnacknowledgedSequence: 1n,
      signals: [{ name: "s", schemaHash: "h" }],
    });
    await spoolWindow(stream);
    await until(() => expect(server.sequences().at(-1)).toBe(11));
    await until(() =>
      expect(stream.state).toMatchObject({ phase: "connected", acknowledgedFrames: 11, sentFrames: 11, inFlightFrames: 0, credential: "accepted" }),
    );
  });

  it("reports what waits after every window, which is nothing once that is acknowledged", async () => {
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    // The one behind the Hello may still be on its way when the stream is connected.
    await until(() => expect(server.statuses).toHaveLength(1));
    await spoolWindow(stream);
    await until(() => expect(server.statuses).toHaveLength(2));
    expect(server.statuses.at(-1)).toMatchObject({ spoolFrames: 0n, startedAtMs: 1n, droppedFrames: 0n });
    server.verdict = () => "silence";
    await spoolWindows(2, stream);
    await until(() => expect(server.statuses.at(-1)).toMatchObject({ spoolFrames: 2n }));
  });

  it("never has more windows under way than the API allows", async () => {
    server.config = { framesInFlightMax: 3 };
    server.verdict = () => "silence";
    await spoolWindows(10);
    const stream = connect();
    await until(() => expect(server.sequences()).toEqual([9, 10, 1]));
    server.acknowledge(server.received[2] as Snapshot);
    await until(() => expect(server.sequences()).toEqual([9, 10, 1, 2]));
    expect(stream.state.inFlightFrames).toBe(3);
    expect([...spool.sequences()]).toEqual(range(2, 10));
  });

  it("sends unacknowledged windows again after the API died, until each is acknowledged", async () => {
    server.verdict = (snapshot) => (snapshot.sequence === 2n ? "ack" : "silence");
    await spoolWindows(6);
    connect();
    await until(() => expect(server.sequences()).toEqual([5, 6, 1, 2, 3]));
    await until(() => expect(spool.state.frames).toBe(5));
    const { port } = server;
    await server.stop();
    await spoolWindow();
    server.received.length = 0;
    server.verdict = () => "ack";
    await server.start(port);
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.sequences()).toEqual([6, 7, 1, 3, 4, 5]);
    expect(server.hellos.at(-1)?.firstUnacknowledgedSequence).toBe(1n);
    expect(server.sequences(server.acknowledged).sort((a, b) => a - b)).toEqual(range(1, 7));
  });

  it("goes on in a new process where a killed one stopped", async () => {
    server.verdict = () => "silence";
    await spoolWindows(3);
    const killed = connect();
    await until(() => expect(server.received).toHaveLength(3));
    await killed.stop(0);
    server.received.length = 0;
    server.verdict = () => "ack";
    spool = openSpool();
    connect();
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.sequences()).toEqual([2, 3, 1]);
  });

  it("sends a window again that the API could not store yet, and loses none", async () => {
    let refusals = 0;
    server.verdict = (snapshot) =>
      snapshot.sequence === 2n && refusals++ < 2 ? { retry: true, code: RefusalCode.STORAGE_UNAVAILABLE, reason: "ClickHouse is down" } : "ack";
    await spoolWindows(3);
    const stream = connect();
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.sequences(server.acknowledged).sort()).toEqual([1, 2, 3]);
    expect(server.sequences().filter((sequence) => sequence === 2)).toHaveLength(3);
    expect(spool.state.refusedFrames).toBe(0);
    expect(stream.state.lastRefusal).toContain("ClickHouse is down");
  });

  it("sets aside a window that is refused for good, with the reason, and goes on with the others", async () => {
    server.verdict = (snapshot) => (snapshot.sequence === 2n ? { code: RefusalCode.SCHEMA_MISMATCH, reason: "s: other columns" } : "ack");
    await spoolWindows(4);
    const stream = connect();
    await until(() => expect(spool.state).toMatchObject({ frames: 0, refusedFrames: 1 }));
    expect(server.sequences(server.acknowledged)).toEqual([3, 4, 1]);
    expect(stream.state.lastRefusal).toBe("SCHEMA_MISMATCH: s: other columns");
    expect(readdirSync(join(stateDirectory, "refused")).some((name) => name.includes("2.frame.reason"))).toBe(true);
    await spoolWindow(stream);
    await until(() => expect(server.statuses.at(-1)?.refusedFrames).toBe(1n));
  });

  it("sends a window again that arrived damaged, and sets it aside when it is refused each time", async () => {
    let damaged = 0;
    server.verdict = ({ sequence }) =>
      sequence === 3n || (sequence === 2n && damaged++ < 2) ? { code: RefusalCode.MALFORMED, reason: "s: 1 columns, expected 4" } : "ack";
    await spoolWindows(4);
    connect();
    await until(() => expect(spool.state).toMatchObject({ frames: 0, refusedFrames: 1 }));
    expect(server.sequences(server.acknowledged).sort()).toEqual([1, 2, 4]);
    expect(server.sequences().filter((sequence) => sequence === 2)).toHaveLength(3);
    expect(server.sequences().filter((sequence) => sequence === 3)).toHaveLength(3);
  });

  it("sends no window that the API would find too large", async () => {
    server.config = { frameBytesMax: 1_000 };
    await spoolWindow(undefined, 2_000);
    await spoolWindow(undefined, 100);
    const stream = connect();
    await until(() => expect(server.sequences(server.acknowledged)).toEqual([2]));
    expect(stream.state.lastRefusal).toContain("the API takes 1000");
    expect(spool.state.refusedFrames).toBe(1);
  });

  it("finds the window that breaks the stream and delivers the others", async () => {
    server.verdict = (snapshot) => (snapshot.sequence === 3n ? { end: grpcStatus.INVALID_ARGUMENT } : "ack");
    await spoolWindows(6);
    connect();
    await until(() => expect(spool.state).toMatchObject({ frames: 0, refusedFrames: 1 }));
    expect([...new Set(server.sequences(server.acknowledged))].sort()).toEqual([1, 2, 4, 5, 6]);
  });

  it("sends new windows at once while the API holds back the backlog, and says until when and why", async () => {
    await spoolWindows(10);
    server.config = { framesInFlightMax: 8, backlogInFlightMax: 1 };
    server.verdict = (snapshot) => (snapshot.sequence <= 8n ? { retry: true, code: RefusalCode.STORAGE_UNAVAILABLE, reason: "busy" } : "ack");
    const stream = connect();
    await until(() => expect(server.sequences()).toEqual([9, 10, 1]));
    server.send({ $case: "throttle", value: { waitMs: 0, backlogWaitMs: 60_000, reason: "the store is behind; nothing to do" } });
    await until(() => expect(stream.state.backlogThrottledUntilMs).toBeDefined());
    server.verdict = () => "ack";
    for (const sequence of [11, 12, 13]) {
      await spoolWindow(stream);
      await until(() => expect(server.sequences().at(-1)).toBe(sequence));
    }
    expect(server.sequences(server.acknowledged)).toEqual([9, 10, 11, 12, 13]);
    expect(stream.state).toMatchObject({ throttledUntilMs: undefined, throttleReason: "the store is behind; nothing to do", backlogFrames: 8 });
  });

  it("has no more of the backlog under way than the API allows, and always room for new windows", async () => {
    await spoolWindows(10);
    server.config = { framesInFlightMax: 8, backlogInFlightMax: 3 };
    server.verdict = () => "silence";
    const stream = connect();
    await until(() => expect(server.sequences()).toEqual([9, 10, 1, 2, 3]));
    await spoolWindow(stream);
    await until(() => expect(server.sequences().at(-1)).toBe(11));
    server.acknowledge(server.received[3] as Snapshot);
    // 9 is no longer among the newest two: it counts for the backlog now.
    await spoolWindow(stream);
    await until(() => expect(server.sequences().at(-1)).toBe(12));
    expect(server.sequences()).toEqual([9, 10, 1, 2, 3, 11, 12]);
  });

  it("does not let a slow disk under the backlog delay new windows", async () => {
    await spoolWindows(20);
    const read = spool.read.bind(spool);
    let release = (): void => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    spool.read = async (sequence) => {
      if (sequence <= 18) await slow;
      return read(sequence);
    };
    const stream = connect();
    await until(() => expect(server.sequences(server.acknowledged)).toEqual([19, 20]));
    for (const sequence of [21, 22]) {
      await spoolWindow(stream);
      await until(() => expect(server.sequences(server.acknowledged).at(-1)).toBe(sequence));
    }
    release();
    await until(() => expect(server.sequences(server.acknowledged)).toEqual([19, 20, 21, 22, ...range(1, 18)]));
    expect(stream.state.backlogFramesPerSecond).toBeGreaterThan(0);
    expect(stream.state.backlogFrames).toBe(0);
  });

  it("tries a single window while nothing can be stored, so that the others can still be merged, and sends all once it is", async () => {
    spool = openSpool({ framesMax: 12 });
    server.verdict = () => ({ retry: true, code: RefusalCode.STORAGE_UNAVAILABLE, reason: "ClickHouse is down" });
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    await spoolWindow(stream);
    await until(() => expect(stream.state.lastRefusal).toContain("down"));
    for (let index = 0; index < 40; index++) {
      await spoolMadeUp(index);
      stream.notify();
    }
    await until(() => expect(server.sequences().length).toBeGreaterThan(2));
    expect(new Set(server.sequences())).toEqual(new Set([1]));
    expect(spool.state).toMatchObject({ droppedFrames: 0, windows: 41 });
    expect(spool.state.coarsenedWindows).toBeGreaterThan(20);
    server.verdict = () => "ack";
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.acknowledged.reduce((sum, snapshot) => sum + snapshot.windows, 0)).toBe(41);
    await until(() => expect(server.statuses.at(-1)?.coarsenedWindows).toBe(BigInt(spool.state.coarsenedWindows)));
  }, 60_000);

  it("tells the API what it made by the hour: all behind a hello, then what changes", async () => {
    const hourStartMs = 3_600_000 * Math.floor(clock.wallMs() / 3_600_000);
    const madeAt = async (startMs: number): Promise<void> => {
      await spool.append({ windowStartMs: startMs, windowMs: 10_000, rows: 7, shiftMs: 0, bootTag, encode: () => new Uint8Array(0) });
    };
    for (const hours of [40, 20, 2, 1, 0]) await madeAt(hourStartMs - hours * 3_600_000);
    server.verdict = () => "silence";
    const hours = (index: number) => server.statuses.at(index)?.hours.map((hour) => (hourStartMs - Number(hour.hourStartMs)) / 3_600_000);
    const stream = connect();
    await until(() => expect(server.statuses).toHaveLength(1));
    expect(hours(0)).toEqual([40, 20, 2, 1, 0]);
    expect(server.statuses[0]?.hours.at(-1)).toEqual({
      hourStartMs: BigInt(hourStartMs),
      windows: 1n,
      rows: 7n,
      frames: 1n,
      droppedWindows: 0n,
      refusedWindows: 0n,
    });
    server.send({ $case: "throttle", value: { waitMs: 0, backlogWaitMs: 60_000, reason: "heard" } });
    await until(() => expect(stream.state.throttleReason).toBe("heard"));
    await madeAt(hourStartMs + 10_000);
    spool.refuse(2, "why");
    stream.notify();
    await until(() => expect(server.statuses).toHaveLength(2));
    expect(hours(1)).toEqual([20, 1, 0]);
    expect(server.statuses[1]?.hours.map((hour) => Number(hour.refusedWindows))).toEqual([1, 0, 0]);
    server.endStreams(grpcStatus.UNAVAILABLE, "the API stops");
    await until(() => expect(server.statuses).toHaveLength(3));
    expect(hours(2)).toEqual(expect.arrayContaining([20, 2, 1, 0]));
  });

  it("sends nothing while throttled and everything afterwards", async () => {
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    server.send({ $case: "throttle", value: { waitMs: 400, backlogWaitMs: 0, reason: "" } });
    await until(() => expect(stream.state.throttledUntilMs).toBeDefined());
    await spoolWindows(3, stream);
    expect(server.received).toHaveLength(0);
    await until(() => expect(server.sequences()).toEqual([2, 3, 1]));
    expect(stream.state.throttledUntilMs).toBeUndefined();
  });

  it("goes on after a wait although its timer fired before the time was up", async () => {
    clock.elapsedMs = () => performance.now() * 0.8;
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    server.send({ $case: "throttle", value: { waitMs: 200, backlogWaitMs: 0, reason: "" } });
    await until(() => expect(stream.state.throttledUntilMs).toBeDefined());
    await spoolWindow(stream);
    await until(() => expect(spool.state.frames).toBe(0));
  });

  it("moves the windows of a host whose clock is a day off to where they belong", async () => {
    clock.wrongByMs = day;
    await spoolWindows(2);
    const stream = connect();
    await until(() => expect(spool.state.frames).toBe(0));
    for (const snapshot of server.acknowledged) {
      expect(Math.abs(Number(snapshot.windowStartMs + snapshot.clockOffsetMs) - Date.now())).toBeLessThan(10_000);
    }
    expect(Math.abs(stream.state.clockOffsetMs + day)).toBeLessThan(1_000);
    await spoolWindow(stream);
    await until(() => expect(Number(server.statuses.at(-1)?.clockOffsetMs)).toBe(stream.state.clockOffsetMs));
  });

  it("keeps apart windows from before and after the host's clock was set right", async () => {
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    clock.wrongByMs = day;
    await spoolWindow(stream);
    clock.wrongByMs = 0;
    await spoolWindow(stream);
    await until(() => expect(server.acknowledged).toHaveLength(2));
    const offsets = server.acknowledged.map((snapshot) => Math.round(Number(snapshot.clockOffsetMs) / 1_000));
    expect(offsets).toEqual([-day / 1_000, 0]);
  });

  it("corrects and sends again what was refused because the clocks moved apart during the stream, losing nothing", async () => {
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    const serverNow = () => Date.now() - day;
    server.verdict = (snapshot) =>
      Number(snapshot.windowStartMs + snapshot.clockOffsetMs) > serverNow() + 60_000
        ? { code: RefusalCode.CLOCK_SKEW, reason: "in the future", serverTimeMs: BigInt(serverNow()) }
        : "ack";
    await spoolWindows(3, stream);
    await until(() => expect(spool.state).toMatchObject({ frames: 0, refusedFrames: 0 }));
    expect(server.sequences(server.acknowledged).sort()).toEqual([1, 2, 3]);
    expect(server.acknowledged.every((snapshot) => Math.abs(Number(snapshot.clockOffsetMs) + day) < 1_000)).toBe(true);
  });

  it("repeats a window with the clock offset it was first sent with, as another one would be stored beside it", async () => {
    clock.wrongByMs = day;
    server.verdict = () => "silence";
    await spoolWindow();
    connect();
    await until(() => expect(server.received).toHaveLength(1));
    const { port } = server;
    await server.stop();
    server.clockMs = () => Date.now() + 5_000;
    server.verdict = () => "ack";
    await server.start(port);
    await until(() => expect(server.acknowledged).toHaveLength(1));
    expect(server.received[1]?.clockOffsetMs).toBe(server.received[0]?.clockOffsetMs);
  });

  it("gives up a stream on which the API leaves windows unanswered", async () => {
    server.verdict = () => "silence";
    const stream = connect({ answerTimeoutMs: 30 });
    await spoolWindow(stream);
    await until(() => expect(server.received).toHaveLength(1));
    server.verdict = () => "ack";
    await until(() => {
      stream.notify();
      expect(spool.state.frames).toBe(0);
    });
    expect(stream.state.connects).toBeGreaterThan(1);
  });

  it("drains what is on its way before it stops", async () => {
    const stream = connect();
    await until(() => expect(stream.state.phase).toBe("connected"));
    server.verdict = (snapshot) => {
      setTimeout(() => server.acknowledge(snapshot), 100);
      return "silence";
    };
    await spoolWindow(stream);
    await stream.stop(5_000);
    expect(spool.state.frames).toBe(0);
    expect(stream.state.phase).toBe("stopped");
  });
});

describe("IngestStream over TLS", () => {
  const path = (name: string) => join(stateDirectory, name);

  beforeEach(async () => {
    await server.stop();
    const subject = [
      "-nodes",
      "-days",
      "1",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost",
    ];
    execFileSync("openssl", ["req", "-x509", ...subject, "-keyout", path("key.pem"), "-out", path("cert.pem")], { stdio: "pipe" });
    server.credentials = ServerCredentials.createSsl(null, [
      { private_key: readFileSync(path("key.pem")), cert_chain: readFileSync(path("cert.pem")) },
    ]);
    await server.start();
  });

  const api = () => ({ url: `https://localhost:${server.port}`, host: "localhost", port: server.port, encrypted: true });

  it("delivers to an API whose authority it was told", async () => {
    await spoolWindow();
    connect({ api: api(), caFile: path("cert.pem") });
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.acknowledged).toHaveLength(1);
  });

  it("does not talk to one whose authority it does not know", async () => {
    const client = createIngestClient(api(), undefined);
    await expect(waitForConnection(client, api(), 500)).rejects.toThrow("no connection to https://localhost");
    client.close();
  });

  describe("to an address", () => {
    const byAddress = () => ({ url: `https://127.0.0.1:${server.port}`, host: "127.0.0.1", port: server.port, encrypted: true });
    const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe", cwd: stateDirectory });
    const newKey = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    /** Starts the API with a certificate for these names that the test's authority has signed. */
    async function serveAs(names: string): Promise<void> {
      const port = server.port;
      openssl("req", ...newKey, "-subj", "/CN=api", "-keyout", "api.key", "-out", "api.csr");
      writeFileSync(path("api.ext"), `subjectAltName=${names}\n`);
      openssl(
        "x509",
        "-req",
        "-days",
        "1",
        "-in",
        "api.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "api.ext",
        "-out",
        "api.pem",
      );
      await server.stop();
      server.credentials = ServerCredentials.createSsl(null, [
        { private_key: readFileSync(path("api.key")), cert_chain: readFileSync(path("api.pem")) },
      ]);
      await server.start(port);
    }
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);

    beforeEach(() => {
      warnings.length = 0;
      process.on("warning", note);
      openssl("req", "-x509", ...newKey, "-days", "1", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem");
    });
    afterEach(() => {
      process.off("warning", note);
    });

    it("delivers where the certificate has the address, and nobody warns of a name that is none", async () => {
      await serveAs("IP:127.0.0.1");
      await spoolWindow();
      connect({ api: byAddress(), caFile: path("ca.pem") });
      await until(() => expect(spool.state.frames).toBe(0));
      expect(server.acknowledged).toHaveLength(1);
      expect(warnings).toEqual([]);
    });

    it("says what is wrong with a certificate for another one, keeps what it has, and delivers when it is right", async () => {
      await serveAs("IP:127.0.0.2,DNS:localhost");
      const stream = connect({ api: byAddress(), caFile: path("ca.pem") });
      await spoolWindows(2, stream);
      await until(() => expect(stream.state.lastError).toBeDefined());
      expect(stream.state.lastError).toContain("the certificate is for another name (ERR_TLS_CERT_ALTNAME_INVALID), it has 127.0.0.2");
      expect(stream.state.lastError).toContain("subjectAltName has 127.0.0.1");
      expect([spool.state.frames, server.received.length]).toEqual([2, 0]);
      await serveAs("IP:127.0.0.1");
      await until(() => expect(spool.state.frames).toBe(0));
      expect(server.acknowledged.map(({ sequence }) => sequence)).toHaveLength(2);
      expect(warnings).toEqual([]);
    }, 60_000);

    it("says whose authority to name where it does not know the one that signed", async () => {
      await serveAs("IP:127.0.0.1");
      const client = createIngestClient(byAddress(), path("cert.pem"));
      await expect(waitForConnection(client, byAddress(), 1_000)).rejects.toThrow(
        "set WAGGLE_AGENT_CA_FILE to the authority that signed the API's certificate",
      );
      client.close();
    });
  });

  it("names a CA file it cannot read", () => {
    expect(() => createIngestClient(api(), path("none.pem"))).toThrow(path("none.pem"));
  });
});

describe("IngestStream enrolment", () => {
  const tokenFile = () => join(stateDirectory, "token");

  it("enrols with the token when there is no credential, and keeps it for the agent's user alone", async () => {
    rmSync(join(stateDirectory, "credential.json"));
    writeFileSync(tokenFile(), "wgl_enr_good\n");
    await spoolWindow();
    const stream = connect({ enrolmentTokenFile: tokenFile() });
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.enrolments).toEqual([{ machineKey: identity.machineKey, facts }]);
    expect(readCredential(stateDirectory, identity.machineKey)).toMatchObject({ hostId: "host-1", hostName: "test-host", credential: "wgl_hst_1" });
    expect(statSync(join(stateDirectory, "credential.json")).mode & 0o777).toBe(0o600);
    expect(stream.state).toMatchObject({ hostId: "host-1", hostName: "test-host", credential: "accepted" });
  });

  it("enrols again when its credential is refused", async () => {
    writeFileSync(tokenFile(), "wgl_enr_good");
    server.validCredentials.clear();
    await spoolWindow();
    connect({ enrolmentTokenFile: tokenFile() });
    await until(() => expect(spool.state.frames).toBe(0));
    expect(server.enrolments).toHaveLength(1);
    expect(readCredential(stateDirectory, identity.machineKey)?.credential).toBe("wgl_hst_1");
  });

  it("keeps spooling and says why when its credential is refused and there is no token, and recovers when it is accepted again", async () => {
    server.validCredentials.clear();
    const stream = connect();
    await until(() => expect(stream.state.credential).toBe("refused"));
    await spoolWindows(2, stream);
    expect(spool.state.frames).toBe(2);
    expect(stream.state.lastError).toContain("WAGGLE_AGENT_ENROLMENT_TOKEN_FILE");
    server.validCredentials.add("wgl_hst_0");
    await until(() => expect(spool.state.frames).toBe(0));
    expect(stream.state).toMatchObject({ credential: "accepted", lastError: undefined });
  });

  it("returns to its credential when enrolling again fails", async () => {
    writeFileSync(tokenFile(), "wgl_enr_expired");
    server.validCredentials.clear();
    const stream = connect({ enrolmentTokenFile: tokenFile() });
    await until(() => expect(stream.state.lastError).toContain("refused the enrolment token"));
    server.validCredentials.add("wgl_hst_0");
    await until(() => expect(stream.state.phase).toBe("connected"));
    expect(server.enrolments).toHaveLength(0);
  });

  it("says what is missing without a credential and a token, and what is wrong with the token file without showing it", async () => {
    rmSync(join(stateDirectory, "credential.json"));
    const stream = connect();
    await until(() => expect(stream.state.lastError).toContain("WAGGLE_AGENT_ENROLMENT_TOKEN_FILE"));
    writeFileSync(tokenFile(), "wgl_adm_secret");
    const other = connect({ enrolmentTokenFile: tokenFile() });
    await until(() => expect(other.state.lastError).toContain(tokenFile()));
    expect(other.state.lastError).not.toContain("secret");
    expect(other.state.credential).toBe("missing");
  });

  it("does not report as the machine its disk was cloned from", async () => {
    writeFileSync(tokenFile(), "wgl_enr_good");
    connect({ enrolmentTokenFile: tokenFile(), identity: { ...identity, machineKey: "b".repeat(64) } });
    await until(() => expect(server.enrolments.map((request) => request.machineKey)).toEqual(["b".repeat(64)]));
  });
});
