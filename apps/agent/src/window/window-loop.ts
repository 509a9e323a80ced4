// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from "node:timers/promises";
import { type Config as ApiConfig, Snapshot } from "@waggle/proto";
import type { HostClock } from "../host/clock.ts";
import type { HostIdentity } from "../host/identity.ts";
import type { Logger } from "../log.ts";
import type { Spool } from "../spool/spool.ts";
import type { ServerClock } from "../stream/server-clock.ts";
import { type AssembledWindow, assembleWindow, type OwnCost } from "./assemble.ts";
import { type ClosedWindow, WindowClock } from "./clock.ts";
import type { WindowData, WindowLook, WindowSource } from "./source.ts";
import { UnavailableSource } from "./unavailable-source.ts";

/** All that is known of a window once it is spooled. */
export interface SpooledWindow {
  readonly sequence: number;
  readonly window: ClosedWindow;
  readonly data: WindowData;
  readonly own: OwnCost;
  readonly assembled: AssembledWindow;
}

export interface WindowLoopOptions {
  readonly source: WindowSource;
  readonly spool: Spool;
  readonly clock: HostClock;
  readonly serverClock: ServerClock;
  readonly identity: HostIdentity;
  readonly windowMs: number;
  /** Until the API says something else; undefined leaves the cap to the source. */
  readonly rowsMax?: number | undefined;
  readonly log: Logger;
  readonly onWindow: (window: SpooledWindow) => void;
  /** Waits for `ms` of `clock`'s time or until `stop` is aborted. For clocks that run at another pace than timers do. */
  readonly sleep?: (ms: number, stop: AbortSignal) => Promise<void>;
}

/** Bytes a frame needs besides its blocks: envelope, names, lengths. */
const envelopeBytes = 8 * 1024;

/** Walking a million sockets takes a second. */
const cutDelayMsMax = 5_000;

/** A source is asked at seconds of the wall clock whether the window should end, but neither this soon after it was asked before nor this soon before the end. */
const lookGapMs = 500;

