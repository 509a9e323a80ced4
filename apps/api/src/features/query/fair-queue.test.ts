// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { FairQueue, type FairQueueLimits, type Length, NoTurn, type Turn } from "./fair-queue.ts";

const limits: FairQueueLimits = { runningMax: 2, waitingMax: 100, waitMsMax: 60_000 };

/** A queue whose turns end when the test says so; `order` has who got one, in order. */
function queue(own: Partial<FairQueueLimits> = {}) {
  const fair = new FairQueue(() => ({ ...limits, ...own }));
  const order: string[] = [];
  const turns: Turn[] = [];
  const enter = (party: string, name = party, signal?: AbortSignal, length?: Length): Promise<void> =>
    fair.enter(party, signal, length).then((turn) => {
      order.push(name);
      turns.push(turn);
    });
  /** Ends the oldest turn, and lets who is next begin. */
  const endOne = async (): Promise<void> => {
    turns.shift()?.end();
    await new Promise(setImmediate);
  };
  return { fair, order, turns, enter, endOne };
}

describe("turns", () => {
  it("are given at once while there are any, and then in order of arrival", async () => {
    const { fair, order, turns, enter, endOne } = queue();
    const asked = ["1", "2", "3", "4"].map((name) => enter("a", name));
    await new Promise(setImmediate);
    expect(order).toEqual(["1", "2"]);
    expect([fair.running, fair.waiting]).toEqual([2, 2]);
    expect(turns.map(({ running }) => running)).toEqual([1, 2]);
    await endOne();
    expect(order).toEqual(["1", "2", "3"]);
    await endOne();
    await Promise.all(asked);
    expect(order).toEqual(["1", "2", "3", "4"]);
    await endOne();
    await endOne();
    expect([fair.running, fair.waiting]).toEqual([0, 0]);
  });

  it("go round the parties: who asks for many delays another by one", async () => {
    const { order, enter, endOne } = queue({ runningMax: 1 });
    const asked = [...Array.from({ length: 5 }, (_, index) => enter("many", `m${index}`)), enter("one"), enter("two"), enter("two", "two again")];
    for (let ended = 0; ended < 8; ended++) await endOne();
    await Promise.all(asked);
    expect(order).toEqual(["m0", "m1", "one", "two", "m2", "two again", "m3", "m4"]);
  });

  it("that are long have half of the places, and short ones pass them by", async () => {
    const { fair, order, turns, enter, endOne } = queue();
    const asked = ["l1", "l2", "l3"].map((name) => enter("a", name, undefined, "long"));
    asked.push(enter("a", "s1"), enter("b", "s2"), enter("a", "s3"));
    await new Promise(setImmediate);
    expect(order).toEqual(["l1", "s1"]);
    // The short one ends: the next short ones follow it, and the long place stays taken.
    turns.pop()?.end();
    await new Promise(setImmediate);
    expect(order).toEqual(["l1", "s1", "s3"]);
    await endOne();
    expect(order).toEqual(["l1", "s1", "s3", "s2"]);
    await endOne();
    expect(order).toEqual(["l1", "s1", "s3", "s2", "l2"]);
    // Long ones take no more than their half, also when there is nobody else.
    await endOne();
    expect(order).toHaveLength(5);
    await endOne();
    await Promise.all(asked);
    expect(order.at(-1)).toBe("l3");
    await endOne();
    expect([fair.running, fair.waiting]).toEqual([0, 0]);
  });

  it("are counted once, however often they are ended", async () => {
    const { fair } = queue();
    const [one, two] = [await fair.enter("a"), await fair.enter("a")];
    one.end();
    one.end();
    expect(fair.running).toBe(1);
    two.end();
    expect(fair.running).toBe(0);
  });
});

describe("work of several turns", () => {
  it("is served by when it began, and is not sent away any more once it had a place", async () => {
    const own = { runningMax: 1, waitingMax: 2 };
    const { fair, order, enter, endOne } = queue(own);
    const old = { sinceMs: performance.now(), isAdmitted: false };
    const asked = [enter("a", "first"), enter("a", "new"), enter("a", "newer")];
    await expect(fair.enter("a", undefined, "short", old)).rejects.toMatchObject({ reason: "full" });
    expect(old.isAdmitted).toBe(false);
    old.isAdmitted = true;
    asked.push(
      fair.enter("a", undefined, "short", old).then((turn) => {
        order.push("old");
        turn.end();
      }),
    );
    await endOne();
    expect(order).toEqual(["first", "old", "new"]);
    await endOne();
    await endOne();
    await Promise.all(asked);
  });
});

describe("a line", () => {
  it("is left by who goes away; those behind move up, and the party is forgotten with its last", async () => {
    const { fair, order, enter, endOne } = queue({ runningMax: 1 });
    const gone = new AbortController();
    const asked = [enter("a", "1"), enter("a", "2", gone.signal), enter("a", "3")];
    gone.abort(new Error("went away"));
    await expect(asked[1]).rejects.toThrow("went away");
    expect(fair.waiting).toBe(1);
    await endOne();
    expect(order).toEqual(["1", "3"]);
    const late = new AbortController();
    const only = enter("b", "b", late.signal);
    late.abort(new Error("went away too"));
    await expect(only).rejects.toThrow("went away too");
    await endOne();
    expect([fair.running, fair.waiting]).toEqual([0, 0]);
    await expect(fair.enter("a", AbortSignal.abort(new Error("gone before")))).rejects.toThrow("gone before");
  });

  it("takes no more of a party than may wait, and others' still", async () => {
    const { fair, enter, endOne } = queue({ runningMax: 1, waitingMax: 2 });
    const asked = [enter("a"), enter("a"), enter("a")];
    await expect(fair.enter("a")).rejects.toMatchObject({ name: "NoTurn", reason: "full" });
    asked.push(enter("b"));
    expect(fair.waiting).toBe(3);
    for (let ended = 0; ended < 4; ended++) await endOne();
    await Promise.all(asked);
  });

  it("is left after the longest wait there may be", async () => {
    const { fair, enter, endOne } = queue({ runningMax: 1, waitMsMax: 60 });
    await enter("a");
    const error: unknown = await fair.enter("a").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NoTurn);
    expect(error).toMatchObject({ reason: "late" });
    expect([fair.running, fair.waiting]).toEqual([1, 0]);
    await endOne();
    await enter("a");
    await endOne();
  });

  it("refuses at once who would wait longer than that, by how long turns took", async () => {
    const own = { runningMax: 1, waitMsMax: 60_000 };
    const { fair, enter, endOne } = queue(own);
    const asked = [enter("a"), enter("a"), enter("a")];
    expect(fair.expectedWaitMs("a")).toBeGreaterThan(fair.expectedWaitMs("b"));
    own.waitMsMax = 1;
    const refused = await fair.enter("a").catch((reason: unknown) => reason);
    expect(refused).toMatchObject({ reason: "late", retryAfterMs: expect.any(Number) });
    expect((refused as NoTurn).retryAfterMs).toBeGreaterThan(0);
    for (let ended = 0; ended < 3; ended++) await endOne();
    await Promise.allSettled(asked);
    expect(fair.expectedWaitMs("a")).toBe(0);
  });
});
