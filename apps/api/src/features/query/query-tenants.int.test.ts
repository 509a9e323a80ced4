// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from "node:timers/promises";
import { bucketIndex, catalogue, getSignalOrThrow, type Signal } from "@waggle/signals";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { RollupsService } from "../rollups/rollups.service.ts";
import { aggregates, measuresOf } from "./measures.ts";
import { QueryRepository } from "./query.repository.ts";
import { type Answer, answerSchema } from "./query.schemas.ts";

/** Queries that are generated and asked, half of them by either organisation. */
const QUERIES = 10_000;
const AT_ONCE = 16;
const SEED = 20_261_129;

const t0 = Math.floor(Date.now() / 60_000) * 60_000 - 300_000;
const signals = ["tcp_retransmits", "tcp_rtt", "tcp_connections", "agent_coverage", "cpu_profile"].map(getSignalOrThrow);
const hostNames = ["web-1", "web-2", "db-1"];

/** What one organisation stores: every text names it, and its values are of a size that the other's never have. */
interface Side {
  readonly word: string;
  readonly size: number;
  readonly organisation: TestOrganisation;
  readonly ids: readonly string[];
}

let api: TestApi;
let sides: readonly [Side, Side];

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Two organisations, whose hosts have the same names, and whose rows have the same host ids: only the tenant tells them apart. */
beforeAll(async () => {
  api = await startTestApi({ WAGGLE_API_LIMIT_QUERIES_AT_ONCE: "1000", WAGGLE_API_LIMIT_QUERY_ROWS_PER_MINUTE: "1000000000000" });
  await api.app.get(RollupsService).stop();
  const repository = api.app.get(QueryRepository);
  // A slow statement would end as a 504, which no answer may be.
  repository.limits = { ...repository.limits, executionSecondsMax: 10 };
  const made: Side[] = [];
  for (const [word, size] of [
    ["alpha", 1],
    ["omega", 1_000_000],
  ] as const) {
    const organisation = await TestOrganisation.create(api);
    const ids: string[] = [];
    for (const name of hostNames)
      ids.push(await organisation.addHost(name, { tags: { env: `${word}-env`, [`${word}-only`]: "x" }, kernel: `6.1-${word}` }));
    made.push({ word, size, organisation, ids });
  }
  sides = made as [Side, Side];
  for (const side of sides)
    for (const signal of signals) await side.organisation.store(signal, rowsOf(signal, side, [...sides[0].ids, ...sides[1].ids]));
});
afterAll(() => api?.[Symbol.asyncDispose]());

function rowsOf(signal: Signal, { word, size }: Side, ids: readonly string[]): Record<string, unknown>[] {
  return ids.flatMap((host) =>
    [0, 1, 2].map((index) => {
      const envelope = { host, ts: t0 + index * 10_000, window_ms: 10_000 };
      if (signal.name === "agent_coverage")
        return { ...envelope, signal: signals[index]?.name, state: "sampled", reason: `${word} says so`, windows: size };
      const dimensions = Object.fromEntries(signal.dimensions.map((name) => [name, `${word}-${name}-${index}`]));
      const value = 1_000 * size;
      const values =
        signal.kind === "histogram"
          ? { count: size, sum: value * size, min: value, max: value, k: [bucketIndex(BigInt(value))], c: [size] }
          : Object.fromEntries(signal.measures.map(({ name }) => [name, value]));
      return { ...envelope, ...dimensions, ...values };
    }),
  );
}

/** Stands in every text that is made to do harm, and must never stand in SQL. */
const MARK = "zq9";

class Generator {
  private readonly random: () => number;

  constructor(
    seed: number,
    private readonly own: Side,
    private readonly foreign: Side,
  ) {
    this.random = randomOf(seed);
  }

  private chance(share: number): boolean {
    return this.random() < share;
  }

  private whole(below: number): number {
    return Math.floor(this.random() * below);
  }

  private of<T>(values: readonly T[]): T {
    return values[this.whole(values.length)] as T;
  }

  /** A text that some language would take for something else than text. */
  hostile(): string {
    const other = this.foreign;
    return this.of([
      `${MARK}' OR 1=1 --`,
      `${MARK}\`; DROP TABLE tcp_rtt; --`,
      `${MARK}") UNION ALL SELECT * FROM tcp_rtt --`,
      `${MARK}\\' OR tenant != '`,
      `{p0:String}${MARK}`,
      `${MARK}{tenant:String}`,
      `${MARK}%' OR host LIKE '%`,
      `${MARK} FORMAT JSON SETTINGS readonly=0`,
      `${MARK}\u0000`,
      `${MARK}\u001b[2J`,
      `${MARK}\ud800`,
      `${MARK}\u202e\u2066`,
      `${MARK}😀\u0301é`,
      `${MARK}${"*".repeat(40)}${MARK}`,
      `${MARK}${"(".repeat(60)}`,
      `${MARK}\n\r\t`,
      `<script>${MARK}</script>`,
      `../../${MARK}`,
      `\${${MARK}}`,
      "__proto__",
      "constructor",
      "tenant",
      "organisation_id",
      other.organisation.id,
      other.ids[0] as string,
      `${other.word}-process-0`,
      `tag.${other.word}-only`,
      `${other.word}-only`,
      "",
      "'",
      '"',
      "\\",
      MARK.repeat(this.of([1, 20, 600])),
    ]);
  }

