// SPDX-License-Identifier: Apache-2.0
import type { HourClaim } from "@waggle/proto";
import { catalogue } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSnapshot, retransmits, TestIngest, type TestStream } from "../../../test/test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { HostStatusService } from "../ingest/host-status.service.ts";
import { IngestServer } from "../ingest/ingest.grpc.ts";
import { RollupsService } from "../rollups/rollups.service.ts";
import { ClaimsService, HOUR_MS } from "./claims.service.ts";
import type { Ledger } from "./ledger.schemas.ts";

let api: TestApi;
let ingest: TestIngest;

beforeAll(async () => {
  api = await startTestApi();
  // Tests say themselves what was rolled up.
  await api.app.get(RollupsService).stop();
  ingest = new TestIngest(api.app.get(IngestServer).port);
});
afterAll(async () => {
  ingest?.close();
  await api?.[Symbol.asyncDispose]();
});

/** An hour that is over, and one before it. */
const lastHour = Math.floor((Date.now() - 10 * 60_000) / HOUR_MS) * HOUR_MS - HOUR_MS;
const range = `from=${lastHour - 3 * HOUR_MS}&to=${lastHour + 2 * HOUR_MS}`;
/** A frame of `makeSnapshot` with one row of retransmits has this many rows: that and every signal's coverage. */
const ROWS_PER_FRAME = BigInt(catalogue.length + 1);

const claim = (windows: number, changes: Partial<HourClaim> = {}): HourClaim => ({
  hourStartMs: BigInt(lastHour),
  windows: BigInt(windows),
  rows: BigInt(windows) * ROWS_PER_FRAME,
  frames: BigInt(windows),
  droppedWindows: 0n,
  refusedWindows: 0n,
  ...changes,
});

async function openHost(organisation: TestOrganisation, name: string) {
  const host = await ingest.enrol(organisation.enrolmentToken, name);
  return { hostId: host.hostId, stream: await ingest.connect(host.credential) };
}

async function send(stream: TestStream, windows: number, hourMs = lastHour, clockOffsetMs = 0): Promise<void> {
  for (let index = 1; index <= windows; index++)
    stream.snapshot(makeSnapshot(index, hourMs + index * 10_000, { tcp_retransmits: [retransmits(1)] }, { clockOffsetMs: BigInt(clockOffsetMs) }));
  for (let index = 1; index <= windows; index++) await stream.next("ack");
}

async function say(stream: TestStream, hours: HourClaim[], spoolFrames = 0n, clockOffsetMs = 0): Promise<void> {
  stream.status({
    spoolFrames,
    spoolBytes: 0n,
    refusedFrames: 0n,
    droppedFrames: 0n,
    clockOffsetMs: BigInt(clockOffsetMs),
    startedAtMs: 0n,
    coarsenedWindows: 0n,
    hours,
    settings: undefined,
  });
  // Answered in order: what follows the Status has been read after it.
  stream.snapshot(makeSnapshot(999_999, Date.now() - 20_000, {}));
  await stream.next("ack");
  await api.app.get(ClaimsService).save();
  await api.app.get(HostStatusService).save();
}

