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

/** How long a turn will take, as far as is known. */
export type Length = "short" | "long";

/** Work of several turns. Once it had a place in a line it is never sent away for coming late: what was done for it would be lost, and its caller come again. */
export interface Ticket {
  /** When it began, by `performance.now()`: who began earlier is served earlier. */
  readonly sinceMs: number;
  isAdmitted: boolean;
}

interface Waiter {
  readonly arrivedMs: number;
  /** What it is served by. */
  readonly sinceMs: number;
  readonly start: (turn: Turn) => void;
}

type Line = Readonly<Record<Length, Waiter[]>>;

const lengths: readonly Length[] = ["short", "long"];
const FIRST_GUESS_MS = 50;
/** Of the newest, in the mean of how long turns take. */
const WEIGHT_OF_NEWEST = 0.05;

/**
 * Lets a few work at a time; the others wait, each party (an organisation) in a line of its own that is first come, first served. Turns go round the
 * parties: one with a thousand waiting delays another's only one by one turn. Long turns have half of the places at most, so that short ones pass them
 * by. Nobody waits for ever: who would wait too long is told at once.
 */
export class FairQueue {
  /** In the order in which they are served; one that was goes to the end. */
  private readonly lines = new Map<string, Line>();
  private readonly turns: Record<Length, number> = { short: 0, long: 0 };
  private readonly meanMs: Record<Length, number> = { short: FIRST_GUESS_MS, long: FIRST_GUESS_MS };

  /** @param limits asked at every turn: they may change */
  constructor(private readonly limits: () => FairQueueLimits) {}

  get running(): number {
    return this.turns.short + this.turns.long;
  }

  get waiting(): number {
    let count = 0;
    for (const { short, long } of this.lines.values()) count += short.length + long.length;
    return count;
  }

  /** How long one more of the party would wait, by how long turns took so far; 0: not at all. */
  expectedWaitMs(party: string, length: Length = "short"): number {
    if (this.isNext(length)) return 0;
    const own = this.lines.get(party)?.[length].length ?? 0;
    let ahead = 0;
    for (const line of this.lines.values()) ahead += Math.min(line[length].length, own + 1);
    const places = length === "long" ? this.longMax : Math.max(1, this.limits().runningMax - this.turns.long);
    return ((ahead + 1) * this.meanMs[length]) / places;
  }

  /**
   * Waits for a turn.
   * @param signal leaves the line
   * @param ticket left out: one of its own
   * @throws NoTurn; the signal's reason
   */
  async enter(
    party: string,
    signal?: AbortSignal,
    length: Length = "short",
    ticket: Ticket = { sinceMs: performance.now(), isAdmitted: false },
  ): Promise<Turn> {
    signal?.throwIfAborted();
    const { waitingMax, waitMsMax } = this.limits();
    if (!this.isNext(length) && !ticket.isAdmitted) {
      const expectedMs = this.expectedWaitMs(party, length);
      const { short, long } = this.lines.get(party) ?? { short: [], long: [] };
      if (short.length + long.length >= waitingMax) throw new NoTurn("full", expectedMs);
      if (expectedMs > waitMsMax) throw new NoTurn("late", expectedMs - waitMsMax);
    }
    ticket.isAdmitted = true;
    if (this.isNext(length)) return this.begin(0, length);
    let timer: NodeJS.Timeout | undefined;
    let leave: (() => void) | undefined;
    try {
      return await new Promise<Turn>((start, refuse) => {
        const waiter: Waiter = { arrivedMs: performance.now(), sinceMs: ticket.sinceMs, start };
        const line = this.lines.get(party) ?? { short: [], long: [] };
        this.lines.set(party, line);
        const before = line[length].findLastIndex(({ sinceMs }) => sinceMs <= waiter.sinceMs);
        line[length].splice(before + 1, 0, waiter);
        timer = setTimeout(() => {
          if (this.remove(party, waiter, length)) refuse(new NoTurn("late", this.expectedWaitMs(party, length)));
        }, waitMsMax);
        leave = () => {
          if (this.remove(party, waiter, length)) refuse(signal?.reason);
        };
        signal?.addEventListener("abort", leave, { once: true });
      });
    } finally {
      clearTimeout(timer);
      if (leave !== undefined) signal?.removeEventListener("abort", leave);
    }
  }

  private get longMax(): number {
    return Math.max(1, Math.floor(this.limits().runningMax / 2));
  }

  private hasPlace(length: Length): boolean {
    return this.running < this.limits().runningMax && (length === "short" || this.turns.long < this.longMax);
  }

  /** Whether one that comes now need not wait: there is a place, and nobody who could take it was there before. */
  private isNext(length: Length): boolean {
    if (!this.hasPlace(length)) return false;
    for (const line of this.lines.values()) if (lengths.some((one) => line[one].length > 0 && this.hasPlace(one))) return false;
    return true;
  }

  private begin(waitedMs: number, length: Length): Turn {
    this.turns[length]++;
    const beganMs = performance.now();
    let isOver = false;
    return {
      waitedMs,
      running: this.running,
      end: () => {
        if (isOver) return;
        isOver = true;
        this.turns[length]--;
        this.meanMs[length] += (performance.now() - beganMs - this.meanMs[length]) * WEIGHT_OF_NEWEST;
        this.serve();
      },
    };
  }

  private serve(): void {
    for (let served = true; served; ) {
      served = false;
      for (const [party, line] of [...this.lines]) {
        const length = this.nextOf(line);
        if (length === undefined) continue;
        const waiter = line[length].shift() as Waiter;
        this.lines.delete(party);
        if (line.short.length + line.long.length > 0) this.lines.set(party, line);
        waiter.start(this.begin(performance.now() - waiter.arrivedMs, length));
        served = true;
      }
    }
  }

  /** Who began earlier of the first two of a line, of those that there is a place for. */
  private nextOf(line: Line): Length | undefined {
    const since = (length: Length): number =>
      this.hasPlace(length) ? (line[length][0]?.sinceMs ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    const [short, long] = [since("short"), since("long")];
    if (short === Number.POSITIVE_INFINITY && long === Number.POSITIVE_INFINITY) return undefined;
    return short <= long ? "short" : "long";
  }

  /** False if it has its turn already. */
  private remove(party: string, waiter: Waiter, length: Length): boolean {
    const line = this.lines.get(party);
    const at = line?.[length].indexOf(waiter) ?? -1;
    if (line === undefined || at < 0) return false;
    line[length].splice(at, 1);
    if (line.short.length + line.long.length === 0) this.lines.delete(party);
    return true;
  }
}
