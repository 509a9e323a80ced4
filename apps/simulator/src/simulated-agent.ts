// SPDX-License-Identifier: Apache-2.0
import { type ServiceError, status } from "@grpc/grpc-js";
import type { Config, IngestServiceClient, Refusal, Throttle } from "@waggle/proto";
import type { ApiConnection } from "./api-nodes.ts";
import { enrol, HostStream } from "./connection.ts";
import type { Faults } from "./faults.ts";
import type { SimulatedHost } from "./fleet.ts";
import type { FrameEncoder } from "./frame.ts";
import { HourClaims } from "./hour-claims.ts";
import type { InFlightBytes } from "./in-flight-bytes.ts";
import type { DeliveredWindows, Ledger } from "./ledger.ts";
import { joinWindows } from "./longer-window.ts";
import { settingsAnswer, signalsOffOf } from "./settings-answer.ts";
import { type DueWindow, type WindowForm, WindowQueue } from "./window-queue.ts";
import type { WindowBlocks, Workload } from "./workload.ts";

const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 5_000;
/** How often a host says what it made, when that changed. */
const STATUS_MS = 30_000;
/** Settings are acknowledged within this. */
const ACKNOWLEDGE_MS = 2_000;
/** An API that owes answers and is silent for so long is as good as away. */
const SILENCE_MS_MAX = 60_000;

/** Longer windows are asked for by nobody. */
const LENGTH_MS_MAX = 3_600_000;

/** What the hosts of a fleet share. */
export interface FleetServices {
  readonly token: string;
  readonly workload: Workload;
  readonly encoder: FrameEncoder;
  readonly ledger: Ledger | undefined;
  readonly faults: Faults;
  readonly bytes: InFlightBytes;
  /** Streams that may be opening at a time: ten thousand Hellos at once help nobody. */
  readonly opening: { free: number };
  readonly startedAtMs: number;
  readonly say: (line: string) => void;
  /** The API does not know the enrolment token; every host hears the same. */
  readonly tokenRefused: (reason: string) => void;
}

interface SentWindow extends DueWindow {
  readonly form: WindowForm;
  readonly bytes: number;
  readonly rows: number;
}

/** What decides a window's rows, besides the host. */
interface WindowShape {
  readonly startMs: number;
  readonly lengthMs: number;
  readonly form: WindowForm;
}

const asItIs: WindowForm = { rowsMax: 0, signalsOff: new Set() };

type Phase = "closed" | "opening" | "open";

/** One host of the fleet: makes its windows and sends each until it is acknowledged, over as many streams as that takes. */
export class SimulatedAgent {
  readonly host: SimulatedHost;
  readonly #services: FleetServices;
  readonly #connection: ApiConnection;
  readonly #queue: WindowQueue;
  readonly #isDone: ((startMs: number) => boolean) | undefined;
  readonly #clockOffsetMs: number;
  readonly #claims = new HourClaims();
  readonly #inFlight = new Map<bigint, SentWindow>();
  #backlogInFlight = 0;
  #credential: string | undefined;
  #stream: HostStream | undefined;
  #config: Config | undefined;
  /** What the API asks for. */
  #form = asItIs;
  #phase: Phase = "closed";
  #openAtMs = 0;
  #failures = 0;
  #holdUntilMs = 0;
  #backlogHoldUntilMs = 0;
  #heardAtMs = 0;
  #statusAtMs = 0;
  #hasUnansweredSettings = false;
  #isReported = false;
  #isClosing = false;
  readonly #timers = new Set<NodeJS.Timeout>();
  acknowledged = 0;
  acknowledgedRows = 0;
  refused = 0;
  /** Windows that were due and never sent. */
  unsent = 0;

  /**
   * @param fromMs start of the first window
   * @param untilMs end of the last
   * @param done what an earlier run delivered. Windows stay as they are then, whatever the API asks for: that run may have sent some of which
   * it did not hear, and sent again in another form they would count twice.
   */
  constructor(
    services: FleetServices,
    connection: ApiConnection,
    host: SimulatedHost,
    { fromMs, untilMs, done }: { readonly fromMs: number; readonly untilMs: number; readonly done?: DeliveredWindows | undefined },
  ) {
    this.#services = services;
    this.#connection = connection;
    this.host = host;
    this.#queue = new WindowQueue(services.workload.options.windowMs, fromMs, untilMs);
    this.#isDone = done === undefined ? undefined : (startMs) => done.starts.has(startMs);
    this.#clockOffsetMs = services.faults.clockOffsetMs(host.index);
    // What it says of its hours includes what it said before it was killed.
    for (const { startMs, rows, windows } of done?.frames ?? []) this.#claims.made(startMs - this.#clockOffsetMs, rows, windows);
  }