async function read(organisation: TestOrganisation, parameters = ""): Promise<Ledger> {
  const response = await organisation.request(`/ingest/ledger?${range}${parameters}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Ledger;
}
const ofLastHour = (ledger: Ledger, hostId: string) => ledger.data.find((entry) => entry.hostId === hostId && Date.parse(entry.hour) === lastHour);

describe("the ledger", () => {
  it("is equal when everything said is stored, however often it was sent", async () => {
    const organisation = await TestOrganisation.create(api);
    const { hostId, stream } = await openHost(organisation, "web-1");
    await send(stream, 5);
    await send(stream, 5);
    await say(stream, [claim(4)]);
    await say(stream, [claim(5)]);
    expect(ofLastHour(await read(organisation), hostId)).toEqual({
      hour: new Date(lastHour).toISOString(),
      hostId,
      host: "web-1",
      verdict: "equal",
      said: { windows: 5, rows: 5 * Number(ROWS_PER_FRAME), frames: 5, droppedWindows: 0, refusedWindows: 0, at: expect.any(String) },
      stored: { frames: 5, windows: 5, rows: 5 * Number(ROWS_PER_FRAME) },
      rolledUp: { "1m": expect.any(Number), "1h": expect.any(Number) },
    });
    stream.cancel();
  });

  it("tells a lost frame, one still in the spool, one that nobody owns up to, and an agent that says nothing", async () => {
    const organisation = await TestOrganisation.create(api);
    const hosts = new Map<string, string>();
    for (const [name, sent, hours, spooled] of [
      ["lost", 4, [claim(5)], 0n],
      ["spooled", 4, [claim(5)], 1n],
      ["extra", 5, [claim(4)], 0n],
      ["dropped", 4, [claim(5, { frames: 4n, rows: 4n * ROWS_PER_FRAME, droppedWindows: 1n })], 0n],
      ["silent", 5, [], 0n],
    ] as const) {
      const { hostId, stream } = await openHost(organisation, name);
      hosts.set(name, hostId);
      await send(stream, sent);
      await say(stream, [...hours], spooled);
      stream.cancel();
    }
    const ledger = await read(organisation);
    const verdicts = Object.fromEntries([...hosts].map(([name, id]) => [name, ofLastHour(ledger, id)?.verdict]));
    expect(verdicts).toEqual({ lost: "missing", spooled: "pending", extra: "more", dropped: "equal", silent: "unknown" });

    const problems = await read(organisation, "&problems=true");
    expect(problems.data.map((entry) => entry.host).sort()).toEqual(["extra", "lost"]);
    expect(problems.meta.totals.verdicts).toMatchObject({ missing: 1, more: 1 });
    expect((await read(organisation, "&host=lost")).data.map((entry) => entry.host)).toContain("lost");
    expect((await read(organisation, "&host=lost")).data.every((entry) => entry.host === "lost")).toBe(true);
  });

  it("counts by the host's clock, whatever the API's says", async () => {
    const organisation = await TestOrganisation.create(api);
    const { hostId, stream } = await openHost(organisation, "behind");
    // Stored 5 s past the hour of the API's clock, and measured 5 s before that of the host's.
    stream.snapshot(makeSnapshot(1, lastHour - 5_000, { tcp_retransmits: [retransmits(1)] }, { clockOffsetMs: 10_000n }));
    await stream.next("ack");
    await say(stream, [claim(1, { hourStartMs: BigInt(lastHour - HOUR_MS) })]);
    const entries = (await read(organisation)).data.filter((entry) => entry.hostId === hostId && Date.parse(entry.hour) <= lastHour);
    expect(entries.map((entry) => [Date.parse(entry.hour), entry.verdict, entry.stored.frames])).toEqual([[lastHour - HOUR_MS, "equal", 1]]);
    stream.cancel();
  });

  it("takes an hour for over when it is on the host's clock", async () => {
    const organisation = await TestOrganisation.create(api);
    const { hostId, stream } = await openHost(organisation, "hours-behind");
    const offsetMs = 3 * HOUR_MS;
    // What this host calls its present hour was over on the API's clock long ago. Of two windows one has been said and none is stored yet.
    const presentHour = Math.floor((Date.now() - offsetMs) / HOUR_MS) * HOUR_MS;
    await say(stream, [claim(1, { hourStartMs: BigInt(presentHour) })], 0n, offsetMs);
    const parameters = `from=${presentHour - HOUR_MS}&to=now&host=hours-behind`;
    const response = await organisation.request(`/ingest/ledger?${parameters}`);
    const { data } = (await response.json()) as Ledger;
    expect(data.find((entry) => entry.hostId === hostId && Date.parse(entry.hour) === presentHour)?.verdict).toBe("pending");
    stream.cancel();
  });

  it("counts merged windows as what they speak for", async () => {
    const organisation = await TestOrganisation.create(api);
    const { hostId, stream } = await openHost(organisation, "coarse");
    stream.snapshot(makeSnapshot(1, lastHour, { tcp_retransmits: [retransmits(6)] }, { windows: 6, windowMs: 60_000 }));
    await stream.next("ack");
    await say(stream, [claim(6, { frames: 1n, rows: ROWS_PER_FRAME })]);
    expect(ofLastHour(await read(organisation), hostId)).toMatchObject({
      verdict: "equal",
      stored: { frames: 1, windows: 6, rows: Number(ROWS_PER_FRAME) },
    });
    stream.cancel();
  });

  it("says how many of the stored frames minutes and hours have taken in", async () => {
    const organisation = await TestOrganisation.create(api);
    const { hostId, stream } = await openHost(organisation, "rolled");
    // Two in the first five minutes, one in the next.
    for (const [index, startMs] of [lastHour, lastHour + 10_000, lastHour + 300_000].entries()) {
      stream.snapshot(makeSnapshot(index + 1, startMs, { tcp_retransmits: [retransmits(1)] }));
      await stream.next("ack");
    }
    const took = (step: string, ts: number, frames: number) => ({ tenant: organisation.id, step, ts, host: hostId, frames });
    const note = (values: object[]) => api.clickhouse.client.insert({ table: "rollups", values, format: "JSONEachRow" });
    await note([took("1m", lastHour, 2), took("1h", lastHour, 2)]);
    await say(stream, [claim(3)]);
    expect(ofLastHour(await read(organisation), hostId)).toMatchObject({ verdict: "equal", stored: { frames: 3 }, rolledUp: { "1m": 2, "1h": 2 } });
    await note([took("1m", lastHour + 300_000, 1), took("1h", lastHour, 3)]);
    expect(ofLastHour(await read(organisation), hostId)).toMatchObject({ rolledUp: { "1m": 3, "1h": 3 } });
    stream.cancel();
  });

  it("goes page by page without losing or repeating a host-hour", async () => {
    const organisation = await TestOrganisation.create(api);
    for (let index = 0; index < 5; index++) {
      const { stream } = await openHost(organisation, `h-${index}`);
      await send(stream, 1);
      await say(stream, [claim(1)]);
      stream.cancel();
    }
    const whole = await read(organisation);
    const paged: string[] = [];
    let cursor = "";
    do {
      const page = await read(organisation, `&limit=2${cursor}`);
      expect(page.meta.totals).toEqual(whole.meta.totals);
      paged.push(...page.data.map((entry) => `${entry.hour} ${entry.host}`));
      cursor = page.meta.nextCursor === null ? "" : `&cursor=${page.meta.nextCursor}`;
    } while (cursor !== "");
    expect(paged).toEqual(whole.data.map((entry) => `${entry.hour} ${entry.host}`));
    expect(paged.length).toBeGreaterThanOrEqual(5);
  });

  it("shows another tenant's hosts to nobody", async () => {
    const [ours, theirs] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const { hostId, stream } = await openHost(ours, "ours");
    await send(stream, 2);
    await say(stream, [claim(2)]);
    expect((await read(theirs)).data).toEqual([]);
    expect((await read(theirs)).meta.totals.hostHours).toBe(0);
    expect((await theirs.request(`/ingest/ledger?${range}&host=${hostId}`)).status).toBe(404);
    stream.cancel();
  });

  it("refuses ranges, cursors and fields it cannot read, each by name", async () => {
    const organisation = await TestOrganisation.create(api);
    for (const [parameters, pointer] of [
      ["from=now-9d", "/from"],
      ["cursor=abc", "/cursor"],
      ["limit=0", "/limit"],
      ["hosts=a", "/hosts"],
    ]) {
      const response = await organisation.request(`/ingest/ledger?${parameters}`);
      expect(response.status).toBe(422);
      expect(((await response.json()) as { errors: { pointer: string }[] }).errors.map((error) => error.pointer)).toEqual([pointer]);
    }
  });

  it("takes no hours that cannot be meant", async () => {
    const organisation = await TestOrganisation.create(api);
    const { stream } = await openHost(organisation, "odd");
    await say(stream, [claim(1, { hourStartMs: BigInt(lastHour + 1) }), claim(1, { hourStartMs: 2n ** 63n }), claim(1, { windows: 2n ** 63n })]);
    expect((await read(organisation)).data.filter((entry) => entry.said !== null)).toEqual([]);
    stream.cancel();
  });
});