  /** Anything that JSON can hold. */
  private anything(): unknown {
    return this.of<() => unknown>([
      () => null,
      () => true,
      () => -1,
      () => 1e308,
      () => 0.5,
      () => [],
      () => ({}),
      () => this.hostile(),
      () => [this.hostile()],
      () => ({ [this.hostile()]: this.hostile() }),
      () => ({ $gt: "" }),
      () => Array.from({ length: 200 }, () => this.hostile()),
    ])();
  }

  private value(): string {
    const { own, foreign } = this;
    const text = this.of([
      () => this.hostile(),
      () => `${own.word}-process-${this.whole(3)}`,
      () => `${foreign.word}-*`,
      () => "*",
      () => this.of(hostNames),
      () => this.of(foreign.ids),
      () => foreign.organisation.id,
      () => '""',
    ])();
    return this.chance(0.4) ? `"${text.replace(/["\\]/g, "\\$&")}"` : text;
  }

  private where(signal: Signal): string {
    const measure = () => this.of(measuresOf(signal));
    const term = (): string => {
      const minus = this.chance(0.3) ? "-" : "";
      const key = this.of(["host", "env", "kernel", `tag.${this.foreign.word}-only`, ...signal.dimensions, ...signal.dimensions]);
      return this.of([
        () => `${minus}${key}:${Array.from({ length: 1 + this.whole(3) }, () => this.value()).join(",")}`,
        () => `${minus}${key}:${this.of(["*", `${this.own.word}*`, `*${this.foreign.word}*`])}`,
        () => `${minus}${measure().name}${this.of([">", ">=", "<", "<="])}${this.of(["0", "1", "-1", "1e30", "5ms", "1%", this.hostile()])}`,
        () => `${minus}${measure().name}.${this.of(aggregates)}${this.of([">", "<"])}${this.of(["0", "10ms", "1", this.hostile()])}`,
        () => this.hostile(),
      ])();
    };
    if (this.chance(0.002)) return MARK.repeat(350_000);
    return Array.from({ length: this.whole(this.chance(0.02) ? 200 : 3) }, term).join(" ");
  }

  private instant(): unknown {
    return this.of<() => unknown>([
      () => t0,
      () => t0 + 30_000,
      () => "now",
      () => "now-10m",
      () =>
        this.of([
          1e308,
          -1,
          0,
          1e15,
          Number.MAX_SAFE_INTEGER,
          "now-999999999w",
          "now+9d",
          "0000-01-01T00:00:00Z",
          "1970-01-01",
          "9999-12-31T23:59:59Z",
        ]),
      () => this.hostile(),
      () => this.anything(),
    ])();
  }

  /** A query that its schema takes, with whatever its filter holds; `isTame`: with nothing hostile but the filter. */
  private likely(isTame: boolean): Record<string, unknown> {
    const signal = this.chance(0.9) ? this.of(signals) : this.of(catalogue);
    const select = Array.from({ length: 1 + this.whole(3) }, () => {
      const measure = this.of(measuresOf(signal));
      return { measure: measure.name, aggregate: this.of(measure.aggregates) };
    });
    const keys = ["host", "kernel", "env", "tag.env", `tag.${this.foreign.word}-only`, ...signal.dimensions];
    const by = [...new Set(Array.from({ length: this.whole(4) }, () => this.of(keys)))].filter(
      (name, _, all) => name !== "tag.env" || !all.includes("env"),
    );
    const tameTerms = [`host:${this.of(hostNames)}`, `-host:"${this.of(this.foreign.ids)}"`, `env:*`, `kernel:"6.1-${this.own.word}",x`];
    return {
      signal: signal.name,
      select,
      by,
      where: isTame ? (this.chance(0.4) ? this.of(tameTerms) : "") : this.where(signal),
      from: t0,
      to: t0 + 60_000,
      ...this.of([{}, { points: 1 }, { points: 6 }, { step: "10s" }, { step: "30s" }]),
      ...(this.chance(0.3) ? { limit: 1 + this.whole(5) } : {}),
      ...(this.chance(0.2) ? { compare: this.of(["prev", "1d", { from: t0 - 60_000, to: t0 }]) } : {}),
      ...(this.chance(0.3) ? { explain: true } : {}),
    };
  }

