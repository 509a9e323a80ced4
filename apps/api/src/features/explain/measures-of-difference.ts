// SPDX-License-Identifier: Apache-2.0

/** `n · log2(n)`, 0 for 0. */
const xlogx = (x: number): number => (x <= 0 ? 0 : x * Math.log2(x));

/** Entropy in bits of two counts. */
function entropy(a: number, b: number): number {
  const n = a + b;
  return n === 0 ? 0 : -(xlogx(a / n) + xlogx(b / n));
}

/** How many of two groups of hosts have a property. */
export interface Counts {
  /** Of the selection: with the property, and all that are known. */
  readonly a: number;
  readonly aTotal: number;
  /** Of the others. */
  readonly b: number;
  readonly bTotal: number;
}

/**
 * Bits that knowing the property tells about which group a host is in: the fall of entropy by the split (Quinlan, Induction of Decision Trees, Machine Learning 1, 1986). 0 = nothing; with
 * groups of equal size at most 1.
 */
export function informationGain({ a, aTotal, b, bTotal }: Counts): number {
  const n = aTotal + bTotal;
  if (n === 0) return 0;
  const withIt = a + b;
  const without = n - withIt;
  const after = (withIt / n) * entropy(a, b) + (without / n) * entropy(aTotal - a, bTotal - b);
  return Math.max(0, entropy(aTotal, bTotal) - after);
}

/** How many times more frequent the property is in the selection than among the others; null where none of the others has it. */
export function lift({ a, aTotal, b, bTotal }: Counts): number | null {
  if (b === 0 || bTotal === 0 || aTotal === 0) return null;
  return a / aTotal / (b / bTotal);
}

const factorials: number[] = [0];
/** ln(n!) */
function logFactorial(n: number): number {
  for (let i = factorials.length; i <= n; i++) factorials.push((factorials[i - 1] as number) + Math.log(i));
  return factorials[n] as number;
}
const logChoose = (n: number, k: number): number => logFactorial(n) - logFactorial(k) - logFactorial(n - k);

/**
 * Chance that so many or more of the selection had the property if it had nothing to do with the difference: the upper tail of the hypergeometric distribution (Fisher's exact test,
 * one-sided).
 */
export function chanceOf({ a, aTotal, b, bTotal }: Counts): number {
  const withIt = a + b;
  const n = aTotal + bTotal;
  const all = logChoose(n, aTotal);
  let sum = 0;
  for (let k = a; k <= Math.min(withIt, aTotal); k++) {
    if (aTotal - k > n - withIt) continue;
    sum += Math.exp(logChoose(withIt, k) + logChoose(n - withIt, aTotal - k) - all);
  }
  return Math.min(1, sum);
}

/** Chance of the clearest possible finding: all of the selection and none of the others have the property. Above the level that is asked for, the sample is too small for any. */
export function leastChance(aTotal: number, bTotal: number): number {
  return Math.exp(-logChoose(aTotal + bTotal, aTotal));
}

/**
 * How much a value's share differs between the two, in bits: its part of the Jensen–Shannon divergence, as "surprise" is defined by Bhagwan et al., Adtributor (NSDI 2014). All values of a
 * dimension add up to 0 (the same shares) to 1 (nothing in common).
 * @param p share of the baseline
 * @param q share of the selection
 */
export function surprise(p: number, q: number): number {
  const part = (x: number): number => (x <= 0 ? 0 : x * Math.log2((2 * x) / (p + q)));
  return (part(p) + part(q)) / 2;
}
