// SPDX-License-Identifier: Apache-2.0
import { status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import {
  type Config as ApiConfig,
  type EnrolHostResponse,
  type HostFacts,
  type IngestServiceClient,
  type Refusal,
  RefusalCode,
  type SettingsReport,
  type SignalSchema,
  StreamSnapshotsRequest,
  type StreamSnapshotsResponse,
  type Throttle,
} from "@waggle/proto";
import type { ApiAddress } from "../config/config.ts";
import type { HostClock } from "../host/clock.ts";
import type { HostIdentity } from "../host/identity.ts";
import type { Logger } from "../log.ts";
import type { FrameFile } from "../spool/frame-file.ts";
import type { Spool } from "../spool/spool.ts";
import { Backoff } from "./backoff.ts";
import { bearer, createIngestClient, openSnapshotStream, type SnapshotStream, waitForConnection } from "./client.ts";
import { type Credential, readCredential, readEnrolmentToken, writeCredential } from "./credential.ts";
import { DrainRate } from "./drain-rate.ts";
import type { ServerClock } from "./server-clock.ts";
import { encodeSnapshotRequest } from "./snapshot-request.ts";

export interface IngestStreamOptions {
  readonly api: ApiAddress;
  readonly caFile?: string | undefined;
  readonly enrolmentTokenFile?: string | undefined;
  readonly stateDirectory: string;
  readonly identity: HostIdentity;
  readonly facts: HostFacts;
  readonly signals: readonly SignalSchema[];
  readonly windowMs: number;
  readonly spool: Spool;
  readonly clock: HostClock;
  readonly serverClock: ServerClock;
  readonly log: Logger;
  /** Unix milliseconds. */
  readonly startedAtMs: number;
  /** Called with each Config of the API. */
  readonly onConfig?: (config: ApiConfig) => void;
  /** What each Status acknowledges of the settings that the API told; undefined: nothing. */
  readonly settingsReport?: () => SettingsReport | undefined;
  readonly backoff?: Backoff;
  /** How long the API may stay silent while it owes an answer, before the stream is given up. */
  readonly answerTimeoutMs?: number;
}

export type StreamPhase = "connecting" | "enrolling" | "connected" | "waiting" | "stopped";

export interface StreamState {
  readonly phase: StreamPhase;
  /** Unix milliseconds; undefined while there is no stream. */
  readonly connectedSinceMs: number | undefined;
  readonly lastAckAtMs: number | undefined;
  readonly acknowledgedFrames: number;
  readonly sentFrames: number;
  readonly inFlightFrames: number;
  readonly connects: number;
  readonly credential: "unknown" | "missing" | "accepted" | "refused";
  readonly hostId: string | undefined;
  readonly hostName: string | undefined;
  /** What is added to this host's clock to get the API's; 0 if they agree. */
  readonly clockOffsetMs: number;
  /** What ended or prevented the last stream, and the last refusal, in words. */
  readonly lastError: string | undefined;
  readonly lastRefusal: string | undefined;
  /** Set while the API asked to be spared altogether. */
  readonly throttledUntilMs: number | undefined;
  /** Set while the API takes new windows only. */
  readonly backlogThrottledUntilMs: number | undefined;
  /** Why the last of these waits was asked for, in words; empty if the API did not say. */
  readonly throttleReason: string;
  /** What the API said of itself and of signals that it does not take (another version has other columns); undefined until it has spoken. */
  readonly apiVersion: string | undefined;
  readonly refusedSignals: readonly string[] | undefined;
  /** Time (ms) between sending a window and its acknowledgement, of the last one. */
  readonly lastAckAfterMs: number | undefined;
  /** Frames that wait from before the two newest windows. */
  readonly backlogFrames: number;
  /** At what rate the backlog went in the last minute; undefined if it did not. */
  readonly backlogFramesPerSecond: number | undefined;
}

const connectTimeoutMs = 10_000;
const statusDelayMs = 1_000;
/** Times a frame that is refused for its clock offset or as malformed, or that alone broke a stream, is tried before it is set aside. */
const attemptsMax = 3;

/** Two kinds of frames with a pace of their own: the newest two windows, and what waits from before. */
type Lane = "live" | "backlog";

const dayMs = 86_400_000;

/**
 * The agent's side of the ingest stream: enrols, says hello, sends the newest windows at once and behind them what is spooled, oldest first, within
 * the API's limits, frees what is acknowledged, and comes back with growing random waits when the connection ends. What it cannot deliver
 * stays in the spool.
 */
export class IngestStream {
  readonly #options: IngestStreamOptions;
  readonly #backoff: Backoff;
  readonly #retryBackoffs: Readonly<Record<Lane, Backoff>> = {
    live: new Backoff({ minMs: 500, maxMs: 30_000 }),
    backlog: new Backoff({ minMs: 500, maxMs: 30_000 }),
  };
  readonly #drainRate = new DrainRate();
  /** Frames under way, and when each went (ms on the clock that never jumps). */
  readonly #inFlight = new Map<number, number>();
  readonly #attempts = new Map<number, number>();
  #stream: SnapshotStream | undefined;
  #config: ApiConfig | undefined;
  #credential: Credential | undefined;
  #mayUseToken = false;
  #isBlocked = false;
  /** Lanes that are reading a frame from disk now. */
  readonly #feeding = new Set<Lane>();
  /** By the clock that does not step; the live lane's wait holds the backlog too. */
  readonly #holdUntilMs: Record<Lane, number> = { live: 0, backlog: 0 };
  readonly #holdTimers: Partial<Record<Lane, NodeJS.Timeout>> = {};
  /**
   * A window that the API could not store yet. Until it is told otherwise only this one is tried: a window that was never sent can still be merged
   * with others, one that may be stored cannot.
   */
  #probe: number | undefined;
  /** Frames one of which broke the stream. They go out one at a time, to find it. */
  readonly #suspects = new Set<number>();
  /** Revision of the claims in the last Status, and in the last one that the API was heard after. */
  #claimsSent = -1;
  #claimsHeard = -1;
  #isClaimsDayDue = false;
  /** Set while a Status is due: sent right behind its window, it would always say that one window waits. */
  #statusTimer: NodeJS.Timeout | undefined;
  #isStopping = false;
  #wake: (() => void) | undefined;
  #endSession: ((error: Error) => void) | undefined;
  #onIdle: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #lastHeardElapsedMs = 0;
  #state: { -readonly [K in keyof StreamState]: StreamState[K] };

  constructor(options: IngestStreamOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff({ minMs: 500, maxMs: 30_000 });
    this.#state = {
      phase: "connecting",
      connectedSinceMs: undefined,
      lastAckAtMs: undefined,
      acknowledgedFrames: 0,
      sentFrames: 0,
      inFlightFrames: 0,
      connects: 0,
      credential: "unknown",
      hostId: undefined,
      hostName: undefined,
      clockOffsetMs: 0,
      lastError: undefined,
      lastRefusal: undefined,
      throttledUntilMs: undefined,
      backlogThrottledUntilMs: undefined,
      throttleReason: "",
      apiVersion: undefined,
      refusedSignals: undefined,
      lastAckAfterMs: undefined,
      backlogFrames: 0,
      backlogFramesPerSecond: undefined,
    };
  }

  get state(): StreamState {
    const { clock, serverClock } = this.#options;
    const now = clock.elapsedMs();
    const wallMs = (untilMs: number): number | undefined => (untilMs > now ? Math.round(clock.wallMs() + untilMs - now) : undefined);
    const { live, backlog } = this.#holdUntilMs;
    return {
      ...this.#state,
      backlogFrames: this.#backlogFrames(),
      backlogFramesPerSecond: this.#drainRate.perSecond(now),
      inFlightFrames: this.#inFlight.size,
      clockOffsetMs: serverClock.offsetNowMs(clock.wallMs(), now),
      throttledUntilMs: wallMs(live),
      backlogThrottledUntilMs: backlog > live ? wallMs(backlog) : undefined,
      throttleReason: Math.max(live, backlog) > now ? this.#state.throttleReason : "",
    };
  }

  /** Begins to connect; returns at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Tells the stream that a window was spooled: it is sent if it may be, and a Status follows once it is acknowledged or a second has passed. */
  notify(): void {
    this.#checkAnswers();
    this.#pump();
    clearTimeout(this.#statusTimer);
    this.#statusTimer = setTimeout(() => this.#sendStatus(), statusDelayMs);
    this.#statusTimer.unref();
  }

  /** Tells the API that settings were taken over, with a Status of their own: the next window may be a minute away. */
  acknowledgeSettings(): void {
    this.#sendStatus();
  }

  /** Sends what is still waiting for at most `drainMs`, then ends. Unacknowledged frames stay in the spool. */
  async stop(drainMs: number): Promise<void> {
    if (this.#stream !== undefined && this.#config !== undefined && this.#options.spool.state.frames > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, drainMs);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#pump();
      });
    }
    this.#isStopping = true;
    this.#wake?.();
    this.#endSession?.(new Error("the agent stops"));
    await this.#running;
    this.#state.phase = "stopped";
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      try {
        await this.#session();
      } catch (error) {
        if (this.#isStopping) break;
        const message = (error as Error).message;
        if (message !== this.#state.lastError) this.#options.log.warn("stream to the API ended", { api: this.#options.api.url, error: message });
        this.#state.lastError = message;
      }
      if (this.#isStopping) break;
      this.#state.phase = "waiting";
      await this.#sleep(this.#backoff.nextMs());
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One connection, from credential to its end. Always throws: a stream has no good end but the agent's stop. */
  async #session(): Promise<never> {
    const { api, caFile } = this.#options;
    this.#state.phase = "connecting";
    const client = createIngestClient(api, caFile);
    try {
      const ended = new Promise<never>((_resolve, reject) => {
        this.#endSession = reject;
      });
      ended.catch(() => {});
      await Promise.race([waitForConnection(client, api, connectTimeoutMs), ended]);
      const credential = await Promise.race([this.#obtainCredential(client), ended]);
      this.#state.hostId = credential.hostId;
      this.#state.hostName = credential.hostName;
      return await this.#converse(client, credential, ended);
    } finally {
      this.#endSession = undefined;
      this.#stream = undefined;
      this.#config = undefined;
      this.#inFlight.clear();
      this.#isBlocked = false;
      this.#probe = undefined;
      this.#state.connectedSinceMs = undefined;
      client.close();
    }
  }

  async #converse(client: IngestServiceClient, credential: Credential, ended: Promise<never>): Promise<never> {
    const { clock, serverClock, spool, identity, facts, signals, windowMs } = this.#options;
    const stream = openSnapshotStream(client, credential.credential);
    const sentElapsedMs = clock.elapsedMs();
    const configTimer = setTimeout(
      () => this.#endSession?.(new Error(`the API did not answer the hello within ${connectTimeoutMs / 1000} s`)),
      connectTimeoutMs,
    );
    stream.on("data", (response: StreamSnapshotsResponse) => {
      if (this.#stream !== stream) return;
      this.#lastHeardElapsedMs = clock.elapsedMs();
      this.#claimsHeard = this.#claimsSent;
      const { message } = response;
      switch (message?.$case) {
        case "config": {
          clearTimeout(configTimer);
          const nowElapsedMs = clock.elapsedMs();
          serverClock.observe(Number(message.value.serverTimeMs), this.#config === undefined ? sentElapsedMs : undefined, nowElapsedMs);
          this.#acceptConfig(message.value);
          break;
        }
        case "ack":
          this.#acceptAck(Number(message.value.sequence));
          break;
        case "refusal":
          this.#acceptRefusal(message.value);
          break;
        case "throttle":
          this.#acceptThrottle(message.value);
          break;
      }
      this.#pump();
    });
    stream.on("drain", () => {
      this.#isBlocked = false;
      this.#pump();
    });
    stream.on("end", () => this.#endSession?.(new Error("the API ended the stream")));
    stream.on("error", (error: ServiceError) => this.#endSession?.(this.#explainEnd(error)));
    this.#stream = stream;
    stream.write(
      StreamSnapshotsRequest.encode({
        message: {
          $case: "hello",
          value: {
            bootId: identity.bootId,
            facts,
            windowMs,
            signals: [...signals],
            firstUnacknowledgedSequence: BigInt(spool.state.firstSequence),
            hostTimeMs: BigInt(Math.round(clock.wallMs())),
          },
        },
      }).finish(),
    );
    try {
      return await ended;
    } finally {
      clearTimeout(configTimer);
      stream.removeAllListeners("drain");
      stream.on("error", () => {});
      if (this.#isStopping) stream.end();
      stream.cancel();
    }
  }

  #acceptConfig(config: ApiConfig): void {
    const isFirst = this.#config === undefined;
    this.#config = config;
    if (isFirst) {
      this.#state.phase = "connected";
      this.#state.connectedSinceMs = Math.round(this.#options.clock.wallMs());
      this.#state.connects++;
      this.#state.credential = "accepted";
      this.#state.lastError = undefined;
      this.#mayUseToken = false;
      const { clockOffsetMs, hostId, hostName } = this.state;
      this.#options.log.info("connected to the API", {
        api: this.#options.api.url,
        hostId,
        hostName,
        clockOffsetMs,
        waitingFrames: this.#options.spool.state.frames,
      });
    }
    this.#state.apiVersion = config.apiVersion;
    this.#state.refusedSignals = config.refusedSignals.map(({ signal }) => signal);
    for (const { signal, reason } of config.refusedSignals) this.#options.log.warn("the API does not take a signal", { signal, reason });
    this.#options.onConfig?.(config);
    if (!isFirst) return;
    this.#isClaimsDayDue = true;
    this.#sendStatus();
  }

  #acceptAck(sequence: number): void {
    const lane = this.#laneOf(sequence);
    const sentElapsedMs = this.#inFlight.get(sequence);
    this.#settle(sequence);
    if (!this.#options.spool.acknowledge(sequence)) return;
    if (sentElapsedMs !== undefined) this.#state.lastAckAfterMs = Math.round(this.#options.clock.elapsedMs() - sentElapsedMs);
    this.#probe = undefined;
    this.#state.acknowledgedFrames++;
    this.#state.lastAckAtMs = Math.round(this.#options.clock.wallMs());
    this.#backoff.reset();
    this.#retryBackoffs[lane].reset();
    if (lane === "backlog") this.#drainRate.add(this.#options.clock.elapsedMs());
    if (this.#statusTimer !== undefined && this.#options.spool.state.frames === 0) this.#sendStatus();
  }

  /** A frame has its answer. */
  #settle(sequence: number): void {
    this.#inFlight.delete(sequence);
    this.#attempts.delete(sequence);
    this.#suspects.delete(sequence);
  }

  /** The probe stays what it was when it was first refused: what it finds out holds for new windows. */
  #laneOf(sequence: number): Lane {
    return this.#options.spool.isLive(sequence) || sequence === this.#probe ? "live" : "backlog";
  }

  #acceptThrottle({ waitMs, backlogWaitMs, reason }: Throttle): void {
    if (reason !== this.#state.throttleReason && reason !== "")
      this.#options.log.warn("the API asks to wait", { reason, waitMs, backlogWaitMs, waitingFrames: this.#options.spool.state.frames });
    this.#state.throttleReason = reason;
    this.#hold("live", waitMs);
    this.#hold("backlog", backlogWaitMs);
  }

  #acceptRefusal(refusal: Refusal): void {
    const { log } = this.#options;
    const sequence = Number(refusal.sequence);
    this.#state.lastRefusal = refusal.reason;
    if (refusal.retry) {
      const lane = this.#laneOf(sequence);
      this.#inFlight.delete(sequence);
      const waitMs = this.#retryBackoffs[lane].nextMs();
      log.info("the API cannot store a window now", { sequence, reason: refusal.reason, waitMs: Math.round(waitMs) });
      if (lane === "live") this.#probe ??= sequence;
      this.#state.throttleReason = refusal.reason;
      this.#hold(lane, waitMs);
      return;
    }
    if (refusal.code === RefusalCode.CLOCK_SKEW && refusal.serverTimeMs !== 0n && this.#countAttempt(sequence) <= attemptsMax) {
      this.#correct(sequence, refusal).then(
        () => this.#pump(),
        (error: unknown) => log.error("window could not be corrected", { sequence, error: String(error) }),
      );
      return;
    }
    this.#inFlight.delete(sequence);
    // What was damaged on the way is refused like what is wrong; on disk it is whole, and the next copy may arrive so.
    if (refusal.code === RefusalCode.MALFORMED && this.#countAttempt(sequence) < attemptsMax) {
      log.warn("the API cannot read a window, sending it again", { sequence, reason: refusal.reason });
      return;
    }
    this.#refuse(sequence, refusal.code, refusal.reason);
  }

  /** The frame counts as under way until it is clear what becomes of it, so that it is not sent meanwhile as it was. */
  async #correct(sequence: number, refusal: Refusal): Promise<void> {
    const { spool, clock, serverClock, log } = this.#options;
    try {
      const elapsedMs = clock.elapsedMs();
      serverClock.observe(Number(refusal.serverTimeMs), this.#inFlight.get(sequence), elapsedMs);
      const frame = await spool.read(sequence);
      if (frame === undefined) return;
      const correctedMs = serverClock.correctedOffsetMs(frame, clock.wallMs(), elapsedMs);
      if (correctedMs !== frame.sentOffsetMs) {
        log.warn("the API's clock differs from this host's, sending the window again with the difference", { sequence, clockOffsetMs: correctedMs });
        // A refused frame was not stored, so here, and only here, its offset may change.
        spool.stamp(sequence, correctedMs);
        return;
      }
      this.#refuse(sequence, refusal.code, refusal.reason);
    } finally {
      this.#inFlight.delete(sequence);
    }
  }

  #refuse(sequence: number, code: RefusalCode, reason: string): void {
    const name = Object.entries(RefusalCode).find(([, value]) => value === code)?.[0] ?? String(code);
    this.#state.lastRefusal = `${name}: ${reason}`;
    this.#attempts.delete(sequence);
    this.#suspects.delete(sequence);
    this.#options.log.error("the API refused a window for good", { sequence, code: name, reason });
    this.#options.spool.refuse(sequence, this.#state.lastRefusal);
  }

  #countAttempt(sequence: number): number {
    const attempts = (this.#attempts.get(sequence) ?? 0) + 1;
    this.#attempts.set(sequence, attempts);
    return attempts;
  }

  /** Sends nothing of a lane for so long. */
  #hold(lane: Lane, waitMs: number): void {
    const untilMs = this.#options.clock.elapsedMs() + waitMs;
    if (waitMs <= 0 || untilMs <= this.#holdUntilMs[lane]) return;
    this.#holdUntilMs[lane] = untilMs;
    this.#pumpAfter(lane, waitMs);
  }

  #pumpAfter(lane: Lane, waitMs: number): void {
    clearTimeout(this.#holdTimers[lane]);
    this.#holdTimers[lane] = setTimeout(() => this.#pump(), Math.ceil(waitMs));
    this.#holdTimers[lane].unref();
  }

  /** Sends what may be sent: until the API's limits, the connection's back-pressure, or the end of the spool. */
  #pump(): void {
    if (this.#options.spool.state.frames === 0) this.#onIdle?.();
    this.#startFeeding("live");
    this.#startFeeding("backlog");
  }

  #startFeeding(lane: Lane): void {
    if (!this.#feeding.has(lane)) this.#feed(lane).catch((error: unknown) => this.#endSession?.(error as Error));
  }

  /** One frame after the other; each is read without holding up the process, so that a long backlog delays nothing else. */
  async #feed(lane: Lane): Promise<void> {
    this.#feeding.add(lane);
    try {
      for (;;) {
        const sequence = this.#next(lane);
        if (sequence === undefined) return;
        const stream = this.#stream;
        const frame = await this.#options.spool.read(sequence);
        // Meanwhile the stream may have ended, the frame been merged, the API asked for a pause.
        if (frame !== undefined && this.#stream === stream && this.#next(lane) === sequence) this.#send(sequence, frame);
      }
    } finally {
      this.#feeding.delete(lane);
      if (lane === "live") this.#startFeeding("backlog");
    }
  }

  /** The frame to send next, or undefined if none may be sent now. */
  #next(lane: Lane): number | undefined {
    const { spool, clock } = this.#options;
    const config = this.#config;
    if (this.#stream === undefined || config === undefined || this.#isBlocked) return undefined;
    const untilMs = lane === "live" ? this.#holdUntilMs.live : Math.max(this.#holdUntilMs.live, this.#holdUntilMs.backlog);
    const holdMs = untilMs - clock.elapsedMs();
    if (holdMs > 0) {
      // Timers of Node.js may fire a little early; then this is the wait for the rest.
      this.#pumpAfter(lane, holdMs);
      return undefined;
    }
    if (this.#probe !== undefined && !spool.has(this.#probe)) this.#probe = undefined;
    if (this.#probe !== undefined) return lane === "live" && !this.#inFlight.has(this.#probe) ? this.#probe : undefined;
    for (const suspect of this.#suspects) if (!spool.has(suspect)) this.#suspects.delete(suspect);
    if (this.#suspects.size > 0) {
      const [suspect] = this.#suspects;
      return lane === "live" && this.#inFlight.size === 0 ? suspect : undefined;
    }
    const inFlightMax = Math.max(1, config.framesInFlightMax);
    if (lane === "live") {
      if (this.#inFlight.size >= inFlightMax) return undefined;
      const { lastSequence } = spool.state;
      return [lastSequence - 1, lastSequence].find((sequence) => spool.isWaiting(sequence) && !this.#inFlight.has(sequence));
    }
    if (this.#next("live") !== undefined) return undefined;
    // What is happening now must not wait for room: it is kept free, as far as there is any to share.
    const ownMax = Math.max(1, inFlightMax - Math.min(2, inFlightMax - 1));
    const backlogMax = config.backlogInFlightMax > 0 ? Math.min(ownMax, config.backlogInFlightMax) : ownMax;
    let underWay = 0;
    for (const sequence of this.#inFlight.keys()) if (!spool.isLive(sequence)) underWay++;
    if (underWay >= backlogMax || this.#inFlight.size >= inFlightMax) return undefined;
    for (const sequence of spool.sequences()) {
      if (spool.isLive(sequence)) return undefined;
      if (!this.#inFlight.has(sequence)) return sequence;
    }
    return undefined;
  }

  #send(sequence: number, frame: FrameFile): void {
    const { spool, clock, serverClock } = this.#options;
    const frameBytesMax = this.#config?.frameBytesMax ?? 0;
    const offsetMs = serverClock.offsetOfFrameMs(frame, clock.wallMs(), clock.elapsedMs());
    const request = encodeSnapshotRequest(frame.payload, offsetMs);
    if (frameBytesMax > 0 && request.length > frameBytesMax) {
      this.#refuse(
        sequence,
        RefusalCode.TOO_LARGE,
        `the frame has ${request.length} bytes, the API takes ${frameBytesMax}; lower WAGGLE_AGENT_ROWS_MAX`,
      );
      return;
    }
    if (frame.sentOffsetMs === undefined) spool.stamp(sequence, offsetMs);
    if (this.#inFlight.size === 0) this.#lastHeardElapsedMs = clock.elapsedMs();
    this.#inFlight.set(sequence, clock.elapsedMs());
    this.#state.sentFrames++;
    if (this.#stream?.write(request) === false) this.#isBlocked = true;
  }

  #backlogFrames(): number {
    const { frames, lastSequence } = this.#options.spool.state;
    const live = [lastSequence - 1, lastSequence].filter((sequence) => this.#options.spool.has(sequence)).length;
    return frames - live;
  }

  #sendStatus(): void {
    clearTimeout(this.#statusTimer);
    this.#statusTimer = undefined;
    if (this.#stream === undefined || this.#config === undefined || this.#isBlocked) return;
    const { spool, clock } = this.#options;
    const { frames, bytes, refusedFrames, droppedFrames, corruptFrames, coarsenedWindows } = spool.state;
    const hours = spool.claims({ revision: this.#claimsHeard, ...(this.#isClaimsDayDue ? { fromMs: clock.wallMs() - dayMs } : {}) });
    this.#claimsSent = spool.claimsRevision;
    this.#isClaimsDayDue = false;
    const status = {
      spoolFrames: BigInt(frames),
      spoolBytes: BigInt(bytes),
      refusedFrames: BigInt(refusedFrames),
      droppedFrames: BigInt(droppedFrames + corruptFrames),
      clockOffsetMs: BigInt(this.state.clockOffsetMs),
      startedAtMs: BigInt(this.#options.startedAtMs),
      coarsenedWindows: BigInt(coarsenedWindows),
      hours: hours.map((hour) => ({
        hourStartMs: BigInt(hour.hourStartMs),
        windows: BigInt(hour.windows),
        rows: BigInt(hour.rows),
        frames: BigInt(hour.frames),
        droppedWindows: BigInt(hour.droppedWindows),
        refusedWindows: BigInt(hour.refusedWindows),
      })),
      settings: this.#options.settingsReport?.(),
    };
    if (!this.#stream.write(StreamSnapshotsRequest.encode({ message: { $case: "status", value: status } }).finish())) this.#isBlocked = true;
  }

  /** Keepalive finds a dead connection; this finds an API that lives and never answers. */
  #checkAnswers(): void {
    const silentMs = this.#options.clock.elapsedMs() - this.#lastHeardElapsedMs;
    if (this.#inFlight.size > 0 && silentMs > (this.#options.answerTimeoutMs ?? 120_000)) {
      this.#endSession?.(new Error(`the API left ${this.#inFlight.size} windows unanswered for ${Math.round(silentMs / 1000)} s`));
    }
  }

  #explainEnd(error: ServiceError): Error {
    switch (error.code) {
      case grpcStatus.UNAUTHENTICATED:
        this.#state.credential = "refused";
        this.#mayUseToken = true;
        return new Error(
          `the API refused this host's credential (${error.details}); ${this.#options.enrolmentTokenFile === undefined ? "set WAGGLE_AGENT_ENROLMENT_TOKEN_FILE to enrol again" : "enrolling again"}`,
        );
      case grpcStatus.ABORTED:
        return new Error(`another agent streams as this host (${error.details}); two agents share a credential or a machine id`);
      case grpcStatus.INVALID_ARGUMENT: {
        // Some frame in flight cannot be read over there. Sent one by one, the frame that is alone when it happens again is the one.
        const [first, ...others] = this.#inFlight.keys();
        if (first !== undefined && others.length === 0 && this.#countAttempt(first) >= attemptsMax)
          this.#refuse(first, RefusalCode.MALFORMED, error.details);
        else for (const sequence of this.#inFlight.keys()) this.#suspects.add(sequence);
        break;
      }
    }
    return new Error(`${grpcStatus[error.code] ?? error.code}: ${error.details}`);
  }

  async #obtainCredential(client: IngestServiceClient): Promise<Credential> {
    const { stateDirectory, identity, enrolmentTokenFile } = this.#options;
    this.#credential ??= readCredential(stateDirectory, identity.machineKey);
    const current = this.#credential;
    if (current !== undefined && !(this.#mayUseToken && enrolmentTokenFile !== undefined)) return current;
    if (enrolmentTokenFile === undefined) {
      this.#state.credential = "missing";
      throw new Error(`there is no credential in ${stateDirectory} and no token to get one; set WAGGLE_AGENT_ENROLMENT_TOKEN_FILE`);
    }
    // Should enrolling fail, the next attempt tries the old credential again: it may have been the API that was wrong.
    this.#mayUseToken = false;
    if (current === undefined) this.#state.credential = "missing";
    this.#state.phase = "enrolling";
    const answer = await this.#enrol(client, readEnrolmentToken(enrolmentTokenFile));
    const credential = { hostId: answer.hostId, hostName: answer.hostName, credential: answer.credential, machineKey: identity.machineKey };
    this.#credential = credential;
    this.#options.log.info("enrolled", { hostId: answer.hostId, hostName: answer.hostName, machineKeySource: identity.machineKeySource });
    try {
      await writeCredential(stateDirectory, credential);
    } catch (error) {
      this.#options.log.error("credential could not be kept, the next start has to enrol again", {
        directory: stateDirectory,
        error: (error as Error).message,
      });
    }
    return credential;
  }

  #enrol(client: IngestServiceClient, token: string): Promise<EnrolHostResponse> {
    const { identity, facts } = this.#options;
    return new Promise((resolve, reject) => {
      client.enrolHost({ machineKey: identity.machineKey, facts }, bearer(token), { deadline: Date.now() + connectTimeoutMs }, (error, response) => {
        if (error === null) resolve(response);
        else if (error.code === grpcStatus.UNAUTHENTICATED)
          reject(new Error(`the API refused the enrolment token (${error.details}); create a new one and put it into the token file`));
        else reject(new Error(`enrolment failed: ${grpcStatus[error.code] ?? error.code}: ${error.details}`));
      });
    });
  }
}