  /** Windows stay as they are, whatever the API asks for. */
  get #isReplay(): boolean {
    return this.#isDone !== undefined;
  }

  /** Windows due and neither acknowledged nor refused for good. */
  get waiting(): number {
    return this.#queue.length + this.#inFlight.size;
  }

  get isIdle(): boolean {
    return this.#queue.isEmpty && this.#inFlight.size === 0;
  }

  /** Whether a stream stands. */
  get isConnected(): boolean {
    return this.#phase === "open";
  }

  /**
   * Looks at the clocks: windows that are due, streams to open again, silence.
   * @param nowMs the real time
   * @param dueMs the simulated time
   */
  tick(nowMs: number, dueMs: number): void {
    this.#queue.extend(dueMs, this.#isDone);
    if (this.#phase === "closed" && nowMs >= this.#openAtMs && this.#services.opening.free > 0) void this.#open();
    if (this.#phase !== "open") return;
    if (this.#inFlight.size > 0 && nowMs - this.#heardAtMs > SILENCE_MS_MAX) {
      this.#services.say(`${this.host.name}: the API left ${this.#inFlight.size} windows unanswered for ${SILENCE_MS_MAX / 1000} s`);
      this.#stream?.cancel();
      return;
    }
    if (nowMs >= this.#statusAtMs && (this.#claims.hasChanged || this.#hasUnansweredSettings)) this.#sendStatus(nowMs, false);
  }

  /** Sends one window if one is due and all limits allow. Returns whether it did, and so may again. */
  sendNext(nowMs: number): boolean {
    const stream = this.#stream;
    const config = this.#config;
    if (this.#phase !== "open" || stream === undefined || config === undefined || nowMs < this.#holdUntilMs || this.#services.bytes.isFull)
      return false;
    if (this.#inFlight.size >= Math.max(1, config.framesInFlightMax)) return false;
    const backlogMax = config.backlogInFlightMax === 0 ? Number.POSITIVE_INFINITY : config.backlogInFlightMax;
    const window = this.#queue.take(nowMs >= this.#backlogHoldUntilMs && this.#backlogInFlight < backlogMax);
    if (window === undefined) return false;
    this.#send(stream, window, nowMs);
    return true;
  }

  /** From now on only what was sent before is sent, until it is answered. */
  finish(): void {
    this.unsent = this.#queue.clearUnsent();
  }

  /** Says the last figures and ends the stream. */
  close(): void {
    this.#isClosing = true;
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.#phase === "open" && this.#claims.hasChanged) this.#sendStatus(Date.now(), false);
    this.#stream?.close();
  }

  async #open(): Promise<void> {
    this.#phase = "opening";
    this.#services.opening.free--;
    const { client } = this.#connection;
    try {
      this.#credential ??= await enrol(client, this.#services.token, this.host).catch((error: ServiceError) => {
        if (error.code === status.UNAUTHENTICATED) this.#services.tokenRefused(error.details);
        throw error;
      });
      if (this.#isClosing) return;
      const { windowMs } = this.#services.workload.options;
      this.#stream = new HostStream(
        { client, credential: this.#credential, host: this.host, windowMs, clockOffsetMs: this.#clockOffsetMs },
        {
          onConfig: (config) => this.#acceptConfig(config),
          onAck: (sequence) => this.#acceptAck(sequence),
          onRefusal: (refusal) => this.#acceptRefusal(refusal),
          onThrottle: (throttle) => this.#acceptThrottle(throttle),
          onEnd: (error) => this.#lost(client, error),
        },
      );
    } catch (error) {
      this.#lost(client, error as Error);
    }
  }

  #acceptConfig(config: Config): void {
    const isFirst = this.#phase === "opening";
    // An organisation's settings come to all of its hosts at once; their acknowledgements need not.
    if (config.settings?.revision !== this.#config?.settings?.revision) {
      this.#hasUnansweredSettings = true;
      this.#statusAtMs = Math.min(this.#statusAtMs, Date.now() + ACKNOWLEDGE_MS * Math.random());
    }
    this.#config = config;
    this.#heardAtMs = Date.now();
    if (!this.#isReplay) {
      this.#queue.lengthMs = this.#lengthFor(config.windowMs);
      this.#form = { rowsMax: config.rowsMax, signalsOff: signalsOffOf(config) };
    }
    if (!isFirst) return;
    this.#phase = "open";
    this.#services.opening.free++;
    this.#sendStatus(this.#heardAtMs, true);
  }

  #lost(client: IngestServiceClient, error: Error): void {
    if (this.#phase === "opening") this.#services.opening.free++;
    this.#phase = "closed";
    this.#stream = undefined;
    this.#config = undefined;
    for (const sent of this.#inFlight.values()) {
      this.#services.bytes.release(sent.bytes);
      this.#queue.retry(sent);
    }
    this.#inFlight.clear();
    this.#backlogInFlight = 0;
    if (this.#isClosing) return;
    if ((error as { code?: number }).code === status.UNAUTHENTICATED) this.#credential = undefined;
    else this.#connection.failed(client);
    // One line per outage.
    if (!this.#isReported && error.message !== "cut") {
      this.#services.say(`${this.host.name}: ${error.message}`);
      this.#isReported = true;
    }
    const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#failures++);
    // Hosts that lost the same node shall not all come back in the same moment.
    this.#openAtMs = Date.now() + backoffMs * (0.5 + Math.random());
  }

  #send(stream: HostStream, window: DueWindow, nowMs: number): void {
    const { faults } = this.#services;
    const { startMs } = window;
    const shaped = { ...window, form: window.form ?? this.#form };
    const { request, rows } = this.#encode(shaped);
    const sequence = this.#sequenceOf(startMs);
    if (!window.isRetry) this.#claims.made(startMs - this.#clockOffsetMs, rows, this.#windowsIn(window));
    if (this.#inFlight.size === 0) this.#heardAtMs = nowMs;
    this.#inFlight.set(sequence, { ...shaped, bytes: request.length, rows });
    if (!window.isLive) this.#backlogInFlight++;
    this.#services.bytes.take(request.length);
    const { index } = this.host;
    // A window that comes again was hit before: it would never get through.
    if (window.isRetry) stream.send(request);
    else if (faults.hits("delay", index, startMs)) this.#after(faults.delayMs(index, startMs), () => stream.send(request));
    else stream.send(request);
    if (window.isRetry) return;
    if (faults.hits("duplicate", index, startMs)) {
      stream.send(request);
      this.#sendElsewhere(request);
    }
    if (faults.hits("cut", index, startMs)) stream.cancel();
  }

  /** The least multiple of its own windows that is as long as the API asks for. */
  #lengthFor(askedMs: number): number {
    const { windowMs } = this.#services.workload.options;
    const lengthMs = Math.ceil(askedMs / windowMs) * windowMs;
    return lengthMs > windowMs && lengthMs <= LENGTH_MS_MAX ? lengthMs : windowMs;
  }

  #windowsIn({ lengthMs }: { readonly lengthMs: number }): number {
    return lengthMs / this.#services.workload.options.windowMs;
  }

  #blocks({ startMs, lengthMs, form: { rowsMax, signalsOff } }: WindowShape): WindowBlocks {
    const { workload } = this.#services;
    const { windowMs } = workload.options;
    if (lengthMs === windowMs && rowsMax === 0) return workload.window(this.host, startMs, signalsOff);
    const { host } = this;
    function* windows(): Iterable<WindowBlocks> {
      for (let at = startMs; at < startMs + lengthMs; at += windowMs) yield workload.window(host, at, signalsOff);
    }
    return joinWindows(windows(), rowsMax);
  }

  #encode(shape: WindowShape): { request: Buffer; rows: number } {
    const { encoder } = this.#services;
    const { startMs } = shape;
    const blocks = this.#blocks(shape);
    const request = encoder.encode(
      {
        sequence: Number(this.#sequenceOf(startMs)),
        windowStartMs: startMs - this.#clockOffsetMs,
        windowMs: shape.lengthMs,
        windows: this.#windowsIn(shape),
        clockOffsetMs: this.#clockOffsetMs,
        bootId: this.host.bootId,
      },
      blocks,
    );
    return { request, rows: rowsOf(blocks) };
  }

  /** Windows are numbered by their time, so that a window keeps its number when a run is repeated or gone on with. */
  #sequenceOf(startMs: number): bigint {
    return BigInt(Math.floor(startMs / this.#services.workload.options.windowMs));
  }

  /** A copy to another node, over a stream that ends with it. What becomes of it nobody asks. */
  #sendElsewhere(request: Buffer): void {
    const client = this.#connection.otherClient;
    if (client === undefined || this.#credential === undefined) return;
    const stream: HostStream = new HostStream(
      {
        client,
        credential: this.#credential,
        host: this.host,
        windowMs: this.#services.workload.options.windowMs,
        clockOffsetMs: this.#clockOffsetMs,
      },
      {
        onConfig: () => {
          stream.send(request);
          stream.close();
        },
        onAck: () => {},
        onRefusal: () => {},
        onEnd: () => {},
      },
    );
  }

  #acceptAck(sequence: bigint): void {
    this.#heardAtMs = Date.now();
    const sent = this.#settle(sequence);
    if (sent === undefined) return;
    const { ledger, faults } = this.#services;
    const { startMs } = sent;
    this.acknowledged += this.#windowsIn(sent);
    this.acknowledgedRows += sent.rows;
    this.#failures = 0;
    this.#isReported = false;
    ledger?.acknowledged(this.host.name, startMs, sent.lengthMs, this.#blocks(sent));
    if (faults.hits("resend", this.host.index, startMs))
      this.#after(faults.delayMs(this.host.index, startMs), () => this.#stream?.send(this.#encode(sent).request));
  }

  #acceptRefusal(refusal: Refusal): void {
    this.#heardAtMs = Date.now();
    const sent = this.#settle(refusal.sequence);
    if (sent === undefined) return;
    if (refusal.retry) {
      this.#queue.retry(sent);
      const waitMs = this.#heardAtMs + BACKOFF_MS_MIN * (1 + Math.random());
      if (sent.isLive) this.#holdUntilMs = Math.max(this.#holdUntilMs, waitMs);
      else this.#backlogHoldUntilMs = Math.max(this.#backlogHoldUntilMs, waitMs);
      return;
    }
    this.refused += this.#windowsIn(sent);
    this.#claims.refused(sent.startMs - this.#clockOffsetMs, sent.rows, this.#windowsIn(sent));
    this.#services.say(`${this.host.name}: window refused: ${refusal.reason}`);
  }

  #acceptThrottle({ waitMs, backlogWaitMs, reason }: Throttle): void {
    const nowMs = Date.now();
    this.#holdUntilMs = Math.max(this.#holdUntilMs, nowMs + waitMs);
    this.#backlogHoldUntilMs = Math.max(this.#backlogHoldUntilMs, nowMs + backlogWaitMs);
    if (!this.#isReported && reason !== "") {
      this.#services.say(`${this.host.name}: the API asks to wait: ${reason}`);
      this.#isReported = true;
    }
  }

  #settle(sequence: bigint): SentWindow | undefined {
    const sent = this.#inFlight.get(sequence);
    if (sent === undefined) return undefined;
    this.#inFlight.delete(sequence);
    if (!sent.isLive) this.#backlogInFlight--;
    this.#services.bytes.release(sent.bytes);
    return sent;
  }

  #sendStatus(nowMs: number, isFirst: boolean): void {
    // Spread over the period, as the windows themselves are not.
    this.#statusAtMs = nowMs + STATUS_MS * (0.5 + Math.random());
    this.#hasUnansweredSettings = false;
    this.#stream?.sendStatus({
      spoolFrames: BigInt(this.waiting),
      spoolBytes: 0n,
      refusedFrames: BigInt(this.refused),
      droppedFrames: 0n,
      clockOffsetMs: BigInt(this.#clockOffsetMs),
      startedAtMs: BigInt(this.#services.startedAtMs),
      coarsenedWindows: 0n,
      hours: this.#claims.take(isFirst),
      settings:
        this.#config?.settings === undefined
          ? undefined
          : settingsAnswer(this.#config.settings, { lengthFor: (askedMs) => this.#lengthFor(askedMs), isReplay: this.#isReplay }),
    });
  }

  #after(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, delayMs);
    this.#timers.add(timer);
  }
}

function rowsOf(blocks: WindowBlocks): number {
  return blocks.reduce((sum, { block }) => sum + block.rows, 0);
}
