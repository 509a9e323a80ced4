// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import {
  type EnrolHostRequest,
  type EnrolHostResponse,
  IngestServiceService,
  RefusalCode,
  type Snapshot,
  type Status,
  type StreamSnapshotsRequest,
  type StreamSnapshotsResponse,
} from "@waggle/proto";
import { type ColumnBlock, decodeBlock, getSignalOrThrow } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Faults, faultKinds } from "./faults.ts";
import { makeFleet } from "./fleet.ts";
import { FrameEncoder } from "./frame.ts";
import { InFlightBytes } from "./in-flight-bytes.ts";
import { Ledger, type LedgerLine, type LedgerTotalsLine, readLedgerWindows, sumsOfWindow } from "./ledger.ts";
import { SimulatedFleet } from "./simulated-fleet.ts";
import { Workload } from "./workload.ts";

const HOSTS = 8;
const WINDOWS = 120;
const WINDOW_MS = 10_000;
const fromMs = Date.UTC(2026, 10, 1, 9, 50);
const untilMs = fromMs + WINDOWS * WINDOW_MS;

/** An API that stores what it acknowledges in memory, and is difficult about it. */
class DifficultApi {
  readonly stored = new Map<string, Snapshot>();
  readonly statuses: Status[] = [];
  enrolments = 0;
  inFlightMax = 0;
  copies = 0;
  /** What it asks for behind the Hello, and what it asks for once that many snapshots have come. */
  asks = { windowMs: WINDOW_MS, rowsMax: 0, signalsOff: [] as string[], after: 0 };
  #server = new Server();
  #received = 0;

  async start(): Promise<string> {
    this.#server.addService(IngestServiceService, {
      enrolHost: ({ request }: ServerUnaryCall<EnrolHostRequest, EnrolHostResponse>, respond: sendUnaryData<EnrolHostResponse>) => {
        this.enrolments++;
        expect(request.facts?.simulated).toBe(true);
        respond(null, { hostId: request.machineKey, hostName: request.facts?.name ?? "", credential: request.facts?.name ?? "" });
      },
      streamSnapshots: (call: ServerDuplexStream<StreamSnapshotsRequest, StreamSnapshotsResponse>) => this.#serve(call),
    });
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    return `127.0.0.1:${port}`;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #serve(call: ServerDuplexStream<StreamSnapshotsRequest, StreamSnapshotsResponse>): void {
    const host = String(call.metadata.get("authorization")[0]).replace("Bearer ", "");
    let inFlight = 0;
    let isEnded = false;
    call.on("error", () => {});
    call.on("end", () => call.end());
    call.on("data", ({ message }: StreamSnapshotsRequest) => {
      const send = (answer: NonNullable<StreamSnapshotsResponse["message"]>): void => {
        if (!call.cancelled && !isEnded) call.write({ message: answer });
      };
      if (message?.$case === "hello") {
        const config = {
          serverTimeMs: 0n,
          frameBytesMax: 4_000_000,
          refusedSignals: [],
          framesInFlightMax: 6,
          backlogInFlightMax: 4,
        };
        const { windowMs, rowsMax, signalsOff } = this.#received >= this.asks.after ? this.asks : { windowMs: WINDOW_MS, rowsMax: 0, signalsOff: [] };
        const settings = { revision: 1n, windowMs, rowsMax, signalsOff, watchedProcesses: [], cpuBudgetCores: undefined };
        send({ $case: "config", value: { ...config, windowMs, rowsMax, settings } });
      } else if (message?.$case === "status") this.statuses.push(message.value);
      else if (message?.$case === "snapshot") {
        const snapshot = message.value;
        inFlight++;
        this.inFlightMax = Math.max(this.inFlightMax, inFlight);
        this.#received++;
        const turn = this.#received;
        setTimeout(() => {
          inFlight--;
          if (turn % 97 === 0 && !isEnded) {
            isEnded = true;
            call.emit("error", Object.assign(new Error("gone"), { code: 14, details: "gone" }));
          } else if (turn % 13 === 0) {
            send({ $case: "throttle", value: { waitMs: 0, backlogWaitMs: 20, reason: "a test" } });
            const refusal = { status: 14, code: RefusalCode.STORAGE_UNAVAILABLE, reason: "later", retry: true, serverTimeMs: 0n };
            send({ $case: "refusal", value: { sequence: snapshot.sequence, ...refusal } });
          } else {
            const key = `${host} ${Number(snapshot.windowStartMs + snapshot.clockOffsetMs)}`;
            const before = this.stored.get(key);
            if (before !== undefined) {
              this.copies++;
              expect(snapshot).toEqual(before);
            }
            this.stored.set(key, snapshot);
            send({ $case: "ack", value: { sequence: snapshot.sequence } });
          }
        }, 2);
      }
    });
  }
}

