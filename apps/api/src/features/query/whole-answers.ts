// SPDX-License-Identifier: Apache-2.0
import { SharedRuns } from "./shared-runs.ts";
import type { Content } from "./table-versions.ts";

/** An answer, and by what it is right. */
export interface Made<T> {
  readonly answer: T;
  /** When all that it was made of was so, by `performance.now()`, but for `contents`. */
  readonly asOfMs: number;
  /** What else it is right by. */
  readonly contents: readonly Content[];
  /** What it takes as objects, about. */
  readonly bytes: number;
}

/** made: for this caller; shared: it was being made for another; recent: it had been made for another; earlier: so had the one of a range that ended some seconds earlier, and this one's took too long, or that one had and was not made again yet. */
export type WholeOrigin = "made" | "shared" | "recent" | "earlier";

/** A question that follows the present: asked again it means the same length of time, which ends a little later. */
export interface Following {
  /** Names everything that is asked but where the range lies, the tenant included. */
  readonly name: string;
  /** Where the range ends, Unix milliseconds. */
  readonly toMs: number;
}

/** How long a question that follows the present waits for its own answer where there is an earlier one. */
const PATIENCE_MS = 1_000;
/** An earlier answer is handed out for this many times as long as it took to make: then a question of a hundred viewers on a store that is behind takes a sixth of the time at most, and one that is made in no time is always made. */
const REST_FACTOR = 5;
/** How old that may be, and how much earlier its range may end: two refreshes of a page. */
export const EARLIER_MS_MAX = 20_000;

export interface WholeAnswersOptions<T> {
  readonly bytesMax: number;
  /** None is handed out that is older: `maxAgeMs` at most. */
  readonly keptMs: number;
  readonly isStillThere: (content: Content) => Promise<boolean>;
  /** Hears that an answer will be handed out again, and that it will not any more. */
  readonly onKept?: (made: Made<T>) => void;
  readonly onLetGo?: (answer: T) => void;
}

interface Kept<T> extends Made<T> {
  readonly timer: NodeJS.Timeout;
  /** Until then no other one is made where it will do, by `performance.now()`. */
  readonly restsUntilMs: number;
  readonly following: Following | undefined;
}

interface Run<T> {
  readonly answer: Made<T>;
  readonly isShared: boolean;
}

/**
 * Answers that several callers get. Who asks for what is being made waits for it; who asks moments later gets it as it is, until it is older than an answer may be or something was written to rolled-up
 * rows that it was made of. Nobody may change an answer. A caller that goes away leaves the others theirs; failures are told to all who wait, and not kept.
 *
 * Who asks what follows the present waits a second at most where somebody got an answer to it in the seconds before: then they get that one, whose range says where it ends, and their own goes on being made
 * for who asks next. One answer to such a question is made at a time, wherever its range ends: else a store that is behind would be asked for more the longer it takes. What took long is not made again at once.
 */
export class WholeAnswers<T extends object> {
  /** The one asked for longest ago is first. */
  private readonly kept = new Map<string, Kept<T>>();
  private readonly making = new SharedRuns<Made<T>>();
  /** By name of what follows the present: the newest answer, and what is being made. */
  private readonly newest = new Map<string, Kept<T>>();
  private readonly underWay = new Map<string, { readonly key: string; readonly toMs: number }>();
  private bytes = 0;

  constructor(private readonly options: WholeAnswersOptions<T>) {}

  /** Bytes that are held. */
  get size(): number {
    return this.bytes;
  }

  /**
   * @param key names everything that is asked, the tenant included
   * @param maxAgeMs how old an answer may be
   * @param make gets the signal that ends it
   * @param following left out: only an answer to this very range will do
   * @throws what `make` throws, unless there is an earlier answer; the signal's reason
   */
  async get(
    key: string,
    maxAgeMs: number,
    make: (signal: AbortSignal) => Promise<Made<T>>,
    signal: AbortSignal | undefined,
    following?: Following,
  ): Promise<{ readonly made: Made<T>; readonly origin: WholeOrigin }> {
    const kept = this.kept.get(key);
    if (kept !== undefined && performance.now() - kept.asOfMs < maxAgeMs) {
      if (await this.isRight(kept)) {
        signal?.throwIfAborted();
        this.touch(key, kept);
        return { made: kept, origin: "recent" };
      }
      // It may still be what there was some seconds ago.
      if (kept.following === undefined && this.kept.get(key) === kept) this.letGo(key);
    }
    signal?.throwIfAborted();
    const rested = following === undefined ? undefined : this.earlier(following);
    if (rested !== undefined && performance.now() < rested.restsUntilMs) return { made: rested, origin: "earlier" };
    const begin = (until: AbortSignal | undefined): Promise<Run<T>> =>
      this.making.get(key, (abort) => this.make(key, make, abort, following), until, performance.now() - maxAgeMs);
    const run = (until: AbortSignal | undefined): Promise<Run<T>> => this.join(key, following, until) ?? begin(until);
    if (following !== undefined && rested !== undefined) return this.orEarlier(following, run(undefined), signal);
    const { answer: made, isShared } = await run(signal);
    return { made, origin: isShared ? "shared" : "made" };
  }

