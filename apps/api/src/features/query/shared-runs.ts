// SPDX-License-Identifier: Apache-2.0

interface Run<T> {
  readonly answer: Promise<T>;
  readonly abort: AbortController;
  readonly begunAtMs: number;
  callers: number;
  isOver: boolean;
}

/**
 * What several callers ask for at the same time is done once. A caller that goes away leaves the others their answer; when the last one has gone,
 * the work is aborted, and whoever asks next starts anew.
 */
export class SharedRuns<T> {
  private readonly runs = new Map<string, Run<T>>();

  /**
   * @param key names everything the answer depends on, the tenant included
   * @param work gets the signal that ends it
   * @param sinceMs work that began before, by `performance.now()`, is another's
   * @returns the answer, and whether somebody else had begun the work
   * @throws what the work throws, to all of its callers; the caller's signal's reason
   */
  async get(
    key: string,
    work: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
    sinceMs = Number.NEGATIVE_INFINITY,
  ): Promise<{ readonly answer: T; readonly isShared: boolean }> {
    signal?.throwIfAborted();
    const begun = this.runs.get(key);
    const known = begun !== undefined && begun.begunAtMs >= sinceMs ? begun : undefined;
    return { answer: await this.wait(key, known ?? this.begin(key, work), signal), isShared: known !== undefined };
  }

  /** The answer to work that is under way; undefined: there is none, and none is begun. Throws as `get` does. */
  join(key: string, signal: AbortSignal | undefined): Promise<T> | undefined {
    const run = this.runs.get(key);
    return run === undefined ? undefined : this.wait(key, run, signal);
  }

  private async wait(key: string, run: Run<T>, signal: AbortSignal | undefined): Promise<T> {
    run.callers++;
    let leave: (() => void) | undefined;
    try {
      if (signal === undefined) return await run.answer;
      signal.throwIfAborted();
      const gone = new Promise<never>((_, reject) => {
        leave = () => reject(signal.reason);
        signal.addEventListener("abort", leave, { once: true });
      });
      return await Promise.race([run.answer, gone]);
    } finally {
      if (leave !== undefined) signal?.removeEventListener("abort", leave);
      if (--run.callers === 0 && !run.isOver) {
        if (this.runs.get(key) === run) this.runs.delete(key);
        run.abort.abort(signal?.reason ?? new Error("nobody waits for it any more"));
      }
    }
  }

  private begin(key: string, work: (signal: AbortSignal) => Promise<T>): Run<T> {
    const abort = new AbortController();
    const run: Run<T> = { answer: work(abort.signal), abort, begunAtMs: performance.now(), callers: 0, isOver: false };
    this.runs.set(key, run);
    const forget = (): void => {
      run.isOver = true;
      if (this.runs.get(key) === run) this.runs.delete(key);
    };
    // Also keeps a failure that nobody waits for from being unhandled.
    run.answer.then(forget, forget);
    return run;
  }
}