describe("SimulatedFleet", () => {
  let directory: string;
  let apis: DifficultApi[];
  let addresses: string[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "waggle-simulator-"));
    apis = [new DifficultApi(), new DifficultApi()];
    addresses = await Promise.all(apis.map((api) => api.start()));
  });
  afterEach(() => {
    for (const api of apis) api.stop();
    rmSync(directory, { recursive: true });
  });

  async function deliver(
    ledgerPath: string,
    form: "windows" | "totals",
    withFaults: boolean,
    resume = false,
    speed = Number.POSITIVE_INFINITY,
  ): Promise<SimulatedFleet> {
    const done = resume ? readLedgerWindows(ledgerPath, WINDOW_MS) : undefined;
    const ledger = new Ledger(ledgerPath, form, (error) => {
      throw error;
    });
    const fleet = new SimulatedFleet(
      { hosts: makeFleet(5, HOSTS), addresses, connections: 2, fromMs, untilMs, speed, done },
      {
        token: "t",
        workload: new Workload({ seed: 5, rows: 10, windowMs: WINDOW_MS, incidents: [] }),
        encoder: new FrameEncoder(),
        ledger,
        faults: new Faults(5, withFaults ? faultKinds : []),
        bytes: new InFlightBytes(256 * 1024),
        opening: { free: 4 },
        startedAtMs: 0,
        say: () => {},
        tokenRefused: () => {},
      },
    );
    await fleet.run(new AbortController().signal, () => 0);
    await fleet.close();
    await ledger.close();
    return fleet;
  }

  const storedKeys = (): Set<string> => new Set(apis.flatMap((api) => [...api.stored.keys()]));
  const linesOf = <T>(path: string): T[] =>
    readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as T);

  it("delivers every window through refusals, lost streams and its own faults, copies being the same to the byte, and writes each down once", async () => {
    const path = join(directory, "ledger");
    await deliver(path, "windows", true);
    const expected = makeFleet(5, HOSTS).flatMap((host) =>
      Array.from({ length: WINDOWS }, (_, index) => `${host.name} ${fromMs + index * WINDOW_MS}`),
    );
    expect(storedKeys()).toEqual(new Set(expected));
    const lines = linesOf<LedgerLine>(path);
    expect(lines).toHaveLength(expected.length);
    expect(new Set(lines.map((line) => `${line.host} ${Date.parse(line.windowStart)}`))).toEqual(new Set(expected));
    expect(apis.reduce((sum, api) => sum + api.copies, 0)).toBeGreaterThan(0);
  });

  it("makes windows as long, with as few rows and of those signals, as the API asks for, without losing or doubling a count", async () => {
    const path = join(directory, "ledger");
    const rowsMax = 2;
    for (const api of apis) api.asks = { windowMs: 60_000, rowsMax, signalsOff: ["dns_queries"], after: 40 };
    // Four seconds for twenty minutes: what is due when the API asks stays as it is.
    await deliver(path, "windows", true, false, 300);
    const covered = new Map<string, number>();
    const frames = new Map(apis.flatMap((api) => [...api.stored]));
    let [longer, folded, without] = [0, 0, 0];
    for (const [key, snapshot] of frames) {
      const [host, start] = key.split(" ") as [string, string];
      const windows = snapshot.windowMs / WINDOW_MS;
      expect(snapshot.windows).toBe(windows);
      if (windows > 1) longer++;
      if (snapshot.blocks.every((block) => getSignalOrThrow(block.signal).bpf === null || block.rows <= rowsMax)) folded++;
      const coverage = snapshot.blocks.find((block) => block.signal === "agent_coverage");
      const state = decodeBlock(getSignalOrThrow("agent_coverage"), coverage as ColumnBlock).find((row) => row["signal"] === "dns_queries");
      const isOff = !snapshot.blocks.some((block) => block.signal === "dns_queries");
      expect(state).toMatchObject(isOff ? { state: "disabled", reason: "switched off by the server" } : { state: "exact", reason: "" });
      if (isOff) without++;
      for (let index = 0; index < windows; index++) {
        const at = `${host} ${Number(start) + index * WINDOW_MS}`;
        covered.set(at, (covered.get(at) ?? 0) + 1);
      }
    }
    expect(longer).toBeGreaterThan(HOSTS);
    expect(folded).toBeGreaterThan(HOSTS);
    expect(without).toBeGreaterThan(HOSTS);
    expect(without).toBeLessThan(frames.size);
    expect(covered.size).toBe(HOSTS * WINDOWS);
    expect(new Set(covered.values())).toEqual(new Set([1]));
    // The ledger holds each once as well, with the sums of all.
    const done = readLedgerWindows(path, WINDOW_MS);
    expect([...done.values()].map(({ starts }) => starts.size)).toEqual(Array.from({ length: HOSTS }, () => WINDOWS));
    const total = (lines: readonly LedgerLine[]) => lines.reduce((sum, line) => sum + BigInt(line.signals["syscalls"]?.["count"] ?? 0), 0n);
    const workload = new Workload({ seed: 5, rows: 10, windowMs: WINDOW_MS, incidents: [] });
    const truth = makeFleet(5, HOSTS)
      .flatMap((host) => Array.from({ length: WINDOWS }, (_, index) => sumsOfWindow(workload.window(host, fromMs + index * WINDOW_MS))["syscalls"]))
      .reduce((sum, sums) => sum + BigInt(sums?.["count"] ?? 0), 0n);
    expect(total(linesOf<LedgerLine>(path))).toBe(truth);
  });

  it("keeps to the API's limit of frames in flight, and says per hour what it made", async () => {
    await deliver(join(directory, "ledger"), "totals", false);
    for (const api of apis) expect(api.inFlightMax).toBeLessThanOrEqual(6);
    const said = new Map<string, Status["hours"][number]>();
    // The newest statement of an hour holds; hosts are told apart by their number alone, as all made the same number of windows.
    for (const status of apis.flatMap((api) => api.statuses)) for (const hour of status.hours) said.set(String(hour.hourStartMs), hour);
    expect([...said.values()].map((hour) => Number(hour.windows)).sort((a, b) => a - b)).toEqual([60, 60]);
    const totals = linesOf<LedgerTotalsLine>(join(directory, "ledger"));
    expect(totals.reduce((sum, line) => sum + line.windows, 0)).toBe(HOSTS * WINDOWS);
  });

  it("goes on where a ledger ends, even one whose last line was cut off", async () => {
    const path = join(directory, "ledger");
    await deliver(path, "windows", false);
    const bytes = readFileSync(path);
    const cut = bytes.subarray(0, Math.floor(bytes.length * 0.7));
    for (const api of apis) api.stored.clear();
    rmSync(path);
    writeFileSync(path, cut);
    const kept = cut.toString().split("\n").length - 1;
    const fleet = await deliver(path, "windows", false, true);
    expect(fleet.agents.reduce((sum, agent) => sum + agent.acknowledged, 0)).toBe(HOSTS * WINDOWS - kept);
    expect(linesOf<LedgerLine>(path)).toHaveLength(HOSTS * WINDOWS);
  });
});
