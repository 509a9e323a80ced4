// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { hostSignals } from "./catalogue.ts";
import { OTHER } from "./dimensions.ts";
import { foldRows, foldStepsOf } from "./fold.ts";
import { rowsMaxOf } from "./row-caps.ts";

type Row = { process: string; unit: string; file: string; bytes: bigint };
const signal = { name: "file_io", dimensions: ["process", "unit", "file"] } as const;
const measures = {
  rankOf: (row: Row) => Number(row.bytes),
  add: (into: Row, row: Row) => {
    into.bytes += row.bytes;
  },
};
const foldTo = (rows: readonly Row[], rowsMax: number) => foldRows<Row>(signal, structuredClone(rows) as Row[], rowsMax, measures);
const row = (process: string, file: string, bytes: number, unit = "u"): Row => ({ process, unit, file, bytes: BigInt(bytes) });
const text = ({ process, unit, file, bytes }: Row): string => `${process} ${unit} ${file} ${bytes}`;
const sum = (rows: readonly Row[], of: (row: Row) => boolean = () => true): bigint => rows.filter(of).reduce((all, { bytes }) => all + bytes, 0n);

/** Numbers in [0, 1) from a seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomRows(random: () => number): Row[] {
  const [processes, units, files] = [1 + random() * 60, 1 + random() * 20, 1 + random() * 200].map(Math.floor) as [number, number, number];
  const rows = new Map<string, Row>();
  for (let left = Math.floor(random() * 2_000); left > 0; left--) {
    const one = row(
      `p${Math.floor(random() * processes)}`,
      random() < 0.02 ? OTHER : `/f${Math.floor(random() * files)}`,
      Math.floor(random() ** 8 * 1e6),
      `u${Math.floor(random() * units)}`,
    );
    rows.set(JSON.stringify([one.process, one.unit, one.file]), one);
  }
  if (random() < 0.3) rows.set("other", row(OTHER, OTHER, 7, OTHER));
  return [...rows.values()];
}

describe("foldStepsOf", () => {
  it("has a place for each dimension of what kernels count, and who it was is given up last", () => {
    for (const each of hostSignals.filter(({ bpf }) => bpf !== null)) {
      const steps = foldStepsOf(each);
      expect([each.name, steps.toSorted()]).toEqual([each.name, [...each.dimensions].sort()]);
      const owners = steps.filter((name) => name === "process" || name === "unit");
      expect([each.name, steps.slice(steps.length - owners.length)]).toEqual([each.name, owners]);
      if (owners.length > 0) expect(owners).toEqual(["process", "unit"]);
    }
    expect(() => foldStepsOf({ name: "x", dimensions: ["process", "quantity"] })).toThrow("quantity");
  });
});

describe("foldRows", () => {
  it("leaves rows alone that are not too many", () => {
    const rows = [row("a", "/1", 1), row("b", "/2", 2), row(OTHER, OTHER, 3, OTHER)];
    expect(foldTo(rows, 3).rows.map(text).sort()).toEqual(rows.map(text).sort());
    expect(foldTo(rows, 3).cut).toBe(0);
  });

  it("lets small files go and keeps their process", () => {
    const rows = [
      ...Array.from({ length: 1_000 }, (_, file) => row("backup", `/data/${file}`, 1_000 + file)),
      ...Array.from({ length: 40 }, (_, process) => [row(`p${process}`, "/a", 2), row(`p${process}`, "/b", 1)]).flat(),
    ];
    const folded = foldTo(rows, 300);
    expect(folded.rows).toHaveLength(300);
    for (let process = 0; process < 40; process++) expect(folded.rows.map(text)).toContain(`p${process} u ${OTHER} 3`);
    const largest = folded.rows.filter(({ process, file }) => process === "backup" && file !== OTHER).map(({ bytes }) => Number(bytes));
    expect(largest.sort((a, b) => b - a)).toEqual(Array.from({ length: 259 }, (_, at) => 1_999 - at));
    expect(folded.rows.filter(({ process }) => process === OTHER)).toEqual([]);
    expect(folded.cut).toBe(1_080 - 259);
  });

  it("gives nothing up where that would save no row", () => {
    const rows = [row("a", "/1", 1), row("b", "/1", 2), row("b", "/2", 2), row("c", "/1", 3), row("c", "/2", 3)];
    expect(foldTo(rows, 4).rows.map(text).sort()).toEqual(["a u /1 1", `b u ${OTHER} 4`, "c u /1 3", "c u /2 3"]);
  });

  it("lets processes go where there are too many of them, by unit, and the largest rows keep all", () => {
    const rows = Array.from({ length: 900 }, (_, at) => row(`p${at % 450}`, `/${at}`, at === 0 ? 10_000 : 1, `u${at % 3}`));
    const folded = foldTo(rows, 300);
    expect(folded.rows).toHaveLength(300);
    expect(folded.rows.map(text)).toContain("p0 u0 /0 10000");
    for (const unit of ["u0", "u1", "u2"]) {
      expect(folded.rows.filter(({ process, unit: of }) => process === OTHER && of === unit)).toHaveLength(1);
      expect(sum(folded.rows, (one) => one.unit === unit)).toBe(sum(rows, (one) => one.unit === unit));
    }
  });

  it("conserves sums, keeps to the limit and keeps who it was as long as that is possible, whatever the rows are", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomOf(seed);
      const rows = randomRows(random);
      const rowsMax = 1 + Math.floor(random() * 300);
      const folded = foldTo(rows, rowsMax);
      const about = `seed ${seed}, ${rows.length} rows to ${rowsMax}`;
      expect(folded.rows.length, about).toBeLessThanOrEqual(rowsMax);
      expect(folded.rows.length, about).toBe(Math.min(rows.length, rowsMax));
      expect(new Set(folded.rows.map(({ process, unit, file }) => JSON.stringify([process, unit, file]))).size, about).toBe(folded.rows.length);
      expect(sum(folded.rows), about).toBe(sum(rows));
      const owners = new Set(rows.map(({ process, unit }) => `${process} ${unit}`));
      if (owners.size <= Math.floor(rowsMax * 0.75))
        for (const owner of owners) {
          const isOwners = ({ process, unit }: Row): boolean => `${process} ${unit}` === owner;
          expect([about, owner, sum(folded.rows, isOwners)]).toEqual([about, owner, sum(rows, isOwners)]);
        }
      const kept = new Set(folded.rows.map(text));
      expect(folded.cut, about).toBeGreaterThanOrEqual(rows.filter((one) => !kept.has(text(one)) && one.file !== OTHER).length);
    }
  });

  it("has rows fold to one of all where there is room for no more", () => {
    const folded = foldTo([row("a", "/1", 1), row("b", "/2", 2, "v"), row(OTHER, OTHER, 3, OTHER)], 1);
    expect(folded).toEqual({ rows: [row(OTHER, OTHER, 6, OTHER)], cut: 2 });
  });

  it("orders sizes beyond 2^32 and those that are nearly alike", () => {
    const rows = [2 ** 40, 2 ** 40 + 1, 2 ** 40 - 1, 5].map((bytes, at) => row(`p${at}`, "/a", bytes, `u${at}`));
    expect(foldTo(rows, 3).rows.map(text)).toContain(`p1 u1 /a ${2 ** 40 + 1}`);
    expect(foldTo(rows, 3).rows.map(text)).toContain(`p0 u0 /a ${2 ** 40}`);
  });

  it("is what every signal's cap can be kept by", () => {
    for (const each of hostSignals.filter(({ bpf }) => bpf !== null)) expect([each.name, rowsMaxOf(each) >= 4]).toEqual([each.name, true]);
  });
});