  /** A body as it is sent. */
  body(): string {
    if (this.chance(0.06)) return JSON.stringify(this.likely(true));
    const query = this.likely(false);
    if (this.chance(0.06)) return JSON.stringify(query);
    for (let changes = 1 + this.whole(3); changes > 0; changes--) {
      const field = this.of(["signal", "select", "by", "where", "from", "to", "points", "step", "limit", "compare", "explain", "extra"]);
      if (field === "extra")
        query[this.of(["tenant", "organisation_id", "hosts", "__proto__", "settings", this.hostile()])] = this.foreign.organisation.id;
      else if (field === "from" || field === "to") query[field] = this.instant();
      else if (field === "select" && this.chance(0.5))
        query[field] = [{ measure: this.hostile(), aggregate: this.of([...aggregates, this.hostile()]) }];
      else if (field === "by" && this.chance(0.5)) query[field] = [this.hostile(), "host"];
      else query[field] = this.anything();
    }
    const text = JSON.stringify(query);
    if (this.chance(0.01)) return text.slice(0, this.whole(text.length));
    if (this.chance(0.005)) return `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    return this.chance(0.005) ? `{"signal":"tcp_rtt","select":${"[".repeat(5_000)}${"]".repeat(5_000)}}` : text;
  }
}

interface Tally {
  readonly statuses: Map<number, number>;
  /** Answers that held values of the own rows. */
  answers: number;
}

async function ask(generator: Generator, own: Side, foreign: Side, tally: Tally): Promise<void> {
  const body = generator.body();
  const send = async () => {
    const response = await fetch(`${api.url}/api/v1/query`, {
      method: "POST",
      headers: { authorization: `Bearer ${own.organisation.adminToken}`, "content-type": "application/json" },
      body,
    });
    return { response, text: await response.text() };
  };
  let { response, text } = await send();
  // On a busy machine who would wait too long for a turn is sent away, and comes again.
  while (response.status === 503 && JSON.parse(text).code === "OVERLOADED") {
    await sleep(1_000 * Number(response.headers.get("retry-after")));
    ({ response, text } = await send());
  }
  const question = `${body.slice(0, 600)} → ${response.status} ${text.slice(0, 600)}`;
  tally.statuses.set(response.status, (tally.statuses.get(response.status) ?? 0) + 1);
  if (response.status !== 200) {
    if (![400, 413, 422].includes(response.status)) expect.fail(question);
    expect(response.headers.get("content-type"), question).toContain("application/problem+json");
    const { code, detail } = JSON.parse(text) as { code: string; detail: string };
    expect([typeof code, typeof detail, detail.length > 0], question).toEqual(["string", "string", true]);
    expect(text.length, question).toBeLessThan(64_000);
    return;
  }
  const answer: Answer = answerSchema.parse(JSON.parse(text));
  const { explain, ...meta } = answer.meta;
  for (const { sql } of explain?.statements ?? []) {
    expect(sql, question).not.toContain(MARK);
    expect(sql, question).not.toContain(foreign.word);
  }
  // The caller's own words come back as parameters and as names of labels; everything else is data.
  const data = JSON.stringify({ meta, series: answer.series }).replaceAll(`tag.${foreign.word}-only`, "");
  expect(data.includes(foreign.word), question).toBe(false);
  expect(data.includes(foreign.organisation.id), question).toBe(false);
  expect(meta.coverage.hosts, question).toBeLessThanOrEqual(hostNames.length);
  const values = answer.series.flatMap((series) =>
    "cells" in series ? [...series.cells, ...(series.compared ?? [])].flat() : [...series.values, ...(series.compared ?? [])],
  );
  const found = values.filter((value): value is number => value !== null && value !== 0);
  if (found.length > 0) tally.answers++;
  // The smaller side's values never come near the larger one's.
  if (own.size === 1) expect(Math.max(0, ...found), question).toBeLessThan(1e6);
}

it(`${QUERIES} generated and hostile queries of two organisations never meet the other's rows, and are answered or refused in words`, async () => {
  const [alpha, omega] = sides;
  const tally: Tally = { statuses: new Map(), answers: 0 };
  const work = Array.from({ length: AT_ONCE }, async (_, worker) => {
    const [own, foreign] = worker % 2 === 0 ? [alpha, omega] : [omega, alpha];
    const generator = new Generator(SEED + worker, own, foreign);
    for (let count = 0; count < QUERIES / AT_ONCE; count++) await ask(generator, own, foreign, tally);
  });
  await Promise.all(work);
  expect([...tally.statuses.values()].reduce((sum, count) => sum + count, 0)).toBe(QUERIES);
  // Neither side of the equation is empty: many were refused, many answered with rows.
  expect(tally.statuses.get(422)).toBeGreaterThan(QUERIES / 2);
  expect(tally.answers).toBeGreaterThan(QUERIES / 40);
}, 600_000);
