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

/** made: for this caller; shared: it was being made for another; recent: it had been made for another. */
export type WholeOrigin = "made" | "shared" | "recent";

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
}

/**
 * Answers that several callers get. Who asks for what is being made waits for it; who asks moments later gets it as it is, until it is older than an answer may be or something was written to rolled-up
 * rows that it was made of. Nobody may change an answer. A caller that goes away leaves the others theirs; failures are told to all who wait, and not kept.
 */
export class WholeAnswers<T extends object> {
  /** The one asked for longest ago is first. */
  private readonly kept = new Map<string, Kept<T>>();
  private readonly making = new SharedRuns<Made<T>>();
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
   * @throws what `make` throws; the signal's reason
   */
  async get(
    key: string,
    maxAgeMs: number,
    make: (signal: AbortSignal) => Promise<Made<T>>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly made: Made<T>; readonly origin: WholeOrigin }> {
    const kept = this.kept.get(key);
    if (kept !== undefined && performance.now() - kept.asOfMs < maxAgeMs) {
      if (await this.isRight(kept)) {
        signal?.throwIfAborted();
        this.touch(key, kept);
        return { made: kept, origin: "recent" };
      }
      if (this.kept.get(key) === kept) this.letGo(key);
    }
    const { answer: made, isShared } = await this.making.get(key, (abort) => this.make(key, make, abort), signal, performance.now() - maxAgeMs);
    return { made, origin: isShared ? "shared" : "made" };
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

  private async make(key: string, make: (signal: AbortSignal) => Promise<Made<T>>, signal: AbortSignal): Promise<Made<T>> {
    const made = await make(signal);
    const { bytesMax, keptMs } = this.options;
    this.letGo(key);
    const restMs = keptMs - (performance.now() - made.asOfMs);
    // One that takes a large part of the room would push out everything else.
    if (restMs <= 0 || made.bytes > bytesMax / 4) return made;
    const timer = setTimeout(() => {
      if (this.kept.get(key)?.timer === timer) this.letGo(key);
    }, restMs).unref();
    this.kept.set(key, { ...made, timer });
    this.bytes += made.bytes;
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
    clearTimeout(kept.timer);
    this.options.onLetGo?.(kept.answer);
  }
}