/** Cuts time into windows; at the end of each reads the source, assembles a Snapshot and spools it. */
export class WindowLoop {
  readonly #options: WindowLoopOptions;
  readonly #windowClock: WindowClock;
  readonly #refusedSignals = new Map<string, string>();
  #frameBytesMax = 4 * 1024 * 1024;
  #cpuUs = 0;
  #lostWindows = 0;
  #coarsenedWindows = 0;
  #rowsMax: number | undefined;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: WindowLoopOptions) {
    this.#options = options;
    const { clock, spool, windowMs } = options;
    this.#cpuUs = cpuTimeUs();
    this.#rowsMax = options.rowsMax;
    this.#windowClock = new WindowClock({ windowMs, wallMs: clock.wallMs(), elapsedMs: clock.elapsedMs(), lastStartMs: spool.lastWindowStartMs });
  }

  get windowMs(): number {
    return this.#windowClock.windowMs;
  }

  /**
   * Takes over what the API asked for. A window length it does not name (0), or one out of bounds, changes nothing; a `rowsMax` it does not name (0)
   * leaves the cap to the source.
   */
  configure(config: Pick<ApiConfig, "windowMs" | "frameBytesMax" | "refusedSignals" | "rowsMax">): void {
    if (config.windowMs >= 1_000 && config.windowMs <= 60_000) this.#windowClock.windowMs = config.windowMs;
    if (config.frameBytesMax > 2 * envelopeBytes) this.#frameBytesMax = config.frameBytesMax;
    this.#rowsMax = config.rowsMax > 0 ? config.rowsMax : undefined;
    this.#refusedSignals.clear();
    for (const { signal, reason } of config.refusedSignals) this.#refusedSignals.set(signal, reason);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the current window now, spools it, and resolves when that is done. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Resolves when the loop has ended. */
  get finished(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const isEarly = await this.#waitForEnd();
      try {
        await this.#endWindow(isEarly);
      } catch (error) {
        // Nothing in here is expected to throw; a window less is better than an agent less.
        this.#options.log.error("window was lost", { error: (error as Error).stack ?? String(error) });
      }
    }
  }

  /** Returns whether it is the source that wants the window to end, before the boundary. */
  async #waitForEnd(): Promise<boolean> {
    const { clock, source } = this.#options;
    const wallMs = clock.wallMs();
    const dueMs = clock.elapsedMs() + this.#windowClock.delayMs(wallMs);
    const plan = { lengthMs: this.#windowClock.lengthMs(wallMs), regularMs: this.#windowClock.windowMs };
    let look = this.#ask(() => ({ againInMs: source.beginWindow?.(plan) ?? Number.POSITIVE_INFINITY }));
    while (!this.#stop.signal.aborted) {
      if ("endNow" in look) {
        this.#options.log.info("window is ended early", { reason: look.endNow });
        return true;
      }
      const lookMs = clock.elapsedMs() + wholeSecondMs(clock.wallMs(), Math.max(look.againInMs, lookGapMs));
      if (!(lookMs <= dueMs - lookGapMs)) break;
      // A millisecond late is no matter here, and waking up twice is most of what a look costs.
      await this.#waitUntil(lookMs, 1);
      if (!this.#stop.signal.aborted) look = this.#ask(() => source.look?.() ?? { againInMs: Number.POSITIVE_INFINITY });
    }
    await this.#waitUntil(dueMs);
    return false;
  }

  /** A look that fails leaves the window as long as it was to be: why nothing can be read is said when it is. */
  #ask(look: () => WindowLook): WindowLook {
    try {
      return look();
    } catch (error) {
      this.#options.log.debug("looking at the window failed", { error: (error as Error).message });
      return { againInMs: Number.POSITIVE_INFINITY };
    }
  }

  async #waitUntil(elapsedMs: number, slackMs = 0): Promise<void> {
    const { clock } = this.#options;
    const sleep = this.#options.sleep ?? sleepByTimer;
    const delayMs = elapsedMs - clock.elapsedMs();
    if (delayMs > 0) await sleep(Math.ceil(delayMs) + slackMs, this.#stop.signal);
    // Timers of Node.js may fire up to a millisecond early, and a window that ends at 9.999 would start the next one in the wrong second.
    while (!this.#stop.signal.aborted && clock.elapsedMs() < elapsedMs) await sleep(1, this.#stop.signal);
  }

  async #endWindow(isEarly: boolean): Promise<void> {
    const { clock, spool, source, serverClock, identity, log } = this.#options;
    const askedAt = { wallMs: clock.wallMs(), elapsedMs: clock.elapsedMs() };
    let data: WindowData;
    try {
      data = await source.readWindow(this.#rowsMax);
    } catch (error) {
      const reason = `reading the window failed: ${(error as Error).message}`;
      log.error("reading the window failed", { error: (error as Error).message });
      data = await new UnavailableSource("failed", reason).readWindow();
    }
    // The counters are cut a little after they were asked for, as sockets are walked before. A clock stepped in between tells nothing.
    const cutMs = (data.endedAtMs ?? askedAt.wallMs) - askedAt.wallMs;
    const lateMs = cutMs > 0 && cutMs < cutDelayMsMax ? cutMs : 0;
    const window = this.#windowClock.close(askedAt.wallMs + lateMs, askedAt.elapsedMs + lateMs, isEarly);
    if (window.steppedMs !== 0) log.warn("wall clock was stepped", { steppedMs: window.steppedMs });
    const own = this.#measureOwnCost();
    const assembled = assembleWindow(data, own, { refusedSignals: this.#refusedSignals, bytesMax: this.#frameBytesMax - envelopeBytes });
    const sequence = await spool.append({
      windowStartMs: window.startMs,
      windowMs: window.lengthMs,
      rows: assembled.blocks.reduce((sum, block) => sum + block.rows, 0),
      shiftMs: window.shiftMs,
      bootTag: identity.bootTag,
      knownOffsetMs: serverClock.offsetOfWindowMs(window.shiftMs),
      encode: (number) =>
        Snapshot.encode({
          sequence: BigInt(number),
          windowStartMs: BigInt(window.startMs),
          windowMs: window.lengthMs,
          clockOffsetMs: 0n,
          bootId: identity.bootId,
          windows: 1,
          blocks: assembled.blocks,
        }).finish(),
    });
    this.#options.onWindow({ sequence, window, data, own, assembled });
  }

  #measureOwnCost(): OwnCost {
    const cpuUs = cpuTimeUs();
    const { lostWindows, coarsenedWindows } = this.#options.spool.state;
    const own = {
      cpuNs: BigInt(Math.max(0, cpuUs - this.#cpuUs)) * 1000n,
      rssBytes: BigInt(process.memoryUsage.rss()),
      lostWindows: BigInt(lostWindows - this.#lostWindows),
      coarsenedWindows: BigInt(coarsenedWindows - this.#coarsenedWindows),
    };
    this.#cpuUs = cpuUs;
    this.#lostWindows = lostWindows;
    this.#coarsenedWindows = coarsenedWindows;
    return own;
  }
}

/** Milliseconds from `wallMs` to the first whole second that is at least `afterMs` away. */
function wholeSecondMs(wallMs: number, afterMs: number): number {
  return Math.ceil((wallMs + afterMs) / 1_000) * 1_000 - wallMs;
}

/** Resolves, never rejects, when the time is over or `stop` is aborted. */
async function sleepByTimer(ms: number, stop: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal: stop }).catch(() => {});
}

function cpuTimeUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