  /** What is being made of a range that ends a little earlier; undefined where nothing is. */
  private join(key: string, following: Following | undefined, signal: AbortSignal | undefined): Promise<Run<T>> | undefined {
    const known = following === undefined ? undefined : this.underWay.get(following.name);
    if (following === undefined || known === undefined || known.key === key || !isShortlyBefore(known.toMs, following.toMs)) return undefined;
    return this.making.join(known.key, signal)?.then((answer) => ({ answer, isShared: true }));
  }

  /** The newest answer to what follows the present, of a range that ended no later; undefined where that is too long ago. */
  private earlier({ name, toMs }: Following): Kept<T> | undefined {
    const kept = this.newest.get(name);
    if (kept?.following === undefined || !isShortlyBefore(kept.following.toMs, toMs)) return undefined;
    const asOfMs = Math.min(kept.asOfMs, ...kept.contents.map((content) => content.asOfMs));
    return performance.now() - asOfMs < EARLIER_MS_MAX ? kept : undefined;
  }

  /** @param run makes the answer, which nobody's going away ends: who asks next gets it */
  private async orEarlier(
    following: Following,
    run: Promise<Run<T>>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly made: Made<T>; readonly origin: WholeOrigin }> {
    const made = run.then(({ answer, isShared }) => ({ made: answer, origin: isShared ? ("shared" as const) : ("made" as const) }));
    // Nobody may be there any more to hear of a failure.
    made.catch(() => {});
    let timer: NodeJS.Timeout | undefined;
    let leave: (() => void) | undefined;
    const late = new Promise<undefined>((resolve, reject) => {
      timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
      leave = () => reject(signal?.reason);
      signal?.addEventListener("abort", leave, { once: true });
    });
    try {
      const inTime = await Promise.race([made, late]);
      if (inTime !== undefined) return inTime;
    } catch (error) {
      if (signal?.aborted === true || this.earlier(following) === undefined) throw error;
    } finally {
      clearTimeout(timer);
      if (leave !== undefined) signal?.removeEventListener("abort", leave);
    }
    const earlier = this.earlier(following);
    return earlier === undefined ? made : { made: earlier, origin: "earlier" };
  }

  private async isRight({ contents }: Made<T>): Promise<boolean> {
    for (const content of contents) if (!(await this.options.isStillThere(content))) return false;
    return true;
  }

  private touch(key: string, kept: Kept<T>): void {
    if (this.kept.get(key) !== kept) return;
    this.kept.delete(key);
    this.kept.set(key, kept);
  }

  private async make(
    key: string,
    make: (signal: AbortSignal) => Promise<Made<T>>,
    signal: AbortSignal,
    following: Following | undefined,
  ): Promise<Made<T>> {
    if (following !== undefined) this.underWay.set(following.name, { key, toMs: following.toMs });
    const isOver = (): void => {
      if (following !== undefined && this.underWay.get(following.name)?.key === key) this.underWay.delete(following.name);
    };
    const beganMs = performance.now();
    const made = await make(signal).finally(isOver);
    const restsUntilMs = performance.now() + (performance.now() - beganMs) * REST_FACTOR;
    const { bytesMax, keptMs } = this.options;
    this.letGo(key);
    const restMs = (following === undefined ? keptMs : Math.max(keptMs, EARLIER_MS_MAX)) - (performance.now() - made.asOfMs);
    // One that takes a large part of the room would push out everything else.
    if (restMs <= 0 || made.bytes > bytesMax / 4) return made;
    const timer = setTimeout(() => {
      if (this.kept.get(key)?.timer === timer) this.letGo(key);
    }, restMs).unref();
    const kept: Kept<T> = { ...made, timer, following, restsUntilMs };
    this.kept.set(key, kept);
    this.bytes += made.bytes;
    if (following !== undefined && (this.newest.get(following.name)?.following?.toMs ?? 0) <= following.toMs) this.newest.set(following.name, kept);
    this.options.onKept?.(made);
    for (const oldest of this.kept.keys()) {
      if (this.bytes <= bytesMax) break;
      this.letGo(oldest);
    }
    return made;
  }

  private letGo(key: string): void {
    const kept = this.kept.get(key);
    if (kept === undefined) return;
    this.kept.delete(key);
    this.bytes -= kept.bytes;
    if (kept.following !== undefined && this.newest.get(kept.following.name) === kept) this.newest.delete(kept.following.name);
    clearTimeout(kept.timer);
    this.options.onLetGo?.(kept.answer);
  }
}

function isShortlyBefore(earlierMs: number, toMs: number): boolean {
  return earlierMs <= toMs && toMs - earlierMs <= EARLIER_MS_MAX;
}
