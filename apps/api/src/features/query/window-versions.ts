// SPDX-License-Identifier: Apache-2.0
import type { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import { list, Parameters, type Plan, rowsOf, scopeOf } from "./sql.ts";
import { scopeName } from "./statement-name.ts";
import { type TimeRange, WINDOW_MS } from "./time-range.ts";

interface SlotRow {
  /** Number of the window since 1970. */
  readonly slot: number;
  readonly version: string;
}

type Slots = ReadonlyMap<number, string>;

/** What names the rows of a stretch within a range: equal names, equal rows. */
export interface NamedWindows {
  readonly nameOf: (fromMs: number, toMs: number) => string;
  /** When that was so, by `performance.now()`. */
  readonly asOfMs: number;
}

interface Known extends TimeRange {
  readonly readAtMs: number;
  readonly slots: Promise<Slots>;
}

/** Panels of a page have steps of different lengths; rows of `windows` lie in stretches as long as this. */
const AROUND_MS = 300_000;
/** Lists of hosts; pages of single hosts are one each. */
const SUBJECTS_MAX = 500;

/**
 * Tells whether raw rows of a stretch of time came in since an answer was made of them.
 *
 * A frame's line in `windows` is written after its rows of all signals, so what these lines say names what the raw tables hold of accepted frames: every line of a default window's
 * length goes into one number, and a frame that comes, late or not, changes it. It does not matter which node of the API took it in.
 */
export class WindowVersions {
  /** By organisation and hosts; the one asked about longest ago is first. */
  private readonly known = new Map<string, Known>();

  constructor(private readonly clickhouse: ClickHouseService) {}

  /**
   * @param range whole default windows
   * @param maxAgeMs how old what is known of them may be
   * @throws AppError STORAGE_UNAVAILABLE
   */
  async of(plan: Pick<Plan, "tenant" | "hosts">, range: TimeRange, maxAgeMs: number): Promise<NamedWindows> {
    const known = this.around(plan, range, maxAgeMs);
    const slots = await known.slots;
    const nameOf = (fromMs: number, toMs: number): string => {
      const names: string[] = [];
      for (let slot = fromMs / WINDOW_MS; slot < toMs / WINDOW_MS; slot++) names.push(slots.get(slot) ?? "");
      return names.join(" ");
    };
    return { nameOf, asOfMs: known.readAtMs };
  }

  private around(plan: Pick<Plan, "tenant" | "hosts">, { fromMs, toMs }: TimeRange, maxAgeMs: number): Known {
    const nowMs = performance.now();
    const key = scopeName(plan);
    const before = this.known.get(key);
    if (before !== undefined && nowMs - before.readAtMs < maxAgeMs && before.fromMs <= fromMs && before.toMs >= toMs) return before;
    const range = { fromMs: Math.floor(fromMs / AROUND_MS) * AROUND_MS, toMs: Math.ceil(toMs / AROUND_MS) * AROUND_MS };
    const entry: Known = { ...range, readAtMs: nowMs, slots: this.read(plan, range) };
    this.known.delete(key);
    this.known.set(key, entry);
    const [oldest] = this.known.size > SUBJECTS_MAX ? this.known.keys() : [];
    if (oldest !== undefined) this.known.delete(oldest);
    entry.slots.catch(() => {
      if (this.known.get(key) === entry) this.known.delete(key);
    });
    return entry;
  }

  private async read(plan: Pick<Plan, "tenant" | "hosts">, range: TimeRange): Promise<Slots> {
    const parameters = new Parameters();
    const where = scopeOf(plan, { level: "raw", scope: "host", ...range }, parameters);
    const slot = `toInt64(intDiv(toUnixTimestamp64Milli(ts), ${parameters.add("Int64", WINDOW_MS)}))`;
    // A sum, so that a line that is there twice counts twice until it is merged: that only costs reading again.
    const version = "toString(sum(cityHash64(host, ts, sequence, boot_id, received_at)))";
    const { sql, parameters: values } = parameters.statement(
      `SELECT ${list([`${slot} AS slot`, `${version} AS version`])} ${rowsOf(WINDOWS_TABLE, where, { isFinal: false })} GROUP BY slot`,
    );
    const { rows } = await this.clickhouse.query<SlotRow>(sql, values, { settings: { max_threads: 1 } });
    return new Map(rows.map((row) => [row.slot, row.version]));
  }
}
