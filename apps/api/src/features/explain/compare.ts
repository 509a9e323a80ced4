// SPDX-License-Identifier: Apache-2.0
import type { Explanation } from "./explain.schemas.ts";
import { chanceOf, informationGain, leastChance, lift, surprise } from "./measures-of-difference.ts";
import { type FactRow, VALUES_MAX, type ValueRow } from "./statements.ts";

/** Share of findings that may be by chance, over all facts that were tried. */
const SIGNIFICANCE = 0.05;

/** What is a host's own says nothing about a group. */
const ownFacts = /^address:/;

/** What one side adds up to, and over how much host time. */
export interface Side {
  readonly rows: readonly ValueRow[];
  readonly hostMs: number;
}

/**
 * The dimensions by how much their shares differ, in each the values that make the difference.
 *
 * A value's contribution is its part of the change of the amount per host and time ("explanatory power" of Adtributor, NSDI 2014); its surprise says how much its share differs.
 * Values are ranked by surprise, as one that keeps its share of a growing whole explains nothing.
 */
export function compareDimensions(dimensions: readonly string[], selection: Side, baseline: Side, limit: number): Explanation["dimensions"] {
  return dimensions
    .map((dimension) => {
      const [a, b] = [byValue(selection.rows, dimension), byValue(baseline.rows, dimension)];
      const rate = (amount: number, { hostMs }: Side): number => (hostMs === 0 ? 0 : amount / hostMs);
      const change = rate(a.total, selection) - rate(b.total, baseline);
      const share = (amount: number, total: number): number => (total === 0 ? 0 : amount / total);
      const compared = [...new Set([...a.amounts.keys(), ...b.amounts.keys()])]
        // Where a side has more values than were read, one that is missing there is not known to be 0.
        .filter((value) => (a.isWhole || a.amounts.has(value)) && (b.isWhole || b.amounts.has(value)))
        .map((value) => {
          const [inA, inB] = [a.amounts.get(value) ?? 0, b.amounts.get(value) ?? 0];
          const [q, p] = [share(inA, a.total), share(inB, b.total)];
          return {
            value,
            selection: { amount: inA, share: q },
            baseline: { amount: inB, share: p },
            contribution: change === 0 ? null : (rate(inA, selection) - rate(inB, baseline)) / change,
            surprise: surprise(p, q),
          };
        });
      compared.sort(
        (x, y) => y.surprise - x.surprise || Math.abs(y.contribution ?? 0) - Math.abs(x.contribution ?? 0) || (x.value < y.value ? -1 : 1),
      );
      return {
        dimension,
        divergence: compared.reduce((sum, entry) => sum + entry.surprise, 0),
        truncated: !a.isWhole || !b.isWhole,
        values: compared.slice(0, limit),
      };
    })
    .sort((x, y) => y.divergence - x.divergence);
}

function byValue(rows: readonly ValueRow[], dimension: string) {
  const own = rows.filter((row) => row.dimension === dimension);
  const amounts = new Map(own.map(({ value, amount }) => [value, Number(amount)]));
  return { amounts, total: Number(own[0]?.total ?? 0), isWhole: Number(own[0]?.values ?? 0) <= VALUES_MAX };
}

/** Rows of the hosts that are not in the selection: all of them less those that are. */
export function withoutSelection(all: readonly ValueRow[], selection: readonly ValueRow[]): ValueRow[] {
  const keyOf = ({ dimension, value }: ValueRow): string => JSON.stringify([dimension, value]);
  const taken = new Map(selection.map((row) => [keyOf(row), Number(row.amount)]));
  const totals = new Map(selection.map((row) => [row.dimension, Number(row.total)]));
  return all.map((row) => ({
    ...row,
    amount: Number(row.amount) - (taken.get(keyOf(row)) ?? 0),
    total: Number(row.total) - (totals.get(row.dimension) ?? 0),
  }));
}

/** What sets the selection's hosts apart, the most telling first, and what has to be said about it. */
export function compareFacts(rows: readonly FactRow[], limit: number): { readonly facts: Explanation["facts"]; readonly note: string | undefined } {
  const told = rows.filter(({ fact }) => !ownFacts.test(fact));
  const found = told.flatMap((row) => {
    const counts = { a: Number(row.a), aTotal: Number(row.a_total), b: Number(row.b), bTotal: Number(row.b_total) };
    const { aTotal, bTotal } = counts;
    // What is more frequent among the others does not set the selection apart, and what nobody else says cannot be compared.
    if (bTotal === 0 || counts.a / aTotal <= counts.b / bTotal) return [];
    return [{ row, counts, gain: informationGain(counts) }];
  });
  found.sort((x, y) => y.gain - x.gain || (x.row.fact < y.row.fact ? -1 : 1));
  const tried = told.length;
  const [hostsA, hostsB] = told.reduce(([x, y], row) => [Math.max(x, Number(row.a_total)), Math.max(y, Number(row.b_total))], [0, 0]);
  const isTooSmall = tried > 0 && leastChance(hostsA, hostsB) * tried >= SIGNIFICANCE;
  return {
    facts: found.slice(0, limit).map(({ row, counts, gain }) => {
      const chance = chanceOf(counts);
      return {
        fact: row.fact,
        value: row.value,
        selection: { hosts: counts.a, of: counts.aTotal },
        others: { hosts: counts.b, of: counts.bTotal },
        informationGain: gain,
        lift: lift(counts),
        chance,
        significant: chance * tried < SIGNIFICANCE,
      };
    }),
    note: isTooSmall
      ? `Too few hosts for facts to tell anything: ${hostsA} in the selection and ${hostsB} others, and ${tried} facts were tried; even one that all of the first and none of the others have may be chance.`
      : undefined,
  };
}
