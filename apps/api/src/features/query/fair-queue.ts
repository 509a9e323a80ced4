// SPDX-License-Identifier: Apache-2.0

export interface FairQueueLimits {
  /** How many work at a time. */
  readonly runningMax: number;
  /** How many of one party wait. */
  readonly waitingMax: number;
  readonly waitMsMax: number;
}

/** Leave to work. Whoever has it calls `end` once. */
export interface Turn {
  readonly waitedMs: number;
  /** How many work now, this one with them. */
  readonly running: number;
  end(): void;
}

/** Why there is no turn. full: as many of the party wait as may; late: the wait is, or would be, longer than it may be. */
export class NoTurn extends Error {
  override readonly name = "NoTurn";
  readonly reason: "full" | "late";
  /** Until it may be worth trying again. */
  readonly retryAfterMs: number;

  constructor(reason: "full" | "late", retryAfterMs: number) {
    super(`no turn: ${reason}`);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

interface Waiter {
  readonly sinceMs: number;
  readonly start: (turn: Turn) => void;
}

const FIRST_GUESS_MS = 50;
/** Of the newest, in the mean of how long turns take. */
const WEIGHT_OF_NEWEST = 0.05;

/**
 * Lets a few work at a time; the others wait, each party (an organisation) in a line of its own that is first come, first served. Turns go round the
 * parties: one with a thousand waiting delays another's only one by one turn. Nobody waits for ever: who would wait too long is told at once.
 */
export class FairQueue {
  /** In the order in which they are served; one that was goes to the end. */
  private readonly lines = new Map<string, Waiter[]>();
  private count = 0;
  private turns = 0;
  private meanMs = FIRST_GUESS_MS;

  /** @param limits asked at every turn: they may change */
  constructor(private readonly limits: () => FairQueueLimits) {}

  get running(): number {
    return this.turns;
  }

  get waiting(): number {
    return this.count;
  }

  /** How long one more of the party would wait, by how long turns took so far; 0: not at all. */
  expectedWaitMs(party: string): number {
    const { runningMax } = this.limits();
    if (this.count === 0 && this.turns < runningMax) return 0;
    const own = this.lines.get(party)?.length ?? 0;
    let ahead = 0;
    for (const line of this.lines.values()) ahead += Math.min(line.length, own + 1);
    return ((ahead + 1) * this.meanMs) / runningMax;
  }

  /**
   * Waits for a turn.
   * @param signal leaves the line
   * @throws NoTurn; the signal's reason
   */
  async enter(party: string, signal?: AbortSignal): Promise<Turn> {
    signal?.throwIfAborted();
    const { runningMax, waitingMax, waitMsMax } = this.limits();
    if (this.count === 0 && this.turns < runningMax) return this.begin(0);
    const expectedMs = this.expectedWaitMs(party);
    if ((this.lines.get(party)?.length ?? 0) >= waitingMax) throw new NoTurn("full", expectedMs);
    if (expectedMs > waitMsMax) throw new NoTurn("late", expectedMs - waitMsMax);
    let timer: NodeJS.Timeout | undefined;
    let leave: (() => void) | undefined;
    try {
      return await new Promise<Turn>((start, refuse) => {
        const waiter: Waiter = { sinceMs: performance.now(), start };
        const line = this.lines.get(party);
        if (line === undefined) this.lines.set(party, [waiter]);
        else line.push(waiter);
        this.count++;
        timer = setTimeout(() => {
          if (this.remove(party, waiter)) refuse(new NoTurn("late", this.expectedWaitMs(party)));
        }, waitMsMax);
        leave = () => {
          if (this.remove(party, waiter)) refuse(signal?.reason);
        };
        signal?.addEventListener("abort", leave, { once: true });
      });
    } finally {
      clearTimeout(timer);
      if (leave !== undefined) signal?.removeEventListener("abort", leave);
    }
  }

  private begin(waitedMs: number): Turn {
    this.turns++;
    const beganMs = performance.now();
    let isOver = false;
    return {
      waitedMs,
      running: this.turns,
      end: () => {
        if (isOver) return;
        isOver = true;
        this.turns--;
        this.meanMs += (performance.now() - beganMs - this.meanMs) * WEIGHT_OF_NEWEST;
        this.serve();
      },
    };
  }

  private serve(): void {
    const { runningMax } = this.limits();
    for (const [party, line] of this.lines) {
      if (this.turns >= runningMax) return;
      const waiter = line.shift() as Waiter;
      this.count--;
      this.lines.delete(party);
      // Behind all others, which this loop comes to first.
      if (line.length > 0) this.lines.set(party, line);
      waiter.start(this.begin(performance.now() - waiter.sinceMs));
    }
  }

  /** False if it has its turn already. */
  private remove(party: string, waiter: Waiter): boolean {
    const line = this.lines.get(party) ?? [];
    const at = line.indexOf(waiter);
    if (at < 0) return false;
    line.splice(at, 1);
    if (line.length === 0) this.lines.delete(party);
    this.count--;
    return true;
  }
}
